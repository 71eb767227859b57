//! Tables of the outbox.

use rusqlite::Connection;

use crate::db::add_column;
use crate::domain::record::Class;

pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    // Times are milliseconds here, not text: the tables are no part of KafClaw's layout, and the rows are many.
    connection.execute_batch(
        "CREATE TABLE group_self (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, seq INTEGER NOT NULL);
         INSERT INTO group_self VALUES (1, 0, 0);
         CREATE TABLE group_outbox (
            id INTEGER PRIMARY KEY, topic TEXT NOT NULL, key TEXT, class TEXT NOT NULL, epoch INTEGER, seq INTEGER,
            deadline_ms INTEGER, created_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, value BLOB NOT NULL);
         CREATE INDEX idx_group_outbox_key ON group_outbox (key, id) WHERE key IS NOT NULL;
         CREATE INDEX idx_group_outbox_class ON group_outbox (class, id) WHERE class IN ('control', 'trace', 'audit');
         CREATE INDEX idx_group_outbox_deadline ON group_outbox (deadline_ms) WHERE deadline_ms IS NOT NULL;
         CREATE TABLE group_outbox_totals (
            class TEXT PRIMARY KEY, rows INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
            appended INTEGER NOT NULL DEFAULT 0, sent INTEGER NOT NULL DEFAULT 0, sampled INTEGER NOT NULL DEFAULT 0,
            dropped INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
            told_ms INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
    )?;
    for class in Class::ALL {
        connection.execute("INSERT INTO group_outbox_totals (class) VALUES (?1)", [class.as_str()])?;
    }
    Ok(())
}

/// Up to which row all is over, and what the rows that are over take in the table.
pub fn add_receipts(connection: &Connection) -> rusqlite::Result<()> {
    add_column(connection, "group_self", "sent_through INTEGER NOT NULL DEFAULT 0")?;
    add_column(connection, "group_self", "spent_bytes INTEGER NOT NULL DEFAULT 0")
}
