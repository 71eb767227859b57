//! What the tools need from the rest of the house, as small traits; assembly adapts the modules to them.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::future::BoxFuture;

use crate::base::clock::Timestamp;
use crate::base::id::{EntityId, JobId};
use crate::domain::household::{Action, CommandResult, Household};
use crate::tool::ToolContext;

/// Why a port could not do what it was asked. `Display` goes to the model and may reach a person.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The part of the house behind the port is off or not set up.
    #[error("this is not available right now")]
    NotAvailable,
    #[error("there is nothing named {name}")]
    NotFound { name: String },
    /// It understood and will not; the sentence says why.
    #[error("{why}")]
    Refused { why: String },
    /// It tried and failed; the inside of the failure is in the log.
    #[error("{attempt} failed")]
    Failed { attempt: &'static str },
}

/// The home's devices.
pub trait Devices: Send + Sync {
    fn household(&self) -> Arc<Household>;

    /// Sends the commands and waits, for a bounded time, for the devices to report; one result each, in order.
    fn command<'a>(
        &'a self,
        ctx: &'a ToolContext,
        commands: Vec<(EntityId, Action)>,
    ) -> BoxFuture<'a, Vec<(EntityId, CommandResult)>>;
}

/// When something shall happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum When {
    In(Duration),
    At(Timestamp),
    /// On the household's wall clock, in whatever zone that is.
    AtLocal(NaiveDateTime),
    /// A cron expression of five fields, on the household's wall clock.
    Cron(String),
}

/// What a job does when it comes due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Tells the person that the time has come.
    Ring,
    /// Hands this text to the assistant as if the person had said it.
    Say(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTimer {
    /// What people call it; may be empty.
    pub label: String,
    pub when: When,
    pub purpose: Purpose,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timer {
    pub id: JobId,
    pub label: String,
    /// When it comes due next, as a person reads it.
    pub due: String,
    /// The cron expression of one that repeats.
    pub cron: Option<String>,
}

/// Timers, alarms, reminders and scheduled jobs; the context says who asked and where the answer goes.
pub trait Timers: Send + Sync {
    /// Setting the same timer for the same call again must not make a second one; `ctx.task_id` and the timer identify it.
    fn set<'a>(&'a self, ctx: &'a ToolContext, timer: NewTimer) -> BoxFuture<'a, Result<Timer, PortError>>;

    fn list<'a>(&'a self, ctx: &'a ToolContext) -> BoxFuture<'a, Result<Vec<Timer>, PortError>>;

    /// Cancels by id or by label.
    fn cancel<'a>(&'a self, ctx: &'a ToolContext, which: &'a str) -> BoxFuture<'a, Result<Timer, PortError>>;
}

#[derive(Clone, PartialEq, Debug)]
pub struct Recalled {
    pub id: String,
    pub text: String,
    pub source: String,
    /// 0 to 1.
    pub score: f64,
}

/// What the house was told to remember.
pub trait Memories: Send + Sync {
    /// Returns the new memory's id.
    fn remember<'a>(
        &'a self,
        ctx: &'a ToolContext,
        content: &'a str,
        tags: &'a str,
    ) -> BoxFuture<'a, Result<String, PortError>>;

    /// Best first.
    fn recall<'a>(
        &'a self,
        ctx: &'a ToolContext,
        query: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Recalled>, PortError>>;

    fn forget<'a>(&'a self, ctx: &'a ToolContext, id: &'a str) -> BoxFuture<'a, Result<(), PortError>>;

    /// Replaces the note that this conversation's prompts show.
    fn note<'a>(&'a self, ctx: &'a ToolContext, content: &'a str) -> BoxFuture<'a, Result<(), PortError>>;
}

/// Which addresses a fetch may reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Not the house: no loopback, private or link-local address, neither written out, nor behind a name, nor behind a redirect.
    Public,
    Anywhere,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchRequest {
    pub url: String,
    pub reach: Reach,
    pub body_bytes_max: usize,
    /// All redirects together.
    pub timeout: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Where the redirects led.
    pub url: String,
    pub status: u16,
    pub content_type: Option<String>,
    /// At most `body_bytes_max`.
    pub body: Vec<u8>,
    pub is_cut: bool,
}

/// One HTTP GET with its redirects. A status that is not a success is a result, not an error.
pub trait Fetch: Send + Sync {
    fn get(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, PortError>>;
}
