//! Tables `memory_chunks` (KafClaw's), `memory_words` (the index of their words) and `memory_generations` (of their vectors).

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::layer::layer_name;
use super::query::folded;
use crate::db::{Migration, add_column};

pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 400, name: "memory", apply: create_tables },
    Migration { number: 401, name: "memory meaning", apply: add_meaning },
    Migration { number: 402, name: "memory words that are really deleted", apply: renew_words },
];

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
    // The row's number in the indexes. Not SQLite's own row number: that one changes when the file is compacted.
    add_column(conn, "memory_chunks", "words_id INTEGER")?;
    conn.execute_batch("CREATE UNIQUE INDEX IF NOT EXISTS idx_memory_chunks_words ON memory_chunks (words_id)")
}

fn add_meaning(conn: &Connection) -> rusqlite::Result<()> {
    add_column(conn, "memory_chunks", "layer TEXT NOT NULL DEFAULT ''")?;
    add_column(conn, "memory_chunks", "importance REAL NOT NULL DEFAULT 0.5")?;
    add_column(conn, "memory_chunks", "expires_at DATETIME")?;
    // The newest generation that has the chunk's vector; negative when its model refused the text.
    add_column(conn, "memory_chunks", "embedded_with INTEGER NOT NULL DEFAULT 0")?;
    conn.execute_batch(
        "CREATE INDEX IF NOT EXISTS idx_memory_chunks_embedded ON memory_chunks (embedded_with);
         CREATE INDEX IF NOT EXISTS idx_memory_chunks_expires ON memory_chunks (expires_at) WHERE expires_at IS NOT NULL;
         CREATE INDEX IF NOT EXISTS idx_memory_chunks_updated ON memory_chunks (layer, updated_at);
         CREATE TABLE memory_generations (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            fingerprint TEXT NOT NULL,
            dims INTEGER NOT NULL,
            state INTEGER NOT NULL)",
    )
}

/// A deleted chunk's words used to stay in the index until it happened to be merged.
fn renew_words(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "DROP TABLE IF EXISTS memory_words;
         CREATE VIRTUAL TABLE memory_words USING fts5 (
            content, tags, content = '', tokenize = 'unicode61 remove_diacritics 2', prefix = '3');
         INSERT INTO memory_words (memory_words, rank) VALUES ('secure-delete', 1);
         UPDATE memory_chunks SET words_id = NULL",
    )?;
    index_missing(conn, u32::MAX).map(drop)
}

/// Indexes at most `count_max` chunks that are not (an older program wrote them); returns how many it did.
pub fn index_missing(conn: &Connection, count_max: u32) -> rusqlite::Result<usize> {
    let ids: Vec<String> = conn
        .prepare_cached("SELECT id FROM memory_chunks WHERE words_id IS NULL LIMIT ?1")?
        .query_map([count_max], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &ids {
        let texts = conn
            .prepare_cached("SELECT content, tags, source FROM memory_chunks WHERE id = ?1")?
            .query_row([id], |row| Ok((text(row, 0)?, text(row, 1)?, text(row, 2)?)))
            .optional()?;
        if let Some((content, tags, source)) = texts {
            index(conn, id, &content, &tags, &source)?;
        }
    }
    Ok(ids.len())
}

pub(super) fn has_missing(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM memory_chunks WHERE words_id IS NULL)")?
        .query_row([], |row| row.get(0))
}

/// Puts one chunk into the index of words and gives it its number.
pub(super) fn index(conn: &Connection, id: &str, content: &str, tags: &str, source: &str) -> rusqlite::Result<()> {
    // A number that the index still knows never comes back: a program that does not know the index may have deleted its chunk.
    let words_id: i64 = conn
        .prepare_cached(
            "UPDATE memory_chunks SET layer = ?2, words_id = 1 + max(
                coalesce((SELECT max(words_id) FROM memory_chunks), 0),
                coalesce((SELECT max(id) FROM memory_words_docsize), 0))
             WHERE id = ?1 RETURNING words_id",
        )?
        .query_row(params![id, layer_name(source)], |row| row.get(0))?;
    add_words(conn, words_id, content, tags)
}

pub(super) fn add_words(conn: &Connection, words_id: i64, content: &str, tags: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO memory_words (rowid, content, tags) VALUES (?1, ?2, ?3)")?
        .execute(params![words_id, folded(content), folded(tags)])
        .map(drop)
}

/// Takes one chunk's words out of the index. It keeps no texts, so it must be told what it was given.
pub(super) fn remove_words(conn: &Connection, words_id: i64, content: &str, tags: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO memory_words (memory_words, rowid, content, tags) VALUES ('delete', ?1, ?2, ?3)")?
        .execute(params![words_id, folded(content), folded(tags)])
        .map(drop)
}

/// Makes the index of words anew when it does not hold exactly the chunks; true when it had to.
pub(super) fn repair_words(conn: &Connection) -> rusqlite::Result<bool> {
    let count = |sql: &str| conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
    let indexed = count("SELECT count(*) FROM memory_words_docsize")?;
    if indexed == count("SELECT count(*) FROM memory_chunks WHERE words_id IS NOT NULL")? {
        return Ok(false);
    }
    conn.execute_batch("INSERT INTO memory_words (memory_words) VALUES ('delete-all')")?;
    let mut statement = conn.prepare("SELECT words_id, content, tags FROM memory_chunks WHERE words_id IS NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        add_words(conn, row.get(0)?, &text(row, 1)?, &text(row, 2)?)?;
    }
    Ok(true)
}

/// A column as text, whatever an older program stored in it: nothing is empty, and broken UTF-8 is mended.
pub(super) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(index)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    })
}
