//! Files of updates: written as a whole or not at all, read with a bound and never through a link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::update::errors::UpdateError;
use crate::update::judge::Refusal;
use crate::update::ledger::{Ledger, Order};
use crate::update::machine::{Fact, Step};
use crate::update::places::Places;

/// Of every file here but the bundle.
const BYTES_MAX: u64 = 64 * 1024;

/// Of an address or a path that the gateway asks for.
const SOURCE_BYTES_MAX: usize = 8 * 1024;

/// What the gateway, which has no rights, asks of a driver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Request {
    Install {
        #[serde(flatten)]
        order: Order,
    },
    Restart,
    Rollback,
}

pub(super) fn read_ledger(path: &Path) -> Ledger {
    read(path).map(|bytes| Ledger::parse(&bytes)).unwrap_or_default()
}

/// Takes a fact into `ledger`, whose file is `path`, and writes it before anything follows from it.
pub(super) fn note(path: &Path, ledger: &mut Ledger, fact: Fact, now: Timestamp) -> Result<Step, UpdateError> {
    let before = ledger.clone();
    let step = ledger.next(fact, now);
    if *ledger != before {
        write(path, &ledger.to_bytes(), 0o644, Lasting::Yes)?;
    }
    Ok(step)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read(path).ok()?).ok()
}

/// A short file that is a file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether what is written must be there after a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    Yes,
    No,
}

/// Writes `bytes` under `path`, with `mode`, so that there is always the old content or the new one.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32, lasting: Lasting) -> Result<(), UpdateError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let draft = Path::new(&name);
    let written = (|| {
        make_folder(folder, if mode & 0o044 == 0 { 0o700 } else { 0o755 })?;
        match fs::remove_file(draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        if lasting == Lasting::Yes {
            file.sync_all()?;
        }
        fs::rename(draft, path)?;
        if lasting == Lasting::Yes { File::open(folder)?.sync_all() } else { Ok(()) }
    })();
    written.map_err(UpdateError::file("write", path))
}

/// Makes the folder and those above it where they are not there; it has `mode`, whatever the caller's umask is: the gateway, which has
/// no rights, reads what root's programs write.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Whether a lock that somebody else holds is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    Endless,
}

/// One driver at a time; whoever holds the file holds the lock.
pub(super) fn lock(path: &Path, patience: Patience) -> Result<File, UpdateError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder, 0o755).map_err(UpdateError::file("make the folder of", path))?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
    let file = file.map_err(UpdateError::file("open", path))?;
    // Whatever the umask is: the gateway asks whether somebody holds it.
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(UpdateError::file("open", path))?;
    let operation = match patience {
        Patience::None => FlockOperation::NonBlockingLockExclusive,
        Patience::Endless => FlockOperation::LockExclusive,
    };
    loop {
        return match flock(&file, operation) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::WOULDBLOCK) => Err(UpdateError::Refused(Refusal::Busy)),
            Err(error) => Err(UpdateError::file("lock", path)(error.into())),
        };
    }
}

/// Whether a driver is at work, for who may only look. One that cannot be asked about counts as there.
pub(super) fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Reads the request that the gateway left and takes it away; a file that is none is taken away too.
pub(super) fn take_request(path: &Path) -> Option<Request> {
    let request = read_json(path);
    let _ = fs::remove_file(path);
    // The ledger, which remembers it, is read with a bound.
    request.filter(|request| !matches!(request, Request::Install { order } if order.source.len() > SOURCE_BYTES_MAX))
}

/// Notes that the machine came up, for whoever holds the lock, once for each time that it did: an update that was installed since then
/// has not been started.
pub(super) fn note_start(places: &Places, ledger: &mut Ledger, now: Timestamp) -> Result<Step, UpdateError> {
    if places.started().exists() {
        return Ok(Step::Watch);
    }
    let step = note(&places.ledger, ledger, Fact::Started(places.here()), now)?;
    if step == Step::Watch {
        write(&places.started(), b"", 0o644, Lasting::No)?;
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_and_never_through_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("update/request.json");
        let order = Order { source: "/a.raucb".to_owned(), restart: true, ..Order::default() };
        let request = Request::Install { order };
        write(&path, &serde_json::to_vec(&request).expect("JSON"), 0o600, Lasting::Yes).expect("written");
        assert_eq!(take_request(&path), Some(request));
        assert_eq!(take_request(&path), None);
        let secret = folder.path().join("secret");
        fs::write(&secret, r#"{"action": "restart"}"#).expect("written");
        std::os::unix::fs::symlink(&secret, &path).expect("a link");
        assert_eq!(take_request(&path), None);
        assert!(secret.exists() && !path.exists());
    }

    #[test]
    fn one_driver_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/lock");
        assert!(!is_locked(&path));
        let first = lock(&path, Patience::None).expect("free");
        assert!(matches!(lock(&path, Patience::None), Err(UpdateError::Refused(Refusal::Busy))));
        assert!(is_locked(&path));
        drop(first);
        assert!(!is_locked(&path) && !is_locked(&path), "looking takes nothing");
        lock(&path, Patience::None).expect("free again");
    }

    proptest::proptest! {
        #[test]
        fn any_request_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = serde_json::from_str::<Request>(&text);
        }
    }
}
