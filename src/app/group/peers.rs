//! The group as the turn sees it: somebody else to ask.

use rusqlite::Connection;

use crate::agent::{Handed, Peers};
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::db::Tx;
use crate::domain::call::{Outcome, OutcomeStatus};
use crate::group::hub::{AskError, Group, Order};
use crate::group::task::{self, Direction, Status};
use crate::tool::ToolContext;
use crate::tool::delegate;

/// Longest beginning of an order that describes it.
const DESCRIPTION_BYTES_MAX: usize = 120;

pub(in crate::app) struct GroupPeers {
    pub group: Group,
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
        // Work that came from the group has been handed on before.
        let depth = task::by_local(tx, &ctx.task_id)?
            .into_iter()
            .find(|task| task.direction == Direction::Incoming)
            .map_or(0, |task| task.request.depth);
        let cut = order.task.floor_char_boundary(DESCRIPTION_BYTES_MAX);
        let asked = self.group.ask(
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
                let when = if self.group.is_online() { "it can be reached" } else { "the network is back" };
                Ok(Handed::Over { note: format!("I will ask {who} as soon as {when}, and tell you the answer.") })
            }
            Err(AskError::Store { source }) => Err(source),
            Err(error) => Ok(Handed::Refused(format!("I cannot ask anybody else: {}.", chain(&error)))),
        }
    }

    fn outcome(&self, conn: &Connection, reference: &str) -> rusqlite::Result<Option<Outcome>> {
        let Some((status, response, who)) = self.group.outcome(conn, reference)? else { return Ok(None) };
        let said = response.unwrap_or_default();
        Ok(Some(match status {
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
        self.group.asked();
    }
}
