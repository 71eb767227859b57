//! Tables of what fills the memory; names and columns of the first five are KafClaw's (specification §5.1).

use rusqlite::{Connection, OptionalExtension, params};

use crate::base::clock::Timestamp;
use crate::db::{Migration, Tx};

pub const MIGRATIONS: &[Migration] = &[Migration { number: 1200, name: "recall", apply: create_tables }];

/// Rows kept of the tables that only grow.
const ROWS_MAX: u32 = 50_000;
/// How long messages stay in the observer's queue after they were observed, and how long working memory outlives its last change.
const AGE_MAX: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

fn create_tables(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS working_memory (
            resource_id TEXT NOT NULL, thread_id TEXT NOT NULL DEFAULT '', content TEXT NOT NULL DEFAULT '',
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (resource_id, thread_id));
         CREATE TABLE IF NOT EXISTS observations_queue (
            id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL,
            observed INTEGER NOT NULL DEFAULT 0, created_at DATETIME NOT NULL);
         CREATE INDEX IF NOT EXISTS idx_observations_queue_session ON observations_queue (session_id, observed);
         CREATE TABLE IF NOT EXISTS observations (
            id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, content TEXT NOT NULL,
            priority TEXT NOT NULL DEFAULT 'medium', observed_at DATETIME NOT NULL, referenced_at DATETIME NOT NULL);
         CREATE INDEX IF NOT EXISTS idx_observations_session ON observations (session_id);
         CREATE TABLE IF NOT EXISTS agent_expertise (
            skill_name TEXT PRIMARY KEY, success_count INTEGER NOT NULL DEFAULT 0, failure_count INTEGER NOT NULL DEFAULT 0,
            avg_quality REAL NOT NULL DEFAULT 0.0, last_used DATETIME, total_duration_ms INTEGER NOT NULL DEFAULT 0,
            trend TEXT NOT NULL DEFAULT 'stable');
         CREATE TABLE IF NOT EXISTS skill_events (
            id INTEGER PRIMARY KEY AUTOINCREMENT, skill_name TEXT NOT NULL, task_id TEXT, action TEXT NOT NULL,
            quality REAL NOT NULL DEFAULT 0.5, duration_ms INTEGER NOT NULL DEFAULT 0, metadata TEXT DEFAULT '{}',
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
         CREATE INDEX IF NOT EXISTS idx_skill_events_skill ON skill_events (skill_name);
         CREATE INDEX IF NOT EXISTS idx_skill_events_created ON skill_events (created_at);
         CREATE TABLE recall_cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE recall_sources (
            source TEXT PRIMARY KEY, hash TEXT NOT NULL, bytes INTEGER NOT NULL, title TEXT NOT NULL,
            updated_at DATETIME NOT NULL) WITHOUT ROWID;
         CREATE TABLE recall_source_chunks (
            source TEXT NOT NULL, chunk_id TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (source, chunk_id)) WITHOUT ROWID;",
    )
}

/// How far a follower has read; zero before its first piece.
pub(super) fn cursor(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    let position = conn
        .prepare_cached("SELECT position FROM recall_cursors WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(position.unwrap_or(0))
}

pub(super) fn set_cursor(tx: &Tx<'_>, name: &str, position: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO recall_cursors (name, position) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET position = excluded.position",
    )?
    .execute(params![name, position])
    .map(drop)
}

/// Deletes what is too old or too much, a bounded piece at a time; returns how many rows went. What was not observed yet stays.
pub fn prune(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    const PIECE_LEN: u32 = 2_000;
    let before = now.minus(AGE_MAX);
    let mut gone = tx.execute(
        "DELETE FROM observations_queue WHERE id IN (
            SELECT id FROM observations_queue WHERE observed <> 0 AND created_at < ?1 ORDER BY id LIMIT ?2)",
        params![before, PIECE_LEN],
    )?;
    gone += tx.execute(
        "DELETE FROM observations_queue WHERE id IN (SELECT id FROM observations_queue
            WHERE id <= (SELECT max(id) FROM observations_queue) - ?1 ORDER BY id LIMIT ?2)",
        params![ROWS_MAX, PIECE_LEN],
    )?;
    gone += tx.execute(
        "DELETE FROM skill_events WHERE id IN (SELECT id FROM skill_events
            WHERE id <= (SELECT max(id) FROM skill_events) - ?1 ORDER BY id LIMIT ?2)",
        params![ROWS_MAX, PIECE_LEN],
    )?;
    gone += tx.execute("DELETE FROM working_memory WHERE updated_at < ?1", params![before])?;
    Ok(gone)
}
