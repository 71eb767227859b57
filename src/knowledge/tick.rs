//! What comes with time: proposals expire, gaps that nobody fills are passed over, what is old is forgotten.

use std::time::Duration;

use serde_json::json;

use crate::base::id::TraceId;
use crate::db::Tx;
use crate::domain::event::Event;
use crate::knowledge::fact::Passing;
use crate::knowledge::{Applied, Context, Status, apply, own, store};

/// How long others wait for the proposer's decision after the proposal has expired.
const DECIDE_GRACE: Duration = Duration::from_secs(60);
/// After this a fact is taken although versions before it never came.
const GAP_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// After this a decision whose votes never came is dropped.
const UNPROVEN_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a message that was done is remembered, and votes on what is decided; longer than a broker usually keeps them.
const DONE_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Things of a kind that are done in one go.
const PIECE_LEN: u32 = 500;

/// To be called every few seconds while the group is enabled, connected or not.
pub fn tick(tx: &Tx<'_>, context: &Context<'_>) -> rusqlite::Result<Applied> {
    let now = context.now;
    let mut applied = Applied { status: Status::Accepted, reason: "", events: Vec::new(), outgoing: Vec::new() };
    if context.config.is_governed {
        decide(tx, context, &mut applied)?;
    }
    for fact in store::old_gaps(tx, now.minus(GAP_AGE_MAX), PIECE_LEN)? {
        let taken = apply::take_fact(tx, context, &fact, Passing::Snapshot)?;
        applied.outgoing.extend(taken.outgoing);
        let metadata = json!({"factId": fact.id, "version": fact.version});
        applied.events.push(event(context, "KNOWLEDGE_FACT_GAP_PASSED", metadata));
    }
    for (proposal, claw) in store::old_unproven(tx, now.minus(UNPROVEN_AGE_MAX), PIECE_LEN)? {
        store::drop_unproven(tx, &proposal, &claw)?;
        let metadata = json!({"proposalId": proposal, "clawId": claw});
        applied.events.push(event(context, "KNOWLEDGE_DECISION_UNPROVEN", metadata));
    }
    store::prune_done(tx, now.minus(DONE_AGE_MAX), PIECE_LEN)?;
    store::prune_ballots(tx, now.minus(DONE_AGE_MAX), PIECE_LEN)?;
    Ok(applied)
}

/// The proposer decides at once; the others when it has not.
fn decide(tx: &Tx<'_>, context: &Context<'_>, applied: &mut Applied) -> rusqlite::Result<()> {
    let config = context.config;
    for proposal in store::proposals(tx, Some("pending"), PIECE_LEN)? {
        let expires_at = proposal.question(config.policy.open_max).expires_at;
        let is_own = proposal.proposer == config.claw_id;
        if !is_own && context.now < expires_at.plus(DECIDE_GRACE) {
            continue;
        }
        if let Some(outgoing) = own::decide_if_due(tx, context, &proposal.id)? {
            let metadata = json!({"proposalId": proposal.id});
            applied.events.push(event(context, "KNOWLEDGE_DECISION_MADE", metadata));
            applied.outgoing.push(outgoing);
        }
    }
    Ok(())
}

fn event(context: &Context<'_>, classification: &str, metadata: serde_json::Value) -> Event {
    Event { metadata, ..Event::system("KNOW", TraceId::random(), context.now, classification) }
}
