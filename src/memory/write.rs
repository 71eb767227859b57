//! Remembering. Every change keeps the words in step, in the caller's transaction; the vectors come later.

use rusqlite::{OptionalExtension, params};

use super::chunk::Chunk;
use super::forget::drop_oldest;
use super::schema::{self, text};
use crate::base::clock::Timestamp;
use crate::db::Tx;

/// Chunks kept (specification §8.3); beyond it the oldest that are not permanent go.
pub const CHUNKS_MAX: u32 = 50_000;
/// Chunks that make room for new ones where there is none, so that the next few need not look for the oldest again.
const ROOM_LEN: u32 = 64;

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
    /// There are as many permanent ones already as may be.
    Full,
}

pub fn remember(tx: &Tx<'_>, chunk: &Chunk, now: Timestamp) -> rusqlite::Result<Remembered> {
    match again(tx, chunk, now)? {
        Some(remembered) => Ok(remembered),
        None if count(tx)? >= CHUNKS_MAX && drop_oldest(tx, ROOM_LEN)? == 0 => Ok(Remembered::Full),
        None => insert(tx, chunk, now),
    }
}

/// As [`remember`], for many: whether there is room is asked once, and `chunks_max` bounds them all.
pub fn remember_all(
    tx: &Tx<'_>,
    chunks: &[Chunk],
    chunks_max: u32,
    now: Timestamp,
) -> rusqlite::Result<Vec<Remembered>> {
    let mut room = chunks_max.saturating_sub(count(tx)?);
    let mut all = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if let Some(remembered) = again(tx, chunk, now)? {
            all.push(remembered);
            continue;
        }
        if room == 0 {
            room = u32::try_from(drop_oldest(tx, ROOM_LEN)?).unwrap_or(u32::MAX);
        }
        if room == 0 {
            all.push(Remembered::Full);
            continue;
        }
        room -= 1;
        all.push(insert(tx, chunk, now)?);
    }
    Ok(all)
}

/// A new version of what is known; none when it is not.
fn again(tx: &Tx<'_>, chunk: &Chunk, now: Timestamp) -> rusqlite::Result<Option<Remembered>> {
    let id = chunk.id();
    let known: Option<(Option<i64>, String)> = tx
        .prepare_cached("SELECT words_id, tags FROM memory_chunks WHERE id = ?1")?
        .query_row([&id], |row| Ok((row.get(0)?, text(row, 1)?)))
        .optional()?;
    let Some((words_id, tags)) = known else { return Ok(None) };
    if let Some(words_id) = words_id
        && tags != chunk.tags
    {
        schema::remove_words(tx, words_id, &chunk.content, &tags)?;
        schema::add_words(tx, words_id, &chunk.content, &chunk.tags)?;
    }
    let version = tx
        .prepare_cached(
            "UPDATE memory_chunks SET version = version + 1, updated_at = ?2, tags = ?3, importance = ?4, expires_at = ?5
             WHERE id = ?1 RETURNING version",
        )?
        .query_row(params![id, now, chunk.tags, chunk.importance, chunk.expires_at], |row| row.get(0))?;
    Ok(Some(Remembered::Again { id, version }))
}

fn insert(tx: &Tx<'_>, chunk: &Chunk, now: Timestamp) -> rusqlite::Result<Remembered> {
    let id = chunk.id();
    tx.prepare_cached(
        "INSERT INTO memory_chunks (id, content, source, tags, importance, expires_at, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
    )?
    .execute(params![id, chunk.content, chunk.source, chunk.tags, chunk.importance, chunk.expires_at, now])?;
    schema::index(tx, &id, &chunk.content, &chunk.tags, &chunk.source)?;
    Ok(Remembered::New { id })
}

pub(super) fn count(tx: &Tx<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM memory_chunks")?.query_row([], |row| row.get(0))
}
