//! Floor 4: what was said in each conversation, and the little each conversation remembers between two messages.
//!
//! Who may do what: the turn appends what was said inside the transaction that finishes its task, so a transcript never
//! knows more or less than the task table; anybody reads. KafClaw's files are read once, when a conversation is first
//! used, and written only by [`export`]. Owner of tables `session_messages`, `session_state`, `session_imports` and
//! `session_rejects`.
//!
//! Absent on purpose: a cache of transcripts (KafClaw kept them all in memory and rewrote the file at every turn), tool
//! traffic (the timeline has it).

mod archive;
mod jsonl;
mod schema;
mod state;
mod transcript;

pub use archive::{ExportError, Imported, Sessions, export, import, needs_import};
pub use jsonl::{Decoded, Line, Reject, decode, file_name};
pub use schema::MIGRATIONS;
pub use state::{STATE_BYTES_MAX, get_state, set_state, states};
pub use transcript::{Retention, Summary, append, delete, find, list, prune, read, recent};

use crate::base::clock::Timestamp;
use crate::base::id::TaskId;

/// Messages of a conversation that a prompt shows.
pub const PROMPT_MESSAGES: u32 = 50;

/// Who said it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
    System,
    Tool,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::User, Self::Assistant, Self::System, Self::Tool];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Something that was said.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
    pub timestamp: Timestamp,
    /// The task it belongs to; none for what an older program wrote down.
    pub task_id: Option<TaskId>,
}

#[cfg(test)]
mod tests;
