//! `POST /v1/chat/completions` with the model `kafclaw`: the whole assistant, with its tools, memory and house.

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::api::Api;
use crate::api::port::{Reason, Refusal};
use crate::api::v1::chat_body::{Asked, Manner, last_said};
use crate::api::v1::chunk::Envelope;
use crate::api::v1::error::{self, Wrong};
use crate::api::v1::stream::{EVENTS_LEN, Sink};
use crate::base::error::chain;
use crate::bus::{Answered, BusError, Progress};
use crate::channel::IntakeError;
use crate::channel::direct::{self, Question};
use crate::domain::message::{Channel, Origin};
use crate::http::Response;

/// Longest name of a user, in bytes.
const USER_BYTES_MAX: usize = 120;
const USER_DEFAULT: &str = "default";

pub(super) async fn answer(api: &Api, asked: Asked, envelope: Envelope) -> Response {
    let question = match question(&asked) {
        Ok(question) => question,
        Err(wrong) => return wrong.response(),
    };
    match asked.manner {
        Manner::Whole => match direct::ask(&api.intake, question).await {
            Ok(reply) if reply.is_failed => error::failed(500, &reply.reply),
            Ok(reply) => {
                let message = json!({"role": "assistant", "content": reply.reply, "refusal": null});
                Response::json(&envelope.whole(&message, "stop", &Value::Null))
            }
            Err(problem) => error::refused(&refusal(&problem)),
        },
        Manner::Streamed { .. } => {
            let inbound = direct::inbound(&api.intake, question);
            let (progress, growing) = mpsc::channel(EVENTS_LEN);
            match api.intake.ask(inbound, Some(progress)).await {
                Ok((_, answer)) => {
                    let (sender, events) = mpsc::channel(EVENTS_LEN);
                    tokio::spawn(tell(Sink(sender), envelope, growing, answer));
                    Response::events(events)
                }
                Err(problem) => error::refused(&refusal(&problem)),
            }
        }
    }
}

/// Only the last words are new to the assistant; whose they are decides which conversation they belong to.
fn question(asked: &Asked) -> Result<Question, Wrong> {
    if !asked.request.tools.is_empty() {
        return Err(Wrong::new("tools", "`kafclaw` brings its own tools; ask a model of `local/` to use yours"));
    }
    let user = asked.user.as_deref().unwrap_or(USER_DEFAULT);
    if user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
        return Err(Wrong::new("user", format!("`user` has at most {USER_BYTES_MAX} printable bytes")));
    }
    let session = format!("api:{user}");
    Ok(Question {
        channel: Channel::LOCAL,
        chat_id: user.to_owned(),
        sender_id: session.clone(),
        session: session.into(),
        message: last_said(&asked.request)?.to_owned(),
        idempotency_key: None,
        origin: Origin::Internal,
    })
}

fn refusal(problem: &IntakeError) -> Refusal {
    match problem {
        IntakeError::Empty | IntakeError::Bus(BusError::TooLong { .. }) => {
            Refusal::new(Reason::Input, problem.to_string())
        }
        IntakeError::TooFast { .. } | IntakeError::Bus(BusError::Busy { .. }) => {
            Refusal::new(Reason::Busy, problem.to_string())
        }
        IntakeError::Bus(source) => {
            tracing::error!(error = chain(source), "A message could not be stored.");
            Refusal::new(Reason::Unavailable, "the message could not be stored; is the disk full or read-only?")
        }
    }
}

async fn tell(
    sink: Sink,
    envelope: Envelope,
    mut growing: mpsc::Receiver<Progress>,
    mut answer: oneshot::Receiver<Answered>,
) {
    let part = |text: &str| envelope.part(&json!({"content": text}), None);
    sink.send(&envelope.part(&json!({"role": "assistant", "content": ""}), None)).await;
    let mut told = Told::default();
    let answered = loop {
        tokio::select! {
            biased;
            Some(progress) = growing.recv() => {
                let new = told.take(&progress);
                if !new.is_empty() && !sink.send(&part(&new)).await {
                    // The caller has left; the turn goes on and its answer is kept.
                    return;
                }
            }
            answered = &mut answer => break answered,
        }
    };
    let text = match &answered {
        Ok(answered) => answered.text(),
        Err(_) => "The house is restarting; your message is kept and will be worked on.",
    };
    let rest = told.rest(text);
    if !rest.is_empty() {
        sink.send(&part(&rest)).await;
    }
    sink.send(&envelope.part(&json!({}), Some("stop"))).await;
    sink.end().await;
}

/// What the listener has in front of it. A stream of this dialect takes nothing back: once an answer starts over, nothing more
/// is told until the right one is whole.
#[derive(Default)]
struct Told {
    text: String,
    has_restarted: bool,
}

impl Told {
    fn take(&mut self, progress: &Progress) -> String {
        match progress {
            Progress::Text(text) if !self.has_restarted => {
                self.text.push_str(text);
                text.clone()
            }
            Progress::Restarted if !self.text.is_empty() => {
                self.has_restarted = true;
                String::new()
            }
            _ => String::new(),
        }
    }

    /// What is still to be told at the end.
    fn rest(&self, answer: &str) -> String {
        match answer.strip_prefix(self.text.as_str()) {
            Some(rest) => rest.to_owned(),
            // White space at the end is no reason to say it all again.
            None if !self.has_restarted && self.text.trim() == answer.trim() => String::new(),
            None => format!("\n\n{answer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_with_the_whole_answer_whatever_was_taken_back() {
        let text = |text: &str| Progress::Text(text.to_owned());
        let mut told = Told::default();
        assert_eq!((told.take(&text("Hel")), told.take(&text("lo"))), ("Hel".to_owned(), "lo".to_owned()));
        assert_eq!(told.rest("Hello there"), " there");
        assert_eq!(told.rest("Hello"), "");
        told.take(&Progress::Restarted);
        assert_eq!(told.take(&text("Good")), "");
        assert_eq!(told.rest("Good day"), "\n\nGood day");
        let mut told = Told::default();
        told.take(&Progress::Restarted);
        assert_eq!(told.take(&text("a ")), "a ");
        assert_eq!(told.rest("a"), "");
    }
}
