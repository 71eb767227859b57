//! Tables `memory_chunks` (KafClaw's) and `memory_words`, the index over them.

use rusqlite::{Connection, params};

use super::query::folded;
use crate::db::{Migration, add_column};

pub const MIGRATIONS: &[Migration] = &[Migration { number: 400, name: "memory", apply: create_tables }];

fn create_tables(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS memory_chunks (
            id TEXT PRIMARY KEY,
            content TEXT NOT NULL,
            embedding BLOB,
            source TEXT NOT NULL DEFAULT 'user',
            tags TEXT DEFAULT '',
            version INTEGER NOT NULL DEFAULT 1,
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
         CREATE INDEX IF NOT EXISTS idx_memory_chunks_source ON memory_chunks (source);",
    )?;
    // The row's number in the index. Not SQLite's own row number: that one changes when the file is compacted.
    add_column(conn, "memory_chunks", "words_id INTEGER")?;
    conn.execute_batch(
        "CREATE UNIQUE INDEX IF NOT EXISTS idx_memory_chunks_words ON memory_chunks (words_id);
         CREATE VIRTUAL TABLE IF NOT EXISTS memory_words USING fts5 (
            content, tags, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '3')",
    )?;
    index_missing(conn, u32::MAX).map(|_| ())
}

/// Indexes at most `count_max` chunks that are not (an older program wrote them); returns how many it did.
pub fn index_missing(conn: &Connection, count_max: u32) -> rusqlite::Result<usize> {
    let missing: Vec<(String, String, String)> = conn
        .prepare_cached("SELECT id, content, coalesce(tags, '') FROM memory_chunks WHERE words_id IS NULL LIMIT ?1")?
        .query_map([count_max], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, content, tags) in &missing {
        index(conn, id, content, tags)?;
    }
    Ok(missing.len())
}

/// Puts one chunk into the index.
pub(super) fn index(conn: &Connection, id: &str, content: &str, tags: &str) -> rusqlite::Result<()> {
    let words_id: i64 = conn
        .prepare_cached(
            "UPDATE memory_chunks SET words_id = (SELECT coalesce(max(words_id), 0) + 1 FROM memory_chunks)
             WHERE id = ?1 RETURNING words_id",
        )?
        .query_row([id], |row| row.get(0))?;
    // A number may come back after its chunk was deleted by a program that does not know the index.
    unindex(conn, words_id)?;
    conn.prepare_cached("INSERT INTO memory_words (rowid, content, tags) VALUES (?1, ?2, ?3)")?
        .execute(params![words_id, folded(content), folded(tags)])
        .map(|_| ())
}

/// Takes one chunk out of the index.
pub(super) fn unindex(conn: &Connection, words_id: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM memory_words WHERE rowid = ?1")?.execute([words_id]).map(|_| ())
}
