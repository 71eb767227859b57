//! Runtime settings (specification §3.7).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::dashboard::{Dashboard, unstored};
use crate::http::{Request, Response, error};
use crate::settings::{self, Entry, Stored};

pub(super) async fn read(it: Arc<Dashboard>, request: Request) -> Response {
    if let Some(key) = request.query("key").map(str::to_owned) {
        let wanted = key.clone();
        return match it.db.read(move |conn| settings::shown(conn, &wanted)).await {
            Ok(value) => Response::json(&json!({"key": key, "value": value.unwrap_or_default()})),
            Err(problem) => unstored(&problem),
        };
    }
    match it.db.read(|conn| Ok((settings::is_silent(conn)?, settings::all(conn)?))).await {
        Ok((is_silent, all)) => Response::json(&json!({"silent_mode": is_silent, "settings": all})),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
struct Change {
    key: String,
    value: String,
}

pub(super) async fn write(it: Arc<Dashboard>, request: Request) -> Response {
    let Ok(change) = serde_json::from_slice::<Change>(&request.body) else {
        return error(400, "invalid body", Some("send {\"key\": ..., \"value\": ...}, both texts"));
    };
    let entry = match Entry::new(&change.key, &change.value) {
        Ok(entry) => entry,
        Err(problem) => return error(400, &problem.to_string(), None),
    };
    let now = it.clock.now();
    match it.db.write(move |tx| settings::set(tx, &entry, now)).await {
        Ok(Stored::Stored) => Response::json(&json!({"status": "ok"})),
        Ok(Stored::Full) => error(409, "there are too many settings; change one that exists", None),
        Err(problem) => unstored(&problem),
    }
}
