//! What members do, told to each other: spans of traces and audits, theirs stored here, ours chosen to be told.
//!
//! Who may do what: the loop stores what others tell ([`store`]) and asks [`span_of`] which events of our own timeline are told.
//! Titles and figures may go; what people and models said to each other stays in the house unless the setting says otherwise
//! (KafClaw told everything to everybody). Owner of the tables `group_traces` and `group_watch`.
//!
//! Absent on purpose: the wire.

mod choose;
mod cursor;
mod schema;
mod store;

pub use choose::{Config, Private, Scope, may_tell, span_of};
pub use cursor::{Cursor, advance, create_cursor, cursor};
pub use schema::create_tables;
pub use store::{SpanRow, TraceFilter, list, prune, store, store_audit};

use crate::base::clock::Timestamp;

/// A span as it is told. Texts may be empty: agents in Go leave most of them so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    /// `LLM`, `TOOL`, `TASK`, or the sender's own word.
    pub span_type: String,
    pub title: String,
    pub content: String,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub duration_ms: u64,
}
