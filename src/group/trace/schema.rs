//! The table of spans, with KafClaw's columns (group specification §8).

use rusqlite::Connection;

pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS group_traces (
            id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, source_agent_id TEXT NOT NULL, span_id TEXT,
            parent_span_id TEXT, span_type TEXT, title TEXT, content TEXT, started_at DATETIME, ended_at DATETIME,
            duration_ms INTEGER DEFAULT 0, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE INDEX IF NOT EXISTS idx_group_traces_trace ON group_traces (trace_id);
         CREATE INDEX IF NOT EXISTS idx_group_traces_agent ON group_traces (source_agent_id)",
    )
}
