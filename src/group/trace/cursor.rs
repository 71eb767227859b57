//! How far our own records were looked through for what the group is told. Owner of the table `group_watch`.

use rusqlite::{Connection, OptionalExtension};

use crate::db::Tx;

/// The last rows that were looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// Of the timeline.
    pub event: i64,
    /// Of what policy decided.
    pub decision: i64,
}

pub fn create_cursor(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE group_watch (id INTEGER PRIMARY KEY CHECK (id = 1), event INTEGER NOT NULL, decision INTEGER NOT NULL)",
    )
}

/// None before the first time.
pub fn cursor(connection: &Connection) -> rusqlite::Result<Option<Cursor>> {
    connection
        .prepare_cached("SELECT event, decision FROM group_watch")?
        .query_row([], |row| Ok(Cursor { event: row.get(0)?, decision: row.get(1)? }))
        .optional()
}

pub fn advance(tx: &Tx<'_>, cursor: Cursor) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO group_watch (id, event, decision) VALUES (1, ?1, ?2)")?
        .execute((cursor.event, cursor.decision))
        .map(drop)
}
