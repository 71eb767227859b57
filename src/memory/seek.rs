//! One search by meaning and by words: both rankings, fused, filtered, without repeats.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::generation::{self, Generation};
use super::index;
use super::nearest::{Near, nearest};
use super::query::Query;
use super::rank::{Candidate, Weights, rank, without_repeats};
use super::search::{COLUMNS, Hit, indexed, read_hit, substrings};
use super::vector::{from_blob, product, unit};
use crate::base::clock::Timestamp;

/// Most that one search returns.
pub const HITS_MAX: usize = 100;
/// Candidates per wanted hit that each ranking offers, and the fewest.
const CANDIDATES_PER_HIT: usize = 3;
const CANDIDATES_MIN: usize = 30;
/// Most candidates of a ranking, where filters let few through.
const CANDIDATES_MAX: usize = 2_000;
/// Cosine from which two texts say the same.
const REPEAT_COSINE: f32 = 0.95;
/// Bytes of the file that searches may map.
const MAPPED_BYTES_MAX: i64 = 1 << 31;
/// KafClaw's threshold (specification §8.4).
pub const MIN_SCORE: f32 = 0.22;

/// Which rankings count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Hybrid,
    Semantic,
    Keyword,
}

/// A question as its model understands it.
#[derive(Clone, PartialEq, Debug)]
pub struct QueryVector {
    /// Of the model that made it.
    pub fingerprint: String,
    pub values: Vec<f32>,
}

/// What is looked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Ask {
    pub text: String,
    /// None when there is no model; then words decide alone.
    pub vector: Option<QueryVector>,
    pub mode: Mode,
    /// Names of layers (`user` for what people said); all when empty.
    pub layers: Vec<String>,
    /// Exactly this source.
    pub source: Option<String>,
    /// What fits worse is left out, see [`Hit::relevance`].
    pub relevance_min: f32,
    pub count: usize,
    pub weights: Weights,
    pub now: Timestamp,
}

impl Ask {
    pub fn new(text: impl Into<String>, count: usize, now: Timestamp) -> Self {
        Self {
            text: text.into(),
            vector: None,
            mode: Mode::Hybrid,
            layers: Vec::new(),
            source: None,
            relevance_min: MIN_SCORE,
            count,
            weights: Weights::default(),
            now,
        }
    }

    fn admits(&self, hit: &Hit) -> bool {
        !hit.is_expired(self.now)
            && (self.layers.is_empty() || self.layers.iter().any(|layer| layer == hit.layer))
            && self.source.as_ref().is_none_or(|source| *source == hit.source)
    }
}

/// Best first. A question without words and without a vector finds nothing. A vector of another model than the one that answers
/// is ignored, as if there were none.
pub fn seek(conn: &Connection, ask: &Ask) -> rusqlite::Result<Vec<Hit>> {
    let count = ask.count.min(HITS_MAX);
    if count == 0 {
        return Ok(Vec::new());
    }
    if ask.vector.is_some() {
        map_file(conn)?;
    }
    // Of one moment: the vectors that answer may be replaced meanwhile.
    let _moment = if conn.is_autocommit() { Some(conn.unchecked_transaction()?) } else { None };
    let meaning = Meaning::of(conn, ask)?;
    let query = Query::new(&ask.text);
    let mut wanted = match ask.mode {
        Mode::Semantic => count * 2,
        _ => (count * CANDIDATES_PER_HIT).max(CANDIDATES_MIN),
    };
    loop {
        let mut found = Found::default();
        if let Some(meaning) = &meaning {
            found.add_near(conn, ask, meaning.nearest(conn, ask, wanted)?)?;
        }
        if ask.mode != Mode::Semantic && !query.is_empty() {
            found.add_worded(ask, worded(conn, &query, wanted)?);
        }
        let is_all = found.offered < wanted || wanted >= CANDIDATES_MAX;
        if is_all || found.hits.len() >= count {
            return found.ranked(conn, ask, &query, meaning.as_ref(), count);
        }
        // Filters let too few through.
        wanted = (wanted * 4).min(CANDIDATES_MAX);
    }
}

/// Lets this connection read pages where the kernel keeps them: one call per page was half of a search. Costs the house memory only
/// for pages that searches touched, which the kernel takes back when it needs them.
fn map_file(conn: &Connection) -> rusqlite::Result<()> {
    if conn.is_autocommit() {
        conn.pragma_update_and_check(None, "mmap_size", MAPPED_BYTES_MAX, |_| Ok(()))?;
    }
    Ok(())
}

/// The generation that answers, and the question in its terms.
struct Meaning {
    generation: Generation,
    query: Vec<f32>,
}

impl Meaning {
    fn of(conn: &Connection, ask: &Ask) -> rusqlite::Result<Option<Self>> {
        let Some(vector) = ask.vector.as_ref().filter(|_| ask.mode != Mode::Keyword) else { return Ok(None) };
        let Some(generation) = generation::active(conn)?.filter(|active| active.fingerprint == vector.fingerprint)
        else {
            return Ok(None);
        };
        let query = unit(&vector.values).filter(|query| query.len() == generation.dims);
        Ok(query.map(|query| Self { generation, query }))
    }

    fn nearest(&self, conn: &Connection, ask: &Ask, wanted: usize) -> rusqlite::Result<Vec<Near>> {
        let layers: Vec<&str> = ask.layers.iter().map(String::as_str).collect();
        nearest(conn, &self.generation, &self.query, &layers, wanted)
    }
}

fn worded(conn: &Connection, query: &Query, wanted: usize) -> rusqlite::Result<Vec<Hit>> {
    let mut hits = indexed(conn, &query.match_any(), wanted)?;
    hits.sort_by(|one, other| other.score.total_cmp(&one.score));
    // Compound words and scripts without spaces are beyond the index.
    if hits.is_empty() || query.needs_substrings() {
        let plain = substrings(conn, query, wanted)?;
        hits.extend(plain.into_iter().filter(|hit| !hits.iter().any(|known| known.id == hit.id)).collect::<Vec<_>>());
    }
    Ok(hits)
}

/// What both rankings offered and the filters let through.
#[derive(Default)]
struct Found {
    hits: HashMap<i64, Hit>,
    by_meaning: HashMap<i64, (usize, f32)>,
    by_words: HashMap<i64, usize>,
    /// Length of the longer ranking before the filters.
    offered: usize,
    lists: usize,
}

impl Found {
    fn add_near(&mut self, conn: &Connection, ask: &Ask, near: Vec<Near>) -> rusqlite::Result<()> {
        self.offered = self.offered.max(near.len());
        self.lists += 1;
        let sql = format!("SELECT {COLUMNS}, 1.0 FROM memory_chunks AS c WHERE c.words_id = ?1");
        let mut statement = conn.prepare_cached(&sql)?;
        for one in near {
            let hit = statement.query_row([one.words_id], read_hit).optional()?;
            if let Some(hit) = hit.filter(|hit| ask.admits(hit)) {
                self.by_meaning.insert(one.words_id, (self.by_meaning.len(), one.cosine));
                self.hits.insert(one.words_id, hit);
            }
        }
        Ok(())
    }

    fn add_worded(&mut self, ask: &Ask, hits: Vec<Hit>) {
        self.offered = self.offered.max(hits.len());
        self.lists += 1;
        for hit in hits.into_iter().filter(|hit| ask.admits(hit)) {
            self.by_words.insert(hit.words_id, self.by_words.len());
            self.hits.entry(hit.words_id).or_insert(hit);
        }
    }

    fn ranked(
        mut self,
        conn: &Connection,
        ask: &Ask,
        query: &Query,
        meaning: Option<&Meaning>,
        count: usize,
    ) -> rusqlite::Result<Vec<Hit>> {
        let mut candidates = Vec::with_capacity(self.hits.len());
        for (key, hit) in &mut self.hits {
            let near = self.by_meaning.get(key);
            hit.cosine = match (near, meaning) {
                (Some((_, cosine)), _) => Some(*cosine),
                (None, Some(meaning)) => cosine(conn, meaning, *key)?,
                (None, None) => None,
            };
            candidates.push(Candidate {
                key: *key,
                by_meaning: near.map(|(place, _)| *place),
                by_words: self.by_words.get(key).copied(),
                cosine: hit.cosine,
                words_share: if ask.mode == Mode::Semantic { 0.0 } else { query.share(&hit.content, &hit.tags) },
                age: ask.now.since(hit.created_at.max(hit.updated_at)),
                importance: hit.importance,
            });
        }
        let mut hits = Vec::new();
        for ranked in rank(&candidates, self.lists, &ask.weights) {
            if ranked.relevance >= ask.relevance_min
                && let Some(hit) = self.hits.remove(&ranked.key)
            {
                hits.push(Hit { score: ranked.score.into(), relevance: ranked.relevance, ..hit });
            }
        }
        unrepeated(conn, hits, meaning, count)
    }
}

/// Cosine of a chunk that was found by its words only.
fn cosine(conn: &Connection, meaning: &Meaning, words_id: i64) -> rusqlite::Result<Option<f32>> {
    let stored = index::stored(conn, meaning.generation.number, words_id)?;
    Ok(stored.map(|stored| product(&meaning.query, &stored)))
}

/// The first `count` that do not say again what an earlier one said.
fn unrepeated(
    conn: &Connection,
    mut hits: Vec<Hit>,
    meaning: Option<&Meaning>,
    count: usize,
) -> rusqlite::Result<Vec<Hit>> {
    // Repeats are seldom more than the rest.
    hits.truncate(count * 2);
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; hits.len()];
    if let Some(meaning) = meaning {
        for (hit, vector) in hits.iter().zip(&mut vectors) {
            let stored = index::stored(conn, meaning.generation.number, hit.words_id)?;
            *vector = stored.and_then(|stored| from_blob(&stored));
        }
    }
    let texts: Vec<String> = hits.iter().map(|hit| normalized(&hit.content)).collect();
    // "The lock is 1234" and "the lock is 4321" mean nearly the same to a model.
    let numbers: Vec<Vec<&str>> = texts.iter().map(|text| numbers(text)).collect();
    let is_repeat = |one: usize, other: usize| {
        let alike = vectors[one].as_ref().zip(vectors[other].as_ref());
        texts[one] == texts[other]
            || numbers[one] == numbers[other]
                && alike.is_some_and(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() > REPEAT_COSINE)
    };
    let kept = without_repeats(hits.len(), is_repeat);
    let mut index = 0..;
    hits.retain(|_| index.next().is_some_and(|index: usize| kept.binary_search(&index).is_ok()));
    hits.truncate(count);
    Ok(hits)
}

fn normalized(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.flat_map(|word| word.chars().flat_map(char::to_lowercase).chain([' '])).collect()
}

fn numbers(normalized: &str) -> Vec<&str> {
    normalized.split(' ').filter(|word| word.chars().any(char::is_numeric)).collect()
}
