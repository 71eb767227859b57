//! From the text of a path to an open folder and a path beneath it.

use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::tool::file::{Config, FileError};

/// The folders that tools may touch. Opened anew for every operation, so that a folder that was moved or made again is found.
pub(in crate::tool) struct Roots {
    config: Config,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::tool) enum Purpose {
    Read,
    Write,
}

/// A path beneath a root. `relative` is not trusted: only `dir` may open it.
pub(super) struct Place {
    pub dir: Dir,
    pub relative: PathBuf,
    /// As the caller wrote it.
    pub shown: String,
    purpose: Purpose,
}

impl Roots {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    pub fn work_repo(&self) -> Result<&Path, FileError> {
        self.config.work_repo.as_deref().ok_or(FileError::NotConfigured)
    }

    pub(super) fn place(&self, path: &str, purpose: Purpose) -> Result<Place, FileError> {
        if path.contains('\0') {
            return Err(FileError::Nul);
        }
        let wanted = self.expanded(path);
        let (root, relative) = self.beneath(&wanted, purpose)?;
        let place = |dir| Place { dir, relative, shown: path.to_owned(), purpose };
        match Dir::open_ambient_dir(root, ambient_authority()) {
            Ok(dir) => Ok(place(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FileError::NotFound { path: root.display().to_string() })
            }
            Err(source) => Err(FileError::Read { source }),
        }
    }

    /// Opens a folder for a program to work in; an empty path is the work repo, or the workspace where there is none.
    pub fn working_dir(&self, path: &str) -> Result<Dir, FileError> {
        let place = self.place(if path.is_empty() { "." } else { path }, Purpose::Read)?;
        place.dir.open_dir(&place.relative).map_err(|error| place.explain(error))
    }

    /// Whether an absolute path lies, as written, beneath a root.
    pub fn is_beneath_as_written(&self, path: &Path) -> bool {
        let climbs = path.components().any(|component| component == Component::ParentDir);
        !climbs && self.beneath(path, Purpose::Read).is_ok()
    }

    fn expanded(&self, path: &str) -> PathBuf {
        match (path.strip_prefix('~'), &self.config.home) {
            (Some(""), Some(home)) => home.clone(),
            (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(path),
        }
    }

    /// The root that `wanted` names, and the rest. Only the spelling is looked at here; links are the business of [`Dir`].
    fn beneath(&self, wanted: &Path, purpose: Purpose) -> Result<(&Path, PathBuf), FileError> {
        let readable = match purpose {
            Purpose::Read => self.config.workspace.as_deref(),
            Purpose::Write => None,
        };
        let roots = || self.config.work_repo.as_deref().into_iter().chain(readable);
        if wanted.is_relative() {
            let root = roots().next().ok_or(FileError::NotConfigured)?;
            return Ok((root, not_empty(wanted)));
        }
        for root in roots() {
            let canonical = root.canonicalize();
            let spellings = [Some(root), canonical.as_deref().ok()];
            if let Some(rest) = spellings.into_iter().flatten().find_map(|root| wanted.strip_prefix(root).ok()) {
                return Ok((root, not_empty(rest)));
            }
        }
        Err(outside(purpose))
    }
}

impl Place {
    /// What an error of the operating system means to the caller.
    pub fn explain(&self, error: io::Error) -> FileError {
        let path = self.shown.clone();
        match error.kind() {
            io::ErrorKind::NotFound => FileError::NotFound { path },
            io::ErrorKind::NotADirectory => FileError::NotFolder { path },
            // cap-std reports a path that leads outside as a refusal without a number from the kernel.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => outside(self.purpose),
            io::ErrorKind::PermissionDenied => FileError::Permission { path },
            _ if self.purpose == Purpose::Write => FileError::Write { source: error },
            _ => FileError::Read { source: error },
        }
    }
}

fn outside(purpose: Purpose) -> FileError {
    match purpose {
        Purpose::Read => FileError::Outside,
        Purpose::Write => FileError::OutsideWorkRepo,
    }
}

fn not_empty(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}
