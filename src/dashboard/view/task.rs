//! Tasks: whole in their own list, short inside a trace.

use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::base::id::{TaskId, TraceId};
use crate::bus::WaitsFor;
use crate::bus::row::Row;

/// One task in `GET /api/v1/tasks`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TaskView {
    pub id: i64,
    pub task_id: TaskId,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub idempotency_key: String,
    #[serde(skip_serializing_if = "is_blank")]
    pub trace_id: TraceId,
    pub channel: String,
    pub chat_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sender_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message_type: String,
    pub status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_in: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_out: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error_text: String,
    pub delivery_status: &'static str,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub total_tokens: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model_name: String,
    pub delivery_attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_next_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// From here on ours. What answered: `intent`, `local` or `remote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// The approval it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for_approval: Option<String>,
}

/// A task inside a trace; KafClaw sorted these keys.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TraceTask {
    pub channel: String,
    /// KafClaw showed the year 1 for every finished task (specification §15 B19).
    pub completed_at: Option<Timestamp>,
    pub completion_tokens: i64,
    pub created_at: Timestamp,
    pub delivery_status: &'static str,
    pub prompt_tokens: i64,
    pub status: &'static str,
    pub task_id: TaskId,
    pub total_tokens: i64,
}

/// `[]` when there are none.
pub fn tasks(rows: Vec<Row>) -> Vec<TaskView> {
    rows.into_iter().map(task).collect()
}

pub fn task(row: Row) -> TaskView {
    TaskView {
        id: row.id,
        task_id: row.task_id,
        idempotency_key: row.idempotency_key,
        trace_id: row.trace_id,
        channel: row.channel,
        chat_id: row.chat_id,
        sender_id: row.sender_id,
        message_type: row.message_type,
        status: row.status.as_str(),
        content_in: row.content_in,
        content_out: row.content_out,
        error_text: row.error_text,
        delivery_status: row.delivery_status.as_str(),
        prompt_tokens: row.prompt_tokens,
        completion_tokens: row.completion_tokens,
        total_tokens: row.total_tokens,
        provider_id: row.provider_id,
        model_name: row.model_name,
        delivery_attempts: row.delivery_attempts,
        delivery_next_at: row.delivery_next_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
        completed_at: row.completed_at,
        session: row.session,
        route: row.route.map(|route| route.as_str()),
        waits_for_approval: match row.parked {
            Some((WaitsFor::Approval(id), _prompt)) => Some(id.to_string()),
            _ => None,
        },
    }
}

impl From<&Row> for TraceTask {
    fn from(row: &Row) -> Self {
        Self {
            channel: row.channel.clone(),
            completed_at: row.completed_at,
            completion_tokens: row.completion_tokens,
            created_at: row.created_at,
            delivery_status: row.delivery_status.as_str(),
            prompt_tokens: row.prompt_tokens,
            status: row.status.as_str(),
            task_id: row.task_id.clone(),
            total_tokens: row.total_tokens,
        }
    }
}

fn is_blank(trace_id: &TraceId) -> bool {
    trace_id.as_str().is_empty()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::event::tests::NOW;
    use super::*;
    use crate::domain::message::Route;
    use crate::domain::task::{DeliveryStatus, TaskStatus};

    pub(in crate::dashboard::view) fn task_row() -> Row {
        Row {
            id: 3,
            task_id: TaskId::from("0123456789abcdef0123456789abcdef"),
            idempotency_key: String::new(),
            trace_id: TraceId::from("t1"),
            channel: "local".to_owned(),
            chat_id: "default".to_owned(),
            sender_id: "ann".to_owned(),
            session: "local:default".to_owned(),
            message_type: "internal".to_owned(),
            status: TaskStatus::Completed,
            content_in: "hi".to_owned(),
            content_out: "hello".to_owned(),
            error_text: String::new(),
            delivery_status: DeliveryStatus::Skipped,
            prompt_tokens: 5,
            completion_tokens: 2,
            total_tokens: 7,
            provider_id: String::new(),
            model_name: String::new(),
            route: Some(Route::Intent),
            delivery_attempts: 0,
            delivery_next_at: None,
            created_at: NOW,
            updated_at: NOW,
            completed_at: Some(NOW.plus(Duration::from_secs(1))),
            parked: None,
        }
    }

    #[test]
    fn a_task_has_the_keys_of_the_specification_in_its_order() {
        let text = serde_json::to_string(&tasks(vec![task_row()])).expect("JSON");
        assert_eq!(
            text,
            concat!(
                r#"[{"id":3,"task_id":"0123456789abcdef0123456789abcdef","trace_id":"t1","channel":"local","#,
                r#""chat_id":"default","sender_id":"ann","message_type":"internal","status":"completed","content_in":"hi","#,
                r#""content_out":"hello","delivery_status":"skipped","prompt_tokens":5,"completion_tokens":2,"#,
                r#""total_tokens":7,"delivery_attempts":0,"created_at":"2026-08-18T14:30:12.123Z","#,
                r#""updated_at":"2026-08-18T14:30:12.123Z","completed_at":"2026-08-18T14:30:13.123Z","#,
                r#""route":"intent","session":"local:default"}]"#
            )
        );
        assert_eq!(serde_json::to_string(&tasks(Vec::new())).expect("JSON"), "[]");
    }

    #[test]
    fn a_parked_task_names_its_approval() {
        let row = Row {
            status: TaskStatus::Pending,
            completed_at: None,
            parked: Some((WaitsFor::Approval("a1".into()), "May I?".to_owned())),
            ..task_row()
        };
        let view = serde_json::to_value(task(row)).expect("JSON");
        assert_eq!(view["waits_for_approval"], "a1");
        assert!(view.get("completed_at").is_none());
    }

    #[test]
    fn a_task_inside_a_trace_has_sorted_keys_and_a_real_end() {
        let text = serde_json::to_string(&TraceTask::from(&task_row())).expect("JSON");
        assert_eq!(
            text,
            concat!(
                r#"{"channel":"local","completed_at":"2026-08-18T14:30:13.123Z","completion_tokens":2,"#,
                r#""created_at":"2026-08-18T14:30:12.123Z","delivery_status":"skipped","prompt_tokens":5,"#,
                r#""status":"completed","task_id":"0123456789abcdef0123456789abcdef","total_tokens":7}"#
            )
        );
        let open = Row { completed_at: None, ..task_row() };
        assert_eq!(serde_json::to_value(TraceTask::from(&open)).expect("JSON")["completed_at"], json!(null));
    }
}
