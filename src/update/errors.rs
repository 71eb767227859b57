//! What can go wrong with an update, each in a sentence that says what to do.

use std::io;
use std::path::PathBuf;

use crate::models::FetchError;
use crate::update::judge::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error(transparent)]
    Refused(Refusal),
    #[error("could not {attempt} {}", path.display())]
    File { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("the disk is full: {} has {free_mib} MiB free and {need_mib} MiB are needed; make room and try again", path.display())]
    DiskFull { path: PathBuf, need_mib: u64, free_mib: u64 },
    #[error(
        "the disk is full: {} has {free_mib} MiB free and the update, which does not say how long it is, needs more; make room and try again",
        path.display()
    )]
    NoRoom { path: PathBuf, free_mib: u64 },
    #[error("{} is no update (a file that ends in .raucb)", path.display())]
    NotABundle { path: PathBuf },
    #[error("{} was cut off on its way; get it again", path.display())]
    Cut { path: PathBuf },
    #[error(
        "nobody this machine believes has signed this update, or it was changed afterwards; get it from where this system came from ({said})"
    )]
    Signature { said: String },
    #[error("RAUC could not read this update: {said}; get it again")]
    Unreadable { said: String },
    /// Not repeated: a password would be written down.
    #[error("that is neither a file nor a web address without a password in it; a token for it goes into update.token")]
    Source,
    #[error("could not get the update from {from}; it goes on from there when you try again")]
    Fetch { from: String, source: FetchError },
    #[error("{from} offers no update for {compatible}; it has {has}")]
    NotOffered { from: String, compatible: String, has: String },
    #[error("{from} does not answer with an index of updates")]
    Index { from: String },
    #[error(
        "{source_text} is an update itself and no list of them: what it is shows when it is read. To take it if it is newer: \
         kafclaw update install --only-newer {source_text}"
    )]
    NoIndex { source_text: String },
    #[error(
        "no USB stick with an update (a file that ends in .raucb) is mounted; plug one in, or give the file's path"
    )]
    NoStick,
    #[error(
        "the new system could not be written to the other slot: {said}; try again, or look at `journalctl -u rauc`"
    )]
    Install { said: String },
    #[error("`{program}` could not be run")]
    Program { program: String, source: io::Error },
    #[error("`{program}` failed: {said}")]
    Failed { program: String, said: String },
    #[error("`{program}` answers in words that are not known")]
    Words { program: String },
    #[error("could not copy the database before the update: {why}")]
    Backup { why: String },
    #[error(
        "{} belongs to root, who does nothing with what strangers send; give that folder to the user that runs the gateway",
        home.display()
    )]
    NoUser { home: PathBuf },
    /// What a part of the work that ran under another user has said.
    #[error("{0}")]
    Told(String),
}

impl UpdateError {
    /// Whether nobody could be asked: no network yet, or a clock that certificates do not believe.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fetch { source: FetchError::Http(error), .. } if error.is_unreachable())
    }

    pub(super) fn file(attempt: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { attempt, path, source }
    }
}
