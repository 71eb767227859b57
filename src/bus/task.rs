//! The moves of a task, each inside the caller's transaction and each with the event that announces it.

use rusqlite::{Connection, OptionalExtension};
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::id::{DeliveryId, SpanId, TaskId};
use crate::bus::dispatch::Waiting;
use crate::bus::{Accepted, Leased, WaitsFor, delivery};
use crate::db::Tx;
use crate::domain::event::Event;
use crate::domain::message::{Channel, Inbound, Origin, Outbound, Route};
use crate::timeline;

/// Starts of one task that may end with the process before it is given up.
const INTERRUPTIONS_MAX: u32 = 3;
const GIVEN_UP: &str = "The power went away each time I worked on this, so I stopped trying. Please ask again.";

/// Model tokens that one call used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
}

/// Stores an accepted message, unless its idempotency key is known.
pub fn insert(tx: &Tx<'_>, task_id: &TaskId, inbound: &Inbound, now: Timestamp) -> rusqlite::Result<Accepted> {
    if let Some(key) = &inbound.idempotency_key {
        let known = tx
            .prepare_cached("SELECT task_id FROM tasks WHERE idempotency_key = ?1")?
            .query_row([key], |row| row.get::<_, TaskId>(0))
            .optional()?;
        if let Some(known) = known {
            return Ok(Accepted::Duplicate(known));
        }
    }
    let skipped = inbound.channel.is_answered_in_place();
    tx.prepare_cached(
        "INSERT INTO tasks (task_id, idempotency_key, trace_id, channel, chat_id, sender_id, content_in, delivery_status,
            created_at, updated_at, message_type, session_key, thread_id, message_id, reply_hint)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(rusqlite::params![
        task_id,
        inbound.idempotency_key,
        inbound.trace_id,
        inbound.channel.as_str(),
        inbound.chat_id,
        inbound.sender_id,
        inbound.content,
        if skipped { "skipped" } else { "pending" },
        now,
        inbound.origin.as_str(),
        inbound.session,
        inbound.thread_id,
        inbound.message_id,
        inbound.reply_hint,
    ])?;
    timeline::append(tx, &inbound_event(task_id, inbound))?;
    Ok(Accepted::New(task_id.clone()))
}

/// Brings back what a dead process left in work and gives up what never gets through; returns how many tasks are open.
pub fn recover(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    tx.execute(
        "UPDATE tasks SET status = 'pending', interruptions = interruptions + 1, updated_at = ?1 WHERE status = 'processing'",
        [now],
    )?;
    let hopeless = tx
        .prepare(&format!("SELECT {COLUMNS} FROM tasks WHERE status = 'pending' AND interruptions > ?1"))?
        .query_map([INTERRUPTIONS_MAX], waiting)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for Waiting { leased, .. } in hopeless {
        fail(tx, &leased, GIVEN_UP, now)?;
    }
    let open: i64 =
        tx.query_row("SELECT count(*) FROM tasks WHERE status IN ('pending', 'processing')", [], |row| row.get(0))?;
    Ok(usize::try_from(open).unwrap_or(0))
}

/// Notes that work with an effect begins; from here on a crash counts as an interruption.
pub fn begin(tx: &Tx<'_>, task_id: &TaskId, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE tasks SET status = 'processing', updated_at = ?2 WHERE task_id = ?1 AND status = 'pending'",
    )?
    .execute((task_id, now))
    .map(drop)
}

/// Ends the task with its answer and puts the answer on its way.
pub fn finish(tx: &Tx<'_>, leased: &Leased, text: &str, route: Route, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE tasks SET status = 'completed', content_out = ?2, route = ?3, error_text = NULL, completed_at = ?4,
            updated_at = ?4, parked_for = NULL, parked_prompt = NULL WHERE task_id = ?1",
    )?
    .execute((&leased.task_id, text, route.as_str(), now))?;
    send(tx, leased, &Sent { text, route, status: "sent", is_answer: true }, now)
}

/// Ends the task with a sentence for the person; the inside of the failure belongs in the log.
pub fn fail(tx: &Tx<'_>, leased: &Leased, text: &str, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE tasks SET status = 'failed', error_text = ?2, content_out = ?2, completed_at = ?3, updated_at = ?3,
            parked_for = NULL, parked_prompt = NULL WHERE task_id = ?1",
    )?
    .execute((&leased.task_id, text, now))?;
    send(tx, leased, &Sent { text, route: Route::Intent, status: "error", is_answer: true }, now)
}

/// Sets the task aside until `waits_for` is decided or answered, and sends the question or the note; a blank one is not sent.
pub fn park(tx: &Tx<'_>, leased: &Leased, waits_for: &WaitsFor, text: &str, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE tasks SET status = 'pending', parked_for = ?2, parked_prompt = ?3, updated_at = ?4 WHERE task_id = ?1",
    )?
    .execute((&leased.task_id, waits_for.stored(), text, now))?;
    if text.is_empty() {
        return Ok(());
    }
    send(tx, leased, &Sent { text, route: Route::Intent, status: "sent", is_answer: false }, now)
}

/// Lets the task that waits for `waits_for` go on, in the transaction that decides or answers it; follow with
/// [`crate::bus::Bus::resume`].
pub fn unpark(tx: &Tx<'_>, waits_for: &WaitsFor, now: Timestamp) -> rusqlite::Result<Option<TaskId>> {
    tx.prepare_cached(
        "UPDATE tasks SET parked_for = NULL, parked_prompt = NULL, updated_at = ?2
         WHERE parked_for = ?1 AND status = 'pending' RETURNING task_id",
    )?
    .query_row((waits_for.stored(), now), |row| row.get(0))
    .optional()
}

/// Adds what a model call used to the task's account.
pub fn add_usage(tx: &Tx<'_>, task_id: &TaskId, usage: Usage, provider: &str, model: &str) -> rusqlite::Result<()> {
    let (prompt, completion) = (signed(usage.prompt), signed(usage.completion));
    tx.prepare_cached(
        "UPDATE tasks SET prompt_tokens = prompt_tokens + ?2, completion_tokens = completion_tokens + ?3,
            total_tokens = total_tokens + ?2 + ?3, provider_id = ?4, model_name = ?5 WHERE task_id = ?1",
    )?
    .execute((task_id, prompt, completion, provider, model))
    .map(drop)
}

/// Ready tasks accepted after row `cursor`, in order.
pub(super) fn waiting_after(connection: &Connection, cursor: i64, room: usize) -> rusqlite::Result<Vec<Waiting>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM tasks
             WHERE status = 'pending' AND id > ?1 AND parked_for IS NULL ORDER BY id LIMIT ?2"
        ))?
        .query_map((cursor, i64::try_from(room).unwrap_or(i64::MAX)), waiting)?
        .collect()
}

/// One ready task, when it is (still) ready.
pub(super) fn waiting_by_id(connection: &Connection, task_id: &TaskId) -> rusqlite::Result<Option<Waiting>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM tasks WHERE task_id = ?1 AND status = 'pending' AND parked_for IS NULL"
        ))?
        .query_row([task_id], waiting)
        .optional()
}

/// The span that everything of a task hangs under: its own id, shortened.
pub fn root_span(task_id: &TaskId) -> SpanId {
    SpanId::new(task_id.as_str().get(..16).unwrap_or(task_id.as_str()))
}

const COLUMNS: &str = "id, task_id, coalesce(trace_id, ''), channel, chat_id, thread_id, coalesce(sender_id, ''), session_key,
    idempotency_key, message_id, coalesce(content_in, ''), coalesce(message_type, ''), reply_hint, created_at, interruptions";

fn waiting(row: &rusqlite::Row<'_>) -> rusqlite::Result<Waiting> {
    let inbound = Inbound {
        trace_id: row.get(2)?,
        channel: Channel::new(row.get::<_, String>(3)?),
        chat_id: row.get(4)?,
        thread_id: row.get(5)?,
        sender_id: row.get(6)?,
        session: row.get(7)?,
        idempotency_key: row.get(8)?,
        message_id: row.get(9)?,
        content: row.get(10)?,
        origin: Origin::parse(&row.get::<_, String>(11)?),
        reply_hint: row.get(12)?,
        received_at: row.get::<_, Option<String>>(13)?.and_then(|text| Timestamp::parse(&text)).unwrap_or_default(),
    };
    Ok(Waiting { row: row.get(0)?, leased: Leased { task_id: row.get(1)?, inbound, interrupted: row.get(14)? } })
}

struct Sent<'a> {
    text: &'a str,
    route: Route,
    /// KafClaw's word for the local channel: `sent` or `error`.
    status: &'static str,
    is_answer: bool,
}

/// Records the outgoing text and, where somebody has to carry it, queues its delivery.
fn send(tx: &Tx<'_>, leased: &Leased, sent: &Sent<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let inbound = &leased.inbound;
    timeline::append(tx, &outbound_event(leased, sent, now))?;
    if inbound.channel.is_answered_in_place() {
        return Ok(());
    }
    let outbound = Outbound {
        id: DeliveryId::random(),
        channel: inbound.channel.clone(),
        chat_id: inbound.chat_id.clone(),
        thread_id: inbound.thread_id.clone(),
        trace_id: inbound.trace_id.clone(),
        task_id: Some(leased.task_id.clone()),
        in_reply_to: inbound.message_id.clone(),
        route: sent.route,
        content: sent.text.to_owned(),
        reply_hint: inbound.reply_hint.clone(),
    };
    delivery::insert(tx, &outbound, sent.is_answer, now)
}

fn inbound_event(task_id: &TaskId, inbound: &Inbound) -> Event {
    let channel = inbound.channel.as_str().to_uppercase();
    let metadata = json!({
        "channel": inbound.channel,
        "sender": inbound.sender_id,
        "message_type": "TEXT",
        "content": inbound.content,
        "task_id": task_id,
    });
    Event {
        span_id: Some(root_span(task_id)),
        sender_id: inbound.sender_id.clone(),
        sender_name: inbound.sender_id.clone(),
        event_type: "TEXT",
        content: inbound.content.clone(),
        metadata,
        span_started_at: Some(inbound.received_at),
        ..Event::system(
            &format!("{channel}_IN"),
            inbound.trace_id.clone(),
            inbound.received_at,
            format!("{channel}_INBOUND"),
        )
    }
}

fn outbound_event(leased: &Leased, sent: &Sent<'_>, now: Timestamp) -> Event {
    let inbound = &leased.inbound;
    let channel = inbound.channel.as_str().to_uppercase();
    let classification = format!("{channel}_OUTBOUND status={}", sent.status);
    let metadata = json!({
        "response_text": sent.text,
        "delivery_status": sent.status,
        "route": sent.route.as_str(),
        "task_id": leased.task_id,
        "chat_id": inbound.chat_id,
    });
    Event {
        span_id: Some(SpanId::random()),
        parent_span_id: Some(root_span(&leased.task_id)),
        content: sent.text.to_owned(),
        metadata,
        span_started_at: Some(inbound.received_at),
        duration_ms: u64::try_from(now.since(inbound.received_at).as_millis()).unwrap_or(u64::MAX),
        ..Event::system(&format!("{channel}_OUT"), inbound.trace_id.clone(), now, classification)
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
