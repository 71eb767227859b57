//! Floor 4: what the household changes while the house runs. Owner of table `settings`.
//!
//! Who may do what: an edge builds an [`Entry`], which checks it, and [`set`] stores it in the caller's transaction. Readers
//! take the typed questions below ([`is_silent`] and its neighbors) or [`get`]. [`all`] never shows a secret.
//!
//! Absent on purpose: configuration (the file's keys are fixed while the house runs), a cache (a read is a page in memory).

mod key;

pub use key::{Entry, KEY_BYTES_MAX, Kind, MASK, SettingError, VALUE_BYTES_MAX, is_secret, kind_of};

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::base::clock::Timestamp;
use crate::db::{Migration, Tx};

/// Settings that may be stored; one more under a new name is refused.
pub const SETTINGS_MAX: u32 = 1_000;
/// How long an approval waits when nobody said otherwise (specification §5.2).
const APPROVAL_TIMEOUT: Duration = Duration::from_secs(60);

pub const MIGRATIONS: &[Migration] = &[Migration {
    number: 700,
    name: "settings",
    apply: |conn| {
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT, updated_at DATETIME)",
        )
    },
}];

/// A stored setting as outsiders may see it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Setting {
    pub key: String,
    /// [`MASK`] when the key names a secret that is set.
    pub value: String,
    pub updated_at: Option<Timestamp>,
}

/// Whether an entry was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    Stored,
    /// There are already [`SETTINGS_MAX`].
    Full,
}

/// The stored value, secrets included: for the module that needs it, not for showing.
pub fn get(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let mut select = conn.prepare_cached("SELECT value FROM settings WHERE key = ?1")?;
    let value: Option<Option<String>> = select.query_row([key], |row| row.get(0)).optional()?;
    Ok(value.flatten())
}

/// As [`get`], for showing.
pub fn shown(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    Ok(get(conn, key)?.map(|value| key::masked(key, value)))
}

pub fn set(tx: &Tx<'_>, entry: &Entry, now: Timestamp) -> rusqlite::Result<Stored> {
    let (count, known): (u32, bool) = tx
        .prepare_cached("SELECT (SELECT count(*) FROM settings), EXISTS (SELECT 1 FROM settings WHERE key = ?1)")?
        .query_row([entry.key()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if !known && count >= SETTINGS_MAX {
        return Ok(Stored::Full);
    }
    tx.prepare_cached(
        "INSERT INTO settings (key, value, updated_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
    )?
    .execute((entry.key(), entry.value(), now))?;
    Ok(Stored::Stored)
}

/// Forgets a setting; false when there was none.
pub fn remove(tx: &Tx<'_>, key: &str) -> rusqlite::Result<bool> {
    Ok(tx.prepare_cached("DELETE FROM settings WHERE key = ?1")?.execute([key])? > 0)
}

/// Everything that is set, by name, secrets masked.
pub fn all(conn: &Connection) -> rusqlite::Result<Vec<Setting>> {
    conn.prepare_cached("SELECT key, coalesce(value, ''), updated_at FROM settings ORDER BY key")?
        .query_map([], |row| {
            let key: String = row.get(0)?;
            let value = key::masked(&key, row.get(1)?);
            let updated_at = row.get::<_, Option<String>>(2)?.and_then(|text| Timestamp::parse(&text));
            Ok(Setting { key, value, updated_at })
        })?
        .collect()
}

/// Whether channels that speak unasked are muted; a missing setting means muted (specification §5.2).
pub fn is_silent(conn: &Connection) -> rusqlite::Result<bool> {
    Ok(get(conn, "silent_mode")?.is_none_or(|value| key::parse_bool(&value) != Some(false)))
}

/// Tokens that may be used in a day; none for no limit.
pub fn daily_token_limit(conn: &Connection) -> rusqlite::Result<Option<u64>> {
    let limit = get(conn, "daily_token_limit")?.and_then(|value| value.trim().parse().ok());
    Ok(limit.filter(|limit| *limit > 0))
}

/// How long an approval waits for an answer.
pub fn approval_timeout(conn: &Connection) -> rusqlite::Result<Duration> {
    let seconds = get(conn, "approval_timeout_seconds")?.and_then(|value| value.trim().parse().ok());
    Ok(seconds.filter(|seconds| *seconds > 0).map_or(APPROVAL_TIMEOUT, Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

    fn store(db: &Db, key: &str, value: &str) -> Stored {
        let entry = Entry::new(key, value).expect("a good entry");
        db.write_blocking(move |tx| set(tx, &entry, NOW)).expect("written")
    }

    #[test]
    fn a_setting_reads_back_and_the_newest_value_counts() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        store(&db, "bot_repo_path", "/srv/a");
        store(&db, "bot_repo_path", "/srv/b");
        let rows = db.read_blocking(all).expect("rows");
        let expected = Setting { key: "bot_repo_path".to_owned(), value: "/srv/b".to_owned(), updated_at: Some(NOW) };
        assert_eq!(rows, [expected]);
        assert!(db.write_blocking(|tx| remove(tx, "bot_repo_path")).expect("removed"));
        assert_eq!(db.read_blocking(|conn| get(conn, "bot_repo_path")).expect("read"), None);
    }

    #[test]
    fn secrets_are_kept_but_never_shown() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        store(&db, "whatsapp_pair_token", "hunter2");
        assert_eq!(db.read_blocking(all).expect("rows")[0].value, MASK);
        let (shown, kept) = db
            .read_blocking(|conn| Ok((shown(conn, "whatsapp_pair_token")?, get(conn, "whatsapp_pair_token")?)))
            .expect("read");
        assert_eq!((shown.as_deref(), kept.as_deref()), (Some(MASK), Some("hunter2")));
    }

    #[test]
    fn what_is_missing_or_unreadable_falls_back_to_the_safe_side() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        let read = || {
            db.read_blocking(|conn| Ok((is_silent(conn)?, daily_token_limit(conn)?, approval_timeout(conn)?)))
                .expect("read")
        };
        assert_eq!(read(), (true, None, APPROVAL_TIMEOUT));
        // As an older program may have left them.
        db.write_blocking(|tx| {
            tx.execute_batch(
                "INSERT INTO settings VALUES ('silent_mode', 'perhaps', NULL), ('daily_token_limit', '-1', 'x'),
                    ('approval_timeout_seconds', NULL, '2026-01-01 00:00:00')",
            )
        })
        .expect("written");
        assert_eq!(read(), (true, None, APPROVAL_TIMEOUT));
        store(&db, "silent_mode", "false");
        store(&db, "daily_token_limit", "5000");
        store(&db, "approval_timeout_seconds", "90");
        assert_eq!(read(), (false, Some(5000), Duration::from_secs(90)));
        assert_eq!(db.read_blocking(all).expect("rows").len(), 3);
    }

    #[test]
    fn one_setting_too_many_is_refused_but_known_ones_still_change() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        for number in 0..SETTINGS_MAX {
            let key = format!("custom_{number}");
            db.write_blocking(move |tx| tx.execute("INSERT INTO settings VALUES (?1, '', '')", [key]))
                .expect("written");
        }
        assert_eq!(store(&db, "one_more", "x"), Stored::Full);
        assert_eq!(store(&db, "custom_1", "x"), Stored::Stored);
    }
}
