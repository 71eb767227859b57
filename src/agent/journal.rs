//! What an unfinished turn has done, so that nothing with an effect is done twice. Table `turn_steps`; a finished turn leaves
//! no rows (the timeline keeps the story).

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::id::TaskId;
use crate::bus::task;
use crate::db::{Migration, Tx};
use crate::domain::call::{Call, Outcome};
use crate::domain::message::Route;
use crate::intent::Intent;

pub const MIGRATIONS: &[Migration] = &[Migration {
    number: 1000,
    name: "turn steps",
    apply: |connection| {
        connection.execute_batch(
            "CREATE TABLE turn_steps (
                id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, step TEXT NOT NULL, outcome TEXT,
                created_at DATETIME NOT NULL);
             CREATE INDEX idx_turn_steps_task ON turn_steps (task_id)",
        )
    },
}];

/// One thing a turn did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The sentence was understood; kept while a person is asked, because what it means may change meanwhile.
    Understood {
        intent: Intent,
    },
    /// A command that the sentence meant was begun.
    Commanded {
        intent: Intent,
    },
    ModelSaid {
        text: String,
        calls: Vec<Call>,
        route: Route,
    },
    /// A call of the model was begun, or (with an outcome) is over.
    Called {
        call: Call,
    },
}

/// A step as it was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    pub row: i64,
    pub step: Step,
    pub outcome: Option<Outcome>,
}

/// Notes a step. From the first one on, a crash counts as an interruption of the task.
pub fn add(
    tx: &Tx<'_>,
    task_id: &TaskId,
    step: &Step,
    outcome: Option<&Outcome>,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    task::begin(tx, task_id, now)?;
    let outcome = outcome.map(to_json).transpose()?;
    tx.prepare_cached("INSERT INTO turn_steps (task_id, step, outcome, created_at) VALUES (?1, ?2, ?3, ?4)")?.insert((
        task_id,
        to_json(step)?,
        outcome,
        now,
    ))
}

/// Notes how a step that was begun ended.
pub fn end(tx: &Tx<'_>, row: i64, outcome: &Outcome) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE turn_steps SET outcome = ?2 WHERE id = ?1")?.execute((row, to_json(outcome)?)).map(drop)
}

/// The steps of an unfinished turn, in order. A step that cannot be read (a newer version wrote it) ends the list.
pub fn load(connection: &Connection, task_id: &TaskId) -> rusqlite::Result<Vec<Recorded>> {
    let rows = connection
        .prepare_cached("SELECT id, step, outcome FROM turn_steps WHERE task_id = ?1 ORDER BY id")?
        .query_map([task_id], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let read = rows.into_iter().map_while(|(row, step, outcome)| {
        let step = serde_json::from_str(&step).ok()?;
        let outcome = outcome.and_then(|text| serde_json::from_str(&text).ok());
        Some(Recorded { row, step, outcome })
    });
    Ok(read.collect())
}

/// Forgets the steps of a turn that is over.
pub fn clear(tx: &Tx<'_>, task_id: &TaskId) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM turn_steps WHERE task_id = ?1")?.execute([task_id]).map(drop)
}

fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
