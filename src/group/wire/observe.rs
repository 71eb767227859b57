//! What members let others watch: spans of traces, and audits (group specification §2.7, §2.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::refusal::{Refusal, check_name};

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    /// `LLM`, `TOOL`, `TASK`, and whatever others call theirs.
    pub span_type: String,
    pub title: String,
    pub content: String,
    /// RFC 3339, or blank: agents in Go leave it blank.
    pub started_at: String,
    pub ended_at: String,
    pub duration_ms: i64,
}

impl Trace {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_name("trace_id", &self.trace_id)?;
        check_name("span_id", &self.span_id)?;
        check_name("parent_span_id", &self.parent_span_id)?;
        check_name("span_type", &self.span_type)
    }
}

/// A free object; Go sorts its keys. Known shapes: `{detail, event_type: "policy_decision"}` and
/// `{agent_id, event_type: "skill_registered", requests_topic, skill_name}`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Audit(pub BTreeMap<String, Value>);

impl Audit {
    pub fn policy_decision(detail: &str) -> Self {
        Self::of(&[("detail", detail), ("event_type", "policy_decision")])
    }

    pub fn skill_registered(agent_id: &str, skill: &str, requests_topic: &str) -> Self {
        Self::of(&[
            ("agent_id", agent_id),
            ("event_type", "skill_registered"),
            ("requests_topic", requests_topic),
            ("skill_name", skill),
        ])
    }

    pub fn event_type(&self) -> &str {
        self.0.get("event_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Keys and their texts.
    pub fn of(entries: &[(&str, &str)]) -> Self {
        Self(entries.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect())
    }
}
