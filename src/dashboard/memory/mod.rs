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
use crate::knowledge;
use crate::memory::{self, Forgotten, Scope};
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
        let overflow = settings::get(conn, "memory_overflow_events_total")?;
        Ok(view::Figures {
            stats: memory::stats(conn)?,
            overflow: overflow.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            knowledge: knowledge::counts(conn)?,
            heard: knowledge::facts_heard(conn)?,
        })
    });
    match read.await {
        Ok(figures) => Response::json(&view::metrics(&figures)),
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

    /// Takes a piece, so that nobody waits long for the writer. All that goes with the chunks (which files they are of, and what
    /// they were made from) goes after the last of them, in the same transaction: who is stopped in between is asked again.
    fn take_some(self, tx: &Tx<'_>) -> rusqlite::Result<Forgotten> {
        match self {
            Self::All => {
                let chunks = forget_with_files(tx, Scope::All, "")?;
                if !chunks.is_all {
                    return Ok(chunks);
                }
                observe::reset(tx)?;
                Ok(Forgotten { gone: chunks.gone + recall::reset_working(tx)?, is_all: true })
            }
            Self::WorkingMemory => Ok(Forgotten { gone: recall::reset_working(tx)?, is_all: true }),
            Self::User => memory::forget_some(tx, Scope::Source("user")),
            Self::Layer(layer) => {
                let chunks = forget_with_files(tx, Scope::Layer(layer), layer.source_prefix)?;
                if chunks.is_all && layer.name == "observation" {
                    observe::reset(tx)?;
                }
                Ok(chunks)
            }
        }
    }
}

/// A piece of the chunks, and when none is left a piece of which files they were of.
fn forget_with_files(tx: &Tx<'_>, scope: Scope<'_>, prefix: &str) -> rusqlite::Result<Forgotten> {
    let chunks = memory::forget_some(tx, scope)?;
    if !chunks.is_all {
        return Ok(chunks);
    }
    let files = source::forget_some(tx, prefix)?;
    Ok(Forgotten { is_all: files.is_all, ..chunks })
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
    deleted(memory::in_pieces(&it.db, move |tx| reset.take_some(tx)).await)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::db::Db;
    use crate::memory::PIECE_LEN;
    use crate::recall::source::{Piece, Version};

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

    /// A house with a document of more than a piece, and one word of a person.
    async fn house() -> Db {
        let db = Db::memory_for_tests(&[memory::MIGRATIONS, recall::MIGRATIONS]);
        db.write(|tx| {
            let pieces: Vec<Piece> = (0..=PIECE_LEN)
                .map(|number| Piece { content: format!("line {number}"), tags: String::new() })
                .collect();
            let version =
                Version { source: "document:/a.md".to_owned(), hash: "v1".to_owned(), bytes: 1, title: "A".to_owned() };
            source::replace(tx, &version, &pieces, NOW)?;
            let told = memory::Chunk::new("The spare key hangs behind the boiler.", "user", "").expect("a chunk");
            memory::remember(tx, &told, NOW).map(drop)
        })
        .await
        .expect("written");
        db
    }

    #[tokio::test]
    async fn a_reset_goes_piece_by_piece_and_keeps_the_other_layers() {
        let db = house().await;
        let document = Reset::parse("document").expect("a layer");
        let step = db.write(move |tx| document.take_some(tx)).await.expect("begun");
        assert_eq!(step, Forgotten { gone: PIECE_LEN as usize, is_all: false });
        let current = |conn: &rusqlite::Connection| source::is_current(conn, "document:/a.md", "v1");
        assert!(!db.read(current).await.expect("read"), "stopped here, the document would be taken again");
        assert_eq!(memory::in_pieces(&db, move |tx| document.take_some(tx)).await.expect("reset"), 1);
        assert_eq!(db.read(memory::stats).await.expect("stats").total, 1);
        assert!(!db.read(|conn| source::is_known(conn, "document:/a.md")).await.expect("read"));
        let user = Reset::parse("user").expect("a layer");
        assert_eq!(memory::in_pieces(&db, move |tx| user.take_some(tx)).await.expect("reset"), 1);
    }

    #[tokio::test]
    async fn a_reset_of_all_leaves_nothing() {
        let db = house().await;
        let all = Reset::parse("all").expect("everything");
        let gone = memory::in_pieces(&db, move |tx| all.take_some(tx)).await.expect("reset");
        assert_eq!((gone, db.read(memory::stats).await.expect("stats").total), (PIECE_LEN as usize + 2, 0));
        assert!(!db.read(|conn| source::is_known(conn, "document:/a.md")).await.expect("read"));
    }
}
