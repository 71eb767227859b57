//! Giving vectors to chunks. What is left to do stands in the chunks themselves (`embedded_with`), so whoever is killed in between
//! goes on where the last commit was.

use rusqlite::{Connection, OptionalExtension, params};

use super::generation::{self, Generation, State};
use super::index;
use super::schema::{self, text};
use super::vector::unit;
use crate::db::Tx;

/// A chunk that waits for its vector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    pub id: String,
    pub content: String,
    words_id: i64,
}

/// How far a generation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Counted {
    /// Chunks with a vector, and those that the model refused.
    pub done: u64,
    pub total: u64,
}

/// What a check found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Repaired {
    /// The index of words was made anew.
    pub words: bool,
    /// The index of vectors was made anew from the stored vectors.
    pub vectors: bool,
}

/// The generation that a model fills already: the one that is being made, or the one that answers while none is.
pub fn current(conn: &Connection, fingerprint: &str, dims: usize) -> rusqlite::Result<Option<Generation>> {
    let newest = match generation::filling(conn)? {
        Some(filling) => Some(filling),
        None => generation::active(conn)?,
    };
    Ok(newest.filter(|generation| generation.fingerprint == fingerprint && generation.dims == dims))
}

/// The generation that a model is to fill from now on, a new one where it has none. None when `dims` is no dimension that can be
/// stored.
pub fn settle(tx: &Tx<'_>, fingerprint: &str, dims: usize) -> rusqlite::Result<Option<Generation>> {
    if let Some(current) = current(tx, fingerprint, dims)? {
        return Ok(Some(current));
    }
    let is_its = |active: &Generation| active.fingerprint == fingerprint && active.dims == dims;
    if let Some(active) = generation::active(tx)?.filter(is_its) {
        if generation::give_up_filling(tx)? {
            disown(tx, active.number)?;
        }
        return Ok(Some(active));
    }
    generation::begin(tx, fingerprint, dims)
}

/// Makes every vector anew with the same model, in the background, while the old ones answer; none without a model.
pub fn reindex(tx: &Tx<'_>) -> rusqlite::Result<Option<Generation>> {
    match generation::active(tx)? {
        Some(active) => generation::begin(tx, &active.fingerprint, active.dims),
        None => Ok(None),
    }
}

/// Chunks without a vector of a generation, at most `count_max`.
pub fn waiting(conn: &Connection, number: i64, count_max: usize) -> rusqlite::Result<Vec<Waiting>> {
    conn.prepare_cached(
        "SELECT id, content, words_id FROM memory_chunks
         WHERE embedded_with > -?1 AND embedded_with < ?1 AND words_id IS NOT NULL LIMIT ?2",
    )?
    .query_map(params![number, count_max as i64], |row| {
        Ok(Waiting { id: text(row, 0)?, content: text(row, 1)?, words_id: row.get(2)? })
    })?
    .collect()
}

pub fn counted(conn: &Connection, number: i64) -> rusqlite::Result<Counted> {
    let count = |sql: &str, number: i64| -> rusqlite::Result<u64> {
        conn.prepare_cached(sql)?.query_row([number], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    };
    let total = count("SELECT count(*) FROM memory_chunks WHERE ?1 IS NOT NULL", number)?;
    let left = count("SELECT count(*) FROM memory_chunks WHERE embedded_with > -?1 AND embedded_with < ?1", number)?;
    Ok(Counted { done: total - left, total })
}

/// Stores vectors (none: the model refuses the text) and lets the generation answer when nothing is left. What was forgotten or
/// already has one meanwhile, of this generation or of a newer one, is passed over. False when the generation itself is gone.
pub fn store(tx: &Tx<'_>, number: i64, vectors: Vec<(Waiting, Option<Vec<f32>>)>) -> rusqlite::Result<bool> {
    let generation = generation::all(tx)?.into_iter().find(|generation| generation.number == number);
    let Some(generation) = generation.filter(|generation| generation.state != State::Retired) else {
        return Ok(false);
    };
    for (chunk, vector) in vectors {
        // Numbers may come back, ids tell.
        let layer: Option<String> = tx
            .prepare_cached(
                "SELECT layer FROM memory_chunks WHERE words_id = ?1 AND id = ?2 AND abs(embedded_with) < ?3",
            )?
            .query_row(params![chunk.words_id, chunk.id, number], |row| row.get(0))
            .optional()?;
        let Some(layer) = layer else { continue };
        let vector = vector.filter(|vector| vector.len() == generation.dims).and_then(|vector| unit(&vector));
        let mark = if vector.is_some() { number } else { -number };
        if let Some(vector) = vector {
            index::put(tx, number, chunk.words_id, &layer, &vector)?;
        }
        tx.prepare_cached("UPDATE memory_chunks SET embedded_with = ?2 WHERE words_id = ?1")?
            .execute([chunk.words_id, mark])?;
    }
    finish(tx, &generation)?;
    Ok(true)
}

/// Lets a generation answer that misses nothing.
pub fn finish(tx: &Tx<'_>, generation: &Generation) -> rusqlite::Result<()> {
    if generation.state == State::Filling && waiting(tx, generation.number, 1)?.is_empty() {
        generation::take_over(tx, generation.number)?;
    }
    Ok(())
}

/// Compares the indexes with the chunks and makes anew what does not fit: an older program may have deleted chunks without
/// knowing them. Cheap where all is well.
pub fn repair(tx: &Tx<'_>) -> rusqlite::Result<Repaired> {
    let mut repaired = Repaired { words: schema::repair_words(tx)?, vectors: false };
    let filling = generation::filling(tx)?;
    let newest = match &filling {
        Some(filling) => Some(filling.clone()),
        None => generation::active(tx)?,
    };
    let Some(newest) = newest else { return Ok(repaired) };
    let expected = tx
        .prepare_cached("SELECT count(*) FROM memory_chunks WHERE embedded_with = ?1 AND words_id IS NOT NULL")?
        .query_row([newest.number], |row| row.get::<_, i64>(0))?
        .unsigned_abs();
    if index::count(tx, newest.number)? != expected {
        index::rebuild(tx, newest.number, newest.dims)?;
        if filling.is_some()
            && let Some(active) = generation::active(tx)?
        {
            index::rebuild(tx, active.number, active.dims)?;
        }
        disown(tx, newest.number)?;
        repaired.vectors = true;
    }
    Ok(repaired)
}

/// Notes for every chunk whether it has a vector of this, the newest, generation.
fn disown(tx: &Tx<'_>, number: i64) -> rusqlite::Result<()> {
    tx.execute(
        &format!(
            "UPDATE memory_chunks SET embedded_with = CASE
                WHEN words_id IN (SELECT words_id FROM memory_vectors_{number}) THEN {number} ELSE 0 END
             WHERE embedded_with <> 0"
        ),
        [],
    )
    .map(drop)
}
