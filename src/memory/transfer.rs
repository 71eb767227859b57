//! Memories as lines of JSON: to look at, to carry to another house, to give back. Reading checks every line.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::chunk::{Chunk, ChunkError};
use super::schema::text;
use super::vector::{from_blob, unit};
use super::write::{Remembered, remember_all};
use super::{generation, index};
use crate::base::clock::Timestamp;
use crate::db::Tx;

/// Longest line that is read, in bytes: a chunk whose every character is escaped, and the largest vector.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// Whether vectors are written too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vectors {
    With,
    Without,
}

/// One line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Not read back: it follows from source and content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    content: String,
    source: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tags: String,
    #[serde(default = "usual")]
    importance: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vector: Option<LineVector>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineVector {
    /// Of the model that made it.
    fingerprint: String,
    /// Base64 of 32-bit floats, little-endian.
    data: String,
}

fn usual() -> f32 {
    super::chunk::IMPORTANCE
}

/// Why a line is no memory.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the line is not a memory in JSON")]
    Json(#[source] serde_json::Error),
    #[error("the memory cannot be kept")]
    Chunk(#[source] ChunkError),
    #[error("`{field}` is not a time")]
    Time { field: &'static str },
    #[error("the vector is not Base64 of 32-bit floats")]
    Vector,
}

/// A memory from elsewhere, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    chunk: Chunk,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    vector: Option<(String, Vec<f32>)>,
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ImportCount {
    pub new: u64,
    pub again: u64,
    /// There was no room.
    pub refused: u64,
}

/// Lines of the chunks that follow `after` (0 for the first), at most `count_max`, and what to pass for the next ones; none at the
/// end. Read one page per job, so that nobody else waits long.
pub fn export(
    conn: &Connection,
    after: i64,
    count_max: usize,
    vectors: Vectors,
    now: Timestamp,
) -> rusqlite::Result<(Vec<String>, Option<i64>)> {
    let active = match vectors {
        Vectors::With => generation::active(conn)?,
        Vectors::Without => None,
    };
    let mut statement = conn.prepare_cached(
        "SELECT words_id, id, content, source, tags, importance, version, created_at, updated_at, expires_at
         FROM memory_chunks WHERE words_id > ?1 AND (expires_at IS NULL OR expires_at > ?3) ORDER BY words_id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, count_max as i64, now])?;
    let (mut lines, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        let words_id: i64 = row.get(0)?;
        let time = |index| text(row, index).map(|text| Timestamp::parse(&text).map(Timestamp::to_rfc3339));
        let stored = match &active {
            Some(active) => index::stored(conn, active.number, words_id)?.map(|stored| (active, stored)),
            None => None,
        };
        let line = Line {
            id: Some(text(row, 1)?),
            content: text(row, 2)?,
            source: text(row, 3)?,
            tags: text(row, 4)?,
            importance: row.get::<_, f64>(5).unwrap_or(0.5) as f32,
            version: row.get(6).ok(),
            created_at: time(7)?,
            updated_at: time(8)?,
            expires_at: time(9)?,
            vector: stored.map(|(active, stored)| LineVector {
                fingerprint: active.fingerprint.clone(),
                data: BASE64_STANDARD.encode(stored),
            }),
        };
        lines.push(serde_json::to_string(&line).expect("invariant: texts and finite numbers are JSON"));
        last = Some(words_id);
    }
    Ok((lines, last))
}

/// Reads one line.
pub fn read_line(line: &str) -> Result<Imported, LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let line: Line = serde_json::from_str(line).map_err(LineError::Json)?;
    let time = |field: &'static str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => Timestamp::parse(text).map(Some).ok_or(LineError::Time { field }),
    };
    let expires_at = time("expires_at", &line.expires_at)?;
    let (created_at, updated_at) = (time("created_at", &line.created_at)?, time("updated_at", &line.updated_at)?);
    let mut chunk = Chunk::new(&line.content, &line.source, &line.tags).map_err(LineError::Chunk)?;
    chunk = chunk.important(line.importance);
    if let Some(expires_at) = expires_at {
        chunk = chunk.until(expires_at);
    }
    let vector = match line.vector {
        None => None,
        Some(LineVector { fingerprint, data }) => {
            let bytes = BASE64_STANDARD.decode(data).map_err(|_| LineError::Vector)?;
            let values = from_blob(&bytes).and_then(|values| unit(&values)).ok_or(LineError::Vector)?;
            Some((fingerprint, values))
        }
    };
    Ok(Imported { chunk, created_at, updated_at, vector })
}

/// Stores a batch. Vectors are taken where the model that answers made them; others are made anew in the background.
pub fn import(tx: &Tx<'_>, batch: &[Imported], chunks_max: u32, now: Timestamp) -> rusqlite::Result<ImportCount> {
    let active = generation::active(tx)?;
    let chunks: Vec<Chunk> = batch.iter().map(|one| one.chunk.clone()).collect();
    let mut count = ImportCount::default();
    for (one, remembered) in batch.iter().zip(remember_all(tx, &chunks, chunks_max, now)?) {
        let id = match remembered {
            Remembered::New { id } => id,
            Remembered::Again { .. } => {
                count.again += 1;
                continue;
            }
            Remembered::Full => {
                count.refused += 1;
                continue;
            }
        };
        count.new += 1;
        tx.prepare_cached("UPDATE memory_chunks SET created_at = ?2, updated_at = ?3 WHERE id = ?1")?
            .execute(params![id, one.created_at.unwrap_or(now).min(now), one.updated_at.unwrap_or(now).min(now)])?;
        if let (Some(active), Some((fingerprint, vector))) = (&active, &one.vector)
            && active.fingerprint == *fingerprint
            && active.dims == vector.len()
            && generation::filling(tx)?.is_none()
        {
            keep_vector(tx, active.number, &id, vector)?;
        }
    }
    Ok(count)
}

fn keep_vector(tx: &Tx<'_>, number: i64, id: &str, vector: &[f32]) -> rusqlite::Result<()> {
    let known: Option<(i64, String)> = tx
        .prepare_cached("UPDATE memory_chunks SET embedded_with = ?2 WHERE id = ?1 RETURNING words_id, layer")?
        .query_row(params![id, number], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        Some((words_id, layer)) => index::put(tx, number, words_id, &layer, vector),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::vector::to_blob;

    #[test]
    fn a_line_that_is_no_memory_is_refused_with_a_reason() {
        let check = |line: &str, expected: &str| {
            assert_eq!(read_line(line).expect_err("refused").to_string(), expected, "{line}");
        };
        check("", "the line is not a memory in JSON");
        check(r#"{"content":"x"}"#, "the line is not a memory in JSON");
        check(r#"{"content":"x","source":"user","who":1}"#, "the line is not a memory in JSON");
        check(r#"{"content":" ","source":"user"}"#, "the memory cannot be kept");
        check(r#"{"content":"x","source":"user","expires_at":"soon"}"#, "`expires_at` is not a time");
        let vector = r#"{"content":"x","source":"user","vector":{"fingerprint":"m","data":"AAAA"}}"#;
        check(vector, "the vector is not Base64 of 32-bit floats");
        check(&" ".repeat(LINE_BYTES_MAX + 1), "the line is longer than 262144 bytes");
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,200}") {
            let _ = read_line(&line);
        }

        #[test]
        fn what_is_written_reads_back(content in "[^ ].{0,80}", tags in ".{0,20}", importance in 0.0_f32..=1.0) {
            prop_assume!(!content.trim().is_empty());
            let vector = LineVector { fingerprint: "m".to_owned(), data: BASE64_STANDARD.encode(to_blob(&[0.6, 0.8])) };
            let line = Line { id: None, content: content.clone(), source: "user".to_owned(), tags: tags.clone(), importance,
                version: None, created_at: None, updated_at: None, expires_at: None, vector: Some(vector) };
            let read = read_line(&serde_json::to_string(&line).expect("JSON")).expect("reads back");
            let chunk = Chunk::new(&content, "user", &tags).expect("a chunk").important(importance);
            prop_assert_eq!(read.chunk, chunk);
            prop_assert_eq!(read.vector, Some(("m".to_owned(), unit(&[0.6, 0.8]).expect("a direction"))));
        }
    }
}
