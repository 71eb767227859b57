//! The record of the owner on the disk: one small file, private, written whole, under a lock that gateway and command line share.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::Clock;
use crate::base::id::random_hex;
use crate::base::secret::Secret;
use crate::owner::code::SetupCode;
use crate::owner::password::{Hash, Password};
use crate::owner::record::{Offer, Record, Standing, VERSION};
use crate::owner::{OwnerError, PasswordError};

/// The file's name in the state folder.
pub const FILE: &str = "owner.json";
const LOCK_FILE: &str = "owner.lock";
/// A record has a few hundred bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const EPOCH_BYTES: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {}; is the disk full or read-only?", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} cannot be understood; `kafclaw password reset` makes a new one", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("{} was written by a newer version; `kafclaw password reset` makes a new one", path.display())]
    Newer { path: PathBuf },
}

/// What anybody in the house may know of the owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glance {
    /// Whether there is an owner with a password.
    pub has_password: bool,
    /// Part of the key of all sessions; blank while the record cannot be read.
    pub epoch: Arc<str>,
}

/// The record of the owner in a state folder.
pub struct Store {
    folder: PathBuf,
    clock: Clock,
}

impl Store {
    pub fn new(folder: &Path, clock: Clock) -> Self {
        Self { folder: folder.to_owned(), clock }
    }

    /// The setup code that stands for now; none when a password is set. Makes the first one.
    pub fn code(&self) -> Result<Option<SetupCode>, StoreError> {
        let record = self.ensure()?;
        Ok(match record.standing {
            Standing::Waits { code, .. } => Some(code),
            Standing::Owned { .. } => None,
        })
    }

    /// Forgets the password, ends all sessions, and gives a new setup code.
    pub fn reset(&self) -> Result<SetupCode, StoreError> {
        let _lock = self.lock()?;
        let code = SetupCode::random();
        self.write(&Record::new(code.clone(), random_hex(EPOCH_BYTES)))?;
        Ok(code)
    }

    pub(super) fn ensure(&self) -> Result<Record, StoreError> {
        let _lock = self.lock()?;
        self.read_or_make()
    }

    pub(super) fn set_up(&self, typed: &str, password: &Password) -> Result<(), OwnerError> {
        let _lock = self.lock()?;
        let mut record = self.read_or_make()?;
        match record.offer(typed, self.clock.now(), SetupCode::random()) {
            Offer::Right => record.own(Hash::of(password)?, random_hex(EPOCH_BYTES)),
            Offer::Owned => return Err(OwnerError::Owned),
            Offer::Wait(wait) => return Err(OwnerError::Wait { wait }),
            Offer::Wrong { tries_left } => {
                self.write(&record)?;
                return Err(OwnerError::WrongCode { tries_left });
            }
            Offer::Replaced => {
                self.write(&record)?;
                return Err(OwnerError::CodeReplaced);
            }
        }
        Ok(self.write(&record)?)
    }

    pub(super) fn check(&self, password: &Secret<String>) -> Result<(), OwnerError> {
        // Without the lock: a record is replaced as a whole, and a disk that cannot be written to keeps nobody out.
        let record = read(&self.path())?.ok_or(OwnerError::NotOwned)?;
        known(&record, password)
    }

    pub(super) fn change(&self, current: &Secret<String>, password: &Password) -> Result<(), OwnerError> {
        let _lock = self.lock()?;
        let mut record = self.read_or_make()?;
        known(&record, current)?;
        record.own(Hash::of(password)?, random_hex(EPOCH_BYTES));
        Ok(self.write(&record)?)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Held while a record is read and written back; others wait for as long as a hash takes.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.folder.join(LOCK_FILE);
        let lock = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            give_to_owner_of(&self.folder, &file)?;
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
            Ok(file)
        };
        lock().map_err(|source| StoreError::Write { path: path.clone(), source })
    }

    fn read_or_make(&self) -> Result<Record, StoreError> {
        if let Some(record) = read(&self.path())? {
            return Ok(record);
        }
        let record = Record::new(SetupCode::random(), random_hex(EPOCH_BYTES));
        self.write(&record)?;
        Ok(record)
    }

    /// A whole file or none, kept when the power goes.
    fn write(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.path();
        let draft = path.with_extension("new");
        let write = || -> io::Result<()> {
            let text = serde_json::to_vec_pretty(record)?;
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            give_to_owner_of(&self.folder, &file)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| StoreError::Write { path: path.clone(), source })
    }
}

fn known(record: &Record, password: &Secret<String>) -> Result<(), OwnerError> {
    match &record.standing {
        Standing::Waits { .. } => Err(OwnerError::NotOwned),
        Standing::Owned { password: hash } => match hash.matches(password) {
            Ok(true) => Ok(()),
            Ok(false) | Err(PasswordError::Long) => Err(OwnerError::WrongPassword),
            Err(error) => Err(error.into()),
        },
    }
}

/// What root writes for the assistant must be readable by the assistant.
fn give_to_owner_of(folder: &Path, file: &File) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let folder = fs::metadata(folder)?;
    std::os::unix::fs::fchown(file, Some(folder.uid()), Some(folder.gid()))
}

fn read(path: &Path) -> Result<Option<Record>, StoreError> {
    let failed = |source| StoreError::Read { path: path.to_owned(), source };
    let text = match fs::metadata(path) {
        Ok(about) if about.len() > FILE_BYTES_MAX => {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is much too long")));
        }
        Ok(_) => fs::read(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(damaged)?;
    if value["version"].as_u64() > Some(u64::from(VERSION)) {
        return Err(StoreError::Newer { path: path.to_owned() });
    }
    serde_json::from_value(value).map(Some).map_err(damaged)
}

/// The record as it is looked at with each request. The command line may write it at any time, so each look asks the file system
/// whether it is the same file still: a microsecond, out of the kernel's memory.
pub(super) struct View {
    path: PathBuf,
    seen: Mutex<Seen>,
}

struct Seen {
    stamp: Option<Stamp>,
    glance: Glance,
}

/// Tells whether a file was replaced: each writing makes a new one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl View {
    pub fn new(folder: &Path) -> Self {
        let glance = Glance { has_password: false, epoch: Arc::from("") };
        Self { path: folder.join(FILE), seen: Mutex::new(Seen { stamp: None, glance }) }
    }

    pub fn glance(&self) -> Glance {
        let stamp = fs::metadata(&self.path).ok().map(|about| Stamp {
            inode: about.ino(),
            seconds: about.mtime(),
            nanoseconds: about.mtime_nsec(),
        });
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.stamp != stamp || stamp.is_none() {
            let record = read(&self.path).ok().flatten();
            let has_password = record.as_ref().is_some_and(|record| matches!(record.standing, Standing::Owned { .. }));
            let epoch = record.map(|record| Arc::from(record.epoch)).unwrap_or_default();
            *seen = Seen { stamp, glance: Glance { has_password, epoch } };
        }
        seen.glance.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::clock::Timestamp;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path(), Clock::manual(Timestamp::from_millis(1_000_000)));
        (folder, store)
    }

    fn password(text: &str) -> Password {
        Password::new(&Secret::new(text.to_owned())).expect("a password")
    }

    fn is_known(store: &Store, text: &str) -> bool {
        store.check(&Secret::new(text.to_owned())).is_ok()
    }

    #[test]
    fn a_code_makes_an_owner_once_and_the_file_is_private_and_holds_no_password() {
        let (folder, store) = store();
        let code = store.code().expect("a record").expect("a code");
        assert!(store.code().expect("a record").expect("a code") == code, "it stays until it is used");
        assert!(matches!(store.check(&Secret::new(String::new())), Err(OwnerError::NotOwned)));
        store.set_up(&code.shown(), &password("korrektes Pferd")).expect("an owner");
        let text = fs::read_to_string(folder.path().join(FILE)).expect("a file");
        assert!(!text.contains("Pferd") && !text.contains(&code.shown()) && text.contains("argon2id"), "{text}");
        let mode = fs::metadata(folder.path().join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(store.code().expect("a record").is_none());
        assert!(is_known(&store, "korrektes Pferd") && !is_known(&store, "falsches Pferd"));
        let again = store.set_up(&code.shown(), &password("anderes Pferd"));
        assert!(matches!(again, Err(OwnerError::Owned)), "{again:?}");
        assert!(is_known(&store, "korrektes Pferd"));
    }

    #[test]
    fn wrong_codes_are_counted_across_restarts() {
        let (folder, store) = store();
        let code = store.code().expect("a record").expect("a code");
        for left in (1..5).rev() {
            let again = Store::new(folder.path(), Clock::manual(Timestamp::from_millis(1_000_000)));
            let wrong = again.set_up("XXXX-XXXX", &password("korrektes Pferd"));
            assert!(matches!(wrong, Err(OwnerError::WrongCode { tries_left }) if tries_left == left), "{wrong:?}");
        }
        assert!(matches!(store.set_up("XXXX-XXXX", &password("korrektes Pferd")), Err(OwnerError::CodeReplaced)));
        let fresh = store.code().expect("a record").expect("a code");
        assert!(fresh != code);
        let soon = store.set_up(&fresh.shown(), &password("korrektes Pferd"));
        assert!(matches!(soon, Err(OwnerError::Wait { .. })), "{soon:?}");
    }

    #[test]
    fn a_change_wants_the_old_password_and_a_reset_forgets_it_and_both_end_sessions() {
        let (folder, store) = store();
        let view = View::new(folder.path());
        assert_eq!(view.glance(), Glance { has_password: false, epoch: Arc::from("") });
        let code = store.code().expect("a record").expect("a code");
        let mut epochs = vec![view.glance().epoch];
        store.set_up(&code.shown(), &password("korrektes Pferd")).expect("an owner");
        epochs.push(view.glance().epoch);
        assert!(view.glance().has_password);
        let wrong = store.change(&Secret::new("falsch".to_owned()), &password("neues Pferd"));
        assert!(matches!(wrong, Err(OwnerError::WrongPassword)));
        store.change(&Secret::new("korrektes Pferd".to_owned()), &password("neues Pferd")).expect("changed");
        assert!(is_known(&store, "neues Pferd") && !is_known(&store, "korrektes Pferd"));
        epochs.push(view.glance().epoch);
        let fresh = store.reset().expect("a code");
        assert!(fresh != code && !view.glance().has_password && !is_known(&store, "neues Pferd"));
        epochs.push(view.glance().epoch);
        let before = epochs.len();
        epochs.sort();
        epochs.dedup();
        assert_eq!(epochs.len(), before);
    }

    #[test]
    fn a_damaged_record_opens_nothing_and_a_reset_mends_it() {
        let (folder, store) = store();
        for text in ["", "{", "[]", "{\"version\": 1}", "{\"version\": 2, \"new\": true}"] {
            fs::write(folder.path().join(FILE), text).expect("written");
            let error = store.code().expect_err("no record").to_string();
            assert!(error.contains("kafclaw password reset"), "{error}");
            assert!(!is_known(&store, "") && store.set_up("", &password("korrektes Pferd")).is_err());
            assert!(!View::new(folder.path()).glance().has_password);
        }
        store.reset().expect("a code");
        assert!(store.code().expect("a record").is_some());
    }
}
