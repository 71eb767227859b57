//! The table of shared items, with KafClaw's columns (group specification §8) and those that it lacks.

use rusqlite::Connection;

use crate::db::add_column;

pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS group_memory_items (
            id INTEGER PRIMARY KEY AUTOINCREMENT, item_id TEXT UNIQUE NOT NULL, author_id TEXT NOT NULL, title TEXT,
            content_type TEXT DEFAULT 'text/plain', tags TEXT DEFAULT '[]', lfs_bucket TEXT, lfs_key TEXT,
            metadata TEXT DEFAULT '{}', created_at DATETIME DEFAULT CURRENT_TIMESTAMP)",
    )?;
    for column in [
        "lfs_bytes INTEGER",
        "lfs_sha256 TEXT",
        "expires_at DATETIME",
        "content_hash BLOB",
        "is_resolved BOOLEAN NOT NULL DEFAULT 0",
        "attempts INTEGER NOT NULL DEFAULT 0",
    ] {
        add_column(connection, "group_memory_items", column)?;
    }
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS idx_group_memory_items_expires ON group_memory_items (expires_at)
            WHERE expires_at IS NOT NULL",
    )
}

pub fn create_objects(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE group_objects (id INTEGER PRIMARY KEY, sha256 TEXT UNIQUE NOT NULL, is_ours BOOLEAN NOT NULL,
            bytes INTEGER NOT NULL, created_ms INTEGER NOT NULL, value BLOB NOT NULL);
         CREATE INDEX idx_group_objects_origin ON group_objects (is_ours, id, bytes);
         CREATE INDEX idx_group_objects_created ON group_objects (created_ms);
         CREATE INDEX idx_group_memory_items_unresolved ON group_memory_items (lfs_sha256)
            WHERE NOT is_resolved AND lfs_key IS NOT NULL",
    )
}
