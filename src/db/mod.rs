//! Floor 2: the one database file. One thread writes, a few read.
//!
//! Who may do what: any module may queue a write or a read; only the writer thread opens transactions, and it commits
//! several queued jobs together, so that one flush to disk serves all of them. A job's answer comes after the commit, so
//! whoever has an answer has it on disk (`synchronous = FULL`).
//!
//! Absent on purpose: table names (each module keeps its SQL beside its state), an ORM, transactions that outlive a closure.

mod file;
mod layout;
mod migrate;
mod offline;
mod older;
mod row;
mod vector;
mod writer;

pub use migrate::{Migration, add_column};
pub use offline::{check_file, copy_file, is_in_use, look_into, read_file};
pub use older::set_aside;
pub use row::time;
pub use writer::Tx;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rusqlite::Connection;
use tokio::sync::watch;

use crate::base::clock::Clock;
use crate::base::lane::{Lane, LaneError};
use crate::base::limits;

/// Threads that answer reads.
const READERS: usize = 2;

#[derive(Clone, Debug)]
pub struct Config {
    pub path: PathBuf,
    /// Page cache of each connection, in KiB.
    pub cache_kib: u32,
}

impl Config {
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), cache_kib: 512 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("could not open the database {path}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("could not prepare the folder {path}; is the disk full or read-only?")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("could not set the damaged database {path} aside")]
    SetAside { path: PathBuf, source: std::io::Error },
    #[error("could not copy the database to {path} before changing its layout")]
    CopyBeforeMigration { path: PathBuf, source: rusqlite::Error },
    #[error("could not put the copy from before the newer version in the place of {path}")]
    StepBack { path: PathBuf, source: std::io::Error },
    #[error("could not apply database change {number} ({name})")]
    Migrate { number: u32, name: &'static str, source: rusqlite::Error },
    #[error(
        "the database was written by a newer version (change {found}, this one knows {known}) and no copy from before is here; install that version or restore a backup"
    )]
    Newer { found: u32, known: u32 },
    #[error("could not begin a transaction")]
    Begin { source: Arc<rusqlite::Error> },
    #[error("could not commit; is the disk full or read-only?")]
    Commit { source: Arc<rusqlite::Error> },
    #[error("a database job failed")]
    Job { source: rusqlite::Error },
    #[error("a database job panicked")]
    Panicked,
    #[error("the database is busy: {queue_len} writes are waiting")]
    Busy { queue_len: usize },
    #[error("the database has been closed")]
    Closed,
    #[error("could not read from the database")]
    Reader { source: LaneError },
    #[error("could not start the database's thread")]
    Thread { source: std::io::Error },
}

impl DbError {
    /// Whether the file itself is damaged. The next [`Db::open`] moves it aside.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Begin { source } | Self::Commit { source } => file::is_damage(source),
            Self::Job { source } | Self::Open { source, .. } | Self::Migrate { source, .. } => file::is_damage(source),
            _ => false,
        }
    }

    /// Whether the disk has no room left or cannot be written; the caller may say so plainly.
    pub fn is_storage_trouble(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
        let source = match self {
            Self::Begin { source } | Self::Commit { source } => source,
            Self::Job { source } | Self::Open { source, .. } => source,
            _ => return false,
        };
        matches!(source.sqlite_error_code(), Some(DiskFull | ReadOnly | CannotOpen | SystemIoFailure))
    }
}

/// What opening found. What was set aside [`set_aside`] finds again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// A damaged file that was moved here, so that the house could start with an empty one.
    pub set_aside: Option<PathBuf>,
    /// Why it was judged damaged.
    pub damage: Option<String>,
    /// The last run did not close the file; SQLite has recovered it.
    pub unclean: bool,
    /// The copy made before the layout changed.
    pub copied_to: Option<PathBuf>,
    /// Changes of a newer version that this one can live with.
    pub newer: Vec<u32>,
    /// A newer version had changed the file so that this one cannot use it.
    pub restored: Option<Restored>,
}

/// A copy from before a newer version took the place of the file that it had changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub from: PathBuf,
    /// Where the newer file is kept; what happened since the copy is only there.
    pub newer: PathBuf,
    /// The change that this version does not know.
    pub found: u32,
}

/// Handle to the database; clones share it.
#[derive(Clone)]
pub struct Db {
    writer: writer::Writer,
    readers: Arc<[Lane<Connection>]>,
    next_reader: Arc<AtomicUsize>,
    path: Arc<Path>,
    report: Arc<OpenReport>,
    is_damaged: Arc<AtomicBool>,
    #[cfg(test)]
    _folder: Option<Arc<tempfile::TempDir>>,
}

impl Db {
    /// Opens or creates the file, brings its layout up to date and starts the threads.
    ///
    /// A damaged file is renamed to `<name>.corrupt-<time>` and an empty one takes its place; [`Db::report`] says so.
    pub fn open(config: &Config, migrations: &[&[Migration]], clock: &Clock) -> Result<Self, DbError> {
        let (connection, report) = file::open(config, migrations, clock)?;
        let writer = writer::Writer::start(connection)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let connection = file::open_reader(config)?;
            let lane = Lane::start("db-read", limits::READ_QUEUE_LEN, connection);
            readers.push(lane.map_err(|source| DbError::Reader { source })?);
        }
        Ok(Self {
            writer,
            readers: readers.into(),
            next_reader: Arc::default(),
            path: config.path.as_path().into(),
            report: Arc::new(report),
            is_damaged: Arc::default(),
            #[cfg(test)]
            _folder: None,
        })
    }

    /// Runs `job` in a transaction. When this returns `Ok`, the change is on disk; when the job returns `Err`, nothing of it remains.
    pub async fn write<R, F>(&self, job: F) -> Result<R, DbError>
    where
        R: Send + 'static,
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<R> + Send + 'static,
    {
        let receiver = self.writer.submit(job)?;
        self.watched(receiver.await.unwrap_or(Err(DbError::Closed)))
    }

    /// As [`Db::write`], for threads without a runtime.
    pub fn write_blocking<R, F>(&self, job: F) -> Result<R, DbError>
    where
        R: Send + 'static,
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<R> + Send + 'static,
    {
        let receiver = self.writer.submit(job)?;
        self.watched(receiver.blocking_recv().unwrap_or(Err(DbError::Closed)))
    }

    /// Runs `job` on a read-only connection that sees everything committed before the call.
    pub async fn read<R, F>(&self, job: F) -> Result<R, DbError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    {
        let answer = self.reader().call(move |connection| job(connection)).await;
        self.watched(answer.map_err(|source| DbError::Reader { source })?.map_err(|source| DbError::Job { source }))
    }

    /// As [`Db::read`], for threads without a runtime.
    pub fn read_blocking<R, F>(&self, job: F) -> Result<R, DbError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    {
        let answer = self.reader().call_blocking(move |connection| job(connection));
        self.watched(answer.map_err(|source| DbError::Reader { source })?.map_err(|source| DbError::Job { source }))
    }

    /// Changes after every commit. The number means nothing else: followers re-read what is due.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.writer.committed()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Writes a consistent copy of the whole database to `target` while work goes on.
    pub async fn copy_to(&self, target: PathBuf) -> Result<(), DbError> {
        let path = self.path.clone();
        let copy = move |_: &Connection| {
            let source = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            source.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
            Ok(())
        };
        self.read(copy).await
    }

    /// Ends the writer after the queued jobs and notes that the file was closed in order, unless it was found damaged: then the
    /// next start checks it as a whole.
    pub fn close(&self) {
        self.writer.close();
        if !self.is_damaged.load(Ordering::Relaxed) {
            file::mark_clean(&self.path);
        }
    }

    /// Notes damage that a job met.
    fn watched<R>(&self, result: Result<R, DbError>) -> Result<R, DbError> {
        if let Err(error) = &result
            && error.is_damage()
        {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
        result
    }

    fn reader(&self) -> &Lane<Connection> {
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        &self.readers[turn % self.readers.len()]
    }

    /// A database in a temporary folder that lives as long as the handle.
    #[cfg(test)]
    pub fn memory_for_tests(migrations: &[&[Migration]]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config::at(folder.path().join("timeline.db"));
        let mut db = Self::open(&config, migrations, &Clock::System).expect("a fresh database");
        db._folder = Some(Arc::new(folder));
        db
    }
}

#[cfg(test)]
mod tests;
