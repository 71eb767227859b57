//! Work that another member of the group does: it is handed over in the transaction that parks the turn, and the turn goes on
//! where it was when the answer is there.

use sha2::{Digest, Sha256};

use crate::agent::gate::Judged;
use crate::agent::port::Handed;
use crate::agent::{Agent, Work};
use crate::base::id::to_hex;
use crate::bus::{Answered, WaitsFor, task};
use crate::db::DbError;
use crate::domain::call::{Call, Outcome};
use crate::tool::delegate::Order;

/// How a call came out that somebody else was to do.
pub(super) enum Elsewhere {
    /// It is over; the outcome stays known until the turn has kept it.
    Over(Outcome),
    /// The turn is parked.
    Waiting(Answered),
}

/// One call is one order, however often the turn begins anew: 16 hexadecimal digits, as KafClaw's task ids are.
fn reference(work: &Work, call: &Call) -> String {
    let digest = Sha256::digest(format!("{}/{}", work.ctx.task_id, call.id));
    to_hex(&digest[..8])
}

impl Agent {
    /// Hands `call` over, or takes its answer in when it has come.
    pub(super) async fn elsewhere(&self, work: &Work, call: &Call, judged: Judged) -> Result<Elsewhere, DbError> {
        let (peers, now) = (self.ports.peers.clone(), self.clock.now());
        let (reference, order) = (reference(work, call), Order::of(&call.arguments));
        let work = work.clone();
        let handed = self.db.write(move |tx| {
            if let Some(outcome) = peers.outcome(tx, &reference)? {
                return Ok(Elsewhere::Over(outcome));
            }
            judged.record(tx, &work)?;
            Ok(match peers.hand_over(tx, &work.ctx, &reference, &order)? {
                Handed::Refused(why) => Elsewhere::Over(Outcome::failed(why)),
                Handed::Over { note } => {
                    task::park(tx, &work.leased, &WaitsFor::Peer(reference), &note, now)?;
                    Elsewhere::Waiting(Answered::Elsewhere { note })
                }
            })
        });
        let handed = handed.await?;
        if matches!(handed, Elsewhere::Waiting(_)) {
            self.ports.peers.handed();
        }
        Ok(handed)
    }
}
