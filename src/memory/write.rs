//! Remembering and forgetting. Every change keeps the index of words in step, in the caller's transaction.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::layer::{LAYERS, Layer};
use super::query::Query;
use super::schema;
use super::search::{self, Hit};
use crate::base::clock::Timestamp;
use crate::base::id::to_hex;
use crate::db::Tx;

/// Longest text of a chunk, in bytes.
pub const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// Chunks kept (specification §8.3); beyond it the oldest that are not permanent go.
pub const CHUNKS_MAX: u32 = 50_000;
/// Longest source or tags of a chunk, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// Chunks one sentence may make the house forget.
const FORGET_MAX: usize = 10;

/// Something that may be remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    content: String,
    source: String,
    tags: String,
}

impl Chunk {
    /// `source` is `user` for what people say themselves, or begins with a layer's prefix.
    pub fn new(content: &str, source: &str, tags: &str) -> Result<Self, ChunkError> {
        let content = content.trim();
        if content.is_empty() {
            return Err(ChunkError::Empty);
        }
        if content.len() > CHUNK_BYTES_MAX {
            return Err(ChunkError::TooLong);
        }
        if source.is_empty() || source.len() > NAME_BYTES_MAX || tags.len() > NAME_BYTES_MAX {
            return Err(ChunkError::Source);
        }
        Ok(Self { content: content.to_owned(), source: source.to_owned(), tags: tags.to_owned() })
    }

    /// The same text from the same source is the same chunk.
    pub fn id(&self) -> String {
        chunk_id(&self.source, &self.content)
    }
}

/// Why something cannot be remembered. The text is meant for the person who said it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChunkError {
    #[error("there is nothing to remember")]
    Empty,
    #[error("a memory may have {CHUNK_BYTES_MAX} bytes")]
    TooLong,
    #[error("a memory needs a source, and source and tags may have {NAME_BYTES_MAX} bytes each")]
    Source,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remembered {
    New {
        id: String,
    },
    /// It was known; this is its new version.
    Again {
        id: String,
        version: u32,
    },
    /// There are [`CHUNKS_MAX`] permanent ones already.
    Full,
}

/// First eight bytes of the SHA-256 of `source:content`, in hexadecimal (specification §8.1).
pub fn chunk_id(source: &str, content: &str) -> String {
    let digest = Sha256::new().chain_update(source).chain_update(":").chain_update(content).finalize();
    to_hex(&digest[..8])
}

pub fn remember(tx: &Tx<'_>, chunk: &Chunk, now: Timestamp) -> rusqlite::Result<Remembered> {
    let id = chunk.id();
    let known: Option<u32> = tx
        .prepare_cached(
            "UPDATE memory_chunks SET version = version + 1, updated_at = ?2 WHERE id = ?1 RETURNING version",
        )?
        .query_row(params![id, now], |row| row.get(0))
        .optional()?;
    if let Some(version) = known {
        return Ok(Remembered::Again { id, version });
    }
    if count(tx)? >= CHUNKS_MAX && drop_oldest(tx, 1)? == 0 {
        return Ok(Remembered::Full);
    }
    tx.prepare_cached(
        "INSERT INTO memory_chunks (id, content, source, tags, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?
    .execute(params![id, chunk.content, chunk.source, chunk.tags, now])?;
    schema::index(tx, &id, &chunk.content, &chunk.tags)?;
    Ok(Remembered::New { id })
}

/// Forgets one chunk; false when there was none.
pub fn forget(tx: &Tx<'_>, id: &str) -> rusqlite::Result<bool> {
    let words_id: Option<Option<i64>> = tx
        .prepare_cached("DELETE FROM memory_chunks WHERE id = ?1 RETURNING words_id")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if let Some(Some(words_id)) = words_id {
        schema::unindex(tx, words_id)?;
    }
    Ok(words_id.is_some())
}

/// Forgets what holds every word of `text`, among chunks whose source is `source`; returns what it was.
///
/// When that would be more than a few, nothing is forgotten and all that was found is returned with `false`: a careless
/// sentence must not empty the house's memory.
pub fn forget_matching(tx: &Tx<'_>, text: &str, source: &str, now: Timestamp) -> rusqlite::Result<(Vec<Hit>, bool)> {
    let found = search::matching_all(tx, &Query::new(text), source, FORGET_MAX + 1, now)?;
    if found.len() > FORGET_MAX {
        return Ok((found, false));
    }
    for hit in &found {
        forget(tx, &hit.id)?;
    }
    Ok((found, true))
}

/// Forgets a whole layer, or everything; returns how many chunks went.
pub fn reset(tx: &Tx<'_>, layer: Option<&Layer>) -> rusqlite::Result<usize> {
    let pattern = layer.map_or("*".to_owned(), |layer| format!("{}*", layer.source_prefix));
    let ids = tx
        .prepare_cached("SELECT id FROM memory_chunks WHERE source GLOB ?1")?
        .query_map([pattern], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    forget_all(tx, &ids)
}

/// Forgets what has outlived its layer's time and what is beyond the bound, a bounded piece at a time; indexes what an older
/// program wrote. Returns how many chunks went.
pub fn prune(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    const PIECE_LEN: u32 = 1_000;
    schema::index_missing(tx, PIECE_LEN)?;
    let mut gone = 0;
    for layer in &LAYERS {
        let Some(age_max) = layer.age_max() else { continue };
        let ids = tx
            .prepare_cached("SELECT id FROM memory_chunks WHERE source GLOB ?1 AND updated_at < ?2 LIMIT ?3")?
            .query_map(params![format!("{}*", layer.source_prefix), now.minus(age_max), PIECE_LEN], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        gone += forget_all(tx, &ids)?;
    }
    let excess = count(tx)?.saturating_sub(CHUNKS_MAX);
    Ok(gone + drop_oldest(tx, excess.min(PIECE_LEN))?)
}

fn forget_all(tx: &Tx<'_>, ids: &[String]) -> rusqlite::Result<usize> {
    for id in ids {
        forget(tx, id)?;
    }
    Ok(ids.len())
}

/// Forgets the oldest chunks that are not permanent.
fn drop_oldest(tx: &Tx<'_>, count_max: u32) -> rusqlite::Result<usize> {
    if count_max == 0 {
        return Ok(0);
    }
    let ids = tx
        .prepare_cached(
            "SELECT id FROM memory_chunks
             WHERE source GLOB 'conversation:*' OR source GLOB 'tool:*' OR source GLOB 'group:*'
             ORDER BY updated_at LIMIT ?1",
        )?
        .query_map([count_max], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    forget_all(tx, &ids)
}

fn count(tx: &Tx<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM memory_chunks")?.query_row([], |row| row.get(0))
}
