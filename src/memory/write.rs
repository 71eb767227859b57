//! Remembering and forgetting. Every change keeps the words and the vectors in step, in the caller's transaction.

use rusqlite::{OptionalExtension, params};

use super::chunk::Chunk;
use super::layer::{LAYERS, Layer};
use super::query::Query;
use super::schema::{self, text};
use super::search::{self, Hit};
use super::{generation, index};
use crate::base::clock::Timestamp;
use crate::db::Tx;

/// Chunks kept (specification §8.3); beyond it the oldest that are not permanent go.
pub const CHUNKS_MAX: u32 = 50_000;
/// Chunks one sentence may make the house forget.
const FORGET_MAX: usize = 10;
/// Chunks that make room for new ones where there is none, so that the next few need not look for the oldest again.
const ROOM_LEN: u32 = 64;
/// Chunks that one transaction of the upkeep deletes.
const PIECE_LEN: u32 = 500;

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

/// Forgets one chunk, with its words and vectors, and overwrites where they stood; false when there was none.
pub fn forget(tx: &Tx<'_>, id: &str) -> rusqlite::Result<bool> {
    let erasing = Erasing::begin(tx)?;
    let forgotten = delete(tx, id)?;
    erasing.end()?;
    Ok(forgotten)
}

fn delete(tx: &Tx<'_>, id: &str) -> rusqlite::Result<bool> {
    let known: Option<(Option<i64>, String, String)> = tx
        .prepare_cached("SELECT words_id, content, tags FROM memory_chunks WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, text(row, 1)?, text(row, 2)?)))
        .optional()?;
    let Some((words_id, content, tags)) = known else { return Ok(false) };
    if let Some(words_id) = words_id {
        schema::remove_words(tx, words_id, &content, &tags)?;
        for generation in generation::all(tx)? {
            index::remove(tx, generation.number, words_id)?;
        }
    }
    tx.prepare_cached("DELETE FROM memory_chunks WHERE id = ?1")?.execute([id])?;
    Ok(true)
}

/// While it lasts, what SQLite deletes is overwritten with zeros. Not always on: it would cost every deletion of the house more.
struct Erasing<'t> {
    tx: &'t Tx<'t>,
    is_over: bool,
}

impl<'t> Erasing<'t> {
    fn begin(tx: &'t Tx<'_>) -> rusqlite::Result<Self> {
        set_secure_delete(tx, "ON")?;
        Ok(Self { tx, is_over: false })
    }

    fn end(mut self) -> rusqlite::Result<()> {
        self.is_over = true;
        set_secure_delete(self.tx, "OFF")
    }
}

impl Drop for Erasing<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // The job failed already; more erasing than needed does no harm.
            let _ = set_secure_delete(self.tx, "OFF");
        }
    }
}

fn set_secure_delete(tx: &Tx<'_>, value: &str) -> rusqlite::Result<()> {
    tx.pragma_update_and_check(None, "secure_delete", value, |_| Ok(()))
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

/// Forgets all that came from exactly `source`; returns how many chunks went.
pub fn forget_source(tx: &Tx<'_>, source: &str) -> rusqlite::Result<usize> {
    let ids = tx
        .prepare_cached("SELECT id FROM memory_chunks WHERE source = ?1")?
        .query_map([source], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    forget_all(tx, &ids)
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

/// Forgets what has outlived its time or its layer's, and what is beyond the bound, a bounded piece at a time; indexes what an
/// older program wrote. Returns how many chunks went.
pub fn prune(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    schema::index_missing(tx, PIECE_LEN)?;
    let ids = tx
        .prepare_cached("SELECT id FROM memory_chunks WHERE expires_at <= ?1 LIMIT ?2")?
        .query_map(params![now, PIECE_LEN], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    let mut gone = forget_all(tx, &ids)?;
    for layer in &LAYERS {
        let Some(age_max) = layer.age_max() else { continue };
        let ids = tx
            .prepare_cached("SELECT id FROM memory_chunks WHERE layer = ?1 AND updated_at < ?2 LIMIT ?3")?
            .query_map(params![layer.name, now.minus(age_max), PIECE_LEN], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        gone += forget_all(tx, &ids)?;
    }
    let excess = count(tx)?.saturating_sub(CHUNKS_MAX);
    Ok(gone + drop_oldest(tx, excess.min(PIECE_LEN))?)
}

fn forget_all(tx: &Tx<'_>, ids: &[String]) -> rusqlite::Result<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let erasing = Erasing::begin(tx)?;
    for id in ids {
        delete(tx, id)?;
    }
    erasing.end()?;
    Ok(ids.len())
}

/// Forgets the oldest chunks that are not permanent.
fn drop_oldest(tx: &Tx<'_>, count_max: u32) -> rusqlite::Result<usize> {
    if count_max == 0 {
        return Ok(0);
    }
    let ids = tx
        .prepare_cached(
            "SELECT id FROM memory_chunks WHERE layer IN ('conversation', 'tool', 'group') ORDER BY updated_at LIMIT ?1",
        )?
        .query_map([count_max], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    forget_all(tx, &ids)
}

fn count(tx: &Tx<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM memory_chunks")?.query_row([], |row| row.get(0))
}
