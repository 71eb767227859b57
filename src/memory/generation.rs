//! Generations of vectors: all that one model made of the texts, in one run. A generation that fills does so beside the one that
//! answers, and takes its place in one transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::index;
use super::vector::DIMS_MAX;
use crate::db::Tx;

/// Rows dropped in one transaction.
const DROP_ROWS: usize = 4_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Being made; nobody asks it.
    Filling,
    /// Answers.
    Active,
    /// Replaced; its tables are being dropped.
    Retired,
}

impl State {
    const fn code(self) -> i64 {
        match self {
            Self::Filling => 0,
            Self::Active => 1,
            Self::Retired => 2,
        }
    }

    fn of(code: i64) -> Self {
        match code {
            0 => Self::Filling,
            1 => Self::Active,
            _ => Self::Retired,
        }
    }
}

/// One generation. Numbers grow and never come back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generation {
    pub number: i64,
    /// What tells the model from others; vectors of different fingerprints cannot be compared.
    pub fingerprint: String,
    pub dims: usize,
    pub state: State,
}

/// The generation that answers.
pub fn active(conn: &Connection) -> rusqlite::Result<Option<Generation>> {
    newest(conn, State::Active)
}

/// The generation that is being made.
pub fn filling(conn: &Connection) -> rusqlite::Result<Option<Generation>> {
    newest(conn, State::Filling)
}

fn newest(conn: &Connection, state: State) -> rusqlite::Result<Option<Generation>> {
    conn.prepare_cached(
        "SELECT number, fingerprint, dims, state FROM memory_generations WHERE state = ?1 ORDER BY number DESC LIMIT 1",
    )?
    .query_row([state.code()], read)
    .optional()
}

/// Every generation that has tables.
pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<Generation>> {
    conn.prepare_cached("SELECT number, fingerprint, dims, state FROM memory_generations ORDER BY number")?
        .query_map([], read)?
        .collect()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Generation> {
    let dims: i64 = row.get(2)?;
    Ok(Generation {
        number: row.get(0)?,
        fingerprint: row.get(1)?,
        dims: usize::try_from(dims).unwrap_or(0),
        state: State::of(row.get(3)?),
    })
}

/// Begins one for a model. It answers at once when none does; otherwise it fills, and another one that was filling is given up.
/// None when `dims` is no dimension that can be stored.
pub fn begin(tx: &Tx<'_>, fingerprint: &str, dims: usize) -> rusqlite::Result<Option<Generation>> {
    if dims == 0 || dims > DIMS_MAX {
        return Ok(None);
    }
    give_up_filling(tx)?;
    let state = if active(tx)?.is_some() { State::Filling } else { State::Active };
    tx.prepare_cached("INSERT INTO memory_generations (fingerprint, dims, state) VALUES (?1, ?2, ?3)")?
        .execute(params![fingerprint, dims as i64, state.code()])?;
    let number = tx.last_insert_rowid();
    index::create(tx, number, dims)?;
    Ok(Some(Generation { number, fingerprint: fingerprint.to_owned(), dims, state }))
}

/// Retires what fills; false when nothing does.
pub(super) fn give_up_filling(tx: &Tx<'_>) -> rusqlite::Result<bool> {
    let given_up = tx
        .prepare_cached("UPDATE memory_generations SET state = ?1 WHERE state = ?2")?
        .execute([State::Retired.code(), State::Filling.code()])?;
    Ok(given_up > 0)
}

/// Lets a filling generation answer and retires the one that did. The caller has seen that nothing is missing, in this transaction.
pub(super) fn take_over(tx: &Tx<'_>, number: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE memory_generations SET state = ?1 WHERE state = ?2 AND number <> ?3")?.execute([
        State::Retired.code(),
        State::Active.code(),
        number,
    ])?;
    tx.prepare_cached("UPDATE memory_generations SET state = ?1 WHERE number = ?2")?
        .execute([State::Active.code(), number])
        .map(drop)
}

pub(super) fn has_retired(conn: &Connection) -> rusqlite::Result<bool> {
    newest(conn, State::Retired).map(|retired| retired.is_some())
}

/// Removes a piece of what is retired.
pub(super) fn drop_retired(tx: &Tx<'_>) -> rusqlite::Result<()> {
    let Some(retired) = newest(tx, State::Retired)? else { return Ok(()) };
    if index::clear_some(tx, retired.number, DROP_ROWS)? == 0 {
        index::drop_tables(tx, retired.number)?;
        tx.prepare_cached("DELETE FROM memory_generations WHERE number = ?1")?.execute([retired.number])?;
    }
    Ok(())
}
