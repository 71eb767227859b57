//! People who chat on the dashboard, and their chat (specification §3.10).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::api;
use crate::channel::direct::{self, Question};
use crate::dashboard::{Dashboard, unstored};
use crate::db::DbError;
use crate::domain::message::{Channel, Inbound, Origin};
use crate::http::{Request, Response, error};
use crate::webuser::{self, Changed, Created, Jid, Name, WebUser};

pub(super) async fn list(it: Arc<Dashboard>) -> Response {
    match it.db.read(webuser::list).await {
        Ok(users) => Response::json(&users),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
struct New {
    #[serde(default)]
    name: String,
}

pub(super) async fn create(it: Arc<Dashboard>, request: Request) -> Response {
    let new: New = match request.json() {
        Ok(new) => new,
        Err(refusal) => return refusal,
    };
    let name = match Name::new(&new.name) {
        Ok(name) => name,
        Err(problem) => return error(400, &problem.to_string(), None),
    };
    let now = it.clock.now();
    match it.db.write(move |tx| webuser::create(tx, &name, now)).await {
        Ok(Created::New(user) | Created::Known(user)) => Response::json(&user),
        Ok(Created::Full) => error(409, "there are too many web users", None),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
struct Force {
    #[serde(default)]
    web_user_id: i64,
    #[serde(default)]
    force_send: bool,
}

pub(super) async fn force(it: Arc<Dashboard>, request: Request) -> Response {
    let force: Force = match request.json() {
        Ok(force) => force,
        Err(refusal) => return refusal,
    };
    if force.web_user_id <= 0 {
        return error(400, "web_user_id required", None);
    }
    let now = it.clock.now();
    changed(it.db.write(move |tx| webuser::set_force_send(tx, force.web_user_id, force.force_send, now)).await)
}

pub(super) async fn link(it: Arc<Dashboard>, request: Request) -> Response {
    let Some(id) = request.query_number("web_user_id").filter(|id| *id > 0) else {
        return error(400, "invalid web_user_id", None);
    };
    match it.db.read(move |conn| webuser::linked(conn, id)).await {
        Ok(jid) => Response::json(&json!({"web_user_id": id.to_string(), "whatsapp_jid": jid.unwrap_or_default()})),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    web_user_id: i64,
    #[serde(default)]
    whatsapp_jid: String,
}

pub(super) async fn set_link(it: Arc<Dashboard>, request: Request) -> Response {
    let link: Link = match request.json() {
        Ok(link) => link,
        Err(refusal) => return refusal,
    };
    if link.web_user_id <= 0 {
        return error(400, "invalid web_user_id", None);
    }
    let jid = match Jid::parse(&link.whatsapp_jid) {
        Ok(jid) => jid,
        Err(problem) => return error(400, &problem.to_string(), None),
    };
    let (id, now) = (link.web_user_id, it.clock.now());
    let linked = it.db.write(move |tx| match &jid {
        Some(jid) => webuser::link(tx, id, jid, now),
        None => webuser::unlink(tx, id, now),
    });
    changed(linked.await)
}

fn changed(result: Result<Changed, DbError>) -> Response {
    match result {
        Ok(Changed::Done) => Response::json(&json!({"status": "ok"})),
        Ok(Changed::UnknownUser) => error(404, "web user not found", None),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    web_user_id: i64,
    #[serde(default)]
    message: String,
}

pub(super) async fn send(it: Arc<Dashboard>, request: Request) -> Response {
    let Ok(said) = serde_json::from_slice::<Said>(&request.body) else {
        return error(400, "invalid body", None);
    };
    if said.web_user_id <= 0 || said.message.trim().is_empty() {
        return error(400, "web_user_id and message required", None);
    }
    let id = said.web_user_id;
    let user = match it.db.read(move |conn| webuser::find(conn, id)).await {
        Ok(Some(user)) => user,
        Ok(None) => return error(400, "web user not found", None),
        Err(problem) => return unstored(&problem),
    };
    let question = question(&user, said.message, request.header("idempotency-key").map(str::to_owned));
    if request.wants_events() {
        return match direct::ask_streaming(&it.intake, question).await {
            Ok(pieces) => Response::events(pieces),
            Err(problem) => api::refused(&problem),
        };
    }
    let inbound: Inbound = direct::inbound(&it.intake, question);
    let trace_id = inbound.trace_id.clone();
    match it.intake.accept(inbound).await {
        Ok(accepted) => {
            Response::json(&json!({"status": "queued", "trace_id": trace_id, "task_id": accepted.task_id()}))
        }
        Err(problem) => api::refused(&problem),
    }
}

/// Who is at the dashboard has logged in to the house, so these are the household's own words.
fn question(user: &WebUser, message: String, idempotency_key: Option<String>) -> Question {
    Question {
        channel: Channel::WEBUI,
        chat_id: user.id.to_string(),
        session: format!("{}:{}", Channel::WEBUI, user.id).into(),
        sender_id: format!("webui:{}", user.name),
        message,
        idempotency_key,
        origin: Origin::Internal,
    }
}
