//! What can go wrong with models, in words that say what to do.

use std::io;
use std::path::PathBuf;

use crate::link::http::HttpError;
use crate::models::manifest::Source;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no model is called {name:?}; `kafclaw models list` shows them")]
    Unknown { name: String },
    #[error("model {id} is not installed; run: kafclaw models install {id}")]
    Absent { id: String },
    #[error("model {id} in {} is not whole: {what}; run: kafclaw models install {id}", folder.display())]
    Broken { id: String, folder: PathBuf, what: String },
    #[error("model {id} came with the program and stays")]
    Bundled { id: String },
    #[error("another program is installing models into {}; wait until it is done", folder.display())]
    Busy { folder: PathBuf },
    #[error(
        "model {id} needs {need_mib} MiB of memory and this machine has {usable_mib} of {total_mib} MiB to give; choose a smaller one, or --force"
    )]
    TooLarge { id: String, need_mib: u64, usable_mib: u64, total_mib: u64 },
    #[error("{} needs {need_bytes} bytes more and has {free_bytes} free; make room and try again", folder.display())]
    NoRoom { folder: PathBuf, need_bytes: u64, free_bytes: u64 },
    #[error("could not get {} of model {id}", names(missing))]
    Missing { id: String, missing: Vec<MissingFile> },
    #[error("installing was stopped; what is there is kept, and the next time goes on from it")]
    Stopped,
    #[error("could not {attempt} {}", path.display())]
    File { attempt: &'static str, path: PathBuf, source: io::Error },
}

/// A file that nobody could give.
#[derive(Debug)]
pub struct MissingFile {
    pub name: String,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    pub sources: Vec<Source>,
    /// What was tried, and why it failed.
    pub tried: Vec<String>,
}

fn names(missing: &[MissingFile]) -> String {
    missing.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Why one place did not give a file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{url:?} is not a web address")]
    Url { url: String },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("nothing came for {seconds} s")]
    Silent { seconds: u64 },
    #[error("the server answered with status {status}")]
    Status { status: u16 },
    #[error("it was redirected too often, or from https to http")]
    Redirect,
    #[error("it has {found} bytes instead of {expected}")]
    Length { found: u64, expected: u64 },
    #[error("it is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("its SHA-256 is {found} instead of {expected}")]
    Changed { found: String, expected: String },
    #[error("the archive has no {file}")]
    NotInside { file: String },
    #[error("the archive is damaged")]
    Archive { source: io::Error },
    #[error("the registry does not list {what}")]
    NotListed { what: String },
    #[error("the registry's answer is not understood")]
    Listing { source: serde_json::Error },
    #[error("{program} failed: {said}")]
    Program { program: &'static str, said: String },
    #[error("{program} is not installed")]
    NoProgram { program: &'static str },
    #[error("could not {attempt} {}", path.display())]
    File { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("the disk is full")]
    DiskFull {
        /// Bytes that are still to come, where the length is known.
        rest: Option<u64>,
    },
    #[error("stopped")]
    Stopped,
}

impl FetchError {
    pub(super) fn file(attempt: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { rest: None },
            _ => Self::File { attempt, path, source },
        }
    }
}
