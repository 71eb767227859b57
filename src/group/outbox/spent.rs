//! Rows that the broker has and that are still in the table. Taking rows out one by one costs more than sending them, so a number
//! says up to which row all is over, and the rows are cleared away together: all at once when nothing waits behind them, which
//! SQLite does by the page, else the oldest when they take more place than rows that wait may.
//!
//! Only rows of classes that are never dropped and have no deadline stay: whoever looks for the others finds none that is over.

use rusqlite::OptionalExtension;

use crate::db::Tx;
use crate::domain::record::Class;
use crate::group::outbox::Leased;
use crate::group::outbox::room::{leave, signed, unsigned};

/// What rows that are over may take, as [`super::Limits`] has it for those that wait.
const SPENT_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// What a row takes besides its value: topic, key, numbers, its places in the indexes.
const ROW_BYTES: u64 = 128;
/// Rows cleared away at once while others wait behind them: more than come to be over meanwhile.
const CLEARED_AT_ONCE: u64 = 8_192;

/// Rows and bytes that are over, by class.
type Counts = [(u64, u64); Class::ALL.len()];

/// Whether rows of this class may stay when they are over.
pub(super) const fn may_stay(class: Class) -> bool {
    matches!(class, Class::Answer | Class::Knowledge | Class::Memory)
}

/// Up to which row, this one included, everything is over.
pub(super) fn through(connection: &rusqlite::Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT sent_through FROM group_self")?.query_row([], |row| row.get(0)).map(unsigned)
}

/// Counts rows out that the broker has. Those that are gone already are not counted again.
pub(super) fn settle(tx: &Tx<'_>, rows: &[Leased]) -> rusqlite::Result<()> {
    let before = through(tx)?;
    let mut ids: Vec<u64> = rows.iter().map(|row| row.id).filter(|&id| id > before).collect();
    ids.sort_unstable();
    ids.dedup();
    let (mut over, mut spent) = (before, 0);
    let mut counts = Counts::default();
    for run in ids.chunk_by(|one, next| one + 1 == *next) {
        let range = (run[0], run[run.len() - 1]);
        // What waits before a run is what the broker does not have yet; rows behind that cannot be told by a number.
        if is_empty(tx, (over, range.0 - 1))? {
            spent += count(tx, range, &mut counts)?;
            over = range.1;
        } else {
            delete(tx, range, &mut counts)?;
        }
    }
    for (class, (rows, bytes)) in Class::ALL.into_iter().zip(counts).filter(|(_, (rows, _))| *rows > 0) {
        leave(tx, class, "sent", rows, bytes)?;
    }
    if over > before {
        tx.prepare_cached("UPDATE group_self SET sent_through = ?1, spent_bytes = spent_bytes + ?2")?
            .execute((signed(over), signed(spent)))?;
    }
    clear(tx, over)
}

/// Clears away rows up to `over`, as far as that is cheap or has to be.
fn clear(tx: &Tx<'_>, over: u64) -> rusqlite::Result<()> {
    let spent =
        tx.prepare_cached("SELECT spent_bytes FROM group_self")?.query_row([], |row| row.get(0)).map(unsigned)?;
    if spent == 0 {
        return Ok(());
    }
    if is_empty(tx, (over, u64::MAX))? {
        // Without a condition: SQLite frees the pages and looks at no row.
        tx.prepare_cached("DELETE FROM group_outbox")?.execute([])?;
        tx.prepare_cached("UPDATE group_self SET spent_bytes = 0")?.execute([])?;
    } else if spent > SPENT_BYTES_MAX {
        let end = tx
            .prepare_cached("SELECT id FROM group_outbox ORDER BY id LIMIT 1 OFFSET ?1")?
            .query_row([signed(CLEARED_AT_ONCE)], |row| row.get(0))
            .optional()?
            .map_or(over, |id| over.min(unsigned(id)));
        let freed = tx
            .prepare_cached("SELECT coalesce(sum(bytes + ?2), 0) FROM group_outbox WHERE id <= ?1")?
            .query_row((signed(end), signed(ROW_BYTES)), |row| row.get(0))
            .map(unsigned)?;
        tx.prepare_cached("DELETE FROM group_outbox WHERE id <= ?1")?.execute([signed(end)])?;
        tx.prepare_cached("UPDATE group_self SET spent_bytes = max(spent_bytes - ?1, 0)")?.execute([signed(freed)])?;
    }
    Ok(())
}

/// Whether no row has a number above the first and up to the second of `range`.
fn is_empty(tx: &Tx<'_>, range: (u64, u64)) -> rusqlite::Result<bool> {
    if range.0 >= range.1 {
        return Ok(true);
    }
    tx.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM group_outbox WHERE id > ?1 AND id <= ?2)")?
        .query_row((signed(range.0), signed(range.1)), |row| row.get(0))
}

/// Adds what is there of `range`, both ends included, to `counts`; returns what it takes, in bytes.
fn count(tx: &Tx<'_>, range: (u64, u64), counts: &mut Counts) -> rusqlite::Result<u64> {
    tally(tx, "SELECT class, bytes FROM group_outbox WHERE id BETWEEN ?1 AND ?2", range, counts)
}

fn delete(tx: &Tx<'_>, range: (u64, u64), counts: &mut Counts) -> rusqlite::Result<u64> {
    tally(tx, "DELETE FROM group_outbox WHERE id BETWEEN ?1 AND ?2 RETURNING class, bytes", range, counts)
}

fn tally(tx: &Tx<'_>, sql: &str, range: (u64, u64), counts: &mut Counts) -> rusqlite::Result<u64> {
    let mut select = tx.prepare_cached(sql)?;
    let mut rows = select.query((signed(range.0), signed(range.1)))?;
    let mut total = 0;
    while let Some(row) = rows.next()? {
        let class = row.get_ref(0)?.as_str().ok().and_then(Class::parse).unwrap_or(Class::Answer);
        let bytes = unsigned(row.get(1)?);
        let (rows, sum) = &mut counts[class as usize];
        (*rows, *sum) = (*rows + 1, *sum + bytes);
        total += bytes + ROW_BYTES;
    }
    Ok(total)
}
