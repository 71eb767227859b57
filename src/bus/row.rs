//! Reading tasks: for the API, for a caller that asks again, for the daily quota.

use rusqlite::{Connection, OptionalExtension};

use crate::base::clock::Timestamp;
use crate::base::id::{TaskId, TraceId};
use crate::bus::{Answered, WaitsFor};
use crate::db::Tx;
use crate::domain::message::Route;
use crate::domain::task::{DeliveryStatus, TaskStatus};

/// One stored task; texts that were never written read as empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: i64,
    pub task_id: TaskId,
    pub idempotency_key: String,
    pub trace_id: TraceId,
    pub channel: String,
    pub chat_id: String,
    pub sender_id: String,
    pub session: String,
    pub message_type: String,
    pub status: TaskStatus,
    pub content_in: String,
    pub content_out: String,
    pub error_text: String,
    pub delivery_status: DeliveryStatus,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub total_tokens: i64,
    pub provider_id: String,
    pub model_name: String,
    pub route: Option<Route>,
    pub delivery_attempts: i64,
    pub delivery_next_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    /// What it waits for, and the question or the note that was sent.
    pub parked: Option<(WaitsFor, String)>,
}

impl Row {
    /// What a caller who waits for this task may be told now; `None` while it works.
    pub fn answered(&self) -> Option<Answered> {
        match self.status {
            TaskStatus::Completed => {
                Some(Answered::Completed { text: self.content_out.clone(), route: self.route.unwrap_or(Route::Remote) })
            }
            TaskStatus::Failed => Some(Answered::Failed { text: self.error_text.clone() }),
            TaskStatus::Pending | TaskStatus::Processing => {
                let (waits_for, text) = self.parked.clone()?;
                let answered = match waits_for {
                    WaitsFor::Approval(id) => Answered::Parked { prompt: text, approval_id: id.to_string() },
                    WaitsFor::Peer(_) => Answered::Elsewhere { note: text },
                };
                (!answered.is_silent()).then_some(answered)
            }
        }
    }
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub status: Option<TaskStatus>,
    pub channel: Option<String>,
    /// At least one.
    pub limit: u32,
    pub offset: u32,
}

const COLUMNS: &str = "id, task_id, coalesce(idempotency_key, ''), coalesce(trace_id, ''), channel, chat_id,
    coalesce(sender_id, ''), session_key, coalesce(message_type, ''), status, coalesce(content_in, ''),
    coalesce(content_out, ''), coalesce(error_text, ''), delivery_status, prompt_tokens, completion_tokens, total_tokens,
    coalesce(provider_id, ''), coalesce(model_name, ''), route, delivery_attempts, delivery_next_at, created_at, updated_at,
    completed_at, parked_for, coalesce(parked_prompt, '')";

pub fn get(connection: &Connection, task_id: &TaskId) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE task_id = ?1"))?
        .query_row([task_id], row)
        .optional()
}

/// The newest task since `since` whose idempotency key begins with `prefix`.
pub fn by_key_prefix(connection: &Connection, prefix: &str, since: Timestamp) -> rusqlite::Result<Option<TaskId>> {
    // Keys are ASCII or compare by bytes, and nothing sorts after the last character.
    let end = format!("{prefix}\u{10ffff}");
    connection
        .prepare_cached(
            "SELECT task_id FROM tasks WHERE idempotency_key >= ?1 AND idempotency_key < ?2 AND created_at >= ?3
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row((prefix, end, since), |row| row.get(0))
        .optional()
}

/// The channels of all tasks of a trace, the first ones.
pub fn channels_of_trace(connection: &Connection, trace_id: &str) -> rusqlite::Result<Vec<String>> {
    const CHANNELS_MAX: u32 = 8;
    connection
        .prepare_cached("SELECT DISTINCT channel FROM tasks WHERE trace_id = ?1 LIMIT ?2")?
        .query_map((trace_id, CHANNELS_MAX), |row| row.get(0))?
        .collect()
}

/// The newest task of a trace.
pub fn by_trace(connection: &Connection, trace_id: &str) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE trace_id = ?1 ORDER BY id DESC LIMIT 1"))?
        .query_row([trace_id], row)
        .optional()
}

/// Newest first.
pub fn list(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM tasks WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR channel = ?2)
             ORDER BY id DESC LIMIT ?3 OFFSET ?4"
        ))?
        .query_map((filter.status.map(TaskStatus::as_str), &filter.channel, filter.limit, filter.offset), row)?
        .collect()
}

/// Tokens of all tasks created on the UTC day of `now` (specification §5.3).
pub fn tokens_used_today(connection: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    let today = now.to_utc().format("%Y-%m-%d").to_string();
    let tokens: i64 = connection
        .prepare_cached("SELECT coalesce(sum(total_tokens), 0) FROM tasks WHERE created_at >= ?1")?
        .query_row([today], |row| row.get(0))?;
    Ok(u64::try_from(tokens).unwrap_or(0))
}

/// Deletes finished tasks that are too old or too many, a bounded piece at a time; returns how many went.
pub fn prune(tx: &Tx<'_>, before: Timestamp, rows_max: u32) -> rusqlite::Result<usize> {
    const PIECE_LEN: u32 = 5_000;
    tx.execute(
        "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks
            WHERE status IN ('completed', 'failed') AND delivery_status <> 'pending'
              AND (created_at < ?1 OR id <= (SELECT max(id) FROM tasks) - ?2) ORDER BY id LIMIT ?3)",
        (before, rows_max, PIECE_LEN),
    )
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let time = |index| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<String>>(index)?.and_then(|text| Timestamp::parse(&text)))
    };
    let parked_for: Option<String> = row.get(25)?;
    let prompt: String = row.get(26)?;
    Ok(Row {
        id: row.get(0)?,
        task_id: row.get(1)?,
        idempotency_key: row.get(2)?,
        trace_id: row.get(3)?,
        channel: row.get(4)?,
        chat_id: row.get(5)?,
        sender_id: row.get(6)?,
        session: row.get(7)?,
        message_type: row.get(8)?,
        // A word that nobody knows reads as the end of the task: it is never run again.
        status: TaskStatus::parse(&row.get::<_, String>(9)?).unwrap_or(TaskStatus::Failed),
        content_in: row.get(10)?,
        content_out: row.get(11)?,
        error_text: row.get(12)?,
        delivery_status: DeliveryStatus::parse(&row.get::<_, String>(13)?).unwrap_or(DeliveryStatus::Failed),
        prompt_tokens: row.get(14)?,
        completion_tokens: row.get(15)?,
        total_tokens: row.get(16)?,
        provider_id: row.get(17)?,
        model_name: row.get(18)?,
        route: row.get::<_, Option<String>>(19)?.and_then(|text| Route::parse(&text)),
        delivery_attempts: row.get(20)?,
        delivery_next_at: time(21)?,
        created_at: time(22)?.unwrap_or_default(),
        updated_at: time(23)?.unwrap_or_default(),
        completed_at: time(24)?,
        parked: parked_for.map(|waits_for| (WaitsFor::parse(waits_for), prompt)),
    })
}
