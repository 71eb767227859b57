//! Database files that this process does not run: copied, checked, and asked whether somebody else has them open.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::db::DbError;

/// How long somebody who only looks may keep the file.
const IN_USE_WAIT: Duration = Duration::from_millis(250);

/// Writes a consistent copy of the whole database at `from` to `to`, which must not exist, while its owner goes on.
pub fn copy_file(from: &Path, to: &Path) -> Result<(), DbError> {
    let failed = |source| DbError::Open { path: from.to_owned(), source };
    let connection = open(from, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(|source| DbError::Job { source })?;
    Ok(())
}

/// Reads every page; tells what is wrong, if anything.
pub fn check_file(path: &Path) -> Result<Option<String>, DbError> {
    let verdict = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)));
    match verdict {
        Ok(verdict) => Ok((verdict != "ok").then_some(verdict)),
        Err(error) if super::file::is_damage(&error) => Ok(Some(error.to_string())),
        Err(source) => Err(DbError::Open { path: path.to_owned(), source }),
    }
}

/// Reads something out of a database that somebody else may have open.
pub fn read_file<R>(path: &Path, job: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> Result<R, DbError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.map_err(|source| DbError::Open { path: path.to_owned(), source })?;
    job(&connection).map_err(|source| DbError::Job { source })
}

/// Reads the file's first pages, as everything that opens it does.
pub fn look_into(path: &Path) -> Result<(), DbError> {
    read_file(path, |connection| connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())))
}

/// Whether any other connection has the file open: in WAL mode each holds a lock for as long as it lives.
pub fn is_in_use(path: &Path) -> Result<bool, DbError> {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    if !path.exists() {
        return Ok(false);
    }
    let locked = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
        connection.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
        connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK")
    });
    match locked {
        Ok(()) => Ok(false),
        Err(error) if matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)) => Ok(true),
        // A damaged file cannot be used by anybody.
        Err(error) if super::file::is_damage(&error) => Ok(false),
        Err(source) => Err(DbError::Open { path: path.to_owned(), source }),
    }
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    super::vector::register();
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(IN_USE_WAIT)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::db::{Config, Db};

    #[test]
    fn a_file_is_copied_while_it_is_used_and_known_to_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
        assert!(!is_in_use(&path).expect("no file"));
        let db = Db::open(&Config::at(&path), &[], &Clock::System).expect("a database");
        db.write_blocking(|tx| tx.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (7)")).expect("written");
        assert!(is_in_use(&path).expect("asked"));
        copy_file(&path, &copy).expect("copied");
        assert!(copy_file(&path, &copy).is_err(), "a copy never replaces anything");
        db.write_blocking(|tx| tx.execute_batch("INSERT INTO t VALUES (8)")).expect("nobody was locked out");
        db.close();
        drop(db);
        assert_eq!(check_file(&copy).expect("checked"), None);
        look_into(&copy).expect("opens");
        assert!(!is_in_use(&copy).expect("asked"));
        let sum: i64 = open(&copy, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|copy| copy.query_row("SELECT sum(a) FROM t", [], |row| row.get(0)))
            .expect("read");
        assert_eq!(sum, 7);
    }

    #[test]
    fn damage_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        std::fs::write(&path, "no database at all, but long enough to have a header".repeat(9)).expect("written");
        assert!(check_file(&path).expect("checked").is_some() && look_into(&path).is_err());
        assert!(!is_in_use(&path).expect("asked"));
    }
}
