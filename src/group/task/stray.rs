//! Answers of agents in Go, which come under an id of their own (group specification §0.4, §14.4).
//!
//! Such an agent leaves a trace of the kind `TASK` under the requester's id, with the answer's whole text. The trace and the answer
//! come on different topics in any order; whichever is first waits for the other, for a while.

use std::time::Duration;

use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::Tx;
use crate::domain::peer::{Answer, AnswerStatus};
use crate::group::task::Direction;

/// How long either waits for the other.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Of each that wait.
const WAITING_MAX: u32 = 256;

/// An answer to a task that we asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Match {
    /// Ours.
    pub task_id: String,
    /// With our id in it.
    pub answer: Answer,
}

/// Takes the trace that `from` left about a task; returns the answer to it if that is here.
pub fn traced(
    tx: &Tx<'_>,
    task_id: &str,
    from: &PeerId,
    content: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<Match>> {
    forget(tx, now)?;
    if !is_open(tx, task_id)? {
        return Ok(None);
    }
    let hash = hash_of(content);
    let stray = tx
        .prepare_cached("DELETE FROM group_task_strays WHERE sender_id = ?1 AND hash = ?2 RETURNING outcome, content")?
        .query_row((from, hash), |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    if let Some((outcome, content)) = stray {
        let outcome = AnswerStatus::parse(&outcome).unwrap_or(AnswerStatus::Completed);
        return Ok(Some(matched(task_id, from, content, outcome)));
    }
    tx.prepare_cached(
        "INSERT OR REPLACE INTO group_task_hints (task_id, sender_id, hash, received_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((task_id, from, hash, now.as_millis()))?;
    Ok(None)
}

/// Takes an answer under an id that is none of ours; returns the task it answers if its trace is here. Otherwise it waits, and
/// is an answer to nothing when no trace comes.
pub fn answered(tx: &Tx<'_>, answer: &Answer, from: &PeerId, now: Timestamp) -> rusqlite::Result<Option<Match>> {
    forget(tx, now)?;
    let hash = hash_of(&answer.content);
    let hint = tx
        .prepare_cached("DELETE FROM group_task_hints WHERE sender_id = ?1 AND hash = ?2 RETURNING task_id")?
        .query_row((from, hash), |row| row.get::<_, String>(0))
        .optional()?;
    if let Some(task_id) = hint {
        return Ok(Some(matched(&task_id, from, answer.content.clone(), answer.outcome)));
    }
    tx.prepare_cached(
        "INSERT INTO group_task_strays (sender_id, hash, outcome, content, received_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((from, hash, answer.outcome.as_str(), &answer.content, now.as_millis()))?;
    Ok(None)
}

fn is_open(tx: &Tx<'_>, task_id: &str) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM group_tasks WHERE task_id = ?1 AND direction = ?2
            AND status IN ('pending', 'sent', 'accepted', 'in_progress'))",
    )?
    .query_row((task_id, Direction::Outgoing.as_str()), |row| row.get(0))
}

fn forget(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let before = now.minus(WAIT_MAX).as_millis();
    for table in ["group_task_hints", "group_task_strays"] {
        tx.prepare_cached(&format!("DELETE FROM {table} WHERE received_ms < ?1 OR received_ms > ?2"))?
            .execute((before, now.as_millis()))?;
    }
    tx.prepare_cached("DELETE FROM group_task_strays WHERE id <= (SELECT max(id) FROM group_task_strays) - ?1")?
        .execute([WAITING_MAX])?;
    tx.prepare_cached(
        "DELETE FROM group_task_hints WHERE received_ms <= (SELECT received_ms FROM group_task_hints
            ORDER BY received_ms DESC LIMIT 1 OFFSET ?1)",
    )?
    .execute([WAITING_MAX])
    .map(drop)
}

fn matched(task_id: &str, from: &PeerId, content: String, outcome: AnswerStatus) -> Match {
    let answer = Answer { task_id: task_id.to_owned(), responder: from.clone(), content, outcome };
    Match { task_id: task_id.to_owned(), answer }
}

fn hash_of(content: &str) -> [u8; 32] {
    Sha256::digest(content.as_bytes()).into()
}
