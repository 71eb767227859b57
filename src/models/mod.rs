//! Floor 3: which models there are, which of them lie on this machine, and how they get here.
//!
//! The list is `models/manifest.toml`, compiled in; a `manifest.toml` in the folder of installed models adds to it. A model is a
//! folder of files. Small ones came with the program and are only read; others are installed into the state directory, each from
//! a web address, a published Python wheel or Node package, or whatever somebody carried here on a stick. A folder appears under
//! its model's id when every file in it was checked, and not before; what an interrupted installation had is kept aside and gone
//! on from.
//!
//! Everything here waits for disks and networks: call it from a thread that may wait (a lane, the command line).
//!
//! Absent on purpose: loading models (`inference` takes paths), and addresses of package registries (see `package`).

mod archive;
mod carry;
mod error;
mod fetch;
mod fit;
mod install;
mod manifest;
mod package;
mod progress;
mod record;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use carry::sticks;
pub use error::{FetchError, MissingFile, StoreError};
pub use fetch::{Expected, Fetcher, Patience, Tell};
pub use fit::{Memory, usual};
pub use install::Options;
pub use manifest::{Entry, FILE_BYTES_MAX, Manifest, ManifestError, ModelFile, Package, Pooling, Source, Task};
pub use package::Registries;
pub use progress::{Listener, Progress, Stage};
pub use record::{Record, RecordedFile};

/// Below the folder of installed models: what is being installed or removed.
const PARTIAL: &str = ".partial";
const USER_MANIFEST: &str = "manifest.toml";

#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Installed models.
    pub folder: PathBuf,
    /// Folders with models that came with the program, the first one first.
    pub bundled: Vec<PathBuf>,
    pub registries: Registries,
    pub patience: Patience,
    /// Places to look for sticks; none means where systems usually show them.
    pub sticks: Option<Vec<PathBuf>>,
}

impl StoreConfig {
    pub fn new(folder: PathBuf, bundled: Vec<PathBuf>) -> Self {
        Self { folder, bundled, registries: Registries::default(), patience: Patience::default(), sticks: None }
    }
}

/// Where models that came with the program may be: beside it, where a package puts them, in the checkout it was built from.
pub fn bundled_folders(program: Option<&Path>) -> Vec<PathBuf> {
    let beside = program.and_then(Path::parent);
    let mut folders = Vec::new();
    if let Some(folder) = beside {
        folders.push(folder.join("models"));
        folders.push(folder.join("../share/kafclaw/models"));
    }
    folders.push(PathBuf::from("/usr/share/kafclaw/models"));
    // What is built for boards knows no checkout.
    if option_env!("KAFCLAW_DIST").is_none() {
        folders.push(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/models")));
    }
    folders
}

/// A model that is here, whole.
#[derive(Clone, PartialEq, Debug)]
pub struct Installed {
    pub id: String,
    pub folder: PathBuf,
    pub entry: Entry,
    /// It came with the program.
    pub is_bundled: bool,
}

impl Installed {
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The first file whose name contains `part`, such as `.gguf` or `libonnxruntime.so`.
    pub fn file_like(&self, part: &str) -> Option<PathBuf> {
        self.entry.files_here().find(|file| file.name.contains(part)).map(|file| self.file(&file.name))
    }
}

/// How it stands with a model.
#[derive(Clone, PartialEq, Debug)]
pub enum State {
    Bundled,
    Installed,
    /// An interrupted installation left this much.
    Partial {
        bytes: u64,
    },
    /// There is a folder, but this is wrong with it.
    Broken {
        what: String,
    },
    Absent,
}

/// A line of the list.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed<'a> {
    pub entry: &'a Entry,
    pub state: State,
    /// It fits into this machine's memory.
    pub fits: bool,
    /// It is the usual choice for its task here.
    pub is_usual: bool,
}

/// What became of a file since it was installed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Check {
    /// As published.
    Whole,
    /// As it came at first; nobody has published a checksum.
    AsAtFirst,
    Missing,
    Changed {
        found: String,
    },
}

/// Models on this machine. Clones are cheap enough; nothing is kept open.
#[derive(Clone, Debug)]
pub struct Store {
    config: StoreConfig,
    manifest: Manifest,
    problem: Option<String>,
}

impl Store {
    /// Reads the lists. A user's list that is not understood is left out, and [`Store::problem`] says so.
    pub fn open(config: StoreConfig) -> Self {
        let mut manifest = Manifest::built_in();
        let mut problem = None;
        match user_manifest(&config.folder.join(USER_MANIFEST)) {
            Ok(Some(more)) => manifest.add(more),
            Ok(None) => {}
            Err(error) => problem = Some(crate::base::error::chain(&error).to_string()),
        }
        Self { config, manifest, problem }
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is wrong with the user's own list.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Folder of installed models.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// The entry called `name`, by id or another name.
    pub fn entry(&self, name: &str) -> Result<&Entry, StoreError> {
        self.manifest.find(name).ok_or_else(|| StoreError::Unknown { name: name.to_owned() })
    }

    /// Where a model is, if it is whole. Sizes are looked at, contents are not: they were when it was installed.
    pub fn locate(&self, name: &str) -> Result<Installed, StoreError> {
        let entry = self.entry(name)?;
        let mut broken = None;
        let own = std::iter::once((self.own_folder(entry), false));
        let bundled = self.config.bundled.iter().map(|folder| (folder.join(&entry.id), true));
        for (folder, is_bundled) in own.chain(bundled) {
            if !folder.is_dir() {
                continue;
            }
            match look_at(entry, &folder, is_bundled) {
                Ok(()) => return Ok(Installed { id: entry.id.clone(), folder, entry: entry.clone(), is_bundled }),
                Err(what) => {
                    broken.get_or_insert(StoreError::Broken { id: entry.id.clone(), folder, what });
                }
            }
        }
        Err(broken.unwrap_or_else(|| StoreError::Absent { id: entry.id.clone() }))
    }

    /// Everything of `task` that is installed, in the manifest's order.
    pub fn installed(&self, task: Task) -> impl Iterator<Item = Installed> {
        let entries = self.manifest().entries().iter().filter(move |entry| entry.task == task);
        entries.filter_map(|entry| self.locate(&entry.id).ok())
    }

    /// Where a runtime may lie: `own` first, where somebody has said so, then what is installed.
    pub fn runtimes(&self, own: Option<PathBuf>) -> Vec<PathBuf> {
        own.into_iter().chain(self.installed(Task::Runtime).map(|installed| installed.folder)).collect()
    }

    /// Every model and how it stands with it.
    pub fn list(&self, memory: Memory) -> Vec<Listed<'_>> {
        let usual: Vec<&str> = Task::ALL
            .into_iter()
            .filter_map(|task| usual(&self.manifest, task, memory))
            .map(|entry| entry.id.as_str())
            .collect();
        let line = |entry| Listed {
            entry,
            state: self.state(entry),
            fits: memory.fits(entry),
            is_usual: usual.contains(&entry.id.as_str()),
        };
        self.manifest.entries().iter().map(line).collect()
    }

    pub fn state(&self, entry: &Entry) -> State {
        match self.locate(&entry.id) {
            Ok(Installed { is_bundled: true, .. }) => State::Bundled,
            Ok(_) => State::Installed,
            Err(StoreError::Broken { what, .. }) => State::Broken { what },
            Err(_) => {
                let partial = self.partial_folder(entry);
                if partial.is_dir() { State::Partial { bytes: folder_bytes(&partial) } } else { State::Absent }
            }
        }
    }

    /// Reads every file of a model again and compares it. `each` hears name and bytes; false stops.
    pub fn verify(
        &self,
        name: &str,
        each: &mut dyn FnMut(&str, u64) -> bool,
    ) -> Result<Vec<(String, Check)>, StoreError> {
        let entry = self.entry(name)?;
        let folder = match self.locate(name) {
            Ok(installed) => installed.folder,
            Err(StoreError::Broken { folder, .. }) => folder,
            Err(error) => return Err(error),
        };
        let record = Record::read(&folder);
        let mut checks = Vec::new();
        for file in entry.files_here() {
            let path = folder.join(&file.name);
            let check = if record::plain_len(&path).is_none() {
                Check::Missing
            } else {
                let failed = |source| StoreError::File { attempt: "read", path: path.clone(), source };
                let found = record::digest(&path, &mut |bytes| each(&file.name, bytes)).map_err(failed)?;
                let (found, _) = found.ok_or(StoreError::Stopped)?;
                judge(file, record.as_ref(), found)
            };
            checks.push((file.name.clone(), check));
        }
        Ok(checks)
    }

    /// Takes an installed model away, and what an interrupted installation of it left. Says how many bytes that freed.
    pub fn remove(&self, name: &str) -> Result<u64, StoreError> {
        let entry = self.entry(name)?;
        let (own, partial) = (self.own_folder(entry), self.partial_folder(entry));
        if !own.is_dir() && !partial.is_dir() {
            return Err(match self.locate(name) {
                Ok(_) => StoreError::Bundled { id: entry.id.clone() },
                Err(_) => StoreError::Absent { id: entry.id.clone() },
            });
        }
        let _lock = install::lock(&self.config.folder)?;
        let mut bytes = 0;
        for folder in [own, partial].into_iter().filter(|folder| folder.is_dir()) {
            bytes += folder_bytes(&folder);
            // Gone under its name at once: nobody opens half a model.
            let aside = self.config.folder.join(PARTIAL).join(format!("{}.gone", entry.id));
            let failed = |source| StoreError::File { attempt: "remove", path: folder.clone(), source };
            fs::create_dir_all(self.config.folder.join(PARTIAL)).map_err(failed)?;
            let _ = fs::remove_dir_all(&aside);
            fs::rename(&folder, &aside).and_then(|()| fs::remove_dir_all(&aside)).map_err(failed)?;
        }
        Ok(bytes)
    }

    fn own_folder(&self, entry: &Entry) -> PathBuf {
        self.config.folder.join(&entry.id)
    }

    fn partial_folder(&self, entry: &Entry) -> PathBuf {
        self.config.folder.join(PARTIAL).join(&entry.id)
    }
}

fn user_manifest(path: &Path) -> Result<Option<Manifest>, ManifestError> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(manifest::MANIFEST_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Manifest::parse(&text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ManifestError::Read { source }),
    }
}

/// What is wrong with a model's folder at first sight.
fn look_at(entry: &Entry, folder: &Path, is_bundled: bool) -> Result<(), String> {
    let record = Record::read(folder);
    if !is_bundled && record.is_none() {
        return Err("it was never checked".to_owned());
    }
    for file in entry.files_here() {
        let found = record::plain_len(&folder.join(&file.name)).ok_or_else(|| format!("{} is missing", file.name))?;
        let recorded = record.as_ref().and_then(|record| record.files.iter().find(|one| one.name == file.name));
        if !is_bundled && recorded.is_none() {
            return Err(format!("{} was never checked", file.name));
        }
        if let Some(right) = file.bytes.or(recorded.map(|one| one.bytes)).filter(|right| *right != found) {
            return Err(format!("{} has {found} bytes instead of {right}", file.name));
        }
    }
    Ok(())
}

fn judge(file: &ModelFile, record: Option<&Record>, found: String) -> Check {
    let recorded = record.and_then(|record| record.files.iter().find(|one| one.name == file.name));
    match (&file.sha256, recorded) {
        (Some(right), _) if *right == found => Check::Whole,
        (None, Some(first)) if first.sha256 == found => Check::AsAtFirst,
        _ => Check::Changed { found },
    }
}

/// Bytes of all plain files below `folder`.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |found| found.len()),
            _ => 0,
        })
        .sum()
}

/// Room on the disk that holds `folder`; endless when the system does not tell.
pub fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
