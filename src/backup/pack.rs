//! Writing a backup.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::backup::entry::{FileFact, MANIFEST, MARKER, Manifest, Part, STATE_NAMES};
use crate::backup::{BackupError, FILES_MAX, FORMAT, Places};
use crate::base::clock::Timestamp;
use crate::base::id::{random_hex, to_hex};
use crate::db;

/// Files up to this size are read at once, so that one that grows meanwhile is kept as it was at one moment.
const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files between two words about the progress.
const FILES_PER_WORD: usize = 1_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    pub workspace: bool,
    pub token: bool,
}

/// What went into a backup.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Packed {
    pub files: usize,
    pub bytes: u64,
    /// Links, sockets and the like, which are not kept.
    pub left_out: Vec<PathBuf>,
}

/// Writes a backup of `places` to `out`. Blocks, for as long as the disk needs.
pub fn write<'a>(
    places: &'a Places,
    options: Options,
    now: Timestamp,
    out: &'a mut (dyn Write + 'a),
    progress: &'a mut (dyn FnMut(&str) + 'a),
) -> Result<Packed, BackupError> {
    let builder = tar::Builder::new(out);
    let (packed, facts) = (Packed::default(), Vec::new());
    let mut packing = Packing { places, builder, facts, packed, now, progress };
    packing.bytes(MARKER, format!("{FORMAT}\n").as_bytes())?;
    packing.database()?;
    for part in [Some(Part::Config), options.token.then_some(Part::Token)].into_iter().flatten() {
        let place = part.place(places);
        if place.is_file() {
            packing.file(&part, &place)?;
        }
    }
    for name in STATE_NAMES {
        packing.tree(&places.state_dir.join(name), &|rest| Part::State(Path::new(name).join(rest)))?;
    }
    if options.workspace {
        (packing.progress)("Packing the workspace.");
        packing.tree(&places.workspace, &|rest| Part::Workspace(rest.to_owned()))?;
    }
    packing.finish()
}

struct Packing<'a> {
    places: &'a Places,
    builder: tar::Builder<&'a mut (dyn Write + 'a)>,
    facts: Vec<FileFact>,
    packed: Packed,
    now: Timestamp,
    progress: &'a mut (dyn FnMut(&str) + 'a),
}

impl Packing<'_> {
    /// Packs a copy made for this purpose, so that the gateway may go on writing.
    fn database(&mut self) -> Result<(), BackupError> {
        let database = &self.places.database;
        if !database.is_file() {
            return Ok(());
        }
        (self.progress)("Copying the database.");
        let copy = Scratch::below(&self.places.state_dir)?;
        let file = copy.0.join("timeline.db");
        db::copy_file(database, &file).map_err(|source| BackupError::Database { source })?;
        self.file(&Part::Database, &file)
    }

    /// A file, or a folder with everything below it, in the order of names.
    fn tree(&mut self, root: &Path, part: &dyn Fn(&Path) -> Part) -> Result<(), BackupError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| BackupError::Read { path, source }
        };
        let mut waiting = vec![PathBuf::new()];
        while let Some(rest) = waiting.pop() {
            let path = if rest.as_os_str().is_empty() { root.to_owned() } else { root.join(&rest) };
            let kind = match fs::symlink_metadata(&path) {
                Ok(facts) => facts.file_type(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(BackupError::Read { path, source }),
            };
            // The workspace may be a link, and the state folder may lie inside it.
            let is_root = rest.as_os_str().is_empty();
            if kind.is_dir() || (is_root && path.is_dir()) {
                if !is_root && path == self.places.state_dir {
                    continue;
                }
                let entries = fs::read_dir(&path).map_err(read(&path))?;
                let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
                let mut names = names.map_err(read(&path))?;
                names.sort_unstable_by(|a, b| b.cmp(a));
                waiting.extend(names.into_iter().map(|name| rest.join(name)));
            } else if kind.is_file() {
                self.file(&part(&rest), &path)?;
            } else {
                self.packed.left_out.push(path);
            }
        }
        Ok(())
    }

    fn file(&mut self, part: &Part, path: &Path) -> Result<(), BackupError> {
        let name = part.name().ok_or_else(|| BackupError::Name(path.to_owned()))?;
        let read = |source| BackupError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let facts = file.metadata().map_err(read)?;
        let mut header = header(facts.len(), facts.permissions().mode(), facts.mtime());
        if facts.len() <= WHOLE_BYTES_MAX {
            let mut bytes = Vec::with_capacity(facts.len() as usize);
            (&mut file).take(WHOLE_BYTES_MAX).read_to_end(&mut bytes).map_err(read)?;
            header.set_size(bytes.len() as u64);
            return self.entry(&name, header, Cursor::new(bytes)).map(|_| ());
        }
        let sent = self.entry(&name, header, (&mut file).take(facts.len()))?;
        if sent == facts.len() { Ok(()) } else { Err(BackupError::Changed { path: path.to_owned() }) }
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let mtime = self.now.as_millis() / 1_000;
        self.entry(name, header(bytes.len() as u64, 0o600, mtime), bytes).map(|_| ())
    }

    fn entry(&mut self, name: &str, mut header: tar::Header, content: impl Read) -> Result<u64, BackupError> {
        let mut content = Hashing { content, hash: Sha256::new(), bytes: 0 };
        self.builder.append_data(&mut header, name, &mut content).map_err(|source| BackupError::Pack { source })?;
        let (bytes, sha256) = (content.bytes, to_hex(&content.hash.finalize()));
        if self.facts.len() >= FILES_MAX {
            return Err(BackupError::TooMany);
        }
        self.facts.push(FileFact { name: name.to_owned(), bytes, sha256 });
        self.packed.bytes += bytes;
        if self.facts.len().is_multiple_of(FILES_PER_WORD) {
            (self.progress)(&format!("{} files.", self.facts.len()));
        }
        Ok(bytes)
    }

    fn finish(mut self) -> Result<Packed, BackupError> {
        // The marker stands for no file.
        self.packed.files = self.facts.len() - 1;
        let (version, created_at) = (env!("CARGO_PKG_VERSION").to_owned(), self.now.to_rfc3339());
        let files = std::mem::take(&mut self.facts);
        let manifest = Manifest { format: FORMAT, version, created_at, files };
        let text = serde_json::to_vec(&manifest).expect("invariant: a manifest is JSON");
        self.bytes(MANIFEST, &text)?;
        self.builder.into_inner().and_then(|out| out.flush()).map_err(|source| BackupError::Pack { source })?;
        Ok(self.packed)
    }
}

fn header(bytes: u64, mode: u32, mtime: i64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(mode & 0o777);
    header.set_mtime(u64::try_from(mtime).unwrap_or(0));
    header
}

/// Counts and hashes what is read through it.
struct Hashing<R> {
    content: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// A folder that only its owner may read and that goes away by itself.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn below(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(format!(".backup-{}", random_hex(8)));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| BackupError::Write { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
