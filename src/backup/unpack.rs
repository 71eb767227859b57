//! Reading a backup into folders of its own and checking all of it, before anything is replaced.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::backup::entry::{FileFact, MANIFEST, MARKER, Manifest, Part};
use crate::backup::{BackupError, FILES_MAX, FORMAT};
use crate::base::id::to_hex;

const COPY_BYTES: usize = 128 * 1024;
/// Largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What every SQLite file begins with.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Unpacks `file`: each part goes where `stage` says. Returns the manifest that everything was checked against.
pub fn unpack(
    file: &Path,
    stage: &dyn Fn(&Part) -> PathBuf,
    progress: &mut dyn FnMut(&str),
) -> Result<Manifest, BackupError> {
    let open = File::open(file).map_err(|source| BackupError::Read { path: file.to_owned(), source })?;
    let mut unpacking = Unpacking { file, stage, facts: BTreeMap::new() };
    let mut archive = tar::Archive::new(BufReader::with_capacity(COPY_BYTES, open));
    let entries = archive.entries().map_err(|error| unpacking.unreadable(&error))?;
    let mut manifest = None;
    for (index, entry) in entries.enumerate() {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(_) if index == 0 => return Err(unpacking.not_a_backup()),
            Err(error) => return Err(unpacking.unreadable(&error)),
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match (index, name.as_str()) {
            (0, MARKER) => unpacking.marker(&mut entry)?,
            (0, _) => return Err(unpacking.not_a_backup()),
            _ if manifest.is_some() => return Err(unpacking.damaged("something follows its end")),
            (_, MANIFEST) => manifest = Some(unpacking.manifest(&mut entry)?),
            (1, _) => {
                progress("Unpacking and checking.");
                unpacking.part(&name, &mut entry)?;
            }
            _ => unpacking.part(&name, &mut entry)?,
        }
    }
    match manifest {
        Some(manifest) => unpacking.compare(manifest),
        None if unpacking.facts.is_empty() && !is_begun(file) => Err(unpacking.not_a_backup()),
        None => Err(BackupError::Cut { path: file.to_owned() }),
    }
}

/// Whether the file begins as a backup does.
fn is_begun(file: &Path) -> bool {
    first_bytes(file, MARKER.len()) == MARKER.as_bytes()
}

fn first_bytes(file: &Path, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = File::open(file).and_then(|open| open.take(count as u64).read_to_end(&mut bytes));
    bytes
}

struct Unpacking<'a> {
    file: &'a Path,
    stage: &'a dyn Fn(&Part) -> PathBuf,
    facts: BTreeMap<String, FileFact>,
}

impl Unpacking<'_> {
    fn marker(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), BackupError> {
        let mut text = String::new();
        let size = entry.size();
        entry.take(32).read_to_string(&mut text).map_err(|error| self.unreadable(&error))?;
        if (text.len() as u64) < size.min(32) {
            return Err(BackupError::Cut { path: self.file.to_owned() });
        }
        let format: u32 = text.trim().parse().map_err(|_| self.damaged("its format is unknown"))?;
        if format > FORMAT {
            return Err(BackupError::Newer { path: self.file.to_owned(), format });
        }
        let sha256 = to_hex(&Sha256::digest(text.as_bytes()));
        self.note(MARKER, text.len() as u64, sha256)
    }

    fn manifest(&self, entry: &mut tar::Entry<'_, impl Read>) -> Result<Manifest, BackupError> {
        let size = entry.size();
        if size > MANIFEST_BYTES_MAX {
            return Err(self.damaged("its manifest is too large"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| self.unreadable(&error))?;
        if bytes.len() as u64 != size {
            return Err(BackupError::Cut { path: self.file.to_owned() });
        }
        serde_json::from_slice(&bytes).map_err(|_| self.damaged("its manifest cannot be read"))
    }

    fn part(&mut self, name: &str, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), BackupError> {
        let header = entry.header();
        let part = Part::parse(name).filter(|_| header.entry_type().is_file());
        let part = part.ok_or_else(|| self.damaged(&format!("it holds {name:?}, which has no place")))?;
        let (size, mode) = (entry.size(), entry.header().mode().unwrap_or(0o600) & 0o777);
        // Whoever owns the home owns what is in it; nothing becomes readable for others but the workspace.
        let mode = if matches!(part, Part::Workspace(_)) { mode | 0o600 } else { 0o600 };
        let target = (self.stage)(&part);
        let failed = |source| BackupError::Write { path: target.clone(), source };
        let folder = target.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&target);
        let mut out = match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.damaged(&format!("it holds {name:?} twice")));
            }
            opened => opened.map_err(failed)?,
        };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; COPY_BYTES];
        let mut bytes = 0;
        loop {
            let count = entry.read(&mut buffer).map_err(|error| self.unreadable(&error))?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            out.write_all(&buffer[..count]).map_err(failed)?;
            bytes += count as u64;
        }
        if bytes != size {
            return Err(BackupError::Cut { path: self.file.to_owned() });
        }
        self.note(name, bytes, to_hex(&hash.finalize()))
    }

    fn note(&mut self, name: &str, bytes: u64, sha256: String) -> Result<(), BackupError> {
        if self.facts.len() >= FILES_MAX {
            return Err(self.damaged("it holds too many files"));
        }
        self.facts.insert(name.to_owned(), FileFact { name: name.to_owned(), bytes, sha256 });
        Ok(())
    }

    fn compare(&self, manifest: Manifest) -> Result<Manifest, BackupError> {
        if manifest.files.len() != self.facts.len() {
            return Err(self.damaged("files are missing"));
        }
        match manifest.files.iter().find(|fact| self.facts.get(&fact.name) != Some(fact)) {
            Some(fact) => Err(self.damaged(&format!("{} is not what was packed", fact.name))),
            None => Ok(manifest),
        }
    }

    /// A file that cannot be read as tar any further has been cut, unless the disk itself says no.
    fn unreadable(&self, error: &io::Error) -> BackupError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::Cut { path: self.file.to_owned() },
            // The tar reader wraps its complaints, also that of an early end.
            _ if error.raw_os_error().is_none() => match error.to_string() {
                text if text.contains("entire block") || text.contains("unexpected EOF") => {
                    BackupError::Cut { path: self.file.to_owned() }
                }
                text => self.damaged(&text),
            },
            _ => BackupError::Read { path: self.file.to_owned(), source: io::Error::from(error.kind()) },
        }
    }

    fn damaged(&self, what: &str) -> BackupError {
        BackupError::Damaged { path: self.file.to_owned(), what: what.to_owned() }
    }

    fn not_a_backup(&self) -> BackupError {
        let is_database = first_bytes(self.file, SQLITE_MAGIC.len()) == SQLITE_MAGIC;
        let hint = match is_database {
            true => " but a bare database; with the gateway stopped, copy it to .kafclaw/timeline.db yourself",
            false => "",
        };
        BackupError::NotABackup { path: self.file.to_owned(), hint }
    }
}
