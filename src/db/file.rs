//! Opening the file: settings of the connection, damage, and the note that the last run ended in order.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::base::clock::Clock;
use crate::db::{Config, DbError, Migration, OpenReport, migrate, older, vector};

pub(super) fn open(
    config: &Config,
    migrations: &[&[Migration]],
    clock: &Clock,
) -> Result<(Connection, OpenReport), DbError> {
    create_folder(&config.path)?;
    older::finish(&config.path)?;
    older::prune(&config.path);
    let mut report = OpenReport { unclean: beside(&config.path, ".open").exists(), ..OpenReport::default() };
    let checked = open_writer(config).and_then(|connection| match damage(&connection, report.unclean)? {
        None => Ok((connection, None)),
        Some(damage) => Ok((connection, Some(damage))),
    });
    let mut connection = match checked {
        Ok((connection, None)) => connection,
        Ok((connection, Some(damage))) => {
            drop(connection);
            start_over(config, damage, &mut report, clock)?
        }
        Err(source) if is_damage(&source) => start_over(config, source.to_string(), &mut report, clock)?,
        Err(source) => return Err(DbError::Open { path: config.path.clone(), source }),
    };
    let ran = match migrate::run(&mut connection, &config.path, migrations, clock) {
        Err(DbError::Newer { found, known }) => {
            drop(connection);
            report.restored = older::step_back(&config.path, migrations, found, clock)?;
            if report.restored.is_none() {
                return Err(DbError::Newer { found, known });
            }
            connection = open_writer(config).map_err(|source| DbError::Open { path: config.path.clone(), source })?;
            migrate::run(&mut connection, &config.path, migrations, clock)?
        }
        ran => ran?,
    };
    report.copied_to = ran.copied_to;
    report.newer = ran.newer;
    let _ = fs::set_permissions(&config.path, fs::Permissions::from_mode(0o600));
    // Best effort: without the note, the next start merely skips the check.
    let _ = fs::write(beside(&config.path, ".open"), b"");
    Ok((connection, report))
}

pub(super) fn open_reader(config: &Config) -> Result<Connection, DbError> {
    let failed = |source| DbError::Open { path: config.path.clone(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    vector::register();
    let connection = Connection::open_with_flags(&config.path, flags).map_err(failed)?;
    connection.pragma_update(None, "busy_timeout", 5_000).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -i64::from(config.cache_kib)).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

pub(super) fn mark_clean(path: &Path) {
    let _ = fs::remove_file(beside(path, ".open"));
}

fn create_folder(path: &Path) -> Result<(), DbError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| DbError::Folder { path: folder.to_owned(), source })
}

fn open_writer(config: &Config) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    vector::register();
    let connection = Connection::open_with_flags(&config.path, flags)?;
    connection.pragma_update(None, "busy_timeout", 5_000)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // In WAL mode only FULL flushes on every commit; NORMAL could lose what was acknowledged when the power goes.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -i64::from(config.cache_kib))?;
    // The log file shrinks back after a burst instead of staying at its largest.
    connection.pragma_update_and_check(None, "journal_size_limit", 4 * 1024 * 1024, |_| Ok(()))?;
    Ok(connection)
}

/// What is wrong with the file, if anything. The full check is only made after a run that did not end in order: it reads everything.
fn damage(connection: &Connection, unclean: bool) -> rusqlite::Result<Option<String>> {
    let check = if unclean { "PRAGMA quick_check(1)" } else { "SELECT 'ok' FROM (SELECT count(*) FROM sqlite_master)" };
    let verdict: String = connection.query_row(check, [], |row| row.get(0))?;
    Ok((verdict != "ok").then_some(verdict))
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Moves the damaged file and its companions away and opens an empty one.
fn start_over(config: &Config, damage: String, report: &mut OpenReport, clock: &Clock) -> Result<Connection, DbError> {
    let stamp = clock.now().to_utc().format("%Y%m%d-%H%M%S%3f");
    let aside = beside(&config.path, &format!("{}{stamp}", older::DAMAGED_SUFFIX));
    let moved = |source| DbError::SetAside { path: config.path.clone(), source };
    fs::rename(&config.path, &aside).map_err(moved)?;
    for companion in ["-wal", "-shm"] {
        let from = beside(&config.path, companion);
        if from.exists() {
            fs::rename(&from, beside(&aside, companion)).map_err(moved)?;
        }
    }
    report.set_aside = Some(aside);
    report.damage = Some(damage);
    open_writer(config).map_err(|source| DbError::Open { path: config.path.clone(), source })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
