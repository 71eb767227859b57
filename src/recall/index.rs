//! The auto-indexer: follows the timeline with a durable cursor and writes, in pieces and off the hot path, what finished
//! turns and tool calls leave behind. Cursor and traces are one transaction: whoever pulls the plug loses nothing and finds
//! nothing twice.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::base::clock::{Clock, Timestamp};
use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::bus::row as tasks;
use crate::db::{Db, DbError, Tx};
use crate::domain::call::OutcomeStatus;
use crate::domain::message::{Origin, Route};
use crate::domain::task::TaskStatus;
use crate::memory::{self, Chunk};
use crate::recall::skill::{self, Use};
use crate::recall::{observe, schema, slate, turn, working};
use crate::timeline::{self, Row};

const CURSOR: &str = "timeline";
/// Events taken in one transaction.
const PIECE_LEN: u32 = 200;
/// What was said in passing is worth less than what somebody asked to be remembered.
const IMPORTANCE: f32 = 0.3;
/// Wait after a failure.
const RETRY_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Config {
    /// How long events gather before they are taken in.
    pub gather: Duration,
    /// Whether messages are queued for the observer.
    pub observes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { gather: Duration::from_secs(2), observes: false }
    }
}

/// Follows until shutdown.
pub async fn run(db: Db, clock: Clock, config: Config, shutdown: Shutdown) {
    let mut committed = db.committed();
    // What was written while nobody followed comes first.
    committed.mark_changed();
    loop {
        tokio::select! {
            changed = committed.changed() => if changed.is_err() { return },
            () = shutdown.triggered() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(config.gather) => {}
            () = shutdown.triggered() => return,
        }
        committed.mark_unchanged();
        if let Err(error) = catch_up(&db, &clock, &config).await {
            tracing::warn!(error = chain(&error), "Finished turns could not be taken into the memory.");
            tokio::select! {
                () = tokio::time::sleep(RETRY_WAIT) => committed.mark_changed(),
                () = shutdown.triggered() => return,
            }
        }
    }
}

/// Takes in everything that is in the timeline by now; returns how many events that were.
pub async fn catch_up(db: &Db, clock: &Clock, config: &Config) -> Result<usize, DbError> {
    let mut total = 0;
    loop {
        let rows = db.read(|conn| timeline::after(conn, schema::cursor(conn, CURSOR)?, PIECE_LEN)).await?;
        let Some(last) = rows.last().map(|row| row.id) else { return Ok(total) };
        total += rows.len();
        let (config, now) = (config.clone(), clock.now());
        db.write(move |tx| {
            for row in &rows {
                take(tx, row, &config, now)?;
            }
            schema::set_cursor(tx, CURSOR, last)
        })
        .await?;
    }
}

fn take(tx: &Tx<'_>, row: &Row, config: &Config, now: Timestamp) -> rusqlite::Result<()> {
    if row.classification == "TOOL" {
        return take_call(tx, row, now);
    }
    if row.classification.ends_with("_OUTBOUND status=sent") {
        return take_answer(tx, row, config, now);
    }
    Ok(())
}

/// The answer of a finished turn.
fn take_answer(tx: &Tx<'_>, row: &Row, config: &Config, now: Timestamp) -> rusqlite::Result<()> {
    let Some(task) = task_of(tx, row)? else { return Ok(()) };
    // A question for permission goes out in the same way; the answer that follows it is the one that counts.
    let is_answer = task.status == TaskStatus::Completed && task.content_out == row.content_text;
    if !is_answer || Origin::parse(&task.message_type) != Origin::Internal {
        return Ok(());
    }
    working::change(tx, (&task.chat_id, &task.session), now, |slate| slate.hear(&task.content_in))?;
    // What the house answers by itself it knows anyway: times, devices, and what is in this memory already.
    if task.route != Some(Route::Intent)
        && let Some(text) = turn::pair(&task.content_in, &task.content_out)
    {
        keep(tx, &text, &format!("conversation:{}", task.channel), &task.chat_id, now)?;
    }
    if config.observes {
        let at = task.completed_at.unwrap_or(now);
        observe::enqueue(tx, &task.session, "user", &task.content_in, task.created_at)?;
        observe::enqueue(tx, &task.session, "assistant", &task.content_out, at)?;
    }
    Ok(())
}

/// What the metadata of a tool's event says.
#[derive(Deserialize)]
struct Called {
    tool_name: String,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    result: String,
    status: OutcomeStatus,
}

fn take_call(tx: &Tx<'_>, row: &Row, now: Timestamp) -> rusqlite::Result<()> {
    // Metadata that was too long to be kept says nothing.
    let Ok(called) = serde_json::from_str::<Called>(&row.metadata) else { return Ok(()) };
    let task = task_of(tx, row)?;
    let event = Use {
        tool: called.tool_name.clone(),
        task_id: task.as_ref().map(|task| task.task_id.to_string()),
        status: called.status,
        duration_ms: row.duration_ms,
        at: row.timestamp,
    };
    skill::learn(tx, &event)?;
    let Some(task) = task.filter(|task| Origin::parse(&task.message_type) == Origin::Internal) else { return Ok(()) };
    if called.status != OutcomeStatus::Done {
        return Ok(());
    }
    if called.tool_name == "device_control" {
        working::change(tx, (&task.chat_id, &task.session), now, |slate| slate.set(slate::DEVICE, &called.result))?;
    }
    let path = called.arguments.get("path").and_then(Value::as_str).unwrap_or_default();
    if let Some(chunk) = turn::tool_chunk(&called.tool_name, path, &called.result) {
        keep(tx, &chunk.content, &format!("tool:{}", called.tool_name), &chunk.tags, now)?;
    }
    Ok(())
}

fn task_of(tx: &Tx<'_>, row: &Row) -> rusqlite::Result<Option<tasks::Row>> {
    let known = serde_json::from_str::<Value>(&row.metadata).ok();
    match known.as_ref().and_then(|metadata| metadata.get("task_id")?.as_str()) {
        Some(id) => tasks::get(tx, &id.into()),
        None => tasks::by_trace(tx, &row.trace_id),
    }
}

/// What cannot be a chunk (it is too long) is left out: the conversation itself still has it.
fn keep(tx: &Tx<'_>, content: &str, source: &str, tags: &str, now: Timestamp) -> rusqlite::Result<()> {
    match Chunk::new(content, source, tags) {
        Ok(chunk) => memory::remember(tx, &chunk.important(IMPORTANCE), now).map(drop),
        Err(_) => Ok(()),
    }
}
