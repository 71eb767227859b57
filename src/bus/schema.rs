//! Tables `tasks` and `deliveries`.

use rusqlite::Connection;

use crate::db::{Migration, add_column};

pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 200, name: "tasks", apply: tasks },
    Migration { number: 201, name: "deliveries", apply: deliveries },
];

fn tasks(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS tasks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            task_id TEXT UNIQUE NOT NULL, idempotency_key TEXT UNIQUE, trace_id TEXT,
            channel TEXT NOT NULL, chat_id TEXT NOT NULL, sender_id TEXT,
            status TEXT NOT NULL DEFAULT 'pending', content_in TEXT, content_out TEXT, error_text TEXT,
            prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
            total_tokens INTEGER NOT NULL DEFAULT 0,
            delivery_status TEXT NOT NULL DEFAULT 'pending', delivery_attempts INTEGER NOT NULL DEFAULT 0,
            delivery_next_at DATETIME, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, completed_at DATETIME)",
    )?;
    for column in [
        "message_type TEXT DEFAULT ''",
        "provider_id TEXT DEFAULT ''",
        "model_name TEXT DEFAULT ''",
        "cost_usd REAL DEFAULT 0",
        "session_key TEXT NOT NULL DEFAULT ''",
        "thread_id TEXT",
        "message_id TEXT",
        "reply_hint TEXT",
        "route TEXT",
        "interruptions INTEGER NOT NULL DEFAULT 0",
        "parked_for TEXT",
        "parked_prompt TEXT",
    ] {
        add_column(connection, "tasks", column)?;
    }
    // What KafClaw left open has lost its conversation; answering it now would surprise everybody.
    connection.execute(
        "UPDATE tasks SET status = 'failed', error_text = 'left unfinished by an earlier program', delivery_status = 'skipped'
         WHERE session_key = '' AND status IN ('pending', 'processing')",
        [],
    )?;
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS idx_tasks_status ON tasks (status, id);
         CREATE INDEX IF NOT EXISTS idx_tasks_trace ON tasks (trace_id);
         CREATE INDEX IF NOT EXISTS idx_tasks_created ON tasks (created_at)",
    )
}

fn deliveries(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE deliveries (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            delivery_id TEXT UNIQUE NOT NULL, task_id TEXT, is_answer BOOLEAN NOT NULL, trace_id TEXT NOT NULL,
            channel TEXT NOT NULL, chat_id TEXT NOT NULL, thread_id TEXT, in_reply_to TEXT, route TEXT NOT NULL,
            content TEXT NOT NULL, reply_hint TEXT,
            status TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0, next_at DATETIME, reason TEXT,
            created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
         CREATE INDEX idx_deliveries_pending ON deliveries (channel, chat_id, id) WHERE status = 'pending';
         CREATE INDEX idx_deliveries_task ON deliveries (task_id)",
    )
}
