//! Work between members: requests, answers and news about it (group specification §2.4 to §2.6).

use serde::{Deserialize, Serialize};

use crate::base::gojson::GoTime;
use crate::base::id::{PeerId, ZoneId};
use crate::domain::peer::{Answer, AnswerStatus, Report, Request, WorkStatus};
use crate::domain::refusal::{Refusal, check_id, check_name};
use crate::group::wire::Head;
use crate::group::wire::identity::filled;

/// KafClaw's fields in KafClaw's order, then ours.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskRequest {
    pub task_id: String,
    pub description: String,
    pub content: String,
    pub requester_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_task_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub delegation_depth: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub original_requester_id: String,
    /// RFC 3339, whole seconds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deadline_at: String,

    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub skill: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskResponse {
    pub task_id: String,
    pub responder_id: String,
    pub content: String,
    /// `completed`, `failed` or `rejected`.
    pub status: String,
}

/// KafClaw's fields in KafClaw's order, then ours.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatus {
    pub task_id: String,
    pub responder_id: String,
    /// See [`WorkStatus`].
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary: String,

    /// RFC 3339, whole seconds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lease_until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_percent: Option<i64>,
}

impl TaskRequest {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("task_id", &self.task_id)?;
        check_name("requester_id", &self.requester_id)?;
        check_name("parent_task_id", &self.parent_task_id)?;
        check_name("original_requester_id", &self.original_requester_id)?;
        check_name("zone_id", &self.zone_id)?;
        check_name("skill", &self.skill)
    }
}

impl TaskResponse {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("task_id", &self.task_id)?;
        check_name("responder_id", &self.responder_id)?;
        check_name("status", &self.status)
    }
}

impl TaskStatus {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("task_id", &self.task_id)?;
        check_name("responder_id", &self.responder_id)?;
        check_name("status", &self.status)
    }
}

impl TryFrom<(&Head, TaskRequest)> for Request {
    type Error = Refusal;

    /// A requester who does not say its name is the sender.
    fn try_from((head, wire): (&Head, TaskRequest)) -> Result<Self, Refusal> {
        wire.check()?;
        let depth =
            u32::try_from(wire.delegation_depth).map_err(|_| Refusal::Meaningless { field: "delegation_depth" })?;
        Ok(Self {
            requester: named(head, wire.requester_id)?,
            task_id: wire.task_id,
            description: wire.description,
            content: wire.content,
            parent_task_id: filled(wire.parent_task_id),
            depth,
            original_requester: filled(wire.original_requester_id).map(PeerId::from),
            deadline_at: time("deadline_at", &wire.deadline_at)?,
            target: head.target.clone(),
            zone: filled(wire.zone_id).map(ZoneId::from),
            skill: filled(wire.skill),
        })
    }
}

impl From<Request> for TaskRequest {
    fn from(request: Request) -> Self {
        Self {
            task_id: request.task_id,
            description: request.description,
            content: request.content,
            requester_id: request.requester.to_string(),
            parent_task_id: request.parent_task_id.unwrap_or_default(),
            delegation_depth: request.depth.into(),
            original_requester_id: request.original_requester.map(|id| id.to_string()).unwrap_or_default(),
            deadline_at: request.deadline_at.map(GoTime::seconds_text).unwrap_or_default(),
            zone_id: request.zone.map(|id| id.to_string()).unwrap_or_default(),
            skill: request.skill.unwrap_or_default(),
        }
    }
}

impl TryFrom<(&Head, TaskResponse)> for Answer {
    type Error = Refusal;

    /// A missing status is `completed`, as the only one that agents in Go ever send.
    fn try_from((head, wire): (&Head, TaskResponse)) -> Result<Self, Refusal> {
        wire.check()?;
        let outcome = match wire.status.as_str() {
            "" => AnswerStatus::Completed,
            word => AnswerStatus::parse(word).ok_or(Refusal::Meaningless { field: "status" })?,
        };
        let responder = named(head, wire.responder_id)?;
        Ok(Self { task_id: wire.task_id, responder, content: wire.content, outcome })
    }
}

impl From<Answer> for TaskResponse {
    fn from(answer: Answer) -> Self {
        let status = answer.outcome.as_str().to_owned();
        Self { task_id: answer.task_id, responder_id: answer.responder.to_string(), content: answer.content, status }
    }
}

impl TryFrom<(&Head, TaskStatus)> for Report {
    type Error = Refusal;

    fn try_from((head, wire): (&Head, TaskStatus)) -> Result<Self, Refusal> {
        wire.check()?;
        let progress =
            wire.progress_percent.map(|percent| u8::try_from(percent).ok().filter(|percent| *percent <= 100));
        Ok(Self {
            peer: named(head, wire.responder_id)?,
            task_id: wire.task_id,
            status: WorkStatus::parse(&wire.status).ok_or(Refusal::Meaningless { field: "status" })?,
            summary: wire.summary,
            lease_until: time("lease_until", &wire.lease_until)?,
            progress_percent: match progress {
                Some(None) => return Err(Refusal::Meaningless { field: "progress_percent" }),
                Some(percent) => percent,
                None => None,
            },
        })
    }
}

impl From<Report> for TaskStatus {
    fn from(report: Report) -> Self {
        Self {
            task_id: report.task_id,
            responder_id: report.peer.to_string(),
            status: report.status.as_str().to_owned(),
            summary: report.summary,
            lease_until: report.lease_until.map(GoTime::seconds_text).unwrap_or_default(),
            progress_percent: report.progress_percent.map(i64::from),
        }
    }
}

fn named(head: &Head, name: String) -> Result<PeerId, Refusal> {
    let name = filled(name).unwrap_or_else(|| head.sender.to_string());
    check_id("sender_id", &name)?;
    Ok(PeerId::from(name))
}

fn time(field: &'static str, text: &str) -> Result<Option<crate::base::clock::Timestamp>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = GoTime::parse(text).ok_or(Refusal::BadTimestamp { field })?;
    Ok(Some(time.to_timestamp()))
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}
