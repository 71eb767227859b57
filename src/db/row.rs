//! Columns that several tables have in common.

use rusqlite::Row;

use crate::base::clock::Timestamp;

/// A time in any form that KafClaw stored; none when it is none of them: a row that one cannot date is still a row.
pub fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| Timestamp::parse(&text)))
}
