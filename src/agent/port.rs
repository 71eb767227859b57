//! What the turn needs from the house.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::agent::turn::Entry;
use crate::base::clock::Timestamp;
use crate::base::id::JobId;
use crate::bus::Progress;
use crate::bus::task::Usage;
use crate::db::Tx;
use crate::domain::call::{Call, Outcome};
use crate::domain::message::Route;
use crate::intent::{StatusFacts, TimerKind};
use crate::session::Message;
use crate::tool::ToolContext;
use crate::tool::delegate::Order;

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The part that stays the same from turn to turn, so that servers can cache it.
    pub stable: String,
    /// Time, conversation, memories.
    pub volatile: String,
    /// The conversation so far, oldest first.
    pub history: Vec<Message>,
    /// The message that is being answered.
    pub message: String,
    /// What this turn has said and heard from tools already.
    pub entries: Vec<Entry>,
    /// In the form OpenAI-compatible servers take, sorted by name.
    pub tools: Vec<Value>,
}

/// What a model answered.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    pub text: String,
    pub calls: Vec<Call>,
    pub route: Route,
    pub provider: String,
    pub model: String,
    pub usage: Usage,
    pub finish_reason: String,
}

/// Why no model answered.
#[derive(Debug, thiserror::Error)]
pub enum Speechless {
    /// None is configured, or none can be reached.
    #[error("no model can be reached")]
    NoneReachable,
    /// One answered that it will not: the request itself is at fault.
    #[error("the model {model} refused the request")]
    Refused { model: String },
}

/// The models in their order, as one mind.
pub trait Mind: Send + Sync {
    /// `progress` hears the text while it grows.
    fn think(
        &self,
        prompt: Prompt,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> BoxFuture<'_, Result<Said, Speechless>>;
}

/// A timer, alarm or reminder that somebody asked for in a sentence.
#[derive(Clone, PartialEq, Debug)]
pub struct NewReminder {
    pub kind: TimerKind,
    /// A timer's name, a reminder's text; may be empty.
    pub label: String,
    pub when: Moment,
}

/// When it is due.
#[derive(Clone, PartialEq, Debug)]
pub enum Moment {
    In(Duration),
    /// On the wall clock of the home.
    At(NaiveDateTime),
    /// Five cron fields, on the wall clock of the home.
    Every(String),
}

/// One that has not rung yet.
#[derive(Clone, PartialEq, Debug)]
pub struct Reminder {
    pub id: JobId,
    pub kind: TimerKind,
    pub label: String,
    pub due: Timestamp,
}

/// What becomes of a reminder that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Planned {
    Set,
    /// It is in the past, never due, or one too many; the sentence says which.
    Refused(String),
}

/// Timers, alarms and reminders, inside the transaction that answers the person: they are set exactly when the answer stands.
pub trait Reminders: Send + Sync {
    fn set(&self, tx: &Tx<'_>, ctx: &ToolContext, new: &NewReminder) -> rusqlite::Result<Planned>;

    /// Next first.
    fn list(&self, conn: &Connection) -> rusqlite::Result<Vec<Reminder>>;

    fn cancel(&self, tx: &Tx<'_>, id: &JobId) -> rusqlite::Result<bool>;
}

/// How the house is.
pub trait Health: Send + Sync {
    fn facts(&self) -> StatusFacts;
}

/// What became of an order that was to be handed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handed {
    /// It is on its way. The note is for the person when the answer may take long; blank when it will be there soon.
    Over { note: String },
    /// Nobody will do it; the sentence says why.
    Refused(String),
}

/// The other hubs and agents of the group. Inside the turn's transaction: an order is on its way exactly when the turn waits
/// for its answer. Who answers wakes the task that waits for [`crate::bus::WaitsFor::Peer`] with the reference.
pub trait Peers: Send + Sync {
    /// The same reference a second time changes nothing.
    fn hand_over(&self, tx: &Tx<'_>, ctx: &ToolContext, reference: &str, order: &Order) -> rusqlite::Result<Handed>;

    /// How the order came out; none while it is under way or unknown.
    fn outcome(&self, conn: &Connection, reference: &str) -> rusqlite::Result<Option<Outcome>>;

    /// Told after the transaction that handed something over.
    fn handed(&self);

    /// Whether this house is in a group at all; where it is not, models are not told that they could hand work over.
    fn are_there(&self) -> bool;
}

/// A house without a group.
pub struct Alone;

impl Peers for Alone {
    fn hand_over(&self, _: &Tx<'_>, _: &ToolContext, _: &str, _: &Order) -> rusqlite::Result<Handed> {
        Ok(Handed::Refused("This house is in no group; `kafclaw group join` changes that.".to_owned()))
    }

    fn outcome(&self, _: &Connection, _: &str) -> rusqlite::Result<Option<Outcome>> {
        Ok(None)
    }

    fn handed(&self) {}

    fn are_there(&self) -> bool {
        false
    }
}

/// Everything the turn reaches beyond its own floors.
#[derive(Clone)]
pub struct Ports {
    pub mind: Arc<dyn Mind>,
    pub devices: Arc<dyn crate::tool::port::Devices>,
    pub reminders: Arc<dyn Reminders>,
    pub health: Arc<dyn Health>,
    pub memories: Arc<dyn crate::recall::Finder>,
    pub peers: Arc<dyn Peers>,
}
