//! Texts on their way out: what is due, what came of an attempt, and when the next one is made (specification §6.6).

use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::id::{DeliveryId, TaskId};
use crate::base::limits;
use crate::db::Tx;
use crate::domain::event::Event;
use crate::domain::message::{Channel, DeliveryFailure, Outbound, Route};
use crate::timeline;

/// A delivery that may be tried now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    pub row: i64,
    pub attempts: u32,
    pub outbound: Outbound,
}

/// What follows from a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    RetryAt(Timestamp),
    GiveUp(DeliveryFailure),
}

/// Decides about attempt number `attempts` (counted from one), which failed at `now`.
pub fn after_failure(failure: DeliveryFailure, attempts: u32, now: Timestamp) -> Next {
    if !failure.is_transient() {
        return Next::GiveUp(failure);
    }
    if attempts >= limits::DELIVERY_ATTEMPTS_MAX {
        return Next::GiveUp(DeliveryFailure::MaxRetriesExceeded);
    }
    Next::RetryAt(now.plus(backoff(attempts - 1)))
}

/// 30 s times two to the power of `exponent`, at most five minutes.
fn backoff(exponent: u32) -> Duration {
    limits::DELIVERY_BACKOFF
        .saturating_mul(1_u32.checked_shl(exponent).unwrap_or(u32::MAX))
        .min(limits::DELIVERY_BACKOFF_MAX)
}

/// Queues a text. `is_answer`: its fate is repeated in the task's own delivery columns.
pub fn insert(tx: &Tx<'_>, outbound: &Outbound, is_answer: bool, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO deliveries (delivery_id, task_id, is_answer, trace_id, channel, chat_id, thread_id, in_reply_to, route,
            content, reply_hint, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)",
    )?
    .execute(rusqlite::params![
        outbound.id,
        outbound.task_id,
        is_answer,
        outbound.trace_id,
        outbound.channel.as_str(),
        outbound.chat_id,
        outbound.thread_id,
        outbound.in_reply_to,
        outbound.route.as_str(),
        outbound.content,
        outbound.reply_hint,
        now,
    ])
    .map(drop)
}

/// Sends the answer of a finished task once more, with the id it had; false when there is none (yet).
pub fn repeat(tx: &Tx<'_>, task_id: &TaskId, now: Timestamp) -> rusqlite::Result<bool> {
    let queued = tx
        .prepare_cached(
            "UPDATE deliveries SET status = 'pending', attempts = 0, next_at = NULL, reason = NULL, updated_at = ?2
             WHERE task_id = ?1 AND is_answer AND status <> 'pending'",
        )?
        .execute((task_id, now))?;
    Ok(queued > 0)
}

/// The oldest pending text of each chat, where that one is due; texts of one chat never overtake each other.
pub fn due(connection: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<Due>> {
    connection
        .prepare_cached(
            "SELECT id, attempts, delivery_id, channel, chat_id, thread_id, trace_id, task_id, in_reply_to, route, content,
                reply_hint
             FROM deliveries AS oldest
             WHERE status = 'pending' AND (next_at IS NULL OR next_at <= ?1)
               AND NOT EXISTS (SELECT 1 FROM deliveries AS older
                   WHERE older.status = 'pending' AND older.channel = oldest.channel AND older.chat_id = oldest.chat_id
                     AND older.id < oldest.id)
             ORDER BY id LIMIT ?2",
        )?
        .query_map((now, i64::try_from(limit).unwrap_or(i64::MAX)), |row| {
            Ok(Due {
                row: row.get(0)?,
                attempts: row.get(1)?,
                outbound: Outbound {
                    id: row.get(2)?,
                    channel: Channel::new(row.get::<_, String>(3)?),
                    chat_id: row.get(4)?,
                    thread_id: row.get(5)?,
                    trace_id: row.get(6)?,
                    task_id: row.get(7)?,
                    in_reply_to: row.get(8)?,
                    route: Route::parse(&row.get::<_, String>(9)?).unwrap_or(Route::Intent),
                    content: row.get(10)?,
                    reply_hint: row.get(11)?,
                },
            })
        })?
        .collect()
}

/// Texts that wait, whatever for.
pub fn waiting_len(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM deliveries WHERE status = 'pending'")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|count| u64::try_from(count).unwrap_or(0))
}

pub(super) fn mark_sent(tx: &Tx<'_>, due: &Due, now: Timestamp) -> rusqlite::Result<()> {
    record(tx, due, "sent", None, None, now)
}

/// Records a failed attempt and what follows from it; returns that.
pub(super) fn mark_failed(tx: &Tx<'_>, due: &Due, failure: DeliveryFailure, now: Timestamp) -> rusqlite::Result<Next> {
    let next = after_failure(failure, due.attempts + 1, now);
    match next {
        Next::RetryAt(at) => record(tx, due, "pending", Some(at), Some(failure), now)?,
        Next::GiveUp(reason) => {
            record(tx, due, "failed", None, Some(reason), now)?;
            let outbound = &due.outbound;
            let classification = format!("{}_OUTBOUND status=failed", outbound.channel.as_str().to_uppercase());
            let event = Event {
                content: format!("An answer could not be delivered: {reason}"),
                metadata: json!({"delivery_id": outbound.id, "reason": reason.reason(), "task_id": outbound.task_id}),
                ..Event::system("DELIVERY", outbound.trace_id.clone(), now, classification)
            };
            timeline::append(tx, &event)?;
        }
    }
    Ok(next)
}

fn record(
    tx: &Tx<'_>,
    due: &Due,
    status: &'static str,
    next_at: Option<Timestamp>,
    reason: Option<DeliveryFailure>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let reason = reason.map(DeliveryFailure::reason);
    let is_answer: bool = tx
        .prepare_cached(
            "UPDATE deliveries SET status = ?2, attempts = attempts + 1, next_at = ?3, reason = ?4, updated_at = ?5
             WHERE id = ?1 RETURNING is_answer",
        )?
        .query_row((due.row, status, next_at, reason, now), |row| row.get(0))?;
    if let (true, Some(task_id)) = (is_answer, &due.outbound.task_id) {
        tx.prepare_cached(
            "UPDATE tasks SET delivery_status = ?2, delivery_attempts = delivery_attempts + 1, delivery_next_at = ?3,
                error_text = coalesce(?4, error_text), updated_at = ?5 WHERE task_id = ?1",
        )?
        .execute((task_id, status, next_at, reason, now))?;
    }
    Ok(())
}

/// Deletes texts that went out or never will, when they are too old or too many; returns how many went.
pub fn prune(tx: &Tx<'_>, before: Timestamp, rows_max: u32) -> rusqlite::Result<usize> {
    const PIECE_LEN: u32 = 5_000;
    tx.execute(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries
            WHERE status <> 'pending' AND (created_at < ?1 OR id <= (SELECT max(id) FROM deliveries) - ?2)
            ORDER BY id LIMIT ?3)",
        (before, rows_max, PIECE_LEN),
    )
}

/// The id under which a task's answer goes out, for tests and for the API.
pub fn answer_id(connection: &Connection, task_id: &TaskId) -> rusqlite::Result<Option<DeliveryId>> {
    use rusqlite::OptionalExtension;
    connection
        .prepare_cached("SELECT delivery_id FROM deliveries WHERE task_id = ?1 AND is_answer ORDER BY id LIMIT 1")?
        .query_row([task_id], |row| row.get(0))
        .optional()
}
