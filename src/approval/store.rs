//! Requests in the database: made, answered, expired; each change with its event in the same transaction.

use rusqlite::{Connection, OptionalExtension};
use serde_json::json;

use crate::approval::schema::{COLUMNS, read};
use crate::approval::{Decision, Fact, NewRequest, Request, Responder, Response, Status, Step};
use crate::base::clock::Timestamp;
use crate::base::id::{ApprovalId, TaskId, TraceId};
use crate::db::Tx;
use crate::domain::event::Event;
use crate::timeline;

/// Requests listed at once.
const PENDING_LISTED_MAX: u32 = 1_000;
/// Requests timed out by one call of [`expire_due`].
const EXPIRE_PIECE_LEN: u32 = 256;
/// Rows deleted by one call of [`prune`].
const PRUNE_PIECE_LEN: u32 = 5_000;

/// Stores a pending request and announces it. Asking again for the same call of the same task, as after a crash, returns the
/// request that is already there.
pub fn request(tx: &Tx<'_>, new: &NewRequest<'_>) -> rusqlite::Result<Request> {
    if let Some(known) = for_call(tx, new.task_id, &new.call.id)? {
        return Ok(known);
    }
    let asker = new.asker;
    tx.prepare_cached(
        "INSERT INTO approval_requests (approval_id, trace_id, task_id, tool, tier, call_id, arguments, sender, channel,
            session_key, chat_id, thread_id, reply_hint, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute((
        new.id,
        new.trace_id,
        new.task_id,
        &new.call.tool,
        new.tier.as_u8(),
        &new.call.id,
        new.call.arguments.to_string(),
        &asker.sender_id,
        asker.channel.as_str(),
        &asker.session,
        &asker.chat_id,
        &asker.thread_id,
        &asker.reply_hint,
        new.asked_at,
        new.expires_at,
    ))?;
    let request = get(tx, new.id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    announce(tx, &request, new.asked_at)?;
    Ok(request)
}

/// Takes an answer. An answer from somebody without a say is recorded as a security event and changes nothing.
pub fn respond(
    tx: &Tx<'_>,
    id: &ApprovalId,
    decision: Decision,
    by: &Responder,
    now: Timestamp,
) -> rusqlite::Result<Response> {
    let Some(request) = get(tx, id)? else { return Ok(Response::Unknown) };
    if !request.may_be_answered_by(by) {
        warn_of(tx, &request, by, now)?;
        return Ok(Response::Refused);
    }
    match request.status.next(Fact::Answered(decision), request.expires_at, now) {
        Step::Stays(status) => Ok(Response::AlreadyDecided(status)),
        Step::Becomes(status) => {
            let request = decide(tx, request, status, by.name(), now)?;
            Ok(Response::Responded(Box::new(request)))
        }
    }
}

/// Times out what is due, a piece at a time, and returns it; call again until nothing is returned.
pub fn expire_due(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<Vec<Request>> {
    let due = tx
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM approval_requests WHERE status = 'pending' AND expires_at <= ?1 ORDER BY id LIMIT ?2"
        ))?
        .query_map((now, EXPIRE_PIECE_LEN), read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut expired = Vec::with_capacity(due.len());
    for request in due {
        if let Step::Becomes(status) = request.status.next(Fact::TimePassed, request.expires_at, now) {
            expired.push(decide(tx, request, status, "", now)?);
        }
    }
    Ok(expired)
}

/// When [`expire_due`] has work next.
pub fn next_expiry(conn: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let earliest: Option<String> = conn
        .prepare_cached(
            "SELECT min(coalesce(nullif(expires_at, ''), created_at)) FROM approval_requests WHERE status = 'pending'",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(earliest.and_then(|text| Timestamp::parse(&text)))
}

/// What waits for an answer, oldest first.
pub fn pending(conn: &Connection) -> rusqlite::Result<Vec<Request>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM approval_requests WHERE status = 'pending' ORDER BY id LIMIT ?1"
    ))?
    .query_map([PENDING_LISTED_MAX], read)?
    .collect()
}

pub fn get(conn: &Connection, id: &ApprovalId) -> rusqlite::Result<Option<Request>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM approval_requests WHERE approval_id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// The request that was made for one call, whatever became of it.
pub fn for_call(conn: &Connection, task_id: &TaskId, call_id: &str) -> rusqlite::Result<Option<Request>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM approval_requests WHERE task_id = ?1 AND call_id = ?2 ORDER BY id DESC LIMIT 1"
    ))?
    .query_row((task_id, call_id), read)
    .optional()
}

/// The requests of one trace, oldest first.
pub fn of_trace(conn: &Connection, trace_id: &TraceId) -> rusqlite::Result<Vec<Request>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM approval_requests WHERE trace_id = ?1 ORDER BY id LIMIT ?2"))?
        .query_map((trace_id, PENDING_LISTED_MAX), read)?
        .collect()
}

/// The newest requests, newest first; of one status and one person when those are not empty.
pub fn newest(conn: &Connection, (status, sender): (&str, &str), limit: u32) -> rusqlite::Result<Vec<Request>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM approval_requests WHERE (?1 = '' OR status = ?1) AND (?2 = '' OR sender = ?2)
         ORDER BY id DESC LIMIT ?3"
    ))?
    .query_map((status, sender, limit), read)?
    .collect()
}

/// Deletes decided requests older than `before` and the oldest above `rows_max`; returns how many went. Pending ones stay.
pub fn prune(tx: &Tx<'_>, before: Timestamp, rows_max: u32) -> rusqlite::Result<usize> {
    let old = tx.execute(
        "DELETE FROM approval_requests WHERE id IN
            (SELECT id FROM approval_requests WHERE status <> 'pending' AND created_at < ?1 ORDER BY id LIMIT ?2)",
        (before, PRUNE_PIECE_LEN),
    )?;
    let excess = tx.execute(
        "DELETE FROM approval_requests WHERE id IN
            (SELECT id FROM approval_requests
             WHERE status <> 'pending' AND id <= (SELECT max(id) FROM approval_requests) - ?1 ORDER BY id LIMIT ?2)",
        (rows_max, PRUNE_PIECE_LEN),
    )?;
    Ok(old + excess)
}

fn decide(tx: &Tx<'_>, request: Request, status: Status, by: &str, now: Timestamp) -> rusqlite::Result<Request> {
    tx.prepare_cached(
        "UPDATE approval_requests SET status = ?2, responded_at = ?3, responded_by = nullif(?4, '')
         WHERE id = ?1 AND status = 'pending'",
    )?
    .execute((request.row_id, status.as_str(), now, by))?;
    let responded_by = (!by.is_empty()).then(|| by.to_owned());
    let decided = Request { status, responded_at: Some(now), responded_by, ..request };
    announce(tx, &decided, now)?;
    Ok(decided)
}

fn announce(tx: &Tx<'_>, request: &Request, now: Timestamp) -> rusqlite::Result<()> {
    let classification = match request.status {
        Status::Pending => "APPROVAL_REQUESTED",
        Status::Approved | Status::Denied => "APPROVAL_RESPONDED",
        Status::Timeout => "APPROVAL_EXPIRED",
    };
    let event = Event {
        content: request.title(),
        metadata: json!({
            "approval_id": request.id,
            "task_id": request.task_id,
            "tool": request.tool,
            "tier": request.tier.as_u8(),
            "status": request.status.as_str(),
            "responded_by": request.responded_by,
        }),
        ..Event::system("APPROVAL", request.trace_id.clone(), now, classification)
    };
    timeline::append(tx, &event).map(drop)
}

fn warn_of(tx: &Tx<'_>, request: &Request, by: &Responder, now: Timestamp) -> rusqlite::Result<()> {
    let event = Event {
        sender_id: by.name().to_owned(),
        event_type: "SECURITY",
        content: "An answer to an approval request came from somebody who may not give one.".to_owned(),
        authorized: false,
        metadata: json!({ "approval_id": request.id, "tool": request.tool }),
        ..Event::system("APPROVAL", request.trace_id.clone(), now, "APPROVAL_REFUSED")
    };
    timeline::append(tx, &event).map(drop)
}
