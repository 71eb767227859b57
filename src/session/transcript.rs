//! Transcripts: appended to, read, and trimmed from the old end.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Message, Role};
use crate::base::clock::Timestamp;
use crate::base::id::SessionKey;
use crate::db::Tx;

/// How long transcripts are kept and how much of them.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub age_max: Duration,
    /// Messages kept of one conversation.
    pub messages_max: u32,
    /// Conversations kept; those not used for longest go first.
    pub sessions_max: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age_max: Duration::from_secs(365 * 24 * 3600), messages_max: 5_000, sessions_max: 5_000 }
    }
}

/// A conversation in a list.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Summary {
    pub key: SessionKey,
    pub message_count: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Adds what was said; returns its place in the conversation.
pub fn append(tx: &Tx<'_>, key: &SessionKey, message: &Message) -> rusqlite::Result<i64> {
    let seq: i64 = tx
        .prepare_cached(
            "INSERT INTO session_state (session_key, next_seq, message_count, created_at, updated_at) VALUES (?1, 2, 1, ?2, ?2)
             ON CONFLICT (session_key) DO UPDATE SET next_seq = next_seq + 1, message_count = message_count + 1,
                updated_at = max(updated_at, excluded.updated_at)
             RETURNING next_seq - 1",
        )?
        .query_row(params![key, message.timestamp], |row| row.get(0))?;
    tx.prepare_cached(
        "INSERT INTO session_messages (session_key, seq, role, content, timestamp, task_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![key, seq, message.role.as_str(), message.content, message.timestamp, message.task_id])?;
    Ok(seq)
}

/// The last `count_max` messages, oldest of them first.
pub fn recent(conn: &Connection, key: &SessionKey, count_max: u32) -> rusqlite::Result<Vec<Message>> {
    let mut messages: Vec<Message> = conn
        .prepare_cached(
            "SELECT role, content, timestamp, task_id FROM session_messages WHERE session_key = ?1 ORDER BY seq DESC LIMIT ?2",
        )?
        .query_map(params![key, count_max], read_message)?
        .collect::<rusqlite::Result<_>>()?;
    messages.reverse();
    Ok(messages)
}

/// Messages after place `after` with their places, at most `count_max`: one page of a conversation.
pub fn read(conn: &Connection, key: &SessionKey, after: i64, count_max: u32) -> rusqlite::Result<Vec<(i64, Message)>> {
    conn.prepare_cached(
        "SELECT role, content, timestamp, task_id, seq FROM session_messages
         WHERE session_key = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?
    .query_map(params![key, after, count_max], |row| Ok((row.get(4)?, read_message(row)?)))?
    .collect()
}

/// Conversations, those used last first.
pub fn list(conn: &Connection, count_max: u32) -> rusqlite::Result<Vec<Summary>> {
    conn.prepare_cached(
        "SELECT session_key, message_count, created_at, updated_at FROM session_state ORDER BY updated_at DESC LIMIT ?1",
    )?
    .query_map([count_max], read_summary)?
    .collect()
}

pub fn find(conn: &Connection, key: &SessionKey) -> rusqlite::Result<Option<Summary>> {
    conn.prepare_cached(
        "SELECT session_key, message_count, created_at, updated_at FROM session_state WHERE session_key = ?1",
    )?
    .query_row([key], read_summary)
    .optional()
}

/// Forgets a conversation and its state; false when there was none. An imported file stays imported.
pub fn delete(tx: &Tx<'_>, key: &SessionKey) -> rusqlite::Result<bool> {
    tx.prepare_cached("DELETE FROM session_messages WHERE session_key = ?1")?.execute([key])?;
    Ok(tx.prepare_cached("DELETE FROM session_state WHERE session_key = ?1")?.execute([key])? > 0)
}

/// Trims what is too old or too much, a bounded piece at a time; returns how many messages and conversations went.
pub fn prune(tx: &Tx<'_>, retention: &Retention, now: Timestamp) -> rusqlite::Result<usize> {
    const SESSIONS_PER_CALL: u32 = 100;
    const PIECE_LEN: i64 = 2_000;
    let mut gone = 0;
    let cutoff = now.minus(retention.age_max);
    for (key, next_seq, count) in overgrown(tx, retention, cutoff)? {
        let fresh: Option<i64> = tx
            .prepare_cached(
                "SELECT seq FROM session_messages WHERE session_key = ?1 AND timestamp >= ?2 ORDER BY seq LIMIT 1",
            )?
            .query_row(params![key, cutoff], |row| row.get(0))
            .optional()?;
        // Places are given without gaps and only the old end is cut, so a place tells how many follow it.
        let keep_from = fresh.unwrap_or(next_seq).max(next_seq - i64::from(retention.messages_max));
        let keep_from = keep_from.min(next_seq - i64::from(count) + PIECE_LEN);
        gone += cut(tx, &key, keep_from)?;
    }
    let unused: Vec<SessionKey> = tx
        .prepare_cached(
            "SELECT session_key FROM session_state WHERE updated_at < ?1 AND message_count = 0
             UNION SELECT session_key FROM (SELECT session_key FROM session_state ORDER BY updated_at DESC LIMIT -1 OFFSET ?2)
             LIMIT ?3",
        )?
        .query_map(params![cutoff, retention.sessions_max, SESSIONS_PER_CALL], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for key in unused {
        gone += usize::from(delete(tx, &key)?);
    }
    Ok(gone)
}

/// Conversations that hold too many messages or begin before `cutoff`.
fn overgrown(tx: &Tx<'_>, retention: &Retention, cutoff: Timestamp) -> rusqlite::Result<Vec<(SessionKey, i64, u32)>> {
    const SESSIONS_PER_CALL: u32 = 100;
    tx.prepare_cached(
        "SELECT session_key, next_seq, message_count FROM session_state AS s
         WHERE message_count > ?1 OR (message_count > 0 AND created_at < ?2 AND ?2 > (
            SELECT timestamp FROM session_messages AS m WHERE m.session_key = s.session_key ORDER BY seq LIMIT 1))
         LIMIT ?3",
    )?
    .query_map(params![retention.messages_max, cutoff, SESSIONS_PER_CALL], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?
    .collect()
}

fn cut(tx: &Tx<'_>, key: &SessionKey, keep_from: i64) -> rusqlite::Result<usize> {
    let gone = tx
        .prepare_cached("DELETE FROM session_messages WHERE session_key = ?1 AND seq < ?2")?
        .execute(params![key, keep_from])?;
    tx.prepare_cached("UPDATE session_state SET message_count = message_count - ?2 WHERE session_key = ?1")?
        .execute(params![key, i64::try_from(gone).unwrap_or(i64::MAX)])?;
    Ok(gone)
}

fn read_summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary { key: row.get(0)?, message_count: row.get(1)?, created_at: row.get(2)?, updated_at: row.get(3)? })
}

fn read_message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        role: Role::parse(&row.get::<_, String>(0)?).unwrap_or(Role::System),
        content: row.get(1)?,
        timestamp: row.get(2)?,
        task_id: row.get(3)?,
    })
}
