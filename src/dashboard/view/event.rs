//! Events of the timeline, and what kind of step each stands for.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::timeline::Row;

/// One event in `GET /api/v1/timeline`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EventView {
    pub id: i64,
    pub event_id: String,
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    pub timestamp: Timestamp,
    pub sender_id: String,
    pub sender_name: String,
    pub event_type: String,
    pub content_text: String,
    pub media_path: String,
    pub vector_id: String,
    pub classification: String,
    pub authorized: bool,
    /// JSON text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
}

/// `null` when there are none.
pub fn events(rows: Vec<Row>) -> Option<Vec<EventView>> {
    super::null_when_empty(rows.into_iter().map(EventView::from).collect())
}

impl From<Row> for EventView {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            event_id: row.event_id,
            trace_id: row.trace_id,
            span_id: row.span_id,
            parent_span_id: row.parent_span_id,
            timestamp: row.timestamp,
            sender_id: row.sender_id,
            sender_name: row.sender_name,
            event_type: row.event_type,
            content_text: row.content_text,
            media_path: row.media_path,
            vector_id: row.vector_id,
            classification: row.classification,
            authorized: row.authorized,
            metadata: row.metadata,
        }
    }
}

/// What an event is a step of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum StepKind {
    Inbound,
    Outbound,
    Llm,
    Tool,
    Policy,
    Approval,
    Event,
}

impl StepKind {
    /// KafClaw's rule (specification §3.4), in its order.
    pub(super) fn of(row: &Row) -> Self {
        let has = |word: &str| row.classification.contains(word);
        // We call ourselves Agent in every event of the system, so that name counts only beside words for people.
        if has("INBOUND") || row.sender_name == "User" {
            Self::Inbound
        } else if has("OUTBOUND") {
            Self::Outbound
        } else if has("LLM") {
            Self::Llm
        } else if has("TOOL") {
            Self::Tool
        } else if has("POLICY") {
            Self::Policy
        } else if row.sender_name == "Agent" && row.event_type == "TEXT" {
            Self::Outbound
        } else {
            Self::Event
        }
    }
}

/// The event's metadata; none when it has none or nobody can read it.
pub(super) fn metadata(row: &Row) -> Option<Map<String, Value>> {
    match serde_json::from_str(&row.metadata) {
        Ok(Value::Object(fields)) if !fields.is_empty() => Some(fields),
        _ => None,
    }
}

/// How long the step took; KafClaw's rows have it in the metadata only.
pub(super) fn duration_ms(row: &Row, metadata: Option<&Map<String, Value>>) -> i64 {
    if row.duration_ms > 0 {
        return row.duration_ms;
    }
    let noted = metadata.and_then(|fields| fields.get("duration_ms"));
    noted.and_then(|value| value.as_i64().or_else(|| value.as_f64().map(|number| number as i64))).unwrap_or(0).max(0)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(in crate::dashboard::view) const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

    /// A row with what traces look at.
    pub(in crate::dashboard::view) fn row(id: i64, classification: &str, content: &str, metadata: Value) -> Row {
        Row {
            id,
            event_id: format!("E_{id}"),
            trace_id: "t1".to_owned(),
            span_id: format!("s{id}"),
            parent_span_id: String::new(),
            timestamp: NOW,
            sender_id: "ann".to_owned(),
            sender_name: "Ann".to_owned(),
            event_type: "TEXT".to_owned(),
            content_text: content.to_owned(),
            media_path: String::new(),
            vector_id: String::new(),
            classification: classification.to_owned(),
            authorized: true,
            metadata: if metadata.is_null() { String::new() } else { metadata.to_string() },
            duration_ms: 0,
        }
    }

    #[test]
    fn an_event_has_the_keys_of_the_specification_in_its_order() {
        let text = serde_json::to_string(&events(vec![row(7, "LOCAL_INBOUND", "hello", Value::Null)])).expect("JSON");
        assert_eq!(
            text,
            concat!(
                r#"[{"id":7,"event_id":"E_7","trace_id":"t1","span_id":"s7","parent_span_id":"","#,
                r#""timestamp":"2026-08-18T14:30:12.123Z","sender_id":"ann","sender_name":"Ann","event_type":"TEXT","#,
                r#""content_text":"hello","media_path":"","vector_id":"","classification":"LOCAL_INBOUND","authorized":true}]"#
            )
        );
        let with = serde_json::to_value(EventView::from(row(7, "LLM", "", json!({"model": "m"})))).expect("JSON");
        assert_eq!(with["metadata"], r#"{"model":"m"}"#, "metadata is text that holds JSON");
    }

    #[test]
    fn an_empty_timeline_is_null() {
        assert_eq!(serde_json::to_string(&events(Vec::new())).expect("JSON"), "null");
    }

    #[test]
    fn the_kind_of_a_step_follows_its_classification() {
        for (classification, sender_name, event_type, kind) in [
            ("LOCAL_INBOUND", "Local", "TEXT", StepKind::Inbound),
            ("ANYTHING", "User", "TEXT", StepKind::Inbound),
            ("WEBUI_OUTBOUND->x force=true status=sent", "Agent", "SYSTEM", StepKind::Outbound),
            ("ANSWER", "Agent", "TEXT", StepKind::Outbound),
            ("LLM", "LLM", "SYSTEM", StepKind::Llm),
            ("TOOL", "Tool", "SYSTEM", StepKind::Tool),
            ("APPROVAL_REQUESTED", "Agent", "SYSTEM", StepKind::Event),
            ("SCHEDULER_JOB", "Agent", "SYSTEM", StepKind::Event),
        ] {
            let row = Row {
                sender_name: sender_name.to_owned(),
                event_type: event_type.to_owned(),
                ..row(1, classification, "", Value::Null)
            };
            assert_eq!(StepKind::of(&row), kind, "{classification}");
        }
    }

    #[test]
    fn a_duration_is_found_where_kafclaw_kept_it() {
        let old = row(1, "LLM", "", json!({"duration_ms": 12.7}));
        assert_eq!(duration_ms(&old, metadata(&old).as_ref()), 12);
        let new = Row { duration_ms: 40, ..old };
        assert_eq!(duration_ms(&new, metadata(&new).as_ref()), 40);
    }

    proptest! {
        #[test]
        fn any_metadata_is_read_or_left(text in ".{0,60}", number in any::<f64>()) {
            let row = Row { metadata: text, ..row(1, "LLM", "", Value::Null) };
            prop_assert!(duration_ms(&row, metadata(&row).as_ref()) >= 0);
            let row = Row { metadata: format!("{{\"duration_ms\":{number:e}}}"), ..row };
            prop_assert!(duration_ms(&row, metadata(&row).as_ref()) >= 0);
        }
    }
}
