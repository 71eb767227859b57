//! What was received, in the database: the ledger of what is known, refusals with their reasons, and how far topics were read.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::fault;
use crate::db::Tx;
use crate::domain::record::Class;
use crate::group::inbox::{Received, Verdict, log};

/// Refusals that are remembered one by one; all are counted.
const REFUSALS_MAX: i64 = 2_000;
/// Refusals are cut every so many.
const CUT_EVERY: i64 = 64;
/// Longest text of a stranger that is stored with a refusal.
const NAME_BYTES_MAX: usize = 128;
/// Rows deleted by one call of [`prune`].
const PRUNE_PIECE_LEN: u32 = 5_000;

/// How much is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// Longer than brokers keep records by default (7 days) and than a member is usually away.
    pub ledger: Duration,
    pub ledger_rows_max: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { ledger: Duration::from_secs(30 * 24 * 3_600), ledger_rows_max: 500_000 }
    }
}

/// A record that was not believed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Refused {
    pub at: Timestamp,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub sender_id: String,
    pub envelope_type: String,
    pub correlation_id: String,
    pub reason: String,
    pub bytes: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RefusalCount {
    pub reason: String,
    pub count: i64,
    pub last_at: Timestamp,
}

/// Takes note of a message in the transaction that applies it, if the answer is [`Verdict::Accepted`]. `judged` is what
/// [`crate::group::inbox::Gate::judge`] said.
pub fn receive(tx: &Tx<'_>, received: &Received, judged: Verdict, now: Timestamp) -> rusqlite::Result<Verdict> {
    log::note(tx, received, now)?;
    advance(tx, &received.topic, received.partition, received.offset)?;
    let verdict = match judged {
        Verdict::Accepted if is_known(tx, received, now)? => Verdict::Duplicate,
        Verdict::Refused(objection) => {
            refuse(tx, received, objection.as_str(), now)?;
            judged
        }
        other => other,
    };
    fault::point("inbox.before_commit");
    Ok(verdict)
}

/// Records a message that is not believed. `reason` is a word of a closed list, of
/// [`crate::group::inbox::Objection`] or of the decoder.
pub fn refuse(tx: &Tx<'_>, received: &Received, reason: &'static str, now: Timestamp) -> rusqlite::Result<()> {
    advance(tx, &received.topic, received.partition, received.offset)?;
    let id = tx
        .prepare_cached(
            "INSERT INTO group_refusals (at, topic, sender_id, envelope_type, correlation_id, reason, bytes, partition, offset)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .insert(params![
            now,
            received.topic,
            shortened(&received.sender_id),
            shortened(&received.kind),
            shortened(&received.correlation_id),
            reason,
            i64::try_from(received.bytes).unwrap_or(i64::MAX),
            received.partition,
            received.offset,
        ])?;
    tx.prepare_cached(
        "INSERT INTO group_refusal_counts (reason, count, last_at) VALUES (?1, 1, ?2)
         ON CONFLICT (reason) DO UPDATE SET count = count + 1, last_at = excluded.last_at",
    )?
    .execute((reason, now))?;
    if id % CUT_EVERY == 0 {
        tx.prepare_cached("DELETE FROM group_refusals WHERE id <= ?1")?.execute([id - REFUSALS_MAX])?;
    }
    Ok(())
}

/// The newest refusals, newest first.
pub fn refusals(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Refused>> {
    connection
        .prepare_cached(
            "SELECT at, topic, partition, offset, sender_id, envelope_type, correlation_id, reason, bytes
             FROM group_refusals ORDER BY id DESC LIMIT ?1",
        )?
        .query_map([limit], |row| {
            Ok(Refused {
                at: row.get(0)?,
                topic: row.get(1)?,
                partition: row.get(2)?,
                offset: row.get(3)?,
                sender_id: row.get(4)?,
                envelope_type: row.get(5)?,
                correlation_id: row.get(6)?,
                reason: row.get(7)?,
                bytes: row.get(8)?,
            })
        })?
        .collect()
}

/// How often what was refused, since the database was made.
pub fn refusal_counts(connection: &Connection) -> rusqlite::Result<Vec<RefusalCount>> {
    connection
        .prepare_cached("SELECT reason, count, last_at FROM group_refusal_counts ORDER BY reason")?
        .query_map([], |row| Ok(RefusalCount { reason: row.get(0)?, count: row.get(1)?, last_at: row.get(2)? }))?
        .collect()
}

/// The offset after the last one that was taken from a partition. For the start only: a topic that was made anew begins at zero
/// again, so an offset does not tell whether a message is known.
pub fn resume_at(connection: &Connection, topic: &str, partition: i32) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT next FROM group_offsets WHERE topic = ?1 AND partition = ?2")?
        .query_row((topic, partition), |row| row.get(0))
        .optional()
}

/// Forgets what may be forgotten, a bounded piece at a time; returns how many rows went.
pub fn prune(tx: &Tx<'_>, keep: &Keep, now: Timestamp) -> rusqlite::Result<usize> {
    let old = tx.execute(
        "DELETE FROM group_ledger WHERE id IN (SELECT id FROM group_ledger WHERE received_ms < ?1
            ORDER BY received_ms LIMIT ?2)",
        (now.minus(keep.ledger).as_millis(), PRUNE_PIECE_LEN),
    )?;
    let excess = tx.execute(
        "DELETE FROM group_ledger WHERE id IN (SELECT id FROM group_ledger ORDER BY received_ms
            LIMIT max(0, min(?2, (SELECT count(*) FROM group_ledger) - ?1)))",
        (keep.ledger_rows_max, PRUNE_PIECE_LEN),
    )?;
    Ok(old + excess)
}

fn advance(tx: &Tx<'_>, topic: &str, partition: i32, offset: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO group_offsets (topic, partition, next) VALUES (?1, ?2, ?3)
         ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next",
    )?
    .execute((topic, partition, offset.saturating_add(1)))
    .map(drop)
}

/// Whether it was received before; it is known from now on.
fn is_known(tx: &Tx<'_>, received: &Received, now: Timestamp) -> rusqlite::Result<bool> {
    // Who is there may be said again and again: the roster tells old from new.
    if received.class == Class::Control {
        return Ok(false);
    }
    let added = tx
        .prepare_cached("INSERT OR IGNORE INTO group_ledger (id, received_ms) VALUES (?1, ?2)")?
        .execute((name_of(received), now.as_millis()))?;
    Ok(added == 0)
}

/// 128 bits by which a message is known again: the sender's number for it, or else all that it says.
fn name_of(received: &Received) -> [u8; 16] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    match received.stamp {
        Some(stamp) => {
            add(received.sender_id.as_bytes());
            add(&stamp.epoch.to_le_bytes());
            add(&stamp.seq.to_le_bytes());
        }
        None => {
            add(received.topic.as_bytes());
            add(received.correlation_id.as_bytes());
            add(&received.hash);
        }
    }
    let digest = hash.finalize();
    let mut name = [0; 16];
    name.copy_from_slice(&digest[..16]);
    name
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}
