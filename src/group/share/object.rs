//! Contents that travel beside their items: what this house keeps for others to fetch, and what was heard on the topic of the
//! items before or after the item that points to it. Known by what they are (SHA-256), so nobody can pass one off as another.
//!
//! Bounded by origin, so that what strangers say never pushes out what this house shared. Owner of the table `group_objects`.

use rusqlite::{Connection, OptionalExtension};

use crate::base::clock::Timestamp;
use crate::db::Tx;

/// Longest content that is kept, in bytes: what a record may have.
pub const OBJECT_BYTES_MAX: usize = 1024 * 1024;
/// Objects heard within [`HEARD_SPAN_MS`]; more are not kept, for the sake of the flash.
const HEARD_AT_ONCE_MAX: u32 = 64;
const HEARD_SPAN_MS: i64 = 60_000;
/// Objects that make room for one; more only means that it is not kept.
const DROPPED_AT_ONCE_MAX: u32 = 256;

/// Whose content it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It came through this house.
    Ours,
    /// Somebody said it on the topic.
    Heard,
}

impl Origin {
    /// Bytes that all of them may have together.
    const fn bytes_max(self) -> i64 {
        match self {
            Self::Ours => 32 * 1024 * 1024,
            Self::Heard => 8 * 1024 * 1024,
        }
    }
}

/// Keeps a content; the oldest of the same origin make room for it. `sha256` is its own, in lower-case hexadecimal. False when it
/// is not kept.
pub fn keep(tx: &Tx<'_>, origin: Origin, (sha256, value): (&str, &[u8]), now: Timestamp) -> rusqlite::Result<bool> {
    if value.is_empty() || value.len() > OBJECT_BYTES_MAX {
        return Ok(false);
    }
    let is_ours = origin == Origin::Ours;
    if is_known(tx, sha256)? {
        if is_ours {
            tx.execute(
                "UPDATE group_objects SET is_ours = 1, created_ms = ?2 WHERE sha256 = ?1",
                (sha256, now.as_millis()),
            )?;
        }
        return Ok(true);
    }
    if !is_ours && heard_lately(tx, now)? >= HEARD_AT_ONCE_MAX {
        return Ok(false);
    }
    let bytes = i64::try_from(value.len()).unwrap_or(i64::MAX);
    for _ in 0..DROPPED_AT_ONCE_MAX {
        let kept: i64 = tx
            .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM group_objects WHERE is_ours = ?1")?
            .query_row([is_ours], |row| row.get(0))?;
        if kept + bytes <= origin.bytes_max() {
            tx.prepare_cached(
                "INSERT INTO group_objects (sha256, is_ours, bytes, created_ms, value) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((sha256, is_ours, bytes, now.as_millis(), value))?;
            return Ok(true);
        }
        tx.prepare_cached(
            "DELETE FROM group_objects WHERE id = (SELECT id FROM group_objects WHERE is_ours = ?1 ORDER BY id LIMIT 1)",
        )?
        .execute([is_ours])?;
    }
    Ok(false)
}

/// A content by its SHA-256.
pub fn object(connection: &Connection, sha256: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM group_objects WHERE sha256 = ?1")?
        .query_row([sha256], |row| row.get(0))
        .optional()
}

/// Forgets contents from before `before`, a bounded piece at a time; returns how many.
pub fn prune(tx: &Tx<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    tx.execute(
        "DELETE FROM group_objects WHERE id IN (SELECT id FROM group_objects WHERE created_ms < ?1 ORDER BY id LIMIT ?2)",
        (before.as_millis(), DROPPED_AT_ONCE_MAX),
    )
}

fn is_known(tx: &Tx<'_>, sha256: &str) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM group_objects WHERE sha256 = ?1)")?
        .query_row([sha256], |row| row.get(0))
}

fn heard_lately(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM group_objects WHERE NOT is_ours AND created_ms > ?1")?
        .query_row([now.as_millis() - HEARD_SPAN_MS], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::db::Db;
    use crate::group;
    use crate::timeline;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    #[test]
    fn what_strangers_say_never_pushes_out_what_is_ours() {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
        db.write_blocking(|tx| {
            let content = vec![7_u8; OBJECT_BYTES_MAX];
            assert!(keep(tx, Origin::Ours, ("ours", b"kept"), NOW)?);
            assert!(!keep(tx, Origin::Ours, ("large", &vec![7; OBJECT_BYTES_MAX + 1]), NOW)?);
            for number in 0..20_u64 {
                let later = NOW.plus(Duration::from_secs(number));
                assert!(keep(tx, Origin::Heard, (&number.to_string(), &content), later)?);
            }
            assert_eq!(object(tx, "ours")?.as_deref(), Some(&b"kept"[..]));
            assert_eq!(
                (object(tx, "11")?.is_some(), object(tx, "12")?.is_some(), object(tx, "19")?.is_some()),
                (false, true, true)
            );
            assert_eq!(prune(tx, NOW.plus(Duration::from_secs(15)))?, 4);
            assert!(object(tx, "14")?.is_none() && object(tx, "15")?.is_some());
            Ok(())
        })
        .expect("written");
    }

    #[test]
    fn a_flood_of_contents_is_not_written_down() {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
        db.write_blocking(|tx| {
            let kept = (0..200_u32).filter(|n| keep(tx, Origin::Heard, (&n.to_string(), b"x"), NOW).expect("asked"));
            assert_eq!(kept.count(), HEARD_AT_ONCE_MAX as usize);
            let later = NOW.plus(Duration::from_secs(61));
            assert!(keep(tx, Origin::Heard, ("later", b"x"), later)?);
            Ok(())
        })
        .expect("written");
    }
}
