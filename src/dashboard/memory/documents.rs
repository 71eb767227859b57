//! Documents: which are kept, a new one in parts (as the command line brings it) or whole (as the page does), and forgetting one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::id::to_hex;
use crate::dashboard::{Dashboard, unstored};
use crate::db::{Db, DbError};
use crate::http::{Request, Response, error};
use crate::memory;
use crate::recall::document::{self, DocumentError, Kind};
use crate::recall::source::{self, DOCUMENT, Piece, Taken, Version};

/// Longest path of a document, in bytes.
const PATH_BYTES_MAX: usize = 480;
/// Pieces of one part.
const PIECES_MAX: usize = 1_000;
/// Pieces that one transaction takes, so that nobody waits long behind it.
const BATCH_LEN: usize = 100;

#[derive(Serialize)]
struct Shown<'a> {
    path: &'a str,
    title: &'a str,
    hash: &'a str,
    bytes: u64,
    chunk_count: u64,
    updated_at: Option<Timestamp>,
}

pub(super) async fn list(it: Arc<Dashboard>) -> Response {
    match it.db.read(|conn| source::list(conn, DOCUMENT)).await {
        Ok(sources) => {
            let shown = sources.iter().map(|one| Shown {
                path: one.source.strip_prefix(DOCUMENT).unwrap_or(&one.source),
                title: &one.title,
                hash: &one.hash,
                bytes: one.bytes,
                chunk_count: one.chunk_count,
                updated_at: one.updated_at,
            });
            Response::json(&shown.collect::<Vec<_>>())
        }
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    path: String,
    hash: String,
    bytes: u64,
    #[serde(default)]
    title: String,
    pieces: Vec<PartPiece>,
    last: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartPiece {
    content: String,
    #[serde(default)]
    tags: String,
}

pub(super) async fn add_part(it: Arc<Dashboard>, request: Request) -> Response {
    let part: Part = match request.json() {
        Ok(part) => part,
        Err(refusal) => return refusal,
    };
    if let Some(refusal) = path_refusal(&part.path) {
        return refusal;
    }
    if part.pieces.len() > PIECES_MAX || part.hash.len() > 128 {
        return error(400, &format!("a part has at most {PIECES_MAX} pieces and a short hash"), None);
    }
    let version =
        Version { source: format!("{DOCUMENT}{}", part.path), hash: part.hash, bytes: part.bytes, title: part.title };
    let pieces = part.pieces.into_iter().map(|piece| Piece { content: piece.content, tags: piece.tags }).collect();
    answer(take(&it.db, version, pieces, part.last, it.clock.now()).await, part.last)
}

/// A file from the page: small, so it comes whole and is read here, apart from the house where its format is a risk.
pub(super) async fn upload(it: Arc<Dashboard>, request: Request) -> Response {
    let name = request.query("name").unwrap_or_default().trim().to_owned();
    if let Some(refusal) = path_refusal(&name) {
        return refusal;
    }
    let bytes = request.body;
    let Some(kind) = Kind::of(&name, &bytes) else { return unreadable(&name, &DocumentError::Unknown) };
    let hash = to_hex(&Sha256::digest(&bytes));
    let bytes_len = bytes.len() as u64;
    let read = it.memory.reader.call(move |program| match kind.is_read_apart() {
        true => document::read_apart(program, kind, &bytes),
        false => document::read(kind, &bytes),
    });
    let document = match read.await {
        Ok(Ok(document)) => document,
        Ok(Err(problem)) => return unreadable(&name, &problem),
        Err(_) => return error(503, "other documents are being read right now", Some("try again in a moment")),
    };
    let title = if document.title.is_empty() { name.clone() } else { document.title.clone() };
    let version = Version { source: format!("{DOCUMENT}{name}"), hash, bytes: bytes_len, title };
    answer(take(&it.db, version, document::pieces(&document), true, it.clock.now()).await, true)
}

pub(super) async fn remove(it: Arc<Dashboard>, request: Request) -> Response {
    let path = request.query("path").unwrap_or_default().to_owned();
    let wanted = format!("{DOCUMENT}{path}");
    match forget(&it.db, wanted).await {
        Ok(true) => Response::json(&json!({"status": "ok"})),
        Ok(false) => {
            error(404, &format!("there is no document {path}"), Some("GET /api/v1/memory/documents lists them"))
        }
        Err(problem) => unstored(&problem),
    }
}

/// Forgets a file a piece at a time; false when there is none.
async fn forget(db: &Db, source: String) -> Result<bool, DbError> {
    let known = source.clone();
    if !db.read(move |conn| source::is_known(conn, &known)).await? {
        return Ok(false);
    }
    memory::in_pieces(db, move |tx| source::remove_some(tx, &source)).await?;
    Ok(true)
}

/// Takes pieces in batches; the last one makes the version that counts.
async fn take(db: &Db, version: Version, pieces: Vec<Piece>, is_last: bool, now: Timestamp) -> Result<Taken, DbError> {
    let mut chunks = 0;
    for batch in pieces.chunks(BATCH_LEN) {
        let (version, batch) = (version.clone(), batch.to_vec());
        match db.write(move |tx| source::add_part(tx, &version, &batch, now)).await? {
            Taken::Taken { chunks: taken } => chunks += taken,
            Taken::Full => return Ok(Taken::Full),
        }
    }
    if is_last {
        memory::in_pieces(db, move |tx| source::complete_some(tx, &version, now)).await?;
    }
    Ok(Taken::Taken { chunks })
}

fn answer(taken: Result<Taken, DbError>, is_last: bool) -> Response {
    match taken {
        Ok(Taken::Taken { chunks }) => Response::json(&json!({"chunks": chunks, "complete": is_last, "status": "ok"})),
        Ok(Taken::Full) => error(409, "the memory is full", Some("forget documents or other memories first")),
        Err(problem) => unstored(&problem),
    }
}

fn unreadable(name: &str, problem: &DocumentError) -> Response {
    error(422, &format!("{name} cannot be read: {problem}"), None)
}

fn path_refusal(path: &str) -> Option<Response> {
    let is_good = !path.is_empty() && path.len() <= PATH_BYTES_MAX && !path.chars().any(char::is_control);
    (!is_good).then(|| error(400, &format!("a document needs a name of at most {PATH_BYTES_MAX} bytes"), None))
}
