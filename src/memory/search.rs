//! Finding chunks by their words: the index first, a plain look through the texts where the index cannot help.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::layer::{LAYERS, layer_name, layer_of};
use super::query::Query;
use super::schema::text;
use super::{generation, index};
use crate::base::clock::Timestamp;

/// Most that one search returns.
const HITS_MAX: usize = 100;
/// Candidates per wanted hit that are weighed by age after the index has ranked them by words.
const CANDIDATES_PER_HIT: usize = 4;
/// Part of a score that age decides; words decide the rest.
const AGE_WEIGHT: f64 = 0.15;
/// Age at which that part is halved.
const AGE_HALF: Duration = Duration::from_secs(30 * 24 * 3600);

/// A chunk that was found.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Hit {
    pub id: String,
    pub content: String,
    pub source: String,
    /// Name of its layer, or `user`.
    pub layer: &'static str,
    pub tags: String,
    /// 0 to 1.
    pub importance: f32,
    /// 0 to 1; comparable within one answer only.
    pub score: f64,
    /// How well it fits, 0 to 1, whatever else was found: the cosine of its meaning or the share of the words asked for that it
    /// has, the larger. 1 where nothing was asked.
    pub relevance: f32,
    /// Of its meaning and the question's, where both are known.
    pub cosine: Option<f32>,
    pub version: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(skip)]
    pub(super) words_id: i64,
}

impl Hit {
    /// Whether it must not be shown any more, although nobody has deleted it yet.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let outlived = layer_of(&self.source).and_then(|layer| layer.age_max());
        self.expires_at.is_some_and(|at| at <= now) || outlived.is_some_and(|age| now.since(self.updated_at) > age)
    }
}

/// What is read of a chunk; the score comes last.
pub(super) const COLUMNS: &str =
    "c.id, c.content, c.source, c.tags, c.importance, c.version, c.created_at, c.updated_at,
    c.expires_at, c.words_id";

/// How many chunks a layer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct LayerCount {
    pub name: &'static str,
    pub chunk_count: u64,
}

/// What the memory holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    pub total: u64,
    pub embedded: u64,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    /// In the order of [`LAYERS`].
    pub layers: Vec<LayerCount>,
}

/// Chunks that fit `text` best, best first. Any text is a good query; one without words finds nothing.
pub fn search(conn: &Connection, text: &str, count_max: usize, now: Timestamp) -> rusqlite::Result<Vec<Hit>> {
    let query = Query::new(text);
    let count_max = count_max.min(HITS_MAX);
    if query.is_empty() || count_max == 0 {
        return Ok(Vec::new());
    }
    let candidates_max = count_max * CANDIDATES_PER_HIT;
    let mut hits = indexed(conn, &query.match_any(), candidates_max)?;
    // Compound words ("Garagentor" for "Tor") and scripts without spaces are beyond the index.
    if hits.is_empty() || query.needs_substrings() {
        let known: HashSet<String> = hits.iter().map(|hit| hit.id.clone()).collect();
        let plain = substrings(conn, &query, candidates_max)?;
        hits.extend(plain.into_iter().filter(|hit| !known.contains(&hit.id)));
    }
    hits.retain(|hit| !hit.is_expired(now));
    weigh(&mut hits, now);
    for hit in &mut hits {
        hit.relevance = query.share(&hit.content, &hit.tags);
    }
    hits.truncate(count_max);
    Ok(hits)
}

/// Chunks of exactly this source that hold every word.
pub(super) fn matching_all(
    conn: &Connection,
    query: &Query,
    source: &str,
    count_max: usize,
    now: Timestamp,
) -> rusqlite::Result<Vec<Hit>> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let mut hits = if query.needs_substrings() {
        let mut hits = substrings(conn, query, HITS_MAX * CANDIDATES_PER_HIT)?;
        hits.retain(|hit| hit.source == source && hit.score >= 1.0);
        hits
    } else {
        indexed_of_source(conn, &query.match_all(), source, count_max)?
    };
    weigh(&mut hits, now);
    hits.truncate(count_max);
    Ok(hits)
}

pub fn find(conn: &Connection, id: &str) -> rusqlite::Result<Option<Hit>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS}, 1.0 FROM memory_chunks AS c WHERE c.id = ?1"))?
        .query_row([id], read_hit)
        .optional()
}

/// The newest chunks, of the sources that begin with `source_prefix`.
pub fn list(conn: &Connection, source_prefix: &str, count_max: usize) -> rusqlite::Result<Vec<Hit>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS}, 1.0 FROM memory_chunks AS c WHERE substr(c.source, 1, length(?1)) = ?1
         ORDER BY c.updated_at DESC, c.id LIMIT ?2"
    ))?
    .query_map(params![source_prefix, count_max.min(HITS_MAX) as i64], read_hit)?
    .collect()
}

pub fn stats(conn: &Connection) -> rusqlite::Result<Stats> {
    let embedded = match generation::active(conn)? {
        Some(active) => index::count(conn, active.number)?,
        None => 0,
    };
    let mut stats = conn
        .prepare_cached("SELECT count(*), min(created_at), max(created_at) FROM memory_chunks")?
        .query_row([], |row| {
            let time =
                |index| row.get::<_, Option<String>>(index).map(|text| text.and_then(|text| Timestamp::parse(&text)));
            let total = row.get::<_, u32>(0)?.into();
            Ok(Stats { total, embedded, oldest: time(1)?, newest: time(2)?, layers: Vec::new() })
        })?;
    for layer in &LAYERS {
        let chunk_count = conn
            .prepare_cached("SELECT count(*) FROM memory_chunks WHERE layer = ?1")?
            .query_row([layer.name], |row| row.get::<_, u32>(0))?;
        stats.layers.push(LayerCount { name: layer.name, chunk_count: chunk_count.into() });
    }
    Ok(stats)
}

/// Ranked by the words they share with the query; the best has score 1.
pub(super) fn indexed(conn: &Connection, expression: &str, count_max: usize) -> rusqlite::Result<Vec<Hit>> {
    // The texts are fetched after the ranking, or a common word would read the whole memory. Tags count half: they say
    // what a chunk is about, the text says it better. Newer chunks have higher numbers and go first among equals.
    let mut hits: Vec<Hit> = conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, best.score FROM (
                SELECT rowid AS words_id, -bm25(memory_words, 1.0, 0.5) AS score FROM memory_words
                WHERE memory_words MATCH ?1 ORDER BY score DESC, rowid DESC LIMIT ?2) AS best
             JOIN memory_chunks AS c ON c.words_id = best.words_id"
        ))?
        .query_map(params![expression, count_max as i64], read_hit)?
        .collect::<rusqlite::Result<_>>()?;
    let best = hits.iter().map(|hit| hit.score).fold(f64::MIN_POSITIVE, f64::max);
    for hit in &mut hits {
        hit.score = (hit.score / best).clamp(0.0, 1.0);
    }
    Ok(hits)
}

/// Those of one source, newest first.
fn indexed_of_source(
    conn: &Connection,
    expression: &str,
    source: &str,
    count_max: usize,
) -> rusqlite::Result<Vec<Hit>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS}, 1.0
         FROM memory_words JOIN memory_chunks AS c ON c.words_id = memory_words.rowid
         WHERE memory_words MATCH ?1 AND c.source = ?2 ORDER BY c.words_id DESC LIMIT ?3"
    ))?
    .query_map(params![expression, source, count_max as i64], read_hit)?
    .collect()
}

/// Scored by the share of the query's words that stand anywhere in the text.
pub(super) fn substrings(conn: &Connection, query: &Query, count_max: usize) -> rusqlite::Result<Vec<Hit>> {
    // Words hold letters, digits and marks only, so nothing in them is special to LIKE.
    let patterns: Vec<String> = query.words().iter().map(|word| format!("%{word}%")).collect();
    let found = (1..=patterns.len()).map(|n| format!("(content LIKE ?{n})")).collect::<Vec<_>>().join(" + ");
    let sql = format!(
        "SELECT {COLUMNS}, best.score FROM (
            SELECT id, updated_at, ({found}) * 1.0 / {} AS score FROM memory_chunks
            WHERE score > 0 ORDER BY score DESC, updated_at DESC LIMIT {count_max}) AS best
         JOIN memory_chunks AS c ON c.id = best.id ORDER BY best.score DESC, best.updated_at DESC",
        patterns.len()
    );
    conn.prepare_cached(&sql)?.query_map(params_from_iter(patterns), read_hit)?.collect()
}

/// Lets newer chunks win among those that fit alike, and sorts.
fn weigh(hits: &mut [Hit], now: Timestamp) {
    for hit in hits.iter_mut() {
        let halvings = now.since(hit.created_at).as_secs_f64() / AGE_HALF.as_secs_f64();
        hit.score = hit.score * (1.0 - AGE_WEIGHT) + AGE_WEIGHT * 0.5_f64.powf(halvings);
    }
    hits.sort_by(|one, other| other.score.total_cmp(&one.score));
}

pub(super) fn read_hit(row: &Row<'_>) -> rusqlite::Result<Hit> {
    let time = |index| text(row, index).map(|text| Timestamp::parse(&text));
    let source = text(row, 2)?;
    let importance = row.get::<_, f64>(4).unwrap_or(0.5) as f32;
    Ok(Hit {
        id: text(row, 0)?,
        content: text(row, 1)?,
        layer: layer_name(&source),
        source,
        tags: text(row, 3)?,
        importance: importance.clamp(0.0, 1.0),
        score: row.get(10)?,
        relevance: 1.0,
        cosine: None,
        version: row.get(5).unwrap_or(1),
        created_at: time(6)?.unwrap_or_default(),
        updated_at: time(7)?.unwrap_or_default(),
        expires_at: time(8)?,
        words_id: row.get::<_, Option<i64>>(9)?.unwrap_or(0),
    })
}
