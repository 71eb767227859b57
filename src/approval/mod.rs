//! Floor 4: asking a person before a tool runs, without anybody waiting.
//!
//! Who may do what: the turn that needs a yes writes a request, sends [`Request::prompt`] and parks; an answer from a chat or the
//! dashboard, or the passing of time, decides the request in one transaction, and whoever follows the timeline wakes the
//! turn. A request can be answered by the person whose words caused it, in the same conversation, or by the owner at the
//! dashboard; its id alone opens nothing (specification §15 S19). Only this module names the table `approval_requests`.
//!
//! Absent on purpose: waiting, and any judgment of what needs approval (that is `policy`).

mod answer;
mod schema;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use answer::{Answer, parse_answer};
pub use schema::MIGRATIONS;
pub use state::{Decision, Fact, Status, Step};
pub use store::{expire_due, for_call, get, newest, next_expiry, of_trace, pending, prune, request, respond};

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::{ApprovalId, SessionKey, TaskId, TraceId};
use crate::domain::call::{Call, Tier};
use crate::domain::message::{Channel, Inbound, Origin};

/// Bytes of the arguments shown in a prompt (specification §7.4).
const PROMPT_ARGUMENTS_BYTES_MAX: usize = 200;

#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long a person has; the setting `approval_timeout_seconds` overrides it.
    pub timeout: Duration,
}

impl Default for Config {
    /// Longer than KafClaw's 60 s: nothing blocks while we wait, and people put their phones down.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600) }
    }
}

/// Whose words led to the request, and where an answer to them goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker {
    pub session: SessionKey,
    pub sender_id: String,
    pub channel: Channel,
    pub chat_id: String,
    pub thread_id: Option<String>,
    pub reply_hint: Option<String>,
}

impl From<&Inbound> for Asker {
    fn from(inbound: &Inbound) -> Self {
        Self {
            session: inbound.session.clone(),
            sender_id: inbound.sender_id.clone(),
            channel: inbound.channel.clone(),
            chat_id: inbound.chat_id.clone(),
            thread_id: inbound.thread_id.clone(),
            reply_hint: inbound.reply_hint.clone(),
        }
    }
}

/// A request about to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewRequest<'a> {
    pub id: &'a ApprovalId,
    pub trace_id: &'a TraceId,
    pub task_id: &'a TaskId,
    pub call: &'a Call,
    pub tier: Tier,
    pub asker: &'a Asker,
    pub asked_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A stored request. Many fields because it is a row: what was asked, for whom, and what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    pub row_id: i64,
    pub id: ApprovalId,
    pub trace_id: TraceId,
    pub task_id: TaskId,
    pub tool: String,
    pub tier: Tier,
    /// [`Call::id`] of the call that waits.
    pub call_id: String,
    /// JSON text.
    pub arguments: String,
    pub asker: Asker,
    pub status: Status,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub responded_at: Option<Timestamp>,
    pub responded_by: Option<String>,
}

impl Request {
    /// What the person is asked (specification §7.4).
    pub fn prompt(&self) -> String {
        format!(
            "Tool \"{tool}\" (tier {tier}) requires approval.\nArgs: {arguments}\nReply approve:{id} or deny:{id}",
            tool = self.tool,
            tier = self.tier.as_u8(),
            arguments = shortened(&self.arguments),
            id = self.id,
        )
    }

    /// The title of its node in a trace graph.
    pub fn title(&self) -> String {
        format!("Approval: {} (tier {}) → {}", self.tool, self.tier.as_u8(), self.status.as_str())
    }

    /// Whether `responder` may decide it.
    pub fn may_be_answered_by(&self, responder: &Responder) -> bool {
        match responder {
            Responder::Owner { .. } => true,
            Responder::Chat { session, sender_id, origin } => {
                *origin == Origin::Internal && *session == self.asker.session && *sender_id == self.asker.sender_id
            }
        }
    }
}

/// Who answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Responder {
    /// Authenticated at the dashboard, the API or the command line.
    Owner { name: String },
    /// Somebody in a chat.
    Chat { session: SessionKey, sender_id: String, origin: Origin },
}

impl Responder {
    fn name(&self) -> &str {
        match self {
            Self::Owner { name } => name,
            Self::Chat { sender_id, .. } => sender_id,
        }
    }
}

/// What came of an answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Response {
    /// It decided the request; its status says how.
    Responded(Box<Request>),
    /// It came too late.
    AlreadyDecided(Status),
    /// It came from somebody who has no say.
    Refused,
    /// There is no such request.
    Unknown,
}

impl Response {
    /// The reply to whoever answered (specification §16). Those who have no say learn nothing more than those who guess.
    pub fn text(&self, id: &ApprovalId) -> String {
        match self {
            Self::Responded(request) => format!("Approval {id}: {}.", request.status.as_str()),
            Self::AlreadyDecided(_) | Self::Refused | Self::Unknown => {
                format!("No pending approval found for ID {id}.")
            }
        }
    }
}

fn shortened(arguments: &str) -> String {
    const ELLIPSIS: &str = "...";
    if arguments.len() <= PROMPT_ARGUMENTS_BYTES_MAX {
        return arguments.to_owned();
    }
    let end = arguments.floor_char_boundary(PROMPT_ARGUMENTS_BYTES_MAX - ELLIPSIS.len());
    format!("{}{ELLIPSIS}", &arguments[..end])
}
