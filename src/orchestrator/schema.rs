//! Tables `orchestrator_zones`, `orchestrator_zone_members` and `orchestrator_hierarchy`, with KafClaw's columns and a few more.

use rusqlite::Connection;

use crate::db::{Migration, add_column};

pub const MIGRATIONS: &[Migration] = &[Migration { number: 1400, name: "orchestrator", apply: orchestrator }];

fn orchestrator(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS orchestrator_zones (
            zone_id TEXT PRIMARY KEY, name TEXT NOT NULL, visibility TEXT NOT NULL DEFAULT 'public', owner_id TEXT,
            parent_zone TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE IF NOT EXISTS orchestrator_zone_members (
            zone_id TEXT NOT NULL, agent_id TEXT NOT NULL, role TEXT NOT NULL DEFAULT 'member',
            joined_at DATETIME DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (zone_id, agent_id));
         CREATE TABLE IF NOT EXISTS orchestrator_hierarchy (
            agent_id TEXT PRIMARY KEY, parent_id TEXT, role TEXT NOT NULL DEFAULT 'worker', endpoint TEXT, zone_id TEXT,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP)",
    )?;
    for column in [
        "agent_name TEXT NOT NULL DEFAULT ''",
        "status TEXT NOT NULL DEFAULT ''",
        "epoch INTEGER",
        "seq INTEGER",
        "is_hearsay BOOLEAN NOT NULL DEFAULT 1",
    ] {
        add_column(connection, "orchestrator_hierarchy", column)?;
    }
    Ok(())
}
