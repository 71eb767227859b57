//! Records that lie in an object store: KafScale's proxy puts a pointer onto the topic in their place (group specification §0.2).
//! They wait here until they are fetched. Owner of the table `group_pointers`.

use rusqlite::Connection;

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::group::inbox::Received;
use crate::group::share::Pointer;

/// Records that may wait; more are refused.
const WAITING_MAX: u32 = 1_000;

/// A record that waits to be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Away {
    pub id: i64,
    pub topic: String,
    pub offset: i64,
    pub pointer: Pointer,
    pub received_at: Timestamp,
}

pub fn create_table(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE group_pointers (
            id INTEGER PRIMARY KEY, topic TEXT NOT NULL, offset INTEGER NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL,
            bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, received_ms INTEGER NOT NULL,
            UNIQUE (bucket, key))",
    )
}

/// Notes where a record lies; false when too many wait already.
pub fn wait(tx: &Tx<'_>, received: &Received, pointer: &Pointer, now: Timestamp) -> rusqlite::Result<bool> {
    let waiting: u32 = tx.prepare_cached("SELECT count(*) FROM group_pointers")?.query_row([], |row| row.get(0))?;
    if waiting >= WAITING_MAX {
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT OR IGNORE INTO group_pointers (topic, offset, bucket, key, bytes, sha256, received_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        &received.topic,
        received.offset,
        &pointer.bucket,
        &pointer.key,
        i64::try_from(pointer.bytes).unwrap_or(i64::MAX),
        &pointer.sha256,
        now.as_millis(),
    ))?;
    Ok(true)
}

/// Those that wait, in the order in which they came.
pub fn away(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Away>> {
    connection
        .prepare_cached(
            "SELECT id, topic, offset, bucket, key, bytes, sha256, received_ms FROM group_pointers ORDER BY id LIMIT ?1",
        )?
        .query_map([limit], |row| {
            let bytes = u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0);
            Ok(Away {
                id: row.get(0)?,
                topic: row.get(1)?,
                offset: row.get(2)?,
                pointer: Pointer { bucket: row.get(3)?, key: row.get(4)?, bytes, sha256: row.get(6)? },
                received_at: Timestamp::from_millis(row.get(7)?),
            })
        })?
        .collect()
}

/// It could not be fetched; returns how often that is now.
pub fn missed(tx: &Tx<'_>, id: i64) -> rusqlite::Result<u32> {
    tx.prepare_cached("UPDATE group_pointers SET attempts = attempts + 1 WHERE id = ?1 RETURNING attempts")?
        .query_row([id], |row| row.get(0))
}

/// It is here, or given up.
pub fn settled(tx: &Tx<'_>, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM group_pointers WHERE id = ?1")?.execute([id]).map(drop)
}
