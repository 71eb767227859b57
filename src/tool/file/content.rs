//! The five operations, on the thread that owns the roots.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, File, MetadataExt, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use serde_json::Value;

use crate::base::id::random_hex;
use crate::tool::file::roots::{Place, Purpose};
use crate::tool::file::{FileError, Roots};
use crate::tool::text;

/// Largest file that is read or edited.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Entries of a folder that are looked at, and how many of them are shown.
const ENTRIES_READ_MAX: usize = 10_000;
const ENTRIES_SHOWN_MAX: usize = 1_000;

pub(super) fn read_file(roots: &Roots, arguments: &Value) -> Result<String, FileError> {
    let place = roots.place(text(arguments, "path"), Purpose::Read)?;
    read_text(&place)
}

pub(super) fn write_file(roots: &Roots, arguments: &Value) -> Result<String, FileError> {
    let place = roots.place(text(arguments, "path"), Purpose::Write)?;
    let content = text(arguments, "content");
    replace(&place, content)?;
    Ok(format!("Successfully wrote {} bytes to {}", content.len(), place.shown))
}

pub(super) fn edit_file(roots: &Roots, arguments: &Value) -> Result<String, FileError> {
    let place = roots.place(text(arguments, "path"), Purpose::Write)?;
    let (old, new) = (text(arguments, "old_text"), text(arguments, "new_text"));
    let content = read_text(&place)?;
    if !content.contains(old) {
        return Err(FileError::TextNotFound { path: place.shown });
    }
    replace(&place, &content.replacen(old, new, 1))?;
    Ok(format!("Successfully edited {}", place.shown))
}

pub(super) fn list_dir(roots: &Roots, arguments: &Value) -> Result<String, FileError> {
    let path = Some(text(arguments, "path")).filter(|path| !path.is_empty()).unwrap_or(".");
    let place = roots.place(path, Purpose::Read)?;
    let folder = place.dir.open_dir(&place.relative).map_err(|error| place.explain(error))?;
    let mut lines = Vec::new();
    for entry in folder.entries().map_err(|error| place.explain(error))?.take(ENTRIES_READ_MAX) {
        let entry = entry.map_err(|error| place.explain(error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // An entry may have gone between the two questions.
        let Ok(metadata) = entry.metadata() else { continue };
        let line = if metadata.is_dir() {
            format!("  [DIR]  {name}/")
        } else if metadata.is_symlink() {
            format!("  [LINK] {name}")
        } else {
            format!("  [FILE] {name} ({} bytes)", metadata.len())
        };
        lines.push((name, line));
    }
    lines.sort();
    let hidden = lines.len().saturating_sub(ENTRIES_SHOWN_MAX);
    let mut listing = format!("Contents of {}:", place.shown);
    for (_, line) in lines.iter().take(ENTRIES_SHOWN_MAX) {
        listing.push('\n');
        listing.push_str(line);
    }
    if hidden > 0 {
        listing.push_str(&format!("\n  [and {hidden} more]"));
    }
    Ok(listing)
}

pub(super) fn resolve_path(roots: &Roots, arguments: &Value) -> Result<String, FileError> {
    let or = |name, default| Some(text(arguments, name)).filter(|text| !text.is_empty()).unwrap_or(default);
    let path = roots.work_repo()?.join(or("kind", "docs")).join(or("filename", "artifact.md"));
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(FileError::Nul);
    }
    if !roots.is_beneath_as_written(&path) {
        return Err(FileError::OutsideWorkRepo);
    }
    Ok(path.display().to_string())
}

fn read_text(place: &Place) -> Result<String, FileError> {
    let path = || place.shown.clone();
    // Looked at first, because opening a device may already do something; and again once open, because it may have been
    // swapped. Without waiting, so that a pipe cannot hold the thread.
    let before = place.dir.metadata(&place.relative).map_err(|error| place.explain(error))?;
    if !before.is_file() {
        return Err(FileError::NotRegular { path: path() });
    }
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("invariant: open flags fit in an int");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nonblock);
    let file = place.dir.open_with(&place.relative, &options).map_err(|error| place.explain(error))?;
    let metadata = file.metadata().map_err(|error| place.explain(error))?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular { path: path() });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|source| FileError::Read { source })?;
    let read = bytes.len() as u64;
    if read > FILE_BYTES_MAX {
        let bytes = metadata.len().max(read);
        return Err(FileError::TooLarge { path: path(), bytes, bytes_max: FILE_BYTES_MAX });
    }
    match String::from_utf8(bytes) {
        Ok(content) if !content.contains('\0') => Ok(content),
        _ => Err(FileError::NotText { path: path() }),
    }
}

/// Writes a file beside the target and renames it over, so that a reader or a power cut sees the old content or the new one.
fn replace(place: &Place, content: &str) -> Result<(), FileError> {
    let bytes = content.len() as u64;
    if bytes > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: place.shown.clone(), bytes, bytes_max: FILE_BYTES_MAX });
    }
    refuse_git(place, &place.relative)?;
    let target = behind_links(place)?;
    let not_regular = || FileError::NotRegular { path: place.shown.clone() };
    let name = target.file_name().ok_or_else(not_regular)?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    place.dir.create_dir_all(parent).map_err(|error| place.explain(error))?;
    let real_parent = place.dir.canonicalize(parent).map_err(|error| place.explain(error))?;
    refuse_git(place, &real_parent.join(name))?;
    let folder = place.dir.open_dir(parent).map_err(|error| place.explain(error))?;
    let permissions = permissions_of(place, &folder, name)?;

    let temporary = format!(".kafclaw-{}.tmp", random_hex(8));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    let file = folder.open_with(&temporary, &options).map_err(|error| place.explain(error))?;
    let written = fill(file, content, permissions).and_then(|()| folder.rename(&temporary, &folder, name));
    written.map_err(|error| {
        // What is left of a failed write is of no use; that it cannot be removed either changes nothing.
        let _ = folder.remove_file(&temporary);
        place.explain(error)
    })
}

fn fill(mut file: File, content: &str, permissions: Option<Permissions>) -> io::Result<()> {
    file.write_all(content.as_bytes())?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()
}

/// The target itself, or what it links to within the root.
fn behind_links(place: &Place) -> Result<PathBuf, FileError> {
    match place.dir.symlink_metadata(&place.relative) {
        Ok(metadata) if metadata.is_symlink() => {
            place.dir.canonicalize(&place.relative).map_err(|error| place.explain(error))
        }
        Ok(_) => Ok(place.relative.clone()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(place.relative.clone()),
        Err(error) => Err(place.explain(error)),
    }
}

/// The permissions that the new content inherits; none when the file is new.
fn permissions_of(place: &Place, folder: &Dir, name: &OsStr) -> Result<Option<Permissions>, FileError> {
    let path = place.shown.clone();
    match folder.symlink_metadata(name) {
        Ok(metadata) if !metadata.is_file() => Err(FileError::NotRegular { path }),
        // A rename would go through, but who took the permission away meant it.
        Ok(metadata) if metadata.mode() & 0o200 == 0 => Err(FileError::Permission { path }),
        Ok(metadata) => Ok(Some(Permissions::from_mode(metadata.mode() & 0o777))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(place.explain(error)),
    }
}

fn refuse_git(place: &Place, path: &Path) -> Result<(), FileError> {
    let is_git = path.components().any(|component| component.as_os_str().eq_ignore_ascii_case(".git"));
    if is_git { Err(FileError::GitInternals { path: place.shown.clone() }) } else { Ok(()) }
}
