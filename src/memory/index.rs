//! The tables of one generation: `memory_vectors_<n>` with every vector as the model made it, and sqlite-vec's `memory_index_<n>`
//! with its signature, in blocks per layer. Both change in the transaction that changes the chunk.

use rusqlite::{Connection, OptionalExtension, params};

use super::vector::{from_blob, signature, signature_bits, to_blob};
use crate::db::Tx;

/// Signatures per block. Larger blocks are read faster, and waste more where a layer has a few chunks.
pub(super) const BLOCK_LEN: usize = 1024;

pub(super) fn create(tx: &Tx<'_>, number: i64, dims: usize) -> rusqlite::Result<()> {
    tx.execute_batch(&format!(
        "CREATE TABLE memory_vectors_{number} (words_id INTEGER PRIMARY KEY, vector BLOB NOT NULL)"
    ))?;
    create_index(tx, number, dims)
}

fn create_index(tx: &Tx<'_>, number: i64, dims: usize) -> rusqlite::Result<()> {
    let bits = signature_bits(dims);
    // sqlite-vec looks for a layer's last block at every insert; without an index of ours it would read all of them.
    tx.execute_batch(&format!(
        "CREATE VIRTUAL TABLE memory_index_{number} USING vec0 (
            layer TEXT partition key, signature bit[{bits}], chunk_size={BLOCK_LEN});
         CREATE INDEX memory_index_{number}_layers ON memory_index_{number}_chunks (partition00)"
    ))
}

/// Stores a vector of unit length for a chunk that has none in this generation.
pub(super) fn put(tx: &Tx<'_>, number: i64, words_id: i64, layer: &str, vector: &[f32]) -> rusqlite::Result<()> {
    tx.prepare_cached(&format!("INSERT INTO memory_vectors_{number} (words_id, vector) VALUES (?1, ?2)"))?
        .execute(params![words_id, to_blob(vector)])?;
    sign(tx, number, words_id, layer, vector)
}

fn sign(tx: &Tx<'_>, number: i64, words_id: i64, layer: &str, vector: &[f32]) -> rusqlite::Result<()> {
    tx.prepare_cached(&format!(
        "INSERT INTO memory_index_{number} (rowid, layer, signature) VALUES (?1, ?2, vec_bit(?3))"
    ))?
    .execute(params![words_id, layer, signature(vector)])
    .map(drop)
}

/// Removes a chunk's vector, if it has one.
pub(super) fn remove(tx: &Tx<'_>, number: i64, words_id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(&format!("DELETE FROM memory_vectors_{number} WHERE words_id = ?1"))?.execute([words_id])?;
    tx.prepare_cached(&format!("DELETE FROM memory_index_{number} WHERE rowid = ?1"))?.execute([words_id]).map(drop)
}

/// The stored bytes of a chunk's vector.
pub(super) fn stored(conn: &Connection, number: i64, words_id: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached(&format!("SELECT vector FROM memory_vectors_{number} WHERE words_id = ?1"))?
        .query_row([words_id], |row| row.get(0))
        .optional()
}

/// Deletes at most `rows_max` vectors; returns how many it did.
pub(super) fn clear_some(tx: &Tx<'_>, number: i64, rows_max: usize) -> rusqlite::Result<usize> {
    if !exists(tx, &format!("memory_vectors_{number}"))? {
        return Ok(0);
    }
    tx.prepare_cached(&format!(
        "DELETE FROM memory_vectors_{number} WHERE words_id IN (SELECT words_id FROM memory_vectors_{number} LIMIT ?1)"
    ))?
    .execute([rows_max as i64])
}

pub(super) fn drop_tables(tx: &Tx<'_>, number: i64) -> rusqlite::Result<()> {
    tx.execute_batch(&format!(
        "DROP TABLE IF EXISTS memory_index_{number}; DROP TABLE IF EXISTS memory_vectors_{number}"
    ))
}

/// How many signatures there are.
pub(super) fn count(conn: &Connection, number: i64) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM memory_index_{number}_rowids");
    conn.prepare_cached(&sql)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Makes the index anew from the stored vectors, without those whose chunk is gone; returns how many it holds.
pub(super) fn rebuild(tx: &Tx<'_>, number: i64, dims: usize) -> rusqlite::Result<u64> {
    tx.execute_batch(&format!(
        "DROP TABLE IF EXISTS memory_index_{number};
         DELETE FROM memory_vectors_{number} WHERE words_id NOT IN (SELECT words_id FROM memory_chunks WHERE words_id IS NOT NULL)"
    ))?;
    create_index(tx, number, dims)?;
    let mut broken = Vec::new();
    let mut count = 0;
    let sql = format!(
        "SELECT v.words_id, c.layer, v.vector FROM memory_vectors_{number} AS v
         JOIN memory_chunks AS c ON c.words_id = v.words_id ORDER BY v.words_id"
    );
    let mut statement = tx.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let words_id = row.get(0)?;
        let layer: String = row.get(1)?;
        match from_blob(row.get_ref(2)?.as_blob().unwrap_or_default()).filter(|vector| vector.len() == dims) {
            Some(vector) => {
                sign(tx, number, words_id, &layer, &vector)?;
                count += 1;
            }
            None => broken.push(words_id),
        }
    }
    for words_id in broken {
        tx.execute(&format!("DELETE FROM memory_vectors_{number} WHERE words_id = ?1"), [words_id])?;
        tx.execute("UPDATE memory_chunks SET embedded_with = 0 WHERE words_id = ?1", [words_id])?;
    }
    Ok(count)
}

pub(super) fn exists(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)")?
        .query_row([table], |row| row.get(0))
}
