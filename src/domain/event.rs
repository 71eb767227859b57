//! What the timeline records. Classifications and id prefixes are KafClaw's (specification §3.4, §6.5, §16).

use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::id::{SpanId, TraceId};

/// One row of the timeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Unique; with KafClaw's prefix for its kind, such as `LLM_` or `TOOL_`.
    pub event_id: String,
    pub trace_id: TraceId,
    pub span_id: Option<SpanId>,
    pub parent_span_id: Option<SpanId>,
    pub timestamp: Timestamp,
    pub sender_id: String,
    pub sender_name: String,
    /// `TEXT`, `SYSTEM`, `SECURITY`.
    pub event_type: &'static str,
    pub content: String,
    /// `LOCAL_INBOUND`, `LLM`, `TOOL`, and so on; readers look for `INBOUND`, `OUTBOUND`, `LLM`, `TOOL` inside it.
    pub classification: String,
    pub authorized: bool,
    /// A JSON object, or null for none.
    pub metadata: Value,
    /// When the step began and how long it took, for events that describe one.
    pub span_started_at: Option<Timestamp>,
    pub duration_ms: u64,
}

impl Event {
    /// An event of the system itself.
    pub fn system(prefix: &str, trace_id: TraceId, at: Timestamp, classification: impl Into<String>) -> Self {
        Self {
            event_id: format!("{prefix}_{}", crate::base::id::random_hex(10)),
            trace_id,
            span_id: None,
            parent_span_id: None,
            timestamp: at,
            sender_id: "AGENT".to_owned(),
            sender_name: "Agent".to_owned(),
            event_type: "SYSTEM",
            content: String::new(),
            classification: classification.into(),
            authorized: true,
            metadata: Value::Null,
            span_started_at: None,
            duration_ms: 0,
        }
    }
}
