//! One trace as a list of steps, newest first (specification §3.4).

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::event::{StepKind, duration_ms, metadata};
use super::task::TraceTask;
use super::{null_when_empty, shortened, time_of_day};
use crate::base::clock::Timestamp;
use crate::bus;
use crate::policy::Decided;
use crate::timeline;

/// Bytes of a model's answer that a span shows.
const OUTPUT_BYTES_MAX: usize = 200;

/// `GET /api/v1/trace/{trace_id}`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Trace {
    pub policy_decisions: Option<Vec<TraceDecision>>,
    pub spans: Vec<Span>,
    pub task: Option<TraceTask>,
    pub trace_id: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TraceDecision {
    pub allowed: bool,
    pub reason: String,
    pub tier: i64,
    pub time: String,
    pub tool: String,
}

/// One step. The keys behind `metadata` are ours: KafClaw's `time` has no date.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Span {
    pub id: String,
    #[serde(rename = "type")]
    pub(super) kind: StepKind,
    pub title: String,
    pub time: String,
    /// `12ms`, or empty.
    pub duration: String,
    pub output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    pub span_id: String,
    pub parent_span_id: String,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub duration_ms: i64,
}

/// `rows` newest first, as [`timeline::by_trace`] reads them; `decisions` oldest first.
pub fn trace(trace_id: &str, rows: &[timeline::Row], task: Option<&bus::row::Row>, decisions: &[Decided]) -> Trace {
    Trace {
        policy_decisions: null_when_empty(decisions.iter().map(TraceDecision::from).collect()),
        spans: rows.iter().map(span).collect(),
        task: task.map(TraceTask::from),
        trace_id: trace_id.to_owned(),
    }
}

impl From<&Decided> for TraceDecision {
    fn from(decided: &Decided) -> Self {
        Self {
            allowed: decided.allowed,
            reason: decided.reason.clone(),
            tier: decided.tier,
            time: time_of_day(decided.created_at),
            tool: decided.tool.clone(),
        }
    }
}

pub(super) fn span(row: &timeline::Row) -> Span {
    let kind = StepKind::of(row);
    let mut fields = metadata(row);
    let duration_ms = duration_ms(row, fields.as_ref());
    let text_of = |name: &str| fields.as_ref().and_then(|fields| fields.get(name)).and_then(Value::as_str);
    let output = match kind {
        StepKind::Inbound | StepKind::Outbound => row.content_text.clone(),
        StepKind::Llm => shortened(text_of("response_text").unwrap_or(""), OUTPUT_BYTES_MAX),
        StepKind::Tool => text_of("tool_name").unwrap_or("").to_owned(),
        StepKind::Policy | StepKind::Approval | StepKind::Event => String::new(),
    };
    fill(&mut fields, kind, row);
    // Events are written when their step has ended.
    let took = Duration::from_millis(duration_ms.unsigned_abs());
    Span {
        id: row.event_id.clone(),
        kind,
        title: row.classification.clone(),
        time: time_of_day(row.timestamp),
        duration: if duration_ms > 0 { format!("{duration_ms}ms") } else { String::new() },
        output,
        metadata: fields,
        span_id: row.span_id.clone(),
        parent_span_id: row.parent_span_id.clone(),
        started_at: row.timestamp.minus(took),
        ended_at: row.timestamp,
        duration_ms,
    }
}

/// Adds what KafClaw's clients find in the metadata of messages; what the event itself says wins.
fn fill(fields: &mut Option<Map<String, Value>>, kind: StepKind, row: &timeline::Row) {
    let facts = match kind {
        StepKind::Inbound => json!({
            "channel": row.sender_id, "sender": row.sender_name, "message_type": row.event_type, "content": row.content_text,
        }),
        StepKind::Outbound => json!({"response_text": row.content_text}),
        _ => return,
    };
    let Value::Object(facts) = facts else { return };
    let fields = fields.get_or_insert_with(Map::new);
    for (name, value) in facts {
        fields.entry(name).or_insert(value);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::event::tests::{NOW, row};
    use super::super::task::tests::task_row;
    use super::*;

    pub(in crate::dashboard::view) fn decided(tool: &str, allowed: bool) -> Decided {
        Decided {
            id: 4,
            trace_id: "t1".to_owned(),
            task_id: "0123456789abcdef0123456789abcdef".to_owned(),
            tool: tool.to_owned(),
            tier: 2,
            sender: "ann".to_owned(),
            channel: "local".to_owned(),
            allowed,
            reason: "tier_2_requires_approval".to_owned(),
            created_at: NOW,
        }
    }

    #[test]
    fn a_trace_without_anything_has_empty_spans_and_nulls() {
        let text = serde_json::to_string(&trace("gone", &[], None, &[])).expect("JSON");
        assert_eq!(text, r#"{"policy_decisions":null,"spans":[],"task":null,"trace_id":"gone"}"#);
    }

    #[test]
    fn a_trace_shows_steps_task_and_decisions() {
        let tool = timeline::Row {
            duration_ms: 1_123,
            parent_span_id: "s1".to_owned(),
            ..row(2, "TOOL", "tool=exec", json!({"tool_name": "exec"}))
        };
        let rows = [tool, row(1, "LOCAL_INBOUND", "hi", Value::Null)];
        let view = trace("t1", &rows, Some(&task_row()), &[decided("exec", false)]);
        let value = serde_json::to_value(&view).expect("JSON");
        assert_eq!(
            value["policy_decisions"],
            json!([{"allowed": false, "reason": "tier_2_requires_approval", "tier": 2, "time": "14:30:12", "tool": "exec"}])
        );
        assert_eq!(
            value["spans"],
            json!([
                {"id": "E_2", "type": "TOOL", "title": "TOOL", "time": "14:30:12", "duration": "1123ms", "output": "exec",
                    "metadata": {"tool_name": "exec"}, "span_id": "s2", "parent_span_id": "s1",
                    "started_at": "2026-08-18T14:30:11.000Z", "ended_at": "2026-08-18T14:30:12.123Z", "duration_ms": 1123},
                {"id": "E_1", "type": "INBOUND", "title": "LOCAL_INBOUND", "time": "14:30:12", "duration": "", "output": "hi",
                    "metadata": {"channel": "ann", "sender": "Ann", "message_type": "TEXT", "content": "hi"},
                    "span_id": "s1", "parent_span_id": "",
                    "started_at": "2026-08-18T14:30:12.123Z", "ended_at": "2026-08-18T14:30:12.123Z", "duration_ms": 0},
            ])
        );
        assert_eq!(value["task"]["total_tokens"], 7);
    }

    #[test]
    fn a_long_model_answer_is_cut_between_characters() {
        let long = row(1, "LLM", "", json!({"response_text": "ä".repeat(150)}));
        let output = span(&long).output;
        assert_eq!(output, format!("{}...", "ä".repeat(100)));
        let short = row(1, "LLM", "", json!({"response_text": "done"}));
        assert_eq!(span(&short).output, "done");
    }

    #[test]
    fn what_an_event_says_about_itself_wins() {
        let ours = row(1, "LOCAL_INBOUND", "hi", json!({"channel": "local", "sender": "ann"}));
        let fields = span(&ours).metadata.expect("metadata");
        assert_eq!(fields["channel"], "local");
        assert_eq!(fields["content"], "hi");
        let out = span(&row(2, "LOCAL_OUTBOUND status=sent", "hello", Value::Null));
        assert_eq!(out.metadata.expect("metadata")["response_text"], "hello");
    }
}
