//! The group as the turn sees it: somebody else to ask.

use rusqlite::Connection;

use crate::agent::{Alone, Handed, Peers};
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::base::id::PeerId;
use crate::db::Tx;
use crate::domain::call::{Outcome, OutcomeStatus};
use crate::group::hub::{AskError, Order};
use crate::group::membership::Membership;
use crate::group::task::{self, Direction, Status};
use crate::tool::ToolContext;
use crate::tool::delegate;

/// Longest beginning of an order that describes it.
const DESCRIPTION_BYTES_MAX: usize = 120;

pub(in crate::app) struct GroupPeers {
    pub membership: Membership,
    pub clock: Clock,
}

impl Peers for GroupPeers {
    fn hand_over(
        &self,
        tx: &Tx<'_>,
        ctx: &ToolContext,
        reference: &str,
        order: &delegate::Order,
    ) -> rusqlite::Result<Handed> {
        let Some(group) = self.membership.current() else { return Alone.hand_over(tx, ctx, reference, order) };
        // Work that came from the group has been handed on before.
        let depth = task::by_local(tx, &ctx.task_id)?
            .into_iter()
            .find(|task| task.direction == Direction::Incoming)
            .map_or(0, |task| task.request.depth);
        let cut = order.task.floor_char_boundary(DESCRIPTION_BYTES_MAX);
        let asked = group.ask(
            tx,
            &Order {
                task_id: reference.to_owned(),
                member: order.member.clone(),
                skill: Some(order.skill.clone()).filter(|skill| !skill.is_empty()),
                description: order.task[..cut].to_owned(),
                content: order.task.clone(),
                depth,
                ..Order::default()
            },
            self.clock.now(),
        );
        match asked {
            Ok(asked) if asked.is_live => Ok(Handed::Over { note: String::new() }),
            Ok(asked) => {
                let who = asked.member.unwrap_or_else(|| "the group".to_owned());
                let when = if group.is_online() { "it can be reached" } else { "the network is back" };
                Ok(Handed::Over { note: format!("I will ask {who} as soon as {when}, and tell you the answer.") })
            }
            Err(AskError::Store { source }) => Err(source),
            Err(error) => Ok(Handed::Refused(format!("I cannot ask anybody else: {}.", chain(&error)))),
        }
    }

    fn outcome(&self, conn: &Connection, reference: &str) -> rusqlite::Result<Option<Outcome>> {
        let task = task::outgoing_called(conn, reference)?.filter(|task| !task.status.is_open());
        let Some(task) = task else { return Ok(None) };
        let called = |id: &PeerId| self.membership.current().map_or_else(|| id.to_string(), |group| group.called(id));
        let who = task.responder.or(task.request.target).map_or_else(|| "nobody".to_owned(), |id| called(&id));
        let said = task.response.unwrap_or_default();
        Ok(Some(match task.status {
            Status::Completed => Outcome::done(said),
            Status::Failed if said.is_empty() => Outcome::failed(format!("{who} stopped working on it.")),
            Status::Failed => Outcome::failed(said),
            Status::Rejected => {
                Outcome { text: format!("{who} will not do it: {said}"), status: OutcomeStatus::Denied }
            }
            Status::Canceled => Outcome::failed("It was called off.".to_owned()),
            _ => Outcome::failed(format!("No answer came from {who} in time.")),
        }))
    }

    fn handed(&self) {
        if let Some(group) = self.membership.current() {
            group.asked();
        }
    }

    fn are_there(&self) -> bool {
        self.membership.current().is_some()
    }
}
