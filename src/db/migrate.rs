//! Numbered changes of the file's layout. Applied once each, in order of their numbers, after a copy of the file was made.

use std::path::Path;

use rusqlite::Connection;

use crate::base::clock::{Clock, Timestamp};
use crate::db::DbError;

/// One change. Never edited after it was released; a correction is a new one.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Unique in the whole house; each module has a hundred of its own.
    pub number: u32,
    pub name: &'static str,
    pub apply: fn(&Connection) -> rusqlite::Result<()>,
}

/// Adds a column to a table that an older program may have created without it. `definition` is `name TYPE ...`.
pub fn add_column(connection: &Connection, table: &str, definition: &str) -> rusqlite::Result<()> {
    let column = definition.split_whitespace().next().unwrap_or_default();
    let known: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
        [table, column],
        |row| row.get(0),
    )?;
    if known {
        return Ok(());
    }
    connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {definition}"))
}

/// Brings the file up to date; returns where its copy was put when there was something to lose.
pub(super) fn run(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&[Migration]],
    clock: &Clock,
) -> Result<Option<std::path::PathBuf>, DbError> {
    let mut wanted: Vec<Migration> = migrations.iter().flat_map(|list| list.iter().copied()).collect();
    wanted.sort_by_key(|migration| migration.number);
    assert!(wanted.windows(2).all(|pair| pair[0].number < pair[1].number), "two database changes share a number");

    let open_error = |source| DbError::Open { path: path.to_owned(), source };
    let had_tables = has_tables(connection).map_err(open_error)?;
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)",
        )
        .map_err(open_error)?;
    let applied = applied_numbers(connection).map_err(open_error)?;
    let known = wanted.last().map_or(0, |migration| migration.number);
    if let Some(found) = applied.iter().copied().find(|number| wanted.iter().all(|m| m.number != *number)) {
        return Err(DbError::Newer { found, known });
    }
    let missing: Vec<Migration> = wanted.into_iter().filter(|m| !applied.contains(&m.number)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let copy = if had_tables { Some(copy_aside(connection, path, clock.now())?) } else { None };
    apply_all(connection, &missing, clock.now())?;
    Ok(copy)
}

fn apply_all(connection: &mut Connection, missing: &[Migration], now: Timestamp) -> Result<(), DbError> {
    // One transaction for all: a power cut leaves the old layout or the new one, nothing between.
    let failed = |migration: &Migration| {
        let (number, name) = (migration.number, migration.name);
        move |source| DbError::Migrate { number, name, source }
    };
    let Some((first, last)) = missing.first().zip(missing.last()) else { return Ok(()) };
    let tx = connection.transaction().map_err(failed(first))?;
    for migration in missing {
        (migration.apply)(&tx).map_err(failed(migration))?;
        tx.execute(
            "INSERT INTO schema_migrations (number, name, applied_at) VALUES (?1, ?2, ?3)",
            (migration.number, migration.name, now),
        )
        .map_err(failed(migration))?;
    }
    tx.commit().map_err(failed(last))
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table')", [], |row| row.get(0))
}

fn applied_numbers(connection: &Connection) -> rusqlite::Result<Vec<u32>> {
    connection.prepare("SELECT number FROM schema_migrations")?.query_map([], |row| row.get(0))?.collect()
}

fn copy_aside(connection: &Connection, path: &Path, now: Timestamp) -> Result<std::path::PathBuf, DbError> {
    let stamp = now.to_utc().format("%Y%m%d-%H%M%S%3f");
    let mut target = path.as_os_str().to_owned();
    target.push(format!(".before-{stamp}"));
    let target = std::path::PathBuf::from(target);
    connection
        .execute("VACUUM INTO ?1", [target.to_string_lossy()])
        .map_err(|source| DbError::CopyBeforeMigration { path: target.clone(), source })?;
    Ok(target)
}
