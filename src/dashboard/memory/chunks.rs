//! Single memories: searching, listing, reading, remembering, forgetting.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::view;
use crate::base::clock::Timestamp;
use crate::dashboard::{Dashboard, limit, unstored};
use crate::http::{Request, Response, error};
use crate::memory::{self, Chunk, Hit, Remembered};
use crate::recall::{FindError, Mode, TOLD_IMPORTANCE, Wanted};

const LIMIT_DEFAULT: u32 = 10;
const LIMIT_MAX: u32 = 100;
/// Longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 4 * 1024;

pub(super) async fn search(it: Arc<Dashboard>, request: Request) -> Response {
    let question = request.query("q").unwrap_or_default().trim();
    if question.is_empty() {
        return error(400, "q is required", Some("GET /api/v1/memory/search?q=..."));
    }
    if question.len() > QUESTION_BYTES_MAX {
        return error(400, "q is too long", None);
    }
    let Some(mode) = Mode::parse(request.query("mode").unwrap_or_default()) else {
        return error(400, "mode must be hybrid, semantic or keyword", None);
    };
    let Some(source_prefix) = prefix_of(request.query("layer").unwrap_or_default()) else {
        return error(400, "invalid layer", Some("GET /api/v1/memory/status lists them; user is taken, too"));
    };
    let count_max = limit(&request, LIMIT_DEFAULT, LIMIT_MAX) as usize;
    let wanted = Wanted {
        text: question.to_owned(),
        count_max,
        source_prefix: source_prefix.to_owned(),
        mode,
        now: it.clock.now(),
    };
    match it.memory.finder.find(wanted).await {
        Ok(found) => {
            Response::json(&json!({"query": question, "results": found.iter().map(view::found).collect::<Vec<_>>()}))
        }
        Err(refused @ FindError::NoEmbedder) => {
            error(409, &refused.to_string(), Some("mode=keyword works without one"))
        }
        Err(refused @ FindError::Failed) => error(503, &refused.to_string(), None),
    }
}

pub(super) async fn list(it: Arc<Dashboard>, request: Request) -> Response {
    let Some(prefix) = prefix_of(request.query("layer").unwrap_or_default()) else {
        return error(400, "invalid layer", None);
    };
    let count = limit(&request, LIMIT_DEFAULT, LIMIT_MAX) as usize;
    match it.db.read(move |conn| memory::list(conn, prefix, count)).await {
        Ok(hits) => Response::json(&hits.iter().map(shown).collect::<Vec<_>>()),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    content: String,
    #[serde(default)]
    tags: String,
}

pub(super) async fn remember(it: Arc<Dashboard>, request: Request) -> Response {
    let new: New = match request.json() {
        Ok(new) => new,
        Err(refusal) => return refusal,
    };
    let chunk = match Chunk::new(&new.content, "user", &new.tags) {
        Ok(chunk) => chunk.important(TOLD_IMPORTANCE),
        Err(problem) => return error(400, &problem.to_string(), None),
    };
    let now: Timestamp = it.clock.now();
    match it.db.write(move |tx| memory::remember(tx, &chunk, now)).await {
        Ok(Remembered::New { id } | Remembered::Again { id, .. }) => Response::json(&json!({"id": id, "status": "ok"})),
        Ok(Remembered::Full) => error(409, "the memory is full", Some("forget something first")),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn read(it: Arc<Dashboard>, request: Request) -> Response {
    let id = request.query("id").unwrap_or_default().to_owned();
    let wanted = id.clone();
    match it.db.read(move |conn| memory::find(conn, &wanted)).await {
        Ok(Some(hit)) => Response::json(&shown(&hit)),
        Ok(None) => unknown(&id),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn forget(it: Arc<Dashboard>, request: Request) -> Response {
    let id = request.query("id").unwrap_or_default().to_owned();
    let wanted = id.clone();
    match it.db.write(move |tx| memory::forget(tx, &wanted)).await {
        Ok(true) => Response::json(&json!({"deleted": 1, "status": "ok"})),
        Ok(false) => unknown(&id),
        Err(problem) => unstored(&problem),
    }
}

fn unknown(id: &str) -> Response {
    error(404, &format!("there is no memory {id}"), Some("GET /api/v1/memory/search?q=... finds them"))
}

fn shown(hit: &Hit) -> Value {
    json!({
        "id": hit.id,
        "content": hit.content,
        "source": hit.source,
        "layer": hit.layer,
        "tags": hit.tags,
        "importance": hit.importance,
        "version": hit.version,
        "updated_at": hit.updated_at,
        "created_at": hit.created_at,
    })
}

/// How the sources of a layer begin; of all when none is named.
fn prefix_of(layer: &str) -> Option<&'static str> {
    match layer {
        "" | "all" => Some(""),
        "user" => Some("user"),
        layer => memory::LAYERS.iter().find(|known| known.name == layer).map(|known| known.source_prefix),
    }
}
