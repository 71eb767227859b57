//! Approval requests: whole in their own list, short inside a trace.

use serde::Serialize;

use super::time_of_day;
use crate::approval::Request;
use crate::base::clock::Timestamp;

/// One request in `GET /api/v1/approvals/pending`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ApprovalView {
    pub id: i64,
    pub approval_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub task_id: String,
    pub tool: String,
    pub tier: u8,
    /// JSON text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arguments: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sender: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    pub status: &'static str,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responded_at: Option<Timestamp>,
    /// Ours: when nobody needs to answer any more.
    pub expires_at: Timestamp,
}

/// One request inside a trace graph; KafClaw sorted these keys.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TraceApproval {
    pub approval_id: String,
    pub channel: String,
    pub sender: String,
    pub status: &'static str,
    pub tier: u8,
    pub time: String,
    pub tool: String,
}

/// `[]` when there are none.
pub fn approvals(requests: &[Request]) -> Vec<ApprovalView> {
    requests.iter().map(ApprovalView::from).collect()
}

impl From<&Request> for ApprovalView {
    fn from(request: &Request) -> Self {
        Self {
            id: request.row_id,
            approval_id: request.id.to_string(),
            trace_id: request.trace_id.to_string(),
            task_id: request.task_id.to_string(),
            tool: request.tool.clone(),
            tier: request.tier.as_u8(),
            arguments: request.arguments.clone(),
            sender: request.asker.sender_id.clone(),
            channel: request.asker.channel.as_str().to_owned(),
            status: request.status.as_str(),
            created_at: request.created_at,
            responded_at: request.responded_at,
            expires_at: request.expires_at,
        }
    }
}

impl From<&Request> for TraceApproval {
    fn from(request: &Request) -> Self {
        Self {
            approval_id: request.id.to_string(),
            channel: request.asker.channel.as_str().to_owned(),
            sender: request.asker.sender_id.clone(),
            status: request.status.as_str(),
            tier: request.tier.as_u8(),
            time: time_of_day(request.created_at),
            tool: request.tool.clone(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::event::tests::NOW;
    use super::*;
    use crate::approval::{Asker, Status};
    use crate::base::id::{ApprovalId, SessionKey, TaskId, TraceId};
    use crate::domain::call::Tier;
    use crate::domain::message::Channel;

    pub(in crate::dashboard::view) fn request() -> Request {
        Request {
            row_id: 5,
            id: ApprovalId::from("a1"),
            trace_id: TraceId::from("t1"),
            task_id: TaskId::from("0123456789abcdef0123456789abcdef"),
            tool: "exec".to_owned(),
            tier: Tier::HighRisk,
            call_id: "c1".to_owned(),
            arguments: r#"{"command":"ls"}"#.to_owned(),
            asker: Asker {
                session: SessionKey::from("local:default"),
                sender_id: "ann".to_owned(),
                channel: Channel::new("local"),
                chat_id: "default".to_owned(),
                thread_id: None,
                reply_hint: None,
            },
            status: Status::Pending,
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(60)),
            responded_at: None,
            responded_by: None,
        }
    }

    #[test]
    fn a_request_has_the_keys_of_the_specification_in_its_order() {
        let text = serde_json::to_string(&approvals(&[request()])).expect("JSON");
        assert_eq!(
            text,
            concat!(
                r#"[{"id":5,"approval_id":"a1","trace_id":"t1","task_id":"0123456789abcdef0123456789abcdef","tool":"exec","#,
                r#""tier":2,"arguments":"{\"command\":\"ls\"}","sender":"ann","channel":"local","status":"pending","#,
                r#""created_at":"2026-08-18T14:30:12.123Z","expires_at":"2026-08-18T14:31:12.123Z"}]"#
            )
        );
        assert_eq!(serde_json::to_string(&approvals(&[])).expect("JSON"), "[]");
    }
}
