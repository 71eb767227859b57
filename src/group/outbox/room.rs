//! How much of each class may wait, and making room.

use std::time::Duration;

use rusqlite::OptionalExtension;
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::id::TraceId;
use crate::db::Tx;
use crate::domain::event::Event;
use crate::domain::record::{Class, WhenFull};
use crate::group::outbox::{Appended, OutboxError};
use crate::timeline;

/// Losses of one class within this time are one burst, which is told once.
const BURST: Duration = Duration::from_secs(600);
/// Of a sampled class, one in so many is kept from half full on.
const SAMPLED_ONE_IN: u64 = 8;
/// Rows dropped for one record; more only means that it is refused.
const DROPPED_AT_ONCE_MAX: usize = 1_000;

/// Room of one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    pub rows_max: u64,
    pub bytes_max: u64,
    /// Older ones are dropped and counted. None for what is kept until it is sent.
    pub age_max: Option<Duration>,
}

/// Room of all classes. The sum is bounded too, so that a full outbox is a known part of a small disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    pub control: Room,
    pub request: Room,
    pub answer: Room,
    pub knowledge: Room,
    pub memory: Room,
    pub trace: Room,
    pub audit: Room,
    pub total_bytes_max: u64,
    /// Kafka's usual bound for a message, less what is around the value.
    pub record_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        const HOUR: Duration = Duration::from_secs(3_600);
        let kept = |rows_max, mib: u64| Room { rows_max, bytes_max: mib * MIB, age_max: None };
        Self {
            control: Room { rows_max: 256, bytes_max: MIB, age_max: Some(HOUR) },
            request: kept(5_000, 16),
            answer: kept(50_000, 64),
            knowledge: kept(50_000, 32),
            memory: kept(5_000, 32),
            trace: Room { rows_max: 5_000, bytes_max: 4 * MIB, age_max: Some(HOUR) },
            audit: Room { rows_max: 10_000, bytes_max: 8 * MIB, age_max: Some(HOUR * 24 * 7) },
            total_bytes_max: 128 * MIB,
            record_bytes_max: 960 * 1024,
        }
    }
}

impl Limits {
    pub fn room(&self, class: Class) -> Room {
        match class {
            Class::Control => self.control,
            Class::Request => self.request,
            Class::Answer => self.answer,
            Class::Knowledge => self.knowledge,
            Class::Memory => self.memory,
            Class::Trace => self.trace,
            Class::Audit => self.audit,
        }
    }
}

/// A record that wants a place.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub class: Class,
    pub bytes: u64,
    pub limits: &'a Limits,
    pub now: Timestamp,
}

/// Counts the record in, after making room for it if its class is of those for which room is made. None when it is left out.
pub(super) fn take(tx: &Tx<'_>, wanted: Wanted<'_>) -> Result<Option<()>, OutboxError> {
    let Wanted { class, limits, .. } = wanted;
    let mut place = reserve(tx, wanted)?;
    if place.is_none() && class.when_full() == WhenFull::DropOldest {
        place = with_less_of(tx, wanted, class)?;
    }
    for other in [Class::Trace, Class::Audit] {
        if place.is_none() && !class.gives_way() && has_room_of_its_own(tx, wanted)? {
            place = with_less_of(tx, wanted, other)?;
        }
    }
    match (place, class.when_full()) {
        (Some(place), WhenFull::Sample) if place.rows * 2 > limits.room(class).rows_max => {
            if place.appended % SAMPLED_ONE_IN == 0 {
                return Ok(Some(()));
            }
            tx.prepare_cached(
                "UPDATE group_outbox_totals SET rows = rows - 1, bytes = bytes - ?2, sampled = sampled + 1 WHERE class = ?1",
            )?
            .execute((class.as_str(), signed(wanted.bytes)))?;
            tell(tx, class, wanted.now)?;
            Ok(None)
        }
        (Some(_), _) => Ok(Some(())),
        (None, WhenFull::Refuse) => {
            count(tx, class, "refused")?;
            tell(tx, class, wanted.now)?;
            let (rows, bytes) = waiting(tx, class)?;
            Err(OutboxError::Full { class, rows, bytes })
        }
        (None, WhenFull::Sample | WhenFull::DropOldest) => {
            count(tx, class, "sampled")?;
            tell(tx, class, wanted.now)?;
            Ok(None)
        }
    }
}

impl From<Option<u64>> for Appended {
    fn from(id: Option<u64>) -> Self {
        id.map_or(Self::Sampled, Self::Queued)
    }
}

struct Place {
    rows: u64,
    appended: u64,
}

fn reserve(tx: &Tx<'_>, wanted: Wanted<'_>) -> rusqlite::Result<Option<Place>> {
    let Wanted { class, bytes, limits, .. } = wanted;
    let room = limits.room(class);
    tx.prepare_cached(
        "UPDATE group_outbox_totals SET rows = rows + 1, bytes = bytes + ?2, appended = appended + 1
         WHERE class = ?1 AND rows < ?3 AND bytes + ?2 <= ?4
            AND (SELECT sum(bytes) FROM group_outbox_totals) + ?2 <= ?5
         RETURNING rows, appended",
    )?
    .query_row(
        (class.as_str(), signed(bytes), signed(room.rows_max), signed(room.bytes_max), signed(limits.total_bytes_max)),
        |row| Ok(Place { rows: unsigned(row.get(0)?), appended: unsigned(row.get(1)?) }),
    )
    .optional()
}

fn has_room_of_its_own(tx: &Tx<'_>, wanted: Wanted<'_>) -> rusqlite::Result<bool> {
    let (rows, bytes) = waiting(tx, wanted.class)?;
    let room = wanted.limits.room(wanted.class);
    Ok(rows < room.rows_max && bytes + wanted.bytes <= room.bytes_max)
}

/// Drops the oldest of `victim` until the wanted one has its place.
fn with_less_of(tx: &Tx<'_>, wanted: Wanted<'_>, victim: Class) -> rusqlite::Result<Option<Place>> {
    let mut place = None;
    for _ in 0..DROPPED_AT_ONCE_MAX {
        let bytes: Option<i64> = tx
            .prepare_cached(
                // The list is the partial index's own condition: without it SQLite would not use that.
                "DELETE FROM group_outbox WHERE id = (SELECT min(id) FROM group_outbox
                    WHERE class IN ('control', 'trace', 'audit') AND class = ?1) RETURNING bytes",
            )?
            .query_row([victim.as_str()], |row| row.get(0))
            .optional()?;
        let Some(bytes) = bytes else { break };
        leave(tx, victim, "dropped", 1, unsigned(bytes))?;
        tell(tx, victim, wanted.now)?;
        place = reserve(tx, wanted)?;
        if place.is_some() {
            break;
        }
    }
    Ok(place)
}

/// Rows and bytes of a class that wait.
pub(super) fn waiting(tx: &Tx<'_>, class: Class) -> rusqlite::Result<(u64, u64)> {
    tx.prepare_cached("SELECT rows, bytes FROM group_outbox_totals WHERE class = ?1")?
        .query_row([class.as_str()], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))
}

/// Counts rows out, under the column that says why.
pub(super) fn leave(tx: &Tx<'_>, class: Class, why: &str, rows: u64, bytes: u64) -> rusqlite::Result<()> {
    tx.prepare_cached(&format!(
        "UPDATE group_outbox_totals SET rows = rows - ?2, bytes = bytes - ?3, {why} = {why} + ?2 WHERE class = ?1"
    ))?
    .execute((class.as_str(), signed(rows), signed(bytes)))
    .map(drop)
}

fn count(tx: &Tx<'_>, class: Class, why: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(&format!("UPDATE group_outbox_totals SET {why} = {why} + 1 WHERE class = ?1"))?
        .execute([class.as_str()])
        .map(drop)
}

/// Says in the timeline that records of `class` are not kept, unless that was said a short while ago.
pub(super) fn tell(tx: &Tx<'_>, class: Class, now: Timestamp) -> rusqlite::Result<()> {
    let counts = tx
        .prepare_cached(
            "UPDATE group_outbox_totals SET told_ms = ?2 WHERE class = ?1 AND (told_ms <= ?3 OR told_ms > ?2)
             RETURNING rows, sampled, dropped, refused",
        )?
        .query_row((class.as_str(), now.as_millis(), now.minus(BURST).as_millis()), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
        })
        .optional()?;
    let Some((rows, sampled, dropped, refused)) = counts else { return Ok(()) };
    let event = Event {
        content: format!("Not everything can wait for the network: {} records are left out.", class.as_str()),
        metadata: json!({
            "class": class.as_str(), "waiting": rows, "sampled": sampled, "dropped": dropped, "refused": refused,
        }),
        ..Event::system("GROUP_OUTBOX", TraceId::random(), now, "GROUP_OUTBOX_FULL")
    };
    timeline::append(tx, &event).map(drop)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
