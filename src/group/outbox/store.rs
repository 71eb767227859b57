//! The outbox in the database: rows come with the fact they announce and go when the broker has them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::fault;
use crate::base::id::TraceId;
use crate::db::Tx;
use crate::domain::event::Event;
use crate::domain::record::{Class, Record, Stamp};
use crate::group::outbox::room::{self, Wanted, leave, signed, unsigned};
use crate::group::outbox::{Appended, Limits, OutboxError, spent};
use crate::timeline;

/// Rows that one call of [`sweep`] takes out, so that no transaction is long.
const SWEPT_AT_ONCE_MAX: u32 = 500;

/// What the relay holds of a row while the producer has its record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leased {
    pub id: u64,
    pub class: Class,
    pub bytes: u64,
}

/// A request that waited until it was worthless.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expired {
    pub id: u64,
    pub topic: String,
    /// The task's id.
    pub key: Option<String>,
}

/// What happened to the records of a class since the database was made.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Totals {
    pub class: &'static str,
    /// Waiting now.
    pub rows: u64,
    pub bytes: u64,
    pub appended: u64,
    pub sent: u64,
    /// Left out when they came.
    pub sampled: u64,
    /// Taken out later: too old, or to make room.
    pub dropped: u64,
    /// Their deadline passed.
    pub expired: u64,
    /// Nobody could keep them; whoever said them was told.
    pub refused: u64,
}

/// Begins a new life of this member: its stamps are newer than all before, also when the clock says otherwise.
pub fn begin_epoch(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<u64> {
    tx.prepare_cached("UPDATE group_self SET epoch = max(epoch + 1, ?1) RETURNING epoch")?
        .query_row([now.as_millis()], |row| row.get(0))
        .map(unsigned)
}

/// Takes the next number, for a message that is about to be encoded. Rolled back, it is given back.
pub fn next_stamp(tx: &Tx<'_>) -> rusqlite::Result<Stamp> {
    tx.prepare_cached("UPDATE group_self SET seq = seq + 1 RETURNING epoch, seq")?
        .query_row([], |row| Ok(Stamp { epoch: unsigned(row.get(0)?), seq: unsigned(row.get(1)?) }))
}

/// Queues a record in the transaction of the fact that it announces.
///
/// # Errors
/// [`OutboxError::Full`] when a class that may not lose anything has no room; see [`Class::when_full`].
pub fn append(tx: &Tx<'_>, record: &Record, limits: &Limits, now: Timestamp) -> Result<Appended, OutboxError> {
    let Record { topic, key, value, class, deadline_at, stamp } = record;
    let bytes = value.len() as u64;
    if bytes > limits.record_bytes_max {
        return Err(OutboxError::TooLarge { bytes, limit: limits.record_bytes_max });
    }
    if deadline_at.is_some_and(|deadline| deadline <= now) {
        return Err(OutboxError::DeadlinePassed);
    }
    if room::take(tx, Wanted { class: *class, bytes, limits, now })?.is_none() {
        return Ok(Appended::Sampled);
    }
    // The row's number is the stamp's: rows are numbered in the order of their stamps.
    let id = match stamp {
        Some(stamp) => stamp.seq,
        None => next_stamp(tx)?.seq,
    };
    tx.prepare_cached(
        "INSERT INTO group_outbox (id, topic, key, class, epoch, seq, deadline_ms, created_ms, bytes, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        signed(id),
        topic,
        key,
        class.as_str(),
        stamp.map(|stamp| signed(stamp.epoch)),
        stamp.map(|stamp| signed(stamp.seq)),
        deadline_at.map(Timestamp::as_millis),
        now.as_millis(),
        signed(bytes),
        value,
    ])?;
    Ok(Appended::Queued(id))
}

/// Takes out what the broker has confirmed. Rows that are gone already are not counted again.
pub fn sent(tx: &Tx<'_>, rows: &[Leased]) -> rusqlite::Result<()> {
    fault::point("outbox.after_produce");
    let (staying, going): (Vec<_>, Vec<_>) = rows.iter().copied().partition(|row| spent::may_stay(row.class));
    remove(tx, &going, "sent")?;
    spent::settle(tx, &staying)
}

/// Deletes a record that no broker will ever take, and says so.
pub fn give_up(tx: &Tx<'_>, row: Leased, why: &str, now: Timestamp) -> rusqlite::Result<()> {
    if remove(tx, &[row], "dropped")? == 0 {
        return Ok(());
    }
    let event = Event {
        content: "A record was refused by the broker for good and is not sent.".to_owned(),
        metadata: json!({"class": row.class.as_str(), "bytes": row.bytes, "seq": row.id, "reason": why}),
        ..Event::system("GROUP_OUTBOX", TraceId::random(), now, "GROUP_OUTBOX_DROPPED")
    };
    timeline::append(tx, &event).map(drop)
}

/// Takes out what is for topics that are not `ours`: of a group that this hub is not in any more, at a broker that may be another.
/// Returns how many records.
pub fn drop_foreign(tx: &Tx<'_>, ours: impl Fn(&str) -> bool, now: Timestamp) -> rusqlite::Result<u64> {
    let through = signed(spent::through(tx)?);
    let topics = tx
        .prepare_cached("SELECT DISTINCT topic FROM group_outbox WHERE id > ?1")?
        .query_map([through], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    let mut total = 0;
    for topic in topics.iter().filter(|topic| !ours(topic)) {
        let rows = tx
            .prepare_cached("SELECT id, class, bytes FROM group_outbox WHERE topic = ?1 AND id > ?2 ORDER BY id")?
            .query_map((topic, through), |row| {
                let class = Class::parse(&row.get::<_, String>(1)?).unwrap_or(Class::Answer);
                Ok(Leased { id: unsigned(row.get(0)?), class, bytes: unsigned(row.get(2)?) })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        total += remove(tx, &rows, "dropped")?;
    }
    if total > 0 {
        let event = Event {
            content: "Records for a group that this hub has left are not sent.".to_owned(),
            metadata: json!({"records": total}),
            ..Event::system("GROUP_OUTBOX", TraceId::random(), now, "GROUP_OUTBOX_DROPPED")
        };
        timeline::append(tx, &event)?;
    }
    Ok(total)
}

/// Takes out requests whose deadline has passed, each with an event, and what became too old. The caller tells the requesters.
pub fn sweep(tx: &Tx<'_>, limits: &Limits, now: Timestamp) -> rusqlite::Result<Vec<Expired>> {
    let overdue = tx
        .prepare_cached(
            "DELETE FROM group_outbox WHERE id IN (SELECT id FROM group_outbox
                WHERE deadline_ms IS NOT NULL AND deadline_ms <= ?1 ORDER BY deadline_ms LIMIT ?2)
             RETURNING id, topic, key, class, bytes",
        )?
        .query_map((now.as_millis(), SWEPT_AT_ONCE_MAX), |row| {
            let expired = Expired { id: unsigned(row.get(0)?), topic: row.get(1)?, key: row.get(2)? };
            Ok((expired, row.get::<_, String>(3)?, unsigned(row.get(4)?)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (expired, class, bytes) in &overdue {
        leave(tx, Class::parse(class).unwrap_or(Class::Request), "expired", 1, *bytes)?;
        let event = Event {
            content: "A request waited for the network until its deadline had passed.".to_owned(),
            metadata: json!({"topic": expired.topic, "task_id": expired.key, "seq": expired.id}),
            ..Event::system("GROUP_OUTBOX", TraceId::random(), now, "GROUP_REQUEST_EXPIRED")
        };
        timeline::append(tx, &event)?;
    }
    for class in Class::ALL {
        if let Some(age_max) = limits.room(class).age_max {
            drop_older(tx, class, now.minus(age_max), now)?;
        }
    }
    Ok(overdue.into_iter().map(|(expired, ..)| expired).collect())
}

/// When [`sweep`] takes out the next request.
pub fn next_deadline(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT min(deadline_ms) FROM group_outbox WHERE deadline_ms IS NOT NULL")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))
        .map(|millis| millis.map(Timestamp::from_millis))
}

fn drop_older(tx: &Tx<'_>, class: Class, before: Timestamp, now: Timestamp) -> rusqlite::Result<()> {
    // Rows are numbered in order of time, so the oldest are the first; a clock that jumped only delays the rest of them.
    let gone = tx
        .prepare_cached(
            "DELETE FROM group_outbox WHERE id IN (SELECT id FROM group_outbox
                WHERE class IN ('control', 'trace', 'audit') AND class = ?1 ORDER BY id LIMIT ?3)
                AND created_ms < ?2
             RETURNING bytes",
        )?
        .query_map((class.as_str(), before.as_millis(), SWEPT_AT_ONCE_MAX), |row| row.get(0).map(unsigned))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if gone.is_empty() {
        return Ok(());
    }
    leave(tx, class, "dropped", gone.len() as u64, gone.iter().sum())?;
    room::tell(tx, class, now)
}

/// When [`sweep`] has something to do; none while nothing that waits can become worthless.
pub fn next_sweep(connection: &Connection, limits: &Limits) -> rusqlite::Result<Option<Timestamp>> {
    let mut next = next_deadline(connection)?;
    for class in Class::ALL {
        let Some(age_max) = limits.room(class).age_max else { continue };
        let oldest = connection
            .prepare_cached(
                "SELECT created_ms FROM group_outbox WHERE class IN ('control', 'trace', 'audit') AND class = ?1
                 ORDER BY id LIMIT 1",
            )?
            .query_row([class.as_str()], |row| row.get(0))
            .optional()?;
        // A row is dropped once it is older than that, not when it is exactly as old.
        let over = oldest.map(|millis| Timestamp::from_millis(millis).plus(age_max).plus(Duration::from_millis(1)));
        next = [next, over].into_iter().flatten().min();
    }
    Ok(next)
}

/// Counts of every class, in the order of [`Class::ALL`].
pub fn totals(connection: &Connection) -> rusqlite::Result<Vec<Totals>> {
    let mut select = connection.prepare_cached(
        "SELECT rows, bytes, appended, sent, sampled, dropped, expired, refused FROM group_outbox_totals WHERE class = ?1",
    )?;
    let mut of = |class: Class| {
        select.query_row([class.as_str()], |row| {
            let count = |column: usize| row.get(column).map(unsigned);
            Ok(Totals {
                class: class.as_str(),
                rows: count(0)?,
                bytes: count(1)?,
                appended: count(2)?,
                sent: count(3)?,
                sampled: count(4)?,
                dropped: count(5)?,
                expired: count(6)?,
                refused: count(7)?,
            })
        })
    };
    Class::ALL.into_iter().map(&mut of).collect()
}

/// Deletes rows, a run of neighbors with one statement, and counts them under `why`; returns how many there were.
fn remove(tx: &Tx<'_>, rows: &[Leased], why: &str) -> rusqlite::Result<u64> {
    let through = spent::through(tx)?;
    let mut rows: Vec<Leased> = rows.iter().filter(|row| row.id > through).copied().collect();
    rows.sort_unstable_by_key(|row| (row.class, row.id));
    rows.dedup_by_key(|row| row.id);
    let mut total = 0;
    for class in rows.chunk_by(|one, next| one.class == next.class) {
        let (mut gone, mut bytes) = (0, 0);
        for run in class.chunk_by(|one, next| one.id + 1 == next.id) {
            let (first, last) = (run[0].id, run[run.len() - 1].id);
            // Some may have been dropped while the producer had them: what is there decides.
            let mut delete =
                tx.prepare_cached("DELETE FROM group_outbox WHERE id BETWEEN ?1 AND ?2 RETURNING bytes")?;
            for size in delete.query_map((signed(first), signed(last)), |row| row.get(0).map(unsigned))? {
                gone += 1;
                bytes += size?;
            }
        }
        if gone > 0 {
            leave(tx, class[0].class, why, gone, bytes)?;
        }
        total += gone;
    }
    Ok(total)
}
