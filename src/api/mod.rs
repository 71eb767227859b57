//! Floor 7: the HTTP API on port 18790: `/chat`, the probes, the doors for models in OpenAI's dialect ([`v1`]), and the one for
//! agents that speak to the group through a proxy ([`lfs`]).
//!
//! Absent on purpose: everything about looking at the house; that is the dashboard's.

mod lfs;
pub mod port;
mod v1;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::bus::BusError;
use crate::channel::direct::{self, Question};
use crate::channel::{Intake, IntakeError};
use crate::db::Db;
use crate::domain::message::{Channel, Origin};
use crate::group::membership::Membership;
use crate::http::{Access, Method, Request, Response, Route, error};

pub use v1::{UPLOADS, delta, finish_reason};

/// KafClaw's conversation when none is named.
const SESSION_DEFAULT: &str = "local:default";
/// Longest session key, sender or idempotency key, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Whether a part of the house is well; asked by `/readyz`.
pub trait Readiness: Send + Sync {
    /// Part and state: `ok`, `off`, or what is wrong with it.
    fn checks(&self) -> BoxFuture<'_, Vec<(&'static str, String)>>;
}

pub struct Api {
    pub db: Db,
    pub clock: Clock,
    pub intake: Intake,
    pub readiness: Arc<dyn Readiness>,
    /// KafClaw's plain error texts.
    pub is_compat: bool,
    pub models: Arc<dyn port::Models>,
    pub embeddings: Arc<dyn port::Embeddings>,
    pub speech: Arc<dyn port::Speech>,
    pub talk: Arc<dyn port::Talk>,
    pub membership: Membership,
}

/// The table of this port.
pub fn routes() -> Vec<Route<Api>> {
    let mut routes = vec![
        Route {
            method: Method::Post,
            path: "/chat",
            access: Access::Token,
            summary: "Say something: ?message=&session=, or JSON {message, session?, sender?}; with Accept: text/event-stream the answer streams.",
            run: |api, request| Box::pin(chat(api, request)),
        },
        Route {
            method: Method::Get,
            path: "/healthz",
            access: Access::Open,
            summary: "Whether the program runs.",
            run: |_, _| Box::pin(async { Response::json(&json!({"status": "ok"})) }),
        },
        Route {
            method: Method::Get,
            path: "/readyz",
            access: Access::Open,
            summary: "Whether every part that is switched on works.",
            run: |api, _| Box::pin(async move { ready(&*api.readiness).await }),
        },
    ];
    routes.extend(v1::routes());
    routes.extend(lfs::routes());
    routes
}

/// The answer to `/readyz`, on both ports.
pub async fn ready(readiness: &dyn Readiness) -> Response {
    let checks = readiness.checks().await;
    let is_ready = checks.iter().all(|(_, state)| state == "ok" || state == "off");
    let checks: serde_json::Map<String, serde_json::Value> =
        checks.into_iter().map(|(part, state)| (part.to_owned(), json!(state))).collect();
    let (status, word) = if is_ready { (200, "ready") } else { (503, "not_ready") };
    Response::json_with(status, &json!({"status": word, "checks": checks}))
}

#[derive(Deserialize)]
struct ChatBody {
    message: String,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    sender: Option<String>,
}

async fn chat(api: Arc<Api>, request: Request) -> Response {
    let is_json = request.is_json() && !request.body.is_empty();
    let body = if is_json {
        match request.json::<ChatBody>() {
            Ok(body) => body,
            Err(refusal) => return refusal,
        }
    } else {
        match request.query("message").filter(|message| !message.is_empty()) {
            Some(message) => ChatBody {
                message: message.to_owned(),
                session: request.query("session").map(str::to_owned),
                sender: None,
            },
            // KafClaw's words, which clients know.
            None => return Response::text(400, "Missing message parameter\n"),
        }
    };
    let session = body.session.filter(|session| !session.is_empty()).unwrap_or_else(|| SESSION_DEFAULT.to_owned());
    let sender = body.sender.filter(|sender| !sender.is_empty());
    let key = request.header("idempotency-key").map(str::to_owned);
    for (what, text) in [("session", Some(&session)), ("sender", sender.as_ref()), ("Idempotency-Key", key.as_ref())] {
        if text.is_some_and(|text| text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control)) {
            return error(400, &format!("{what} must be at most {NAME_BYTES_MAX} printable bytes"), None);
        }
    }
    let question = Question {
        channel: if session.starts_with("cli:") { Channel::CLI } else { Channel::LOCAL },
        chat_id: session.split_once(':').map_or(session.as_str(), |(_, chat)| chat).to_owned(),
        sender_id: sender.unwrap_or_else(|| session.clone()),
        session: session.into(),
        message: body.message,
        idempotency_key: key,
        origin: Origin::Internal,
    };
    if request.wants_events() {
        return match direct::ask_streaming(&api.intake, question).await {
            Ok(pieces) => Response::events(pieces),
            Err(problem) => refused(&problem),
        };
    }
    match direct::ask(&api.intake, question).await {
        Ok(reply) if is_json => Response::json_with(if reply.is_failed { 500 } else { 200 }, &reply),
        Ok(reply) => Response::text(if reply.is_failed { 500 } else { 200 }, reply.reply),
        Err(problem) => refused(&problem),
    }
}

/// The response to a message that was not accepted.
pub fn refused(problem: &IntakeError) -> Response {
    match problem {
        IntakeError::Empty => error(400, "the message is empty", None),
        IntakeError::TooFast { retry_after } => {
            error(429, &problem.to_string(), None).with("Retry-After", retry_after.as_secs().max(1).to_string())
        }
        IntakeError::Bus(BusError::TooLong { .. }) => error(413, &problem.to_string(), None),
        IntakeError::Bus(BusError::Busy { .. }) => error(503, &problem.to_string(), None).with("Retry-After", "1"),
        IntakeError::Bus(source) => {
            tracing::error!(error = chain(source), "A message could not be stored.");
            error(503, "the message could not be stored", Some("is the disk full or read-only?"))
        }
    }
}
