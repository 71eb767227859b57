//! Conversations with a caller who holds the line: `/chat`, the dashboard, the command line. The answer comes in one piece or
//! as server-sent events while it grows.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::base::id::{SessionKey, TaskId, TraceId};
use crate::bus::{Answered, Progress};
use crate::channel::{Intake, IntakeError};
use crate::domain::message::{Channel, Inbound, Origin};

/// Pieces of text on their way to the caller.
const PIECES_LEN: usize = 64;

/// What a caller asks.
#[derive(Clone, Debug)]
pub struct Question {
    pub channel: &'static str,
    pub chat_id: String,
    pub session: SessionKey,
    pub sender_id: String,
    pub message: String,
    pub idempotency_key: Option<String>,
    pub origin: Origin,
}

/// The answer, with the fields of the HTTP API.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Reply {
    pub reply: String,
    pub session: SessionKey,
    pub trace_id: TraceId,
    pub task_id: TaskId,
    /// `intent`, `local` or `remote`.
    pub route: &'static str,
    /// Set when a person has to approve first; the reply says how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
    #[serde(skip)]
    pub is_failed: bool,
}

/// Asks and waits for the answer.
pub async fn ask(intake: &Intake, question: Question) -> Result<Reply, IntakeError> {
    let (session, inbound) = inbound_with_session(intake, question);
    let trace_id = inbound.trace_id.clone();
    let (accepted, answer) = intake.ask(inbound, None).await?;
    let answered = answer.await.unwrap_or_else(|_| interrupted());
    Ok(reply(session, trace_id, accepted.task_id().clone(), answered))
}

/// Asks; the pieces are server-sent events: `text`, `restart`, `tool`, and at the end `done` or `error`.
pub async fn ask_streaming(intake: &Intake, question: Question) -> Result<mpsc::Receiver<Bytes>, IntakeError> {
    let (session, inbound) = inbound_with_session(intake, question);
    let trace_id = inbound.trace_id.clone();
    let (progress, mut growing) = mpsc::channel(PIECES_LEN);
    let (accepted, mut answer) = intake.ask(inbound, Some(progress)).await?;
    let task_id = accepted.task_id().clone();
    let (pieces, receiver) = mpsc::channel(PIECES_LEN);
    tokio::spawn(async move {
        let answered = loop {
            tokio::select! {
                biased;
                Some(progress) = growing.recv() => {
                    if pieces.send(progress_event(&progress)).await.is_err() {
                        // The caller has left; the turn goes on and its answer is kept.
                        return;
                    }
                }
                answered = &mut answer => break answered.unwrap_or_else(|_| interrupted()),
            }
        };
        let reply = reply(session, trace_id, task_id, answered);
        let last = if reply.is_failed {
            event("error", &json!({"error": reply.reply, "trace_id": reply.trace_id, "task_id": reply.task_id}))
        } else {
            event("done", &json!(reply))
        };
        let _ = pieces.send(last).await;
    });
    Ok(receiver)
}

fn inbound_with_session(intake: &Intake, question: Question) -> (SessionKey, Inbound) {
    (question.session.clone(), inbound(intake, question))
}

/// The question as a message, for a caller who does not wait.
pub fn inbound(intake: &Intake, question: Question) -> Inbound {
    Inbound {
        channel: Channel::new(question.channel),
        chat_id: question.chat_id,
        thread_id: None,
        sender_id: question.sender_id,
        session: question.session,
        trace_id: TraceId::random(),
        idempotency_key: question.idempotency_key.map(|key| format!("{}:{key}", question.channel)),
        message_id: None,
        content: question.message,
        origin: question.origin,
        reply_hint: None,
        received_at: intake.clock().now(),
    }
}

fn reply(session: SessionKey, trace_id: TraceId, task_id: TaskId, answered: Answered) -> Reply {
    let (route, approval_id, is_failed) = match &answered {
        Answered::Completed { route, .. } => (route.as_str(), None, false),
        Answered::Failed { .. } => ("intent", None, true),
        Answered::Elsewhere { .. } => ("intent", None, false),
        Answered::Parked { approval_id, .. } => ("intent", Some(approval_id.clone()), false),
    };
    Reply { reply: answered.text().to_owned(), session, trace_id, task_id, route, approval_id, is_failed }
}

/// The house goes down while the caller waits; the message is kept and answered at the next start.
fn interrupted() -> Answered {
    Answered::Failed { text: "The house is restarting; your message is kept and will be worked on.".to_owned() }
}

fn progress_event(progress: &Progress) -> Bytes {
    match progress {
        Progress::Text(text) => event("text", &json!({"text": text})),
        Progress::Restarted => event("restart", &json!({})),
        Progress::Tool(tool) => event("tool", &json!({"tool": tool})),
    }
}

fn event(name: &str, data: &serde_json::Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
