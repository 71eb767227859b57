//! Reading the timeline.

use rusqlite::Connection;

use crate::base::clock::Timestamp;

/// One stored event; texts that were never written read as empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: i64,
    pub event_id: String,
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    pub timestamp: Timestamp,
    pub sender_id: String,
    pub sender_name: String,
    pub event_type: String,
    pub content_text: String,
    pub media_path: String,
    pub vector_id: String,
    pub classification: String,
    pub authorized: bool,
    /// JSON text, or empty.
    pub metadata: String,
    pub duration_ms: i64,
}

/// Which events to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Negative for all.
    pub limit: i64,
    pub offset: i64,
    pub sender: Option<String>,
    pub trace_id: Option<String>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { limit: 100, offset: 0, sender: None, trace_id: None }
    }
}

const COLUMNS: &str =
    "id, coalesce(event_id, ''), coalesce(trace_id, ''), coalesce(span_id, ''), coalesce(parent_span_id, ''),
    timestamp, coalesce(sender_id, ''), coalesce(sender_name, ''), coalesce(event_type, ''), coalesce(content_text, ''),
    coalesce(media_path, ''), coalesce(vector_id, ''), coalesce(classification, ''), coalesce(authorized, 1),
    coalesce(metadata, ''), coalesce(span_duration_ms, 0)";

/// Newest first.
pub fn list(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM timeline
         WHERE (?1 IS NULL OR sender_id = ?1) AND (?2 IS NULL OR trace_id = ?2)
         ORDER BY id DESC LIMIT ?3 OFFSET ?4"
    ))?;
    let rows = select.query_map((&filter.sender, &filter.trace_id, filter.limit, filter.offset.max(0)), row)?;
    rows.collect()
}

/// Up to `limit` events of one trace, newest first.
pub fn by_trace(connection: &Connection, trace_id: &str, limit: u32) -> rusqlite::Result<Vec<Row>> {
    let mut select = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM timeline WHERE trace_id = ?1 ORDER BY id DESC LIMIT ?2"))?;
    select.query_map((trace_id, limit), row)?.collect()
}

/// Up to `limit` events after row `cursor`, oldest first.
pub fn after(connection: &Connection, cursor: i64, limit: u32) -> rusqlite::Result<Vec<Row>> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM timeline WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
    select.query_map((cursor, limit), row)?.collect()
}

/// The newest events of the kinds in `classifications`, newest first; looks through the newest rows only.
pub fn classified(connection: &Connection, classifications: &[&str], limit: u32) -> rusqlite::Result<Vec<Row>> {
    const LOOKED_AT_MAX: u32 = 50_000;
    let wanted = serde_json::json!(classifications).to_string();
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM timeline
         WHERE id > (SELECT max(id) FROM timeline) - ?3 AND classification IN (SELECT value FROM json_each(?1))
         ORDER BY id DESC LIMIT ?2"
    ))?;
    select.query_map((wanted, limit, LOOKED_AT_MAX), row)?.collect()
}

/// How many events of the kind `classification`, which begins with `KNOWLEDGE_`, the timeline still holds; an index has them.
pub fn count_of_knowledge(connection: &Connection, classification: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(KNOWLEDGE_COUNT)?
        .query_row([classification], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// SQLite takes a partial index only where the index's own condition stands in the query.
const KNOWLEDGE_COUNT: &str =
    "SELECT count(*) FROM timeline WHERE classification GLOB 'KNOWLEDGE_*' AND classification = ?1";

/// The newest row's number, zero for an empty timeline.
pub fn last_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM timeline")?.query_row([], |row| row.get(0))
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get(0)?,
        event_id: row.get(1)?,
        trace_id: row.get(2)?,
        span_id: row.get(3)?,
        parent_span_id: row.get(4)?,
        // A time that nobody can read must not hide the event.
        timestamp: row.get::<_, Option<String>>(5)?.and_then(|text| Timestamp::parse(&text)).unwrap_or_default(),
        sender_id: row.get(6)?,
        sender_name: row.get(7)?,
        event_type: row.get(8)?,
        content_text: row.get(9)?,
        media_path: row.get(10)?,
        vector_id: row.get(11)?,
        classification: row.get(12)?,
        authorized: row.get(13)?,
        metadata: row.get(14)?,
        duration_ms: row.get(15)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::TraceId;
    use crate::db::Db;
    use crate::domain::event::Event;
    use crate::timeline::{MIGRATIONS, append};

    #[test]
    fn events_of_knowledge_are_counted_without_reading_the_others() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        db.write_blocking(|tx| {
            for kind in ["KNOWLEDGE_FACT_STALE", "TOOL", "KNOWLEDGE_FACT_STALE", "KNOWLEDGE_FACT_ACCEPTED"] {
                append(tx, &Event::system("T", TraceId::new("t"), Timestamp::from_millis(1), kind))?;
            }
            Ok(())
        })
        .expect("written");
        let (count, plan): (u64, String) = db
            .read_blocking(|conn| {
                let mut explained = conn.prepare(&format!("EXPLAIN QUERY PLAN {KNOWLEDGE_COUNT}"))?;
                let plan = explained.query_row(["x"], |row| row.get(3))?;
                Ok((count_of_knowledge(conn, "KNOWLEDGE_FACT_STALE")?, plan))
            })
            .expect("read");
        assert_eq!(count, 2);
        assert!(plan.contains("COVERING INDEX idx_timeline_knowledge"), "{plan}");
    }
}
