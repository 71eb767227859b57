//! Tables of the roster, with KafClaw's columns (group specification §8).

use rusqlite::Connection;

use crate::db::add_column;

pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS group_members (
            agent_id TEXT UNIQUE NOT NULL, agent_name TEXT, soul_summary TEXT, capabilities TEXT DEFAULT '[]',
            channels TEXT DEFAULT '[]', model TEXT, status TEXT DEFAULT 'active', last_seen DATETIME, left_at DATETIME);
         CREATE TABLE IF NOT EXISTS group_membership_history (
            id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT NOT NULL, group_name TEXT NOT NULL, role TEXT DEFAULT '',
            action TEXT NOT NULL, lfs_proxy_url TEXT DEFAULT '', kafka_brokers TEXT DEFAULT '',
            consumer_group TEXT DEFAULT '', agent_name TEXT DEFAULT '', capabilities TEXT DEFAULT '[]',
            channels TEXT DEFAULT '[]', model TEXT DEFAULT '', happened_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE INDEX IF NOT EXISTS idx_group_membership_history_agent ON group_membership_history (agent_id, id);
         CREATE TABLE IF NOT EXISTS group_skill_channels (
            id INTEGER PRIMARY KEY AUTOINCREMENT, skill_name TEXT NOT NULL, group_name TEXT NOT NULL,
            requests_topic TEXT NOT NULL, responses_topic TEXT NOT NULL, registered_by TEXT NOT NULL,
            created_at DATETIME DEFAULT CURRENT_TIMESTAMP, UNIQUE (skill_name, group_name))",
    )?;
    for column in [
        "left_at DATETIME",
        "role TEXT",
        "parent_id TEXT",
        "zone_id TEXT",
        "endpoint TEXT",
        "skills TEXT",
        "joined_at DATETIME",
        "epoch INTEGER",
        "seq INTEGER",
        "signed_with TEXT",
        "public_key TEXT",
        "behind_ms INTEGER",
    ] {
        add_column(connection, "group_members", column)?;
    }
    Ok(())
}
