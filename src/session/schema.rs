//! Tables of the conversations.

use rusqlite::Connection;

use crate::db::Migration;

pub const MIGRATIONS: &[Migration] = &[Migration { number: 300, name: "session", apply: create_tables }];

fn create_tables(conn: &Connection) -> rusqlite::Result<()> {
    // Messages are clustered by conversation: the last fifty are one short walk, and appending touches one page.
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS session_messages (
            session_key TEXT NOT NULL,
            seq INTEGER NOT NULL,
            role TEXT NOT NULL,
            content TEXT NOT NULL,
            timestamp DATETIME NOT NULL,
            task_id TEXT,
            PRIMARY KEY (session_key, seq)) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS session_state (
            session_key TEXT PRIMARY KEY,
            state TEXT NOT NULL DEFAULT '{}',
            next_seq INTEGER NOT NULL DEFAULT 1,
            message_count INTEGER NOT NULL DEFAULT 0,
            created_at DATETIME NOT NULL,
            updated_at DATETIME NOT NULL) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS idx_session_state_updated ON session_state (updated_at);
         CREATE TABLE IF NOT EXISTS session_imports (
            file TEXT PRIMARY KEY,
            session_key TEXT NOT NULL,
            imported_at DATETIME NOT NULL,
            message_count INTEGER NOT NULL,
            reject_count INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS session_rejects (
            file TEXT NOT NULL,
            line INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (file, line));",
    )
}
