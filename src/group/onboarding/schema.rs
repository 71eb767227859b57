//! Tables of keys and nonces.

use rusqlite::Connection;

pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE group_keys (agent_id TEXT PRIMARY KEY, public_key TEXT NOT NULL, standing TEXT NOT NULL,
            decided_by TEXT NOT NULL, updated_at DATETIME NOT NULL) WITHOUT ROWID;
         CREATE TABLE group_nonces (nonce TEXT PRIMARY KEY, requester_id TEXT NOT NULL, public_key TEXT NOT NULL,
            expires_ms INTEGER NOT NULL) WITHOUT ROWID",
    )
}

pub fn create_claws(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE group_claws (claw_id TEXT PRIMARY KEY, public_key TEXT NOT NULL, updated_at DATETIME NOT NULL)
            WITHOUT ROWID",
    )
}
