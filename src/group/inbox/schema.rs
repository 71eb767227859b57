//! Tables of the inbox.

use rusqlite::Connection;

pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE group_ledger (id BLOB PRIMARY KEY, received_ms INTEGER NOT NULL) WITHOUT ROWID;
         CREATE INDEX idx_group_ledger_received ON group_ledger (received_ms);
         CREATE TABLE group_refusals (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at DATETIME NOT NULL, topic TEXT NOT NULL, sender_id TEXT NOT NULL,
            envelope_type TEXT NOT NULL, correlation_id TEXT NOT NULL, reason TEXT NOT NULL, bytes INTEGER NOT NULL,
            partition INTEGER NOT NULL, offset INTEGER NOT NULL);
         CREATE TABLE group_refusal_counts (reason TEXT PRIMARY KEY, count INTEGER NOT NULL, last_at DATETIME NOT NULL)
            WITHOUT ROWID;
         CREATE TABLE group_offsets (topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
            PRIMARY KEY (topic, partition)) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS topic_message_log (
            id INTEGER PRIMARY KEY AUTOINCREMENT, topic_name TEXT NOT NULL, sender_id TEXT NOT NULL,
            envelope_type TEXT NOT NULL DEFAULT '', correlation_id TEXT DEFAULT '', payload_size INTEGER NOT NULL DEFAULT 0,
            created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE INDEX IF NOT EXISTS idx_topic_message_log_topic ON topic_message_log (topic_name, created_at)",
    )
}
