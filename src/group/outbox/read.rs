//! Reading what the relay may send next.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::base::clock::Timestamp;
use crate::domain::record::{Class, Record, Stamp};
use crate::group::outbox::room::{signed, unsigned};
use crate::group::outbox::{Leased, Plan, spent};

/// Older rows of one key that are read because a live row waits behind them.
const OLDER_AT_ONCE_MAX: u32 = 64;

const COLUMNS: &str = "id, topic, key, class, epoch, seq, deadline_ms, value";

/// A row of the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub id: u64,
    pub record: Record,
}

impl Row {
    pub fn leased(&self) -> Leased {
        Leased { id: self.id, class: self.record.class, bytes: self.record.value.len() as u64 }
    }
}

/// What was found for a [`Plan`], in the order in which it may be sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    pub live: Vec<Row>,
    pub backlog: Vec<Row>,
    /// Live rows, with their keys, that have more rows before them than were read.
    pub behind: Vec<(u64, String)>,
    /// Up to which number nothing of the backlog was left unread.
    pub backlog_through: u64,
}

/// The newest row's number; what comes later is live.
pub fn last_id(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(id), 0) FROM group_outbox")?
        .query_row([], |row| row.get(0))
        .map(unsigned)
}

/// Reads up to what `plan` allows. A live row is preceded by the older rows of its key, however old.
pub fn read(connection: &Connection, plan: &Plan) -> rusqlite::Result<Batch> {
    let mut batch = Batch::default();
    let through = spent::through(connection)?;
    let (live, _) =
        piece(connection, (plan.live_after.max(through), u64::MAX), plan.live_rows_max, plan.live_bytes_max)?;
    // Keys whose older rows were read; true when all of them.
    let mut led: HashMap<String, bool> = HashMap::new();
    for row in live {
        if let (true, Some(key)) = (plan.has_backlog(), &row.record.key) {
            if !led.contains_key(key) {
                let older = older(connection, key, (through, plan.boundary))?;
                led.insert(key.clone(), older.len() < OLDER_AT_ONCE_MAX as usize);
                batch.live.extend(older);
            }
            if !led[key] {
                batch.behind.push((row.id, key.clone()));
                continue;
            }
        }
        batch.live.push(row);
    }
    let range = (plan.backlog_after.max(through), plan.boundary);
    let (backlog, is_all) = piece(connection, range, plan.backlog_rows_max, plan.backlog_bytes_max)?;
    // The last of the backlog may have become worthless meanwhile: the end is then not the boundary's own row.
    let last = backlog.last().map_or(plan.backlog_after, |row| row.id);
    batch.backlog_through = if is_all { plan.boundary.max(last) } else { last };
    batch.backlog = backlog;
    Ok(batch)
}

/// Rows with numbers above the first and up to the second of `range`, at least one if there is one and any are wanted; and whether
/// those are all.
fn piece(
    connection: &Connection,
    range: (u64, u64),
    rows_max: usize,
    bytes_max: u64,
) -> rusqlite::Result<(Vec<Row>, bool)> {
    if rows_max == 0 || range.0 >= range.1 {
        return Ok((Vec::new(), range.0 >= range.1));
    }
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM group_outbox WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3"
    ))?;
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let (mut found, mut bytes) = (Vec::new(), 0);
    for row in select.query_map((signed(range.0), signed(range.1), limit), row)? {
        let row = row?;
        bytes += row.record.value.len() as u64;
        if bytes > bytes_max && !found.is_empty() {
            return Ok((found, false));
        }
        found.push(row);
    }
    let is_all = found.len() < rows_max;
    Ok((found, is_all))
}

fn older(connection: &Connection, key: &str, range: (u64, u64)) -> rusqlite::Result<Vec<Row>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM group_outbox WHERE key = ?1 AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4"
        ))?
        .query_map((key, signed(range.0), signed(range.1), OLDER_AT_ONCE_MAX), row)?
        .collect()
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let class: String = row.get(3)?;
    let (epoch, seq): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    Ok(Row {
        id: row.get(0).map(unsigned)?,
        record: Record {
            topic: row.get(1)?,
            key: row.get(2)?,
            // A word that we do not know was not written by us; an answer is what is kept best.
            class: Class::parse(&class).unwrap_or(Class::Answer),
            stamp: epoch.zip(seq).map(|(epoch, seq)| Stamp { epoch: unsigned(epoch), seq: unsigned(seq) }),
            deadline_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
            value: row.get(7)?,
        },
    })
}
