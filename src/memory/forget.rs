//! Forgetting. Text, words and vectors go together, in the caller's transaction, and where they stood is overwritten.

use rusqlite::{OptionalExtension, Params, params};

use super::layer::{LAYERS, Layer};
use super::query::Query;
use super::schema::{self, text};
use super::search::{self, Hit};
use super::write::{CHUNKS_MAX, count};
use super::{generation, index};
use crate::base::clock::Timestamp;
use crate::db::{Db, DbError, Tx};

/// Chunks one sentence may make the house forget.
const FORGET_MAX: usize = 10;
/// Chunks that one transaction forgets where there may be many. A chunk takes a fraction of a millisecond, so nobody waits long.
pub const PIECE_LEN: u32 = 500;

/// Forgets one chunk, with its words and vectors, and overwrites where they stood; false when there was none.
pub fn forget(tx: &Tx<'_>, id: &str) -> rusqlite::Result<bool> {
    let erasing = Erasing::begin(tx)?;
    let forgotten = delete(tx, id)?;
    erasing.end()?;
    Ok(forgotten)
}

fn delete(tx: &Tx<'_>, id: &str) -> rusqlite::Result<bool> {
    let known: Option<(Option<i64>, String, String)> = tx
        .prepare_cached("SELECT words_id, content, tags FROM memory_chunks WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, text(row, 1)?, text(row, 2)?)))
        .optional()?;
    let Some((words_id, content, tags)) = known else { return Ok(false) };
    if let Some(words_id) = words_id {
        schema::remove_words(tx, words_id, &content, &tags)?;
        for generation in generation::all(tx)? {
            index::remove(tx, generation.number, words_id)?;
        }
    }
    tx.prepare_cached("DELETE FROM memory_chunks WHERE id = ?1")?.execute([id])?;
    Ok(true)
}

/// While it lasts, what SQLite deletes is overwritten with zeros. Not always on: it would cost every deletion of the house more.
struct Erasing<'t> {
    tx: &'t Tx<'t>,
    is_over: bool,
}

impl<'t> Erasing<'t> {
    fn begin(tx: &'t Tx<'_>) -> rusqlite::Result<Self> {
        set_secure_delete(tx, "ON")?;
        Ok(Self { tx, is_over: false })
    }

    fn end(mut self) -> rusqlite::Result<()> {
        self.is_over = true;
        set_secure_delete(self.tx, "OFF")
    }
}

impl Drop for Erasing<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // The job failed already; more erasing than needed does no harm.
            let _ = set_secure_delete(self.tx, "OFF");
        }
    }
}

fn set_secure_delete(tx: &Tx<'_>, value: &str) -> rusqlite::Result<()> {
    tx.pragma_update_and_check(None, "secure_delete", value, |_| Ok(()))
}

/// Forgets what holds every word of `text`, among chunks whose source is `source`; returns what it was.
///
/// When that would be more than a few, nothing is forgotten and all that was found is returned with `false`: a careless
/// sentence must not empty the house's memory.
pub fn forget_matching(tx: &Tx<'_>, text: &str, source: &str, now: Timestamp) -> rusqlite::Result<(Vec<Hit>, bool)> {
    let found = search::matching_all(tx, &Query::new(text), source, FORGET_MAX + 1, now)?;
    if found.len() > FORGET_MAX {
        return Ok((found, false));
    }
    for hit in &found {
        forget(tx, &hit.id)?;
    }
    Ok((found, true))
}

/// What a person may want forgotten as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope<'a> {
    All,
    Layer(&'a Layer),
    /// Exactly this source.
    Source(&'a str),
}

/// How far forgetting has come after one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forgotten {
    /// How many chunks, or other memories, the piece took.
    pub gone: usize,
    /// Nothing is left.
    pub is_all: bool,
}

/// Forgets a piece of what is wanted gone: at most [`PIECE_LEN`] chunks. [`in_pieces`] goes on until all is.
pub fn forget_some(tx: &Tx<'_>, scope: Scope<'_>) -> rusqlite::Result<Forgotten> {
    let ids = match scope {
        Scope::All => ids(tx, "SELECT id FROM memory_chunks LIMIT ?1", [PIECE_LEN])?,
        Scope::Layer(layer) => {
            // From `tool:` to `tool;`, the next character: a range that the index of sources knows.
            let end = format!("{};", layer.source_prefix.trim_end_matches(':'));
            let sql = "SELECT id FROM memory_chunks WHERE source >= ?2 AND source < ?3 LIMIT ?1";
            ids(tx, sql, params![PIECE_LEN, layer.source_prefix, end])?
        }
        Scope::Source(source) => {
            ids(tx, "SELECT id FROM memory_chunks WHERE source = ?2 LIMIT ?1", params![PIECE_LEN, source])?
        }
    };
    Ok(Forgotten { gone: forget_all(tx, &ids)?, is_all: ids.len() < PIECE_LEN as usize })
}

fn ids(tx: &Tx<'_>, sql: &str, params: impl Params) -> rusqlite::Result<Vec<String>> {
    tx.prepare_cached(sql)?.query_map(params, |row| row.get(0))?.collect()
}

/// Runs `piece` in one transaction after the other until all is forgotten, so that others may write in between. Returns how much
/// went. Whoever is stopped in between has forgotten a part as a whole, and may simply begin again.
pub async fn in_pieces(
    db: &Db,
    piece: impl Fn(&Tx<'_>) -> rusqlite::Result<Forgotten> + Clone + Send + 'static,
) -> Result<usize, DbError> {
    let mut gone = 0;
    loop {
        let forgotten = db.write(piece.clone()).await?;
        gone += forgotten.gone;
        if forgotten.is_all {
            return Ok(gone);
        }
    }
}

/// Forgets all that came from exactly `source`, in the caller's transaction. What is more than a piece expires at once: nobody
/// finds it any more, and the upkeep deletes it a piece at a time. Returns how many chunks went or expired.
pub fn forget_source(tx: &Tx<'_>, source: &str) -> rusqlite::Result<usize> {
    let Forgotten { gone, is_all } = forget_some(tx, Scope::Source(source))?;
    if is_all {
        return Ok(gone);
    }
    let long_ago = Timestamp::from_millis(0);
    let expired = tx
        .prepare_cached("UPDATE memory_chunks SET expires_at = ?2 WHERE source = ?1")?
        .execute(params![source, long_ago])?;
    Ok(gone + expired)
}

/// Forgets what has outlived its time or its layer's, and what is beyond the bound, a bounded piece at a time; indexes what an
/// older program wrote. Returns how many chunks went.
pub fn prune(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    schema::index_missing(tx, PIECE_LEN)?;
    let expired = "SELECT id FROM memory_chunks WHERE expires_at <= ?1 LIMIT ?2";
    let mut gone = forget_all(tx, &ids(tx, expired, params![now, PIECE_LEN])?)?;
    for layer in &LAYERS {
        let Some(age_max) = layer.age_max() else { continue };
        let outlived = "SELECT id FROM memory_chunks WHERE layer = ?1 AND updated_at < ?2 LIMIT ?3";
        gone += forget_all(tx, &ids(tx, outlived, params![layer.name, now.minus(age_max), PIECE_LEN])?)?;
    }
    let excess = count(tx)?.saturating_sub(CHUNKS_MAX);
    Ok(gone + drop_oldest(tx, excess.min(PIECE_LEN))?)
}

/// Forgets the chunks with these `ids` as [`forget`] does one; returns how many ids there were.
pub fn forget_all(tx: &Tx<'_>, ids: &[String]) -> rusqlite::Result<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let erasing = Erasing::begin(tx)?;
    for id in ids {
        delete(tx, id)?;
    }
    erasing.end()?;
    Ok(ids.len())
}

/// Forgets the oldest chunks that are not permanent.
pub(super) fn drop_oldest(tx: &Tx<'_>, count_max: u32) -> rusqlite::Result<usize> {
    if count_max == 0 {
        return Ok(0);
    }
    let sql =
        "SELECT id FROM memory_chunks WHERE layer IN ('conversation', 'tool', 'group') ORDER BY updated_at LIMIT ?1";
    forget_all(tx, &ids(tx, sql, [count_max])?)
}
