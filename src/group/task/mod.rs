//! Work between members: what we asked of others, and what others asked of us.
//!
//! Who may do what: [`outgoing::next`] and [`incoming::next`] are state machines without I/O. The loop loads a [`Task`], gives the
//! machine a fact, and writes the task and its [`Step`]s in the transaction of the fact ([`store`], [`log`]); messages that the
//! steps ask for go to the outbox in the same one. An answer is matched to what we asked, by its task id or, from agents in Go,
//! by the trace they leave ([`stray`]); what fits nothing is recorded and dropped. It is never given to a model.
//!
//! Requests to nobody in particular reach every hub: [`rank`] decides which of them claims one, and the others watch its lease.
//! Owner of the tables `group_tasks`, `delegation_events`, `group_task_hints` and `group_task_strays`.
//!
//! Absent on purpose: choosing a member (that is the orchestrator's), and what an answer means.

pub mod incoming;
pub mod outgoing;
mod schema;
mod store;
pub mod stray;
#[cfg(test)]
mod tests;
mod view;

pub use schema::create_tables;
pub use store::{
    by_local, due, incoming_called, insert, load, log, next_due, open, open_len, outgoing_called, prune, set_local,
    store,
};
pub use view::{AuditFilter, AuditRow, TaskFilter, TaskRow, chain, delegation_audit, list};

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, TaskId};
use crate::domain::peer::{Answer, AnswerStatus, Report, Request};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub agent_id: PeerId,
    /// How often work may be handed on (group specification §4).
    pub depth_max: u32,
    /// How long whoever claimed a task may be silent.
    pub lease: Duration,
    /// How long the next hub in rank waits before it claims a request to nobody in particular.
    pub claim_step: Duration,
    /// How long a claim to such a request may be objected to before work begins.
    pub settle: Duration,
    /// For requests that have no deadline.
    pub answer_within: Duration,
    /// Tasks of others that are open; one more is rejected.
    pub incoming_open_max: u64,
}

impl Config {
    pub fn of(agent_id: PeerId) -> Self {
        Self {
            agent_id,
            depth_max: 3,
            lease: Duration::from_secs(60),
            claim_step: Duration::from_secs(2),
            settle: Duration::from_millis(400),
            answer_within: Duration::from_secs(3_600),
            incoming_open_max: 200,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// We asked.
    Outgoing,
    /// We were asked.
    Incoming,
}

impl Direction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Outgoing, Self::Incoming].into_iter().find(|direction| direction.as_str() == text)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// Outgoing: it waits for the network. Incoming: it waits for the turn of this hub to claim it.
    Pending,
    /// The broker has it.
    Sent,
    /// Somebody has claimed it and not begun.
    Accepted,
    InProgress,
    /// Incoming: another hub does it; we watch its lease.
    Yielded,
    Completed,
    Failed,
    Rejected,
    /// Its deadline passed.
    Expired,
    Canceled,
}

impl Status {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Sent,
        Self::Accepted,
        Self::InProgress,
        Self::Yielded,
        Self::Completed,
        Self::Failed,
        Self::Rejected,
        Self::Expired,
        Self::Canceled,
    ];

    /// As stored; the words that KafClaw has are KafClaw's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::InProgress => "in_progress",
            Self::Yielded => "yielded",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing comes after the others.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Sent | Self::Accepted | Self::InProgress | Self::Yielded)
    }
}

impl From<AnswerStatus> for Status {
    fn from(outcome: AnswerStatus) -> Self {
        match outcome {
            AnswerStatus::Completed => Self::Completed,
            AnswerStatus::Failed => Self::Failed,
            AnswerStatus::Rejected => Self::Rejected,
        }
    }
}

/// A task as it is stored. Many fields because it is a row: what was asked, who does it, what came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Task {
    pub direction: Direction,
    pub request: Request,
    pub status: Status,
    /// Who has claimed or answered it.
    pub responder: Option<PeerId>,
    pub response: Option<String>,
    pub progress_percent: Option<u8>,
    /// When time may change something.
    pub wake_at: Option<Timestamp>,
    /// The task of this house: outgoing, the one that waits; incoming, the one that works.
    pub local: Option<TaskId>,
    pub created_at: Timestamp,
    pub accepted_at: Option<Timestamp>,
    pub responded_at: Option<Timestamp>,
}

impl Task {
    pub fn new(direction: Direction, request: Request, now: Timestamp) -> Self {
        Self {
            direction,
            request,
            status: Status::Pending,
            responder: None,
            response: None,
            progress_percent: None,
            wake_at: None,
            local: None,
            created_at: now,
            accepted_at: None,
            responded_at: None,
        }
    }

    fn is_overdue(&self, now: Timestamp) -> bool {
        self.request.deadline_at.is_some_and(|deadline| deadline <= now)
    }
}

/// What follows from a fact.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// To be noted in `delegation_events`: what happened, and with whom.
    Log { event: &'static str, peer: Option<PeerId> },
    /// To be said about the task.
    Say(Report),
    /// To be answered to the requester.
    Answer(Answer),
    /// Incoming: the house begins to work on it.
    Start,
    /// Incoming: the house stops.
    Stop,
    /// Outgoing: whoever waits goes on; the task says with what.
    Resume,
}

fn logged(event: &'static str, peer: Option<&PeerId>) -> Step {
    Step::Log { event, peer: peer.cloned() }
}

/// The place of `me` among the hubs that could do a task, zero for the first. All hubs that know of each other agree on it, and
/// every task has another order (rendezvous hashing).
pub fn rank<'a>(task: &str, me: &PeerId, others: impl Iterator<Item = &'a PeerId>) -> u32 {
    let mine = weight(task, me);
    let before = others.filter(|other| *other != me && weight(task, other) < mine).count();
    u32::try_from(before).unwrap_or(u32::MAX)
}

/// Whether `one` comes before `other` for this task.
pub fn comes_before(task: &str, one: &PeerId, other: &PeerId) -> bool {
    weight(task, one) < weight(task, other)
}

fn weight(task: &str, peer: &PeerId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((task.len() as u64).to_le_bytes());
    hash.update(task.as_bytes());
    hash.update(peer.as_str().as_bytes());
    hash.finalize().into()
}
