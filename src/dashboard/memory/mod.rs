//! The memory's routes (specification §3.8), with search, reading, forgetting, documents and carrying away beside them.
//! KafClaw's `install` and `reindex` only noted that somebody had asked; here they act, and `embedding/status` tells how far.

mod chunks;
mod documents;
mod embedding;
mod port;
mod transfer;
mod view;

pub use port::{Configured, Embedding, EmbeddingFacts, Install, Refused, Runtime, Work};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::lane::Lane;
use crate::dashboard::{Dashboard, route, unstored};
use crate::db::Tx;
use crate::http::{Access, Method, Request, Response, Route, error};
use crate::memory;
use crate::recall::{self, Finder, observe, source};
use crate::settings::{self, Entry};

/// Observations that the status shows.
const OBSERVATIONS_SHOWN: u32 = 20;

/// What these routes need.
pub struct Desk {
    pub finder: Arc<dyn Finder>,
    pub embedding: Arc<dyn Embedding>,
    pub facts: Facts,
    /// Reads uploads, with this program.
    pub reader: Lane<PathBuf>,
}

/// What the configuration says and the status repeats.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub er1_url: String,
    pub er1_sync_interval: Duration,
    pub observer_enabled: bool,
    pub observer_threshold: u32,
    pub observer_max_obs: u32,
}

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    use Access::Token;
    use Method::{Delete, Get, Post};
    vec![
        route(Get, "/api/v1/memory/status", Token, "What the memory holds, layer by layer.", |it, _| Box::pin(status(it))),
        route(Get, "/api/v1/memory/metrics", Token, "Figures of memory and knowledge.", |it, _| Box::pin(metrics(it))),
        route(Post, "/api/v1/memory/reset", Token, "Forget a whole layer: {layer}.", |it, request| Box::pin(reset(it, request))),
        route(Post, "/api/v1/memory/config", Token, "Store settings of the memory.", |it, request| Box::pin(config(it, request))),
        route(Post, "/api/v1/memory/prune", Token, "Forget what has outlived its time.", |it, _| Box::pin(prune(it))),
        route(Get, "/api/v1/memory/embedding/status", Token, "The embedding model, its installation and the index.", |it, _| Box::pin(embedding::status(it))),
        route(Get, "/api/v1/memory/embedding/healthz", Token, "200 when texts get vectors, else 503.", |it, _| Box::pin(embedding::healthz(it))),
        route(Post, "/api/v1/memory/embedding/install", Token, "Install {model}; embedding/status tells how far it is.", |it, request| Box::pin(embedding::install(it, request))),
        route(Post, "/api/v1/memory/embedding/reindex", Token, "Make every vector anew: {confirmWipe: true, reason?}; embedding/status tells how far it is.", |it, request| Box::pin(embedding::reindex(it, request))),
        route(Get, "/api/v1/memory/search", Token, "Search: ?q&limit&layer&mode=hybrid|semantic|keyword.", |it, request| Box::pin(chunks::search(it, request))),
        route(Get, "/api/v1/memory/chunks", Token, "The newest chunks: ?layer&limit.", |it, request| Box::pin(chunks::list(it, request))),
        route(Post, "/api/v1/memory/chunks", Token, "Remember {content, tags?}.", |it, request| Box::pin(chunks::remember(it, request))),
        route(Get, "/api/v1/memory/chunk", Token, "One chunk: ?id.", |it, request| Box::pin(chunks::read(it, request))),
        route(Delete, "/api/v1/memory/chunk", Token, "Forget one chunk: ?id.", |it, request| Box::pin(chunks::forget(it, request))),
        route(Get, "/api/v1/memory/documents", Token, "The documents that are kept.", |it, _| Box::pin(documents::list(it))),
        route(Post, "/api/v1/memory/documents", Token, "A part of a document: {path, hash, bytes, title, pieces: [{content, tags}], last}.", |it, request| Box::pin(documents::add_part(it, request))),
        route(Delete, "/api/v1/memory/documents", Token, "Forget a document: ?path.", |it, request| Box::pin(documents::remove(it, request))),
        route(Post, "/api/v1/memory/upload", Token, "A small file (text, Markdown, HTML, PDF) as the body: ?name.", |it, request| Box::pin(documents::upload(it, request))),
        route(Get, "/api/v1/memory/export", Token, "Memories as lines, page by page: ?after&limit&vectors.", |it, request| Box::pin(transfer::export(it, request))),
        route(Post, "/api/v1/memory/import", Token, "Take {lines: [...]}, as exported.", |it, request| Box::pin(transfer::import(it, request))),
    ]
}

async fn status(it: Arc<Dashboard>) -> Response {
    let read = it.db.read(|conn| {
        Ok(view::Stored {
            stats: memory::stats(conn)?,
            expertise: recall::expertise(conn)?,
            observations: observe::list(conn, OBSERVATIONS_SHOWN)?,
            observer: observe::facts(conn)?,
            working: recall::newest_working(conn)?,
        })
    });
    match read.await {
        Ok(stored) => Response::json(&view::status(&it.memory.facts, &stored)),
        Err(problem) => unstored(&problem),
    }
}

async fn metrics(it: Arc<Dashboard>) -> Response {
    let read = it.db.read(|conn| {
        let stats = memory::stats(conn)?;
        let overflow = settings::get(conn, "memory_overflow_events_total")?;
        Ok((stats, overflow.and_then(|text| text.trim().parse().ok()).unwrap_or(0)))
    });
    match read.await {
        Ok((stats, overflow)) => Response::json(&view::metrics(&stats, overflow)),
        Err(problem) => unstored(&problem),
    }
}

/// What a reset takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reset {
    All,
    WorkingMemory,
    /// What people told; the only chunks without a prefix.
    User,
    Layer(&'static memory::Layer),
}

impl Reset {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::All),
            "working_memory" => Some(Self::WorkingMemory),
            "user" => Some(Self::User),
            name => memory::LAYERS.iter().find(|layer| layer.name == name).map(Self::Layer),
        }
    }

    fn run(self, tx: &Tx<'_>) -> rusqlite::Result<usize> {
        Ok(match self {
            Self::All => {
                source::forget_all(tx, "")?;
                observe::reset(tx)?;
                memory::reset(tx, None)? + recall::reset_working(tx)?
            }
            Self::WorkingMemory => recall::reset_working(tx)?,
            Self::User => reset_user(tx)?,
            Self::Layer(layer) => {
                source::forget_all(tx, layer.source_prefix)?;
                if layer.name == "observation" {
                    observe::reset(tx)?;
                }
                memory::reset(tx, Some(layer))?
            }
        })
    }
}

/// Forgets what people told, page by page.
fn reset_user(tx: &Tx<'_>) -> rusqlite::Result<usize> {
    const PAGE_LEN: usize = 100;
    let mut gone = 0;
    loop {
        let mut page = memory::list(tx, "user", PAGE_LEN)?;
        page.retain(|hit| hit.source == "user");
        if page.is_empty() {
            return Ok(gone);
        }
        for hit in page {
            gone += usize::from(memory::forget(tx, &hit.id)?);
        }
    }
}

async fn reset(it: Arc<Dashboard>, request: Request) -> Response {
    #[derive(Deserialize)]
    struct Wanted {
        layer: String,
    }
    let Ok(wanted) = serde_json::from_slice::<Wanted>(&request.body) else {
        return error(400, "invalid body", Some("send {\"layer\": ...}"));
    };
    let Some(reset) = Reset::parse(&wanted.layer) else {
        return error(
            400,
            "invalid layer",
            Some("GET /api/v1/memory/status lists them; user, working_memory and all are taken, too"),
        );
    };
    deleted(it.db.write(move |tx| reset.run(tx)).await)
}

async fn prune(it: Arc<Dashboard>) -> Response {
    let now = it.clock.now();
    deleted(it.db.write(move |tx| Ok(memory::prune(tx, now)? + recall::prune(tx, now)?)).await)
}

fn deleted(result: Result<usize, crate::db::DbError>) -> Response {
    match result {
        Ok(deleted) => Response::json(&json!({"deleted": deleted, "status": "ok"})),
        Err(problem) => unstored(&problem),
    }
}

async fn config(it: Arc<Dashboard>, request: Request) -> Response {
    let Ok(Value::Object(wanted)) = serde_json::from_slice(&request.body) else {
        return error(400, "invalid body", Some("send an object of settings"));
    };
    let mut entries = Vec::new();
    for (key, value) in wanted {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match Entry::new(&format!("memory_{key}"), &text) {
            Ok(entry) => entries.push(entry),
            Err(problem) => return error(400, &problem.to_string(), None),
        }
    }
    let now = it.clock.now();
    let stored = it.db.write(move |tx| {
        entries
            .iter()
            .try_fold(true, |all, entry| Ok(all & (settings::set(tx, entry, now)? == settings::Stored::Stored)))
    });
    match stored.await {
        Ok(true) => Response::json(&json!({"status": "ok"})),
        Ok(false) => error(409, "there are too many settings; change one that exists", None),
        Err(problem) => unstored(&problem),
    }
}
