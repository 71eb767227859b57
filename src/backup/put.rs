//! Putting a checked backup in the place of what is there. What is replaced is kept aside; what fails is undone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::backup::entry::{Manifest, Part};
use crate::backup::pack::Scratch;
use crate::backup::{BackupError, Places, unpack};
use crate::base::clock::Timestamp;
use crate::db;

/// Files that belong to a database and must not meet another one.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", ".open"];

/// What a restore has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// When the backup was made.
    pub created_at: String,
    pub files: usize,
    /// Where things are that were there before; empty when nothing was.
    pub aside: Vec<PathBuf>,
}

/// Brings back what `file` holds; what it does not hold stays. Blocks, for as long as the disk needs.
pub fn restore(
    file: &Path,
    places: &Places,
    now: Timestamp,
    progress: &mut dyn FnMut(&str),
) -> Result<Replaced, BackupError> {
    in_use(places)?;
    // Beside what they replace, so that putting them there is a renaming.
    let state = Scratch::below(&places.state_dir)?;
    let workspace = Scratch::below(places.workspace.parent().unwrap_or(Path::new("/")))?;
    let staged = Places {
        state_dir: state.0.clone(),
        database: state.0.join("timeline.db"),
        config_file: state.0.join("config.json"),
        token_file: state.0.join("gateway.token"),
        workspace: workspace.0.join("workspace"),
    };
    let manifest = unpack::unpack(file, &|part| part.place(&staged), progress)?;
    check_database(file, &staged.database, progress)?;
    flush(&[&state.0, &workspace.0])?;
    // The gateway may have been started meanwhile.
    in_use(places)?;
    progress("Putting everything in its place.");
    let mut moves = Moves { done: Vec::new(), aside: Vec::new(), stamp: stamp(now), places };
    let moved = moves.all(&roots(&manifest), &staged);
    match moved {
        Ok(()) => {
            flush(&[&places.state_dir, &places.workspace])?;
            let files = manifest.files.len().saturating_sub(1);
            Ok(Replaced { created_at: manifest.created_at, files, aside: moves.aside })
        }
        Err((path, source)) => match moves.undo() {
            Ok(()) => Err(BackupError::Replace { path, source }),
            Err(_) => {
                // What is left in the folders must not go away now.
                let (staged, aside) = (state.0.clone(), moves.aside_folder());
                std::mem::forget((state, workspace));
                Err(BackupError::HalfReplaced { path, aside, staged, source })
            }
        },
    }
}

fn in_use(places: &Places) -> Result<(), BackupError> {
    let path = &places.database;
    match db::is_in_use(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(BackupError::InUse { path: path.clone() }),
        Err(source) => Err(BackupError::Check { path: path.clone(), source }),
    }
}

fn check_database(file: &Path, staged: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), BackupError> {
    if !staged.exists() {
        return Ok(());
    }
    progress("Checking the database.");
    let verdict = db::check_file(staged);
    let verdict = verdict.map_err(|source| BackupError::Check { path: staged.to_owned(), source })?;
    match verdict {
        None => Ok(()),
        Some(damage) => {
            let what = format!("its database: {damage}");
            Err(BackupError::Damaged { path: file.to_owned(), what })
        }
    }
}

/// What is replaced as a whole: single files, folders of the state folder, and the workspace.
fn roots(manifest: &Manifest) -> BTreeSet<Part> {
    let parts = manifest.files.iter().filter_map(|fact| Part::parse(&fact.name));
    parts
        .map(|part| match part {
            Part::State(path) => Part::State(path.iter().next().map(PathBuf::from).unwrap_or_default()),
            Part::Workspace(_) => Part::Workspace(PathBuf::new()),
            single => single,
        })
        .collect()
}

fn stamp(now: Timestamp) -> String {
    now.to_utc().format("%Y%m%d-%H%M%S%3f").to_string()
}

/// Power may go at any time: what was written is on the disk before it is relied upon.
fn flush(folders: &[&Path]) -> Result<(), BackupError> {
    for folder in folders {
        if folder.exists() {
            let synced = File::open(folder).and_then(|open| rustix::fs::syncfs(&open).map_err(io::Error::from));
            synced.map_err(|source| BackupError::Write { path: (*folder).to_owned(), source })?;
        }
    }
    Ok(())
}

type Failed = (PathBuf, io::Error);

/// The renamings so far, so that they can be undone.
struct Moves<'a> {
    done: Vec<(PathBuf, PathBuf)>,
    aside: Vec<PathBuf>,
    stamp: String,
    places: &'a Places,
}

impl Moves<'_> {
    fn all(&mut self, roots: &BTreeSet<Part>, staged: &Places) -> Result<(), Failed> {
        for part in roots {
            let place = plain(part.place(self.places));
            self.set_aside(part, &place)?;
            let folder = place.parent().unwrap_or(Path::new("/"));
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| (place.clone(), source))?;
            self.step(plain(part.place(staged)), place)?;
        }
        Ok(())
    }

    fn set_aside(&mut self, part: &Part, place: &Path) -> Result<(), Failed> {
        let companions: &[&str] = if *part == Part::Database { &COMPANIONS } else { &[] };
        let others = companions.iter().map(|end| beside(place, end));
        for path in std::iter::once(place.to_owned()).chain(others) {
            if fs::symlink_metadata(&path).is_err() {
                continue;
            }
            let aside = self.aside_of(&path);
            let folder = aside.parent().unwrap_or(Path::new("/"));
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| (path.clone(), source))?;
            self.step(path, aside)?;
        }
        Ok(())
    }

    /// Into one folder what is below the state folder; beside itself what is elsewhere, perhaps on another disk.
    fn aside_of(&mut self, path: &Path) -> PathBuf {
        let is_inside = path.parent() == Some(&self.places.state_dir);
        let (aside, told) = match path.file_name() {
            Some(name) if is_inside => (self.aside_folder().join(name), self.aside_folder()),
            _ => {
                let aside = beside(path, &format!(".replaced-{}", self.stamp));
                (aside.clone(), aside)
            }
        };
        if !self.aside.contains(&told) {
            self.aside.push(told);
        }
        aside
    }

    fn aside_folder(&self) -> PathBuf {
        self.places.state_dir.join(format!("replaced-{}", self.stamp))
    }

    fn step(&mut self, from: PathBuf, to: PathBuf) -> Result<(), Failed> {
        rename(&from, &to).map_err(|source| (to.clone(), source))?;
        self.done.push((from, to));
        Ok(())
    }

    fn undo(&mut self) -> io::Result<()> {
        while let Some((from, to)) = self.done.pop() {
            rename(&to, &from)?;
        }
        let _ = fs::remove_dir(self.aside_folder());
        Ok(())
    }
}

/// Renames; a file whose target is on another disk is copied.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && from.is_file() => {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()?;
            fs::remove_file(from)
        }
        result => result,
    }
}

/// Joining nothing leaves a slash at the end, which renaming does not want.
fn plain(path: PathBuf) -> PathBuf {
    path.components().collect()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}
