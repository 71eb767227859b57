//! Tables `observations_queue` and `observations`. Each observation is a chunk of layer `observation` as well, so that it is
//! found like everything else; both change in one transaction.

use rusqlite::{Connection, params};

use super::lines::{Line, Priority};
use super::watch::Count;
use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::memory::{self, Chunk};

/// Shortest message that is observed, in bytes (specification §8.5).
const MESSAGE_BYTES_MIN: usize = 20;
/// Kept of one message in the queue, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Shown to a model at once: messages, and bytes of all of them.
const MESSAGES_MAX: u32 = 200;
const TEXT_BYTES_MAX: usize = 48 * 1024;
/// Observations that are condensed at once.
const OBSERVATIONS_MAX: u32 = 1_000;

/// A stored observation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// Shown as `obs-<id>`.
    pub id: i64,
    pub content: String,
    pub priority: Priority,
    /// What day it is about.
    pub referenced_at: Timestamp,
}

/// What the observer has and has not done yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub last_observation: Option<Timestamp>,
    pub observations: u64,
    /// Messages that wait to be observed.
    pub queue_len: u64,
}

/// A message that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    pub id: i64,
    role: String,
    content: String,
    at: Timestamp,
}

impl Waiting {
    /// `[YYYY-MM-DD HH:MM] role: text`
    pub(super) fn line(&self) -> String {
        let content = self.content.replace(['\n', '\r'], " ");
        format!("[{}] {}: {content}", self.at.to_utc().format("%Y-%m-%d %H:%M"), self.role)
    }
}

/// Queues a message, unless it is too short to say anything.
pub fn enqueue(tx: &Tx<'_>, session: &str, role: &str, content: &str, at: Timestamp) -> rusqlite::Result<()> {
    let content = content.trim();
    if content.len() < MESSAGE_BYTES_MIN {
        return Ok(());
    }
    tx.prepare_cached("INSERT INTO observations_queue (session_id, role, content, created_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![session, role, &content[..content.floor_char_boundary(MESSAGE_BYTES_MAX)], at])
        .map(drop)
}

pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Vec<Count>> {
    conn.prepare_cached(
        "SELECT session, sum(unobserved), sum(observations) FROM (
            SELECT session_id AS session, count(*) AS unobserved, 0 AS observations FROM observations_queue
                WHERE observed = 0 GROUP BY session_id
            UNION ALL SELECT session_id, 0, count(*) FROM observations GROUP BY session_id) GROUP BY session",
    )?
    .query_map([], |row| Ok(Count { session: row.get(0)?, unobserved: row.get(1)?, observations: row.get(2)? }))?
    .collect()
}

/// The oldest messages of a conversation that wait, as many as one question may hold.
pub(super) fn waiting(conn: &Connection, session: &str) -> rusqlite::Result<Vec<Waiting>> {
    let mut left = TEXT_BYTES_MAX;
    let rows = conn
        .prepare_cached(
            "SELECT id, role, content, created_at FROM observations_queue WHERE session_id = ?1 AND observed = 0
             ORDER BY id LIMIT ?2",
        )?
        .query_map(params![session, MESSAGES_MAX], |row| {
            let at = Timestamp::parse(&row.get::<_, String>(3)?).unwrap_or_default();
            Ok(Waiting { id: row.get(0)?, role: row.get(1)?, content: row.get(2)?, at })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let fits = |message: &Waiting| {
        let bytes = message.content.len();
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    Ok(rows.into_iter().take_while(fits).collect())
}

pub(super) fn mark_observed(tx: &Tx<'_>, session: &str, last: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE observations_queue SET observed = 1 WHERE session_id = ?1 AND id <= ?2 AND observed = 0",
        params![session, last],
    )
    .map(drop)
}

pub(super) fn add(tx: &Tx<'_>, session: &str, lines: &[Line], now: Timestamp) -> rusqlite::Result<()> {
    for line in lines {
        tx.prepare_cached(
            "INSERT INTO observations (session_id, content, priority, observed_at, referenced_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![session, line.text, line.priority.as_str(), now, line.referenced_at])?;
        let tags = super::date_of(line.referenced_at);
        if let Ok(chunk) = Chunk::new(&line.text, &source(session), &tags) {
            memory::remember(tx, &chunk.important(line.priority.importance()), now)?;
        }
    }
    Ok(())
}

pub(super) fn remove(tx: &Tx<'_>, session: &str, ids: &[i64]) -> rusqlite::Result<()> {
    for id in ids {
        let content: Vec<String> = tx
            .prepare_cached("DELETE FROM observations WHERE id = ?1 AND session_id = ?2 RETURNING content")?
            .query_map(params![id, session], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for content in content {
            memory::forget(tx, &memory::chunk_id(&source(session), content.trim()))?;
        }
    }
    Ok(())
}

/// Forgets every observation and all messages that wait; their chunks are the memory's.
pub fn reset(tx: &Tx<'_>) -> rusqlite::Result<()> {
    tx.execute_batch("DELETE FROM observations; DELETE FROM observations_queue")
}

/// Every observation of a conversation, oldest date first.
pub(super) fn all(conn: &Connection, session: &str) -> rusqlite::Result<Vec<Observation>> {
    conn.prepare_cached(
        "SELECT id, content, priority, referenced_at FROM observations WHERE session_id = ?1
         ORDER BY substr(referenced_at, 1, 10), id LIMIT ?2",
    )?
    .query_map(params![session, OBSERVATIONS_MAX], read)?
    .collect()
}

/// The last observations of a conversation, oldest of them first.
pub fn recent(conn: &Connection, session: &str, count_max: u32) -> rusqlite::Result<Vec<Observation>> {
    let mut found: Vec<Observation> = conn
        .prepare_cached(
            "SELECT id, content, priority, referenced_at FROM observations WHERE session_id = ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(params![session, count_max], read)?
        .collect::<rusqlite::Result<_>>()?;
    found.reverse();
    Ok(found)
}

/// The last observations of all conversations, newest first.
pub fn list(conn: &Connection, count_max: u32) -> rusqlite::Result<Vec<Observation>> {
    conn.prepare_cached("SELECT id, content, priority, referenced_at FROM observations ORDER BY id DESC LIMIT ?1")?
        .query_map([count_max], read)?
        .collect()
}

pub fn facts(conn: &Connection) -> rusqlite::Result<Facts> {
    let (observations, last): (u32, Option<String>) =
        conn.query_row("SELECT count(*), max(observed_at) FROM observations", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let queue_len: u32 =
        conn.query_row("SELECT count(*) FROM observations_queue WHERE observed = 0", [], |row| row.get(0))?;
    Ok(Facts {
        last_observation: last.and_then(|text| Timestamp::parse(&text)),
        observations: observations.into(),
        queue_len: queue_len.into(),
    })
}

fn source(session: &str) -> String {
    format!("observation:{session}")
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Observation> {
    let referenced_at = Timestamp::parse(&row.get::<_, String>(3)?).unwrap_or_default();
    Ok(Observation {
        id: row.get(0)?,
        content: row.get(1)?,
        priority: Priority::parse(&row.get::<_, String>(2)?),
        referenced_at,
    })
}
