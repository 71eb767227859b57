//! Floor 6: everything worth keeping, in one file, and back.
//!
//! A backup is a plain tar file: a marker, the database, the configuration, the workspace, and at its end a manifest with the
//! size and SHA-256 of each file, so that a cut or changed one is known before anything is replaced. [`write`] may run beside
//! the gateway; [`restore`] refuses to.
//!
//! Absent on purpose: the owner's password (another machine has its own, and asks for its setup code), compression and encryption (`zstd` and `age` do that better, in a pipe), schedules (a systemd timer),
//! symbolic links (they may lead anywhere), empty folders, and any table name: a database is copied as a file.

mod entry;
mod pack;
mod put;
mod unpack;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

pub use pack::{Options, Packed, write};
pub use put::{Replaced, restore};

use crate::db::DbError;

/// The format that is written; older ones are read, newer ones refused.
const FORMAT: u32 = 1;
/// Files in one backup.
const FILES_MAX: usize = 500_000;

/// Where the things are that a backup holds.
#[derive(Clone, Debug)]
pub struct Places {
    pub state_dir: PathBuf,
    pub database: PathBuf,
    pub config_file: PathBuf,
    pub token_file: PathBuf,
    pub workspace: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("could not write the backup; is the disk full?")]
    Pack { source: io::Error },
    #[error("{path} changed while it was read; run the backup again")]
    Changed { path: PathBuf },
    #[error("{0} has a name that is not UTF-8; rename it")]
    Name(PathBuf),
    #[error("there are more than {FILES_MAX} files; leave the workspace out with --without-workspace")]
    TooMany,
    #[error("could not copy the database")]
    Database { source: DbError },

    #[error("{path} is no backup of KafClaw{hint}; nothing was changed")]
    NotABackup { path: PathBuf, hint: &'static str },
    #[error("{path} was written by a newer version (format {format}); nothing was changed")]
    Newer { path: PathBuf, format: u32 },
    #[error("{path} ends too early, it is only a part of a backup; nothing was changed")]
    Cut { path: PathBuf },
    #[error("{path} is damaged ({what}); nothing was changed")]
    Damaged { path: PathBuf, what: String },
    #[error("the database {path} is in use; stop the gateway first; nothing was changed")]
    InUse { path: PathBuf },
    #[error("could not check the database {path}; nothing was changed")]
    Check { path: PathBuf, source: DbError },
    #[error("could not put {path} in its place; everything was put back as it was")]
    Replace { path: PathBuf, source: io::Error },
    #[error(
        "could not put {path} in its place, nor put everything back; what was there is in {aside}, what was to come in {staged}"
    )]
    HalfReplaced { path: PathBuf, aside: PathBuf, staged: PathBuf, source: io::Error },
}
