//! Files and their chunks: which version of a file the memory holds, and how a new version takes the old one's place.
//! Tables `recall_sources` and `recall_source_chunks`.
//!
//! A file comes in parts, each a transaction. After the last one, what only the old one had is forgotten a piece at a time, and it
//! is the version that counts; a file whose last part never came is taken again, because its hash was not noted.

use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::memory::{self, Chunk, ChunkError, Forgotten, PIECE_LEN, Remembered};

/// How the sources of documents begin; the rest is the file's path.
pub const DOCUMENT: &str = "document:";
/// Files that may be kept.
pub const SOURCES_MAX: u32 = 20_000;

/// A text of a file that becomes a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    pub content: String,
    pub tags: String,
}

/// A version of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// `document:<path>` or `soul:<file>`.
    pub source: String,
    /// Of the file's bytes; tells whether it changed.
    pub hash: String,
    pub bytes: u64,
    pub title: String,
}

/// A file that is kept.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Source {
    pub source: String,
    pub hash: String,
    pub bytes: u64,
    pub title: String,
    pub chunk_count: u64,
    pub updated_at: Option<Timestamp>,
}

/// Whether a part was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    Taken {
        chunks: usize,
    },
    /// The memory has no room for more that is permanent.
    Full,
}

/// Whether this version is the one that is kept, with every one of its chunks (a reset may have taken some).
pub fn is_current(conn: &Connection, source: &str, hash: &str) -> rusqlite::Result<bool> {
    let known: Option<String> = conn
        .prepare_cached("SELECT hash FROM recall_sources WHERE source = ?1")?
        .query_row([source], |row| row.get(0))
        .optional()?;
    if known.as_deref() != Some(hash) {
        return Ok(false);
    }
    for id in chunk_ids(conn, source)? {
        if memory::find(conn, &id)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes one part of a file. Pieces that are no chunks (too long, or blank) are left out.
pub fn add_part(tx: &Tx<'_>, version: &Version, pieces: &[Piece], now: Timestamp) -> rusqlite::Result<Taken> {
    let mut chunks = 0;
    for piece in pieces {
        let chunk = match Chunk::new(&piece.content, &version.source, &piece.tags) {
            Ok(chunk) => chunk,
            Err(ChunkError::Empty | ChunkError::TooLong | ChunkError::Source) => continue,
        };
        let id = match memory::remember(tx, &chunk, now)? {
            Remembered::New { id } | Remembered::Again { id, .. } => id,
            Remembered::Full => return Ok(Taken::Full),
        };
        tx.prepare_cached(
            "INSERT INTO recall_source_chunks (source, chunk_id, hash) VALUES (?1, ?2, ?3)
             ON CONFLICT (source, chunk_id) DO UPDATE SET hash = excluded.hash",
        )?
        .execute(params![version.source, id, version.hash])?;
        chunks += 1;
    }
    Ok(Taken::Taken { chunks })
}

/// After the last part: this is the version that counts. Forgets a piece of what only older ones had; the version counts with the
/// last piece.
pub fn complete_some(tx: &Tx<'_>, version: &Version, now: Timestamp) -> rusqlite::Result<Forgotten> {
    let old = "SELECT chunk_id FROM recall_source_chunks WHERE source = ?2 AND hash <> ?3 LIMIT ?1";
    let forgotten = forget_piece(tx, &version.source, old, params![PIECE_LEN, version.source, version.hash])?;
    if forgotten.is_all {
        tx.prepare_cached(
            "INSERT INTO recall_sources (source, hash, bytes, title, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (source) DO UPDATE SET hash = excluded.hash, bytes = excluded.bytes, title = excluded.title,
                updated_at = excluded.updated_at",
        )?
        .execute(params![
            version.source,
            version.hash,
            i64::try_from(version.bytes).unwrap_or(i64::MAX),
            version.title,
            now
        ])?;
    }
    Ok(forgotten)
}

/// All parts at once, for files that are small.
pub fn replace(tx: &Tx<'_>, version: &Version, pieces: &[Piece], now: Timestamp) -> rusqlite::Result<Taken> {
    let taken = add_part(tx, version, pieces, now)?;
    if taken != Taken::Full {
        while !complete_some(tx, version, now)?.is_all {}
    }
    Ok(taken)
}

/// Forgets a piece of a file's chunks, and with the last one the file.
pub fn remove_some(tx: &Tx<'_>, source: &str) -> rusqlite::Result<Forgotten> {
    let all = "SELECT chunk_id FROM recall_source_chunks WHERE source = ?2 LIMIT ?1";
    let forgotten = forget_piece(tx, source, all, params![PIECE_LEN, source])?;
    if forgotten.is_all {
        tx.prepare_cached("DELETE FROM recall_sources WHERE source = ?1")?.execute([source])?;
    }
    Ok(forgotten)
}

/// Whether anything of a file is here.
pub fn is_known(conn: &Connection, source: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM recall_sources WHERE source = ?1)
            OR EXISTS (SELECT 1 FROM recall_source_chunks WHERE source = ?1)",
    )?
    .query_row([source], |row| row.get(0))
}

/// Forgets the chunks of `source` that `sql` selects. Where more are left, no version counts any more: a file that is half
/// forgotten must not pass for one that is kept.
fn forget_piece(tx: &Tx<'_>, source: &str, sql: &str, params: impl Params) -> rusqlite::Result<Forgotten> {
    let ids: Vec<String> =
        tx.prepare_cached(sql)?.query_map(params, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    memory::forget_all(tx, &ids)?;
    for id in &ids {
        tx.prepare_cached("DELETE FROM recall_source_chunks WHERE source = ?1 AND chunk_id = ?2")?
            .execute([source, id])?;
    }
    let is_all = ids.len() < PIECE_LEN as usize;
    if !is_all {
        tx.prepare_cached("UPDATE recall_sources SET hash = '' WHERE source = ?1")?.execute([source])?;
    }
    Ok(Forgotten { gone: ids.len(), is_all })
}

/// Forgets a piece of which files are kept, after their layer was reset: those whose source begins with `prefix`.
pub fn forget_some(tx: &Tx<'_>, prefix: &str) -> rusqlite::Result<Forgotten> {
    // First the files: one without its chunks would pass for one that is kept.
    let mut gone = 0;
    for sql in [
        "DELETE FROM recall_sources WHERE source IN
            (SELECT source FROM recall_sources WHERE substr(source, 1, length(?1)) = ?1 LIMIT ?2)",
        "DELETE FROM recall_source_chunks WHERE (source, chunk_id) IN
            (SELECT source, chunk_id FROM recall_source_chunks WHERE substr(source, 1, length(?1)) = ?1 LIMIT ?2)",
    ] {
        gone += tx.prepare_cached(sql)?.execute(params![prefix, PIECE_LEN])?;
        if gone >= PIECE_LEN as usize {
            return Ok(Forgotten { gone, is_all: false });
        }
    }
    Ok(Forgotten { gone, is_all: true })
}

/// The files whose source begins with `prefix`, by source.
pub fn list(conn: &Connection, prefix: &str) -> rusqlite::Result<Vec<Source>> {
    conn.prepare_cached(
        "SELECT s.source, s.hash, s.bytes, s.title, s.updated_at,
            (SELECT count(*) FROM recall_source_chunks AS c WHERE c.source = s.source)
         FROM recall_sources AS s WHERE substr(s.source, 1, length(?1)) = ?1 ORDER BY s.source LIMIT ?2",
    )?
    .query_map(params![prefix, SOURCES_MAX], |row| {
        Ok(Source {
            source: row.get(0)?,
            hash: row.get(1)?,
            bytes: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
            title: row.get(3)?,
            updated_at: row.get::<_, Option<String>>(4)?.and_then(|text| Timestamp::parse(&text)),
            chunk_count: row.get::<_, u32>(5)?.into(),
        })
    })?
    .collect()
}

fn chunk_ids(conn: &Connection, source: &str) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached("SELECT chunk_id FROM recall_source_chunks WHERE source = ?1")?
        .query_map([source], |row| row.get(0))?
        .collect()
}
