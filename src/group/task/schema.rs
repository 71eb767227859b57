//! Tables of tasks, with KafClaw's columns (group specification §8).

use rusqlite::Connection;

use crate::db::add_column;

pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS group_tasks (
            id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT UNIQUE NOT NULL, description TEXT, content TEXT,
            direction TEXT NOT NULL DEFAULT 'outgoing', requester_id TEXT, responder_id TEXT, response_content TEXT,
            status TEXT NOT NULL DEFAULT 'pending', created_at DATETIME DEFAULT CURRENT_TIMESTAMP, responded_at DATETIME);
         CREATE TABLE IF NOT EXISTS delegation_events (
            id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, event_type TEXT NOT NULL, sender_id TEXT NOT NULL,
            receiver_id TEXT DEFAULT '', summary TEXT, depth INTEGER NOT NULL DEFAULT 0,
            created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE INDEX IF NOT EXISTS idx_delegation_events_task ON delegation_events (task_id);
         CREATE TABLE group_task_hints (task_id TEXT NOT NULL, sender_id TEXT NOT NULL, hash BLOB NOT NULL,
            received_ms INTEGER NOT NULL, PRIMARY KEY (sender_id, hash)) WITHOUT ROWID;
         CREATE TABLE group_task_strays (id INTEGER PRIMARY KEY, sender_id TEXT NOT NULL, hash BLOB NOT NULL,
            outcome TEXT NOT NULL, content TEXT NOT NULL, received_ms INTEGER NOT NULL)",
    )?;
    for column in [
        "parent_task_id TEXT DEFAULT ''",
        "delegation_depth INTEGER DEFAULT 0",
        "original_requester_id TEXT DEFAULT ''",
        "deadline_at DATETIME",
        "accepted_at DATETIME",
    ] {
        add_column(connection, "group_tasks", column)?;
    }
    // Two members may use one id: a task is known by its requester too. SQLite cannot take a constraint away.
    connection.execute_batch(
        "ALTER TABLE group_tasks RENAME TO group_tasks_kafclaw;
         CREATE TABLE group_tasks (
            id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, description TEXT, content TEXT,
            direction TEXT NOT NULL DEFAULT 'outgoing', requester_id TEXT NOT NULL DEFAULT '', responder_id TEXT,
            response_content TEXT, status TEXT NOT NULL DEFAULT 'pending', created_at DATETIME NOT NULL,
            responded_at DATETIME, parent_task_id TEXT DEFAULT '', delegation_depth INTEGER DEFAULT 0,
            original_requester_id TEXT DEFAULT '', deadline_at DATETIME, accepted_at DATETIME,
            target_id TEXT, zone_id TEXT, skill TEXT, progress_percent INTEGER, wake_at DATETIME, local_task_id TEXT,
            UNIQUE (direction, requester_id, task_id));
         INSERT INTO group_tasks (id, task_id, description, content, direction, requester_id, responder_id,
                response_content, status, created_at, responded_at, parent_task_id, delegation_depth,
                original_requester_id, deadline_at, accepted_at)
            SELECT id, task_id, description, content, direction, coalesce(requester_id, ''), responder_id,
                response_content, CASE WHEN status IN ('pending', 'accepted') THEN 'expired' ELSE status END,
                coalesce(created_at, '2026-01-01 00:00:00'), responded_at, parent_task_id, delegation_depth,
                original_requester_id, deadline_at, accepted_at
            FROM group_tasks_kafclaw;
         DROP TABLE group_tasks_kafclaw;
         CREATE INDEX idx_group_tasks_task ON group_tasks (task_id);
         CREATE INDEX idx_group_tasks_wake ON group_tasks (wake_at) WHERE wake_at IS NOT NULL;
         CREATE INDEX idx_group_tasks_local ON group_tasks (local_task_id) WHERE local_task_id IS NOT NULL",
    )
}
