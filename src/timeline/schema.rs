//! Table `timeline`, with KafClaw's column names (specification §5.1).

use rusqlite::Connection;

use crate::db::{Migration, add_column};

pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 100, name: "timeline", apply: timeline },
    Migration { number: 101, name: "timeline of knowledge", apply: index_knowledge },
];

fn timeline(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS timeline (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            event_id TEXT UNIQUE, trace_id TEXT, span_id TEXT, parent_span_id TEXT,
            timestamp DATETIME, sender_id TEXT, sender_name TEXT, event_type TEXT, content_text TEXT,
            media_path TEXT, vector_id TEXT, classification TEXT,
            authorized BOOLEAN DEFAULT 1, metadata TEXT DEFAULT '')",
    )?;
    for column in [
        "trace_id TEXT",
        "span_id TEXT",
        "parent_span_id TEXT",
        "metadata TEXT DEFAULT ''",
        "span_started_at DATETIME",
        "span_ended_at DATETIME",
        "span_duration_ms INTEGER DEFAULT 0",
    ] {
        add_column(connection, "timeline", column)?;
    }
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS idx_timeline_timestamp ON timeline (timestamp);
         CREATE INDEX IF NOT EXISTS idx_timeline_sender ON timeline (sender_id);
         CREATE INDEX IF NOT EXISTS idx_timeline_trace ON timeline (trace_id);",
    )
}

/// So that what became of facts is counted without reading the whole log; other events pay nothing for it.
fn index_knowledge(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS idx_timeline_knowledge ON timeline (classification)
            WHERE classification GLOB 'KNOWLEDGE_*'",
    )
}
