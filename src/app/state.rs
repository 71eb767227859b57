//! The state directory: made private, locked by one gateway at a time, with the token and the addresses of the doors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::id::random_hex;
use crate::base::secret::Secret;
use crate::config::Paths;

/// The key that this hub signs with in its group.
const GROUP_KEY_FILE: &str = "group.key";
const TOKEN_FILE: &str = "gateway.token";
const DOORS_FILE: &str = "gateway.json";
const LOCK_FILE: &str = "gateway.lock";

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("could not make the folder {}; is the disk full or read-only?", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("could not write {}; is the disk full or read-only?", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("another gateway (process {pid}) already runs on {}; stop it, or set KAFCLAW_HOME to another folder", path.display())]
    Locked { path: PathBuf, pid: String },
}

/// Where a running gateway can be reached; `run/gateway.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Doors {
    pub pid: u32,
    /// `host:port` of the HTTP API.
    pub chat: String,
    /// `host:port` of the dashboard.
    pub dashboard: String,
    /// Whether the dashboard's port speaks TLS.
    #[serde(default)]
    pub is_encrypted: bool,
    /// The `ORT_DYLIB_PATH` that it was started with, for who looks after it in a terminal that does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnx_runtime: Option<String>,
}

/// Makes the folders of the state, readable by their owner only.
pub(super) fn prepare(paths: &Paths) -> Result<(), StateError> {
    for path in [&paths.state_dir, &paths.run_dir, &paths.workspace, &paths.work_repo] {
        let failed = |source| StateError::Folder { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    }
    Ok(())
}

/// Held as long as the gateway runs; the operating system gives it back whatever happens.
pub(super) struct Lock {
    _file: File,
}

pub(super) fn lock(paths: &Paths) -> Result<Lock, StateError> {
    let path = paths.run_dir.join(LOCK_FILE);
    let failed = |source| StateError::Write { path: path.clone(), source };
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        return Err(StateError::Locked { path: paths.state_dir.clone(), pid: pid.trim().to_owned() });
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(Lock { _file: file })
}

/// The token of the doors: the configured one, or one that is generated at the first start and kept in a file of its own.
pub(super) fn gateway_token(paths: &Paths, configured: &Secret<String>) -> Result<Secret<String>, StateError> {
    if !configured.is_empty() {
        return Ok(configured.clone());
    }
    let path = paths.state_dir.join(TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim().to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(StateError::Read { path, source }),
    }
    let token = random_hex(32);
    write_private(&path, format!("{token}\n").as_bytes())?;
    Ok(Secret::new(token))
}

/// The secret from which this hub's key in the group grows; made at the first start, and kept.
pub(super) fn group_seed(paths: &Paths) -> Result<[u8; 32], StateError> {
    let path = paths.state_dir.join(GROUP_KEY_FILE);
    match fs::read(&path) {
        Ok(bytes) if bytes.len() == 32 => {
            let mut seed = [0; 32];
            seed.copy_from_slice(&bytes);
            return Ok(seed);
        }
        Ok(_) => {
            let source = io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not 32 bytes long; restore it from a backup, or delete it to get a new key",
            );
            return Err(StateError::Read { path, source });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(StateError::Read { path, source }),
    }
    let mut seed = [0; 32];
    let unread =
        |error: getrandom::Error| StateError::Write { path: path.clone(), source: io::Error::other(error.to_string()) };
    getrandom::fill(&mut seed).map_err(unread)?;
    write_private(&path, &seed)?;
    Ok(seed)
}

pub(super) fn write_doors(paths: &Paths, doors: &Doors) -> Result<(), StateError> {
    let text = serde_json::to_vec_pretty(doors).unwrap_or_default();
    write_private(&paths.run_dir.join(DOORS_FILE), &text)
}

pub(super) fn remove_doors(paths: &Paths) {
    let _ = fs::remove_file(paths.run_dir.join(DOORS_FILE));
}

/// A whole file or none: readers never see half of it.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let failed = |source| StateError::Write { path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(failed)
}
