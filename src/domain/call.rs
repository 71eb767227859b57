//! A tool call: how dangerous it is, what was asked, what came of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Risk of a tool (specification §7.3). Ordered: a ceiling is a comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tier {
    Read = 0,
    Write = 1,
    HighRisk = 2,
}

impl Tier {
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            2 => Some(Self::HighRisk),
            _ => None,
        }
    }
}

/// Whether repeating a call could do harm. A call with an effect is never repeated after a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Reads only, or writes the same thing again.
    Repeatable,
    /// Changes the world.
    Once,
    /// Somebody else does it; the turn waits for the answer without holding anything.
    Elsewhere,
}

/// One call that an intent or a model asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Unique within the turn; the model's own id where it gave one.
    pub id: String,
    pub tool: String,
    pub arguments: Value,
}

/// What a finished call left behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The text the model reads; for an intent, the text the person reads.
    pub text: String,
    pub status: OutcomeStatus,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    Done,
    /// It ran and reported an error in its text.
    Failed,
    /// Policy or a person said no.
    Denied,
    /// It had begun when the power went; nobody knows.
    Unknown,
}

impl Outcome {
    pub fn done(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: OutcomeStatus::Done }
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: OutcomeStatus::Failed }
    }
}
