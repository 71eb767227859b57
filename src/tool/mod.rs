//! Floor 5: what an intent or a model can do in this house, one file per family of tools.
//!
//! Who may do what: a tool trusts that policy has judged the call and that [`Registry`] has checked its arguments against
//! the schema; it still keeps its own fence (rooted paths, a program list, no addresses of the house). What a tool needs from
//! elsewhere is a trait in [`port`]. Dropping the future of [`Tool::run`] cancels the call.
//!
//! Absent on purpose: judging, recording and asking (the turn does that), and any knowledge of models.

pub mod delegate;
pub mod device;
pub mod exec;
pub mod file;
pub mod http_fetch;
pub mod memory;
pub mod port;
mod registry;
mod schema;
#[cfg(test)]
mod testing;
pub mod timer;

pub use registry::{Registry, RegistryError};

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::id::{SessionKey, TaskId, TraceId};
use crate::domain::call::{Effect, Outcome, OutcomeStatus, Tier};
use crate::domain::message::{Channel, Origin};

/// Who is told that a tool exists, whatever its tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    Everybody,
    /// It shows what members of the group may see too: devices, not files or memories.
    Group,
    /// It shows the household's files, devices or memories; outsiders neither see nor run it (specification §15 S3).
    Household,
}

impl Audience {
    pub const fn admits(self, origin: Origin) -> bool {
        matches!((self, origin), (_, Origin::Internal) | (Self::Everybody, _) | (Self::Group, Origin::Peer))
    }
}

/// What a tool is, for policy, for models and for the turn.
#[derive(Clone, Debug)]
pub struct Spec {
    pub name: &'static str,
    pub tier: Tier,
    pub effect: Effect,
    pub audience: Audience,
    pub description: &'static str,
    /// JSON schema of the arguments: an object with `properties` and `required`.
    pub parameters: Value,
}

/// For whom a call runs and where a later answer (a timer that rings) would go. Many fields because it is the message's
/// facts, copied once per turn.
#[derive(Clone, Debug)]
pub struct ToolContext {
    pub trace_id: TraceId,
    pub task_id: TaskId,
    pub session: SessionKey,
    pub channel: Channel,
    pub chat_id: String,
    pub thread_id: Option<String>,
    pub sender_id: String,
    pub origin: Origin,
    pub now: Timestamp,
}

pub trait Tool: Send + Sync {
    fn spec(&self) -> &Spec;

    /// Runs with arguments that fit the schema. Never panics on what a model wrote.
    fn run<'a>(&'a self, ctx: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome>;
}

/// A text argument; empty when it was not given.
fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or("")
}

fn number(arguments: &Value, name: &str) -> Option<f64> {
    arguments.get(name).and_then(Value::as_f64)
}

fn denied(text: impl Into<String>) -> Outcome {
    Outcome { text: text.into(), status: OutcomeStatus::Denied }
}

/// `text` cut to at most `bytes_max`, on a character's border.
fn shortened(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
