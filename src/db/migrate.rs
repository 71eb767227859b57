//! Numbered changes of the file's layout. Applied once each, in order of their numbers, after a copy of the file was made.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::base::clock::{Clock, Timestamp};
use crate::db::DbError;
use crate::db::layout::Layout;

/// What the name of a copy made before a change has behind that of the database.
pub(super) const COPY_SUFFIX: &str = ".before-";

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

/// What bringing the file up to date found.
#[derive(Debug, Default)]
pub(super) struct Ran {
    /// Where the file was copied before, when there was something to lose.
    pub copied_to: Option<PathBuf>,
    /// Changes of a newer program, none of which an older one can stumble over.
    pub newer: Vec<u32>,
}

/// Brings the file up to date.
pub(super) fn run(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&[Migration]],
    clock: &Clock,
) -> Result<Ran, DbError> {
    let mut wanted: Vec<Migration> = migrations.iter().flat_map(|list| list.iter().copied()).collect();
    wanted.sort_by_key(|migration| migration.number);
    assert!(wanted.windows(2).all(|pair| pair[0].number < pair[1].number), "two database changes share a number");

    let open_error = |source| DbError::Open { path: path.to_owned(), source };
    let had_tables = has_tables(connection).map_err(open_error)?;
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)",
        )
        .and_then(|()| add_column(connection, "schema_migrations", "additive INTEGER NOT NULL DEFAULT 0"))
        .map_err(open_error)?;
    let applied = applied(connection).map_err(open_error)?;
    let known: Vec<u32> = wanted.iter().map(|migration| migration.number).collect();
    if let Some(found) = first_foreign(&applied, &known) {
        return Err(DbError::Newer { found, known: known.last().copied().unwrap_or(0) });
    }
    let newer = applied.iter().map(|change| change.number).filter(|number| !known.contains(number)).collect();
    let missing: Vec<Migration> =
        wanted.into_iter().filter(|m| applied.iter().all(|change| change.number != m.number)).collect();
    if missing.is_empty() {
        return Ok(Ran { copied_to: None, newer });
    }
    let copied_to = if had_tables { Some(copy_aside(connection, path, clock.now())?) } else { None };
    apply_all(connection, &missing, clock.now())?;
    Ok(Ran { copied_to, newer })
}

/// A change that the file has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Applied {
    pub number: u32,
    /// A program that does not know it can use the file all the same.
    pub is_additive: bool,
}

/// The first change that a program with the changes `known` cannot live with.
pub(super) fn first_foreign(applied: &[Applied], known: &[u32]) -> Option<u32> {
    applied.iter().find(|change| !change.is_additive && !known.contains(&change.number)).map(|change| change.number)
}

/// The changes that the file has had, in order; those of a file from before they were judged count as not additive.
pub(super) fn applied(connection: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let is_judged: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info('schema_migrations') WHERE name = 'additive')",
        [],
        |row| row.get(0),
    )?;
    let additive = if is_judged { "additive" } else { "0" };
    let mut statement =
        connection.prepare(&format!("SELECT number, {additive} FROM schema_migrations ORDER BY number"))?;
    statement.query_map([], |row| Ok(Applied { number: row.get(0)?, is_additive: row.get(1)? }))?.collect()
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
        let before = Layout::read(&tx).map_err(failed(migration))?;
        (migration.apply)(&tx).map_err(failed(migration))?;
        let after = Layout::read(&tx).map_err(failed(migration))?;
        tx.execute(
            "INSERT INTO schema_migrations (number, name, applied_at, additive) VALUES (?1, ?2, ?3, ?4)",
            (migration.number, migration.name, now, before.only_grows_to(&after)),
        )
        .map_err(failed(migration))?;
    }
    tx.commit().map_err(failed(last))
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table')", [], |row| row.get(0))
}

/// The copy carries the version that changes the layout, so that a person finds the right one too.
fn copy_aside(connection: &Connection, path: &Path, now: Timestamp) -> Result<PathBuf, DbError> {
    let stamp = now.to_utc().format("%Y%m%d-%H%M%S%3f");
    let mut target = path.as_os_str().to_owned();
    target.push(format!("{COPY_SUFFIX}{}-{stamp}", env!("CARGO_PKG_VERSION")));
    let target = PathBuf::from(target);
    connection
        .execute("VACUUM INTO ?1", [target.to_string_lossy()])
        .map_err(|source| DbError::CopyBeforeMigration { path: target.clone(), source })?;
    Ok(target)
}
