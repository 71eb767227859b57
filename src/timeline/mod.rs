//! Floor 3: the log of everything that happened, and the ground state of the house.
//!
//! Who may do what: any module appends inside the transaction that makes its change, so a record and the event that
//! announces it are one. Whoever watches follows with a cursor; nothing here calls back. Owner of table `timeline`.
//!
//! Absent on purpose: updates. An event that was written stays as it is until it ages out.

mod follow;
mod query;
mod schema;

pub use follow::Follower;
pub use query::{Filter, Row, after, by_trace, classified, count_of_knowledge, last_id, list};
pub use schema::MIGRATIONS;

use std::time::Duration;

use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::limits;
use crate::db::Tx;
use crate::domain::event::Event;

/// How long events are kept and how many.
#[derive(Clone, Debug)]
pub struct Retention {
    pub age_max: Duration,
    pub rows_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age_max: Duration::from_secs(30 * 24 * 3600), rows_max: 500_000 }
    }
}

/// Writes one event; returns its row number, which followers use as a cursor.
pub fn append(tx: &Tx<'_>, event: &Event) -> rusqlite::Result<i64> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO timeline (event_id, trace_id, span_id, parent_span_id, timestamp, sender_id, sender_name, event_type,
            content_text, classification, authorized, metadata, span_started_at, span_ended_at, span_duration_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    let ended_at = event.span_started_at.map(|start| start.plus(Duration::from_millis(event.duration_ms)));
    insert.insert(rusqlite::params![
        event.event_id,
        event.trace_id,
        event.span_id,
        event.parent_span_id,
        event.timestamp,
        event.sender_id,
        event.sender_name,
        event.event_type,
        event.content,
        event.classification,
        event.authorized,
        metadata_text(&event.metadata, event.duration_ms),
        event.span_started_at,
        ended_at,
        i64::try_from(event.duration_ms).unwrap_or(i64::MAX),
    ])
}

/// Deletes what is too old or too much, a bounded piece at a time; returns how many rows went.
pub fn prune(tx: &Tx<'_>, retention: &Retention, now: Timestamp) -> rusqlite::Result<usize> {
    const PIECE_LEN: i64 = 5_000;
    let old = tx.execute(
        "DELETE FROM timeline WHERE id IN (SELECT id FROM timeline WHERE timestamp < ?1 ORDER BY id LIMIT ?2)",
        (now.minus(retention.age_max), PIECE_LEN),
    )?;
    let excess = tx.execute(
        "DELETE FROM timeline WHERE id IN (SELECT id FROM timeline
            WHERE id <= (SELECT max(id) FROM timeline) - ?1 ORDER BY id LIMIT ?2)",
        (i64::try_from(retention.rows_max).unwrap_or(i64::MAX), PIECE_LEN),
    )?;
    Ok(old + excess)
}

/// JSON text of an event's metadata, within its bound; the duration is repeated inside because KafClaw's readers look there.
fn metadata_text(metadata: &Value, duration_ms: u64) -> String {
    let mut metadata = metadata.clone();
    if duration_ms > 0
        && let Value::Object(fields) = &mut metadata
    {
        fields.entry("duration_ms").or_insert(duration_ms.into());
    }
    if metadata.is_null() {
        return String::new();
    }
    let text = metadata.to_string();
    if text.len() <= limits::EVENT_METADATA_BYTES_MAX {
        return text;
    }
    serde_json::json!({"truncated": true, "bytes": text.len(), "duration_ms": duration_ms}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::TraceId;
    use crate::db::Db;

    fn event(trace: &str, at: i64) -> Event {
        Event::system("TEST", TraceId::new(trace), Timestamp::from_millis(at), "TOOL")
    }

    #[tokio::test]
    async fn a_follower_sees_every_event_once_and_in_order() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        let mut follower = Follower::from_now(&db).await.expect("a cursor");
        for at in 1..=3 {
            db.write(move |tx| append(tx, &event("t", at))).await.expect("written");
        }
        let mut seen = Vec::new();
        while seen.len() < 3 {
            seen.extend(follower.next().await.expect("events").into_iter().map(|row| row.id));
        }
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    }

    #[tokio::test]
    async fn old_and_excess_events_are_pruned() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        for at in [0, 90_000, 95_000, 99_000] {
            db.write(move |tx| append(tx, &event("t", at))).await.expect("written");
        }
        let retention = Retention { age_max: Duration::from_secs(60), rows_max: 2 };
        let gone = db.write(move |tx| prune(tx, &retention, Timestamp::from_millis(100_000))).await.expect("pruned");
        assert_eq!(gone, 2);
        let rows = db.read(|connection| list(connection, &Filter::default())).await.expect("rows");
        assert_eq!(rows.len(), 2);
        assert!(rows[0].id > rows[1].id, "newest first");
    }

    #[test]
    fn oversized_metadata_is_replaced_by_a_note() {
        let huge = serde_json::json!({"text": "x".repeat(limits::EVENT_METADATA_BYTES_MAX)});
        let text = metadata_text(&huge, 7);
        assert!(text.len() < 100 && text.contains("truncated"), "{text}");
    }
}
