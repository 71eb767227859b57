//! A program that meets the file of a newer one, as after the way back from an update: it takes the copy that was made before the
//! layout changed, and keeps the newer file beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::base::clock::Clock;
use crate::db::migrate::{self, Applied, COPY_SUFFIX};
use crate::db::{DbError, Migration, Restored, offline, vector};

/// The copy on its way to the place of the database.
const COMING: &str = ".coming";
/// A file that a newer program has changed.
const NEWER_SUFFIX: &str = ".newer-";
/// Copies that are kept. A system goes back by one version; the others are for starts that the power cut while they copied.
const COPIES_MAX: usize = 3;
/// A file that is damaged.
pub(super) const DAMAGED_SUFFIX: &str = ".corrupt-";

/// Ends a way back that the power cut: from here on there is a file again.
pub(super) fn finish(path: &Path) -> Result<(), DbError> {
    let coming = beside(path, COMING);
    if path.exists() || !coming.exists() {
        return Ok(());
    }
    fs::rename(&coming, path).map_err(|source| DbError::StepBack { path: path.to_owned(), source })
}

/// Puts the newest copy that this program can use in the place of the file at `path`, which a newer program has changed with
/// change `found`. Nothing is deleted. None when there is no such copy.
pub(super) fn step_back(
    path: &Path,
    migrations: &[&[Migration]],
    found: u32,
    clock: &Clock,
) -> Result<Option<Restored>, DbError> {
    let known: Vec<u32> = migrations.iter().flat_map(|list| list.iter().map(|migration| migration.number)).collect();
    let Some(from) = copies(path).into_iter().find(|copy| is_usable(copy, &known)) else { return Ok(None) };
    let failed = |source| DbError::StepBack { path: path.to_owned(), source };
    let coming = beside(path, COMING);
    // Under another name until it is whole, so that no half of it is ever taken for the database.
    let draft = beside(path, ".draft");
    fs::copy(&from, &draft).and_then(|_| File::open(&draft)?.sync_all()).map_err(failed)?;
    fs::rename(&draft, &coming).map_err(failed)?;
    fold(path);
    let stamp = clock.now().to_utc().format("%Y%m%d-%H%M%S%3f");
    let newer = beside(path, &format!("{NEWER_SUFFIX}{found}-{stamp}"));
    // The log is empty by now; it goes first, because beside another database it would be read as that one's.
    for companion in ["-wal", "-shm"] {
        let log = beside(path, companion);
        if log.exists() {
            fs::rename(&log, beside(&newer, companion)).map_err(failed)?;
        }
    }
    fs::rename(path, &newer).map_err(failed)?;
    fs::rename(&coming, path).and_then(|()| sync_folder(path)).map_err(failed)?;
    Ok(Some(Restored { from, newer, found }))
}

/// Files that took their leave of the place at `path`, damaged or changed by a newer program, and are kept beside it, the newest first.
pub fn set_aside(path: &Path) -> Vec<PathBuf> {
    let is_companion = |path: &PathBuf| ["-wal", "-shm"].iter().any(|end| path.to_string_lossy().ends_with(end));
    let mut found = kept(path, &[NEWER_SUFFIX, DAMAGED_SUFFIX]);
    found.retain(|path| !is_companion(path));
    found
}

/// Takes the oldest copies away, so that neither years of updates nor a change that fails at every start fill the disk.
pub(super) fn prune(path: &Path) {
    for copy in copies(path).iter().skip(COPIES_MAX) {
        // One that cannot be deleted costs room and nothing else.
        let _ = fs::remove_file(copy);
    }
}

/// Copies made before changes, the newest first.
fn copies(path: &Path) -> Vec<PathBuf> {
    kept(path, &[COPY_SUFFIX])
}

/// Files beside that at `path` whose names go on with one of `suffixes`, the newest first.
fn kept(path: &Path, suffixes: &[&str]) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let name = name.to_string_lossy();
    let is_wanted = |found: OsString| {
        let found = found.to_string_lossy();
        found.strip_prefix(&*name).is_some_and(|rest| suffixes.iter().any(|suffix| rest.starts_with(suffix)))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut copies: Vec<(std::time::SystemTime, PathBuf)> = entries
        .filter(|entry| is_wanted(entry.file_name()))
        .filter_map(|entry| Some((entry.metadata().ok().filter(fs::Metadata::is_file)?.modified().ok()?, entry.path())))
        .collect();
    copies.sort_unstable_by(|one, other| other.cmp(one));
    copies.into_iter().map(|(_, path)| path).collect()
}

/// Whether a program with the changes `known` can use the copy, which may be cut off or a companion of one.
fn is_usable(copy: &Path, known: &[u32]) -> bool {
    vector::register();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let applied: rusqlite::Result<Vec<Applied>> =
        Connection::open_with_flags(copy, flags).and_then(|connection| migrate::applied(&connection));
    let fits = applied.is_ok_and(|applied| migrate::first_foreign(&applied, known).is_none());
    fits && matches!(offline::check_file(copy), Ok(None))
}

/// Brings what stands in the log into the file. Where that cannot be done, the log goes aside with it.
fn fold(path: &Path) {
    vector::register();
    if let Ok(connection) = Connection::open(path) {
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
