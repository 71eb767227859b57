//! Conversations.

use std::sync::Arc;

use serde_json::json;

use crate::base::id::SessionKey;
use crate::dashboard::{Dashboard, limit, unstored};
use crate::http::{Request, Response, error};
use crate::session;

const SESSIONS_MAX: u32 = 500;
const MESSAGES_DEFAULT: u32 = 100;
const MESSAGES_MAX: u32 = 1_000;

pub(super) async fn list(it: Arc<Dashboard>) -> Response {
    match it.db.read(|conn| session::list(conn, SESSIONS_MAX)).await {
        Ok(sessions) => Response::json(&sessions),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn one(it: Arc<Dashboard>, request: Request) -> Response {
    let key = SessionKey::from(request.param("key"));
    let count = limit(&request, MESSAGES_DEFAULT, MESSAGES_MAX);
    let wanted = key.clone();
    let read = it.db.read(move |conn| Ok((session::find(conn, &wanted)?, session::recent(conn, &wanted, count)?)));
    match read.await {
        Ok((Some(summary), messages)) => Response::json(&json!({"session": summary, "messages": messages})),
        Ok((None, _)) => error(404, &format!("there is no conversation {key}"), None),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn delete(it: Arc<Dashboard>, request: Request) -> Response {
    let key = SessionKey::from(request.param("key"));
    match it.db.write(move |tx| session::delete(tx, &key)).await {
        Ok(true) => Response::json(&json!({"status": "ok"})),
        Ok(false) => error(404, "there is no such conversation", None),
        Err(problem) => unstored(&problem),
    }
}
