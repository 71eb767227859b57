//! Spans and audits of others, as many as may be kept.

use rusqlite::{Connection, params};
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::{Tx, time};
use crate::group::trace::Span;

/// Spans that are kept.
const SPANS_MAX: i64 = 20_000;
/// The table is cut every so many.
const CUT_EVERY: i64 = 128;
/// Rows that one call of [`prune`] looks at.
const PRUNE_PIECE_LEN: u32 = 2_000;
/// Of a span's text, in bytes.
const CONTENT_BYTES_MAX: usize = 8 * 1024;
/// Of a title and of ids, in bytes.
const TITLE_BYTES_MAX: usize = 512;

/// In KafClaw's shape.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SpanRow {
    pub id: i64,
    pub trace_id: String,
    pub source_agent_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    pub span_type: String,
    pub title: String,
    pub content: String,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub duration_ms: i64,
    pub created_at: Option<Timestamp>,
}

/// Of one member when the text is not empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceFilter {
    pub agent_id: String,
    pub limit: u32,
    pub offset: u32,
}

/// Stores a span that `from` told.
pub fn store(tx: &Tx<'_>, from: &PeerId, span: &Span, now: Timestamp) -> rusqlite::Result<()> {
    let id = tx
        .prepare_cached(
            "INSERT INTO group_traces (trace_id, source_agent_id, span_id, parent_span_id, span_type, title, content,
                started_at, ended_at, duration_ms, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .insert(params![
            cut(&span.trace_id, TITLE_BYTES_MAX),
            from,
            cut(&span.span_id, TITLE_BYTES_MAX),
            cut(&span.parent_span_id, TITLE_BYTES_MAX),
            cut(&span.span_type, TITLE_BYTES_MAX),
            cut(&span.title, TITLE_BYTES_MAX),
            cut(&span.content, CONTENT_BYTES_MAX),
            span.started_at,
            span.ended_at,
            i64::try_from(span.duration_ms).unwrap_or(i64::MAX),
            now,
        ])?;
    if id % CUT_EVERY == 0 {
        tx.prepare_cached("DELETE FROM group_traces WHERE id <= ?1")?.execute([id - SPANS_MAX])?;
    }
    Ok(())
}

/// Stores an audit as KafClaw does: a span of the type `AUDIT` with the payload's JSON as its text.
pub fn store_audit(tx: &Tx<'_>, from: &PeerId, trace_id: &str, payload: &str, now: Timestamp) -> rusqlite::Result<()> {
    let span = Span {
        trace_id: trace_id.to_owned(),
        span_type: "AUDIT".to_owned(),
        title: "audit event".to_owned(),
        content: payload.to_owned(),
        started_at: Some(now),
        ..Span::default()
    };
    store(tx, from, &span, now)
}

/// Forgets spans that came before `before`, a bounded piece at a time; returns how many.
pub fn prune(tx: &Tx<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    tx.execute(
        "DELETE FROM group_traces WHERE id IN (SELECT id FROM (SELECT id, created_at FROM group_traces ORDER BY id LIMIT ?2)
            WHERE created_at < ?1)",
        (before, PRUNE_PIECE_LEN),
    )
}

/// Newest first.
pub fn list(connection: &Connection, filter: &TraceFilter) -> rusqlite::Result<Vec<SpanRow>> {
    connection
        .prepare_cached(
            "SELECT id, trace_id, source_agent_id, coalesce(span_id, ''), coalesce(parent_span_id, ''),
                coalesce(span_type, ''), coalesce(title, ''), coalesce(content, ''), started_at, ended_at,
                coalesce(duration_ms, 0), created_at
             FROM group_traces WHERE ?1 = '' OR source_agent_id = ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3",
        )?
        .query_map((&filter.agent_id, filter.limit, filter.offset), |row| {
            Ok(SpanRow {
                id: row.get(0)?,
                trace_id: row.get(1)?,
                source_agent_id: row.get(2)?,
                span_id: row.get(3)?,
                parent_span_id: row.get(4)?,
                span_type: row.get(5)?,
                title: row.get(6)?,
                content: row.get(7)?,
                started_at: time(row, 8)?,
                ended_at: time(row, 9)?,
                duration_ms: row.get(10)?,
                created_at: time(row, 11)?,
            })
        })?
        .collect()
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::group;
    use crate::timeline;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    #[test]
    fn spans_of_others_are_kept_within_bounds() {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
        db.write_blocking(|tx| {
            let span =
                Span { trace_id: "t".to_owned(), content: "ü".repeat(9_000), duration_ms: 7, ..Span::default() };
            store(tx, &PeerId::from("a"), &span, NOW)?;
            store_audit(tx, &PeerId::from("b"), "t", "{\"event_type\":\"x\"}", NOW)
        })
        .expect("stored");
        let all = TraceFilter { agent_id: String::new(), limit: 10, offset: 0 };
        let rows = db.read_blocking(move |conn| list(conn, &all)).expect("read");
        assert_eq!((rows[0].span_type.as_str(), rows[0].title.as_str()), ("AUDIT", "audit event"));
        assert_eq!((rows[1].content.len(), rows[1].duration_ms), (8_192, 7));
        let gone = |before| db.write_blocking(move |tx| prune(tx, before)).expect("pruned");
        assert_eq!((gone(NOW), gone(NOW.plus(std::time::Duration::from_millis(1)))), (0, 2));
    }

    #[test]
    fn spans_are_listed_by_member() {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
        db.write_blocking(|tx| {
            store(tx, &PeerId::from("a"), &Span::default(), NOW)?;
            store(tx, &PeerId::from("b"), &Span::default(), NOW)
        })
        .expect("stored");
        let of_one = TraceFilter { agent_id: "a".to_owned(), limit: 10, offset: 0 };
        assert_eq!(db.read_blocking(move |conn| list(conn, &of_one)).expect("read").len(), 1);
    }
}
