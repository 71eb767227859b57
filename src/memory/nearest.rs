//! The chunks whose vectors are nearest to a query: signatures of whole layers are compared first, then the stored vectors of the
//! most promising, best first, until no other can be among the wanted.
//!
//! The signatures are read from the blocks in which sqlite-vec keeps them. Its own search of the same table would sort each block
//! once per wanted neighbor, and compares signs with signs, which needs four times the candidates (decision 16).

use rusqlite::Connection;

use super::generation::Generation;
use super::index::BLOCK_LEN;
use super::vector::{QueryCode, product};

/// Most candidates whose stored vectors are looked at.
const CANDIDATES_MAX: usize = 4_096;
/// Candidates looked at together, in the order in which they lie in the file.
const BATCH_LEN: usize = 64;
/// Standard errors by which an estimate may be wrong and the neighbor still be found.
const ERRORS: f32 = 2.0;

/// A neighbor.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Near {
    pub words_id: i64,
    pub cosine: f32,
}

#[derive(Clone, Copy)]
struct Candidate {
    distance: u32,
    block: u32,
    slot: u32,
}

/// At most `count` chunks of `layers` (all, when none are named), nearest first. `query` has unit length and the generation's
/// dimension.
pub(super) fn nearest(
    conn: &Connection,
    generation: &Generation,
    query: &[f32],
    layers: &[&str],
    count: usize,
) -> rusqlite::Result<Vec<Near>> {
    if query.len() != generation.dims || count == 0 {
        return Ok(Vec::new());
    }
    let code = QueryCode::new(query);
    let candidates = promising(conn, generation.number, &code, layers)?;
    let mut rows = Rows::new(conn, generation.number)?;
    let mut best: Vec<Near> = Vec::with_capacity(count + BATCH_LEN);
    for batch in candidates.chunks(BATCH_LEN) {
        if let Some(last) = best.get(count - 1) {
            let hope = code.cosine(batch[0].distance) + ERRORS * code.error(last.cosine);
            if hope < last.cosine {
                break;
            }
        }
        for words_id in rows.of(batch)? {
            if let Some(cosine) = rows.cosine(words_id, query)? {
                best.push(Near { words_id, cosine });
            }
        }
        best.sort_by(|one, other| other.cosine.total_cmp(&one.cosine).then(other.words_id.cmp(&one.words_id)));
        best.truncate(count);
    }
    Ok(best)
}

/// Compares every signature; the nearest first.
fn promising(conn: &Connection, number: i64, code: &QueryCode, layers: &[&str]) -> rusqlite::Result<Vec<Candidate>> {
    // The blocks' own table names its key `rowid` without making it one; `_rowid_` is what both agree on.
    let of_layers = match layers {
        [] => String::new(),
        layers => {
            let names: Vec<String> = layers.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
            format!("WHERE c.partition00 IN ({})", names.join(", "))
        }
    };
    let sql = format!(
        "SELECT c.chunk_id, c.validity, v.vectors FROM memory_index_{number}_chunks AS c
         JOIN memory_index_{number}_vector_chunks00 AS v ON v._rowid_ = c.chunk_id {of_layers}"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut kept = Kept::new(CANDIDATES_MAX);
    let mut distances = Vec::with_capacity(BLOCK_LEN);
    while let Some(row) = rows.next()? {
        let block = u32::try_from(row.get::<_, i64>(0)?).unwrap_or(u32::MAX);
        let signatures = row.get_ref(2)?.as_blob().unwrap_or_default();
        if signatures.len() != BLOCK_LEN * code.signature_bytes() {
            continue;
        }
        code.distances(signatures, &mut distances);
        let validity = row.get_ref(1)?.as_blob().unwrap_or_default();
        for (index, (eight, valid)) in distances.chunks_exact(8).zip(validity).enumerate() {
            for (bit, distance) in eight.iter().enumerate() {
                if *distance < kept.limit && valid & (1 << bit) != 0 {
                    kept.push(Candidate { distance: *distance, block, slot: (index * 8 + bit) as u32 });
                }
            }
        }
    }
    Ok(kept.sorted())
}

/// The `count_max` nearest of all that are pushed.
struct Kept {
    candidates: Vec<Candidate>,
    count_max: usize,
    /// What is not nearer need not be pushed.
    limit: u32,
}

impl Kept {
    fn new(count_max: usize) -> Self {
        Self { candidates: Vec::new(), count_max, limit: u32::MAX }
    }

    fn push(&mut self, candidate: Candidate) {
        self.candidates.push(candidate);
        if self.candidates.len() == 2 * self.count_max {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let (_, last, _) =
            self.candidates.select_nth_unstable_by_key(self.count_max - 1, |candidate| candidate.distance);
        self.limit = last.distance;
        self.candidates.truncate(self.count_max);
    }

    fn sorted(mut self) -> Vec<Candidate> {
        if self.candidates.len() > self.count_max {
            self.shrink();
        }
        self.candidates.sort_unstable_by_key(|candidate| candidate.distance);
        self.candidates
    }
}

/// What stands in the slots of blocks.
struct Rows<'c> {
    names: rusqlite::CachedStatement<'c>,
    vectors: rusqlite::CachedStatement<'c>,
}

impl<'c> Rows<'c> {
    fn new(conn: &'c Connection, number: i64) -> rusqlite::Result<Self> {
        Ok(Self {
            names: conn
                .prepare_cached(&format!("SELECT rowids FROM memory_index_{number}_chunks WHERE chunk_id = ?1"))?,
            vectors: conn.prepare_cached(&format!("SELECT vector FROM memory_vectors_{number} WHERE words_id = ?1"))?,
        })
    }

    /// The chunks of a batch, in the order of the file.
    fn of(&mut self, batch: &[Candidate]) -> rusqlite::Result<Vec<i64>> {
        let mut batch = batch.to_vec();
        batch.sort_unstable_by_key(|candidate| (candidate.block, candidate.slot));
        let mut found = Vec::with_capacity(batch.len());
        for of_block in batch.chunk_by(|one, other| one.block == other.block) {
            let mut rows = self.names.query([i64::from(of_block[0].block)])?;
            let Some(row) = rows.next()? else { continue };
            let (names, _) = row.get_ref(0)?.as_blob().unwrap_or_default().as_chunks::<8>();
            let names = of_block.iter().filter_map(|candidate| names.get(candidate.slot as usize));
            found.extend(names.map(|name| i64::from_le_bytes(*name)));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn cosine(&mut self, words_id: i64, query: &[f32]) -> rusqlite::Result<Option<f32>> {
        let mut rows = self.vectors.query([words_id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(product(query, row.get_ref(0)?.as_blob().unwrap_or_default())))
    }
}
