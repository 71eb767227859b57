//! Empties a state folder: what may be secret is overwritten first, and the request goes last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::reset::{FILE, ResetError};

/// Downloads that are the same in every house; they are deleted, but not overwritten.
const PUBLIC: &str = "models";
const PIECE_BYTES: usize = 1024 * 1024;

/// What went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wiped {
    pub files: u64,
    pub bytes: u64,
}

/// Empties `folder`, which stays. Nobody may use it meanwhile. Cut short anywhere, the request is still there, and the next one goes on.
pub fn wipe(folder: &Path) -> Result<Wiped, ResetError> {
    let mut wiped = Wiped::default();
    let failed = |path: &Path, source| ResetError::Wipe { path: path.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        let name = path.file_name().unwrap_or_default();
        if name != FILE {
            let manner = if name == PUBLIC { Manner::Delete } else { Manner::Overwrite };
            forget(&path, manner, &mut wiped).map_err(|source| failed(&path, source))?;
        }
    }
    let request = folder.join(FILE);
    let done = || -> io::Result<()> {
        // The rest has to be gone for good before the request is.
        File::open(folder)?.sync_all()?;
        match fs::remove_file(&request) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(folder)?.sync_all()
    };
    done().map_err(|source| failed(&request, source))?;
    Ok(wiped)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Overwrite,
    Delete,
}

fn forget(path: &Path, manner: Manner, wiped: &mut Wiped) -> io::Result<()> {
    let about = fs::symlink_metadata(path)?;
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            forget(&entry?.path(), manner, wiped)?;
        }
        return fs::remove_dir(path);
    }
    // What has another name elsewhere belongs to that name, too; and a link is not what it leads to.
    if about.is_file() && about.nlink() == 1 && manner == Manner::Overwrite {
        overwrite(path, about.len())?;
    }
    wiped.files += 1;
    wiped.bytes += if about.is_file() { about.len() } else { 0 };
    fs::remove_file(path)
}

fn overwrite(path: &Path, bytes: u64) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    // A file that was made unwritable is deleted as it is.
    let Ok(mut file) = OpenOptions::new().write(true).custom_flags(flags).open(path) else { return Ok(()) };
    let zeros = vec![0_u8; PIECE_BYTES.min(usize::try_from(bytes).unwrap_or(PIECE_BYTES))];
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(PIECE_BYTES).min(zeros.len());
        file.write_all(&zeros[..piece])?;
        left -= piece as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::reset::{is_requested, request};

    #[test]
    fn everything_in_the_folder_goes_and_nothing_that_a_link_leads_to() {
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("kept"), "kept").expect("written");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("run/deep")).expect("folders");
        fs::create_dir_all(at("models")).expect("folders");
        for name in ["timeline.db", "gateway.token", "run/deep/x", "models/large.gguf", ".env"] {
            fs::write(at(name), "geheim").expect("written");
        }
        symlink(outside.path(), at("away")).expect("a link");
        symlink(outside.path().join("kept"), at("run/away")).expect("a link");
        fs::hard_link(outside.path().join("kept"), at("shared")).expect("a link");
        request(folder.path()).expect("asked");
        let wiped = wipe(folder.path()).expect("wiped");
        assert_eq!(wiped.files, 8);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
        assert_eq!(fs::read_to_string(outside.path().join("kept")).expect("kept"), "kept");
    }

    #[test]
    fn what_is_deleted_was_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.token");
        fs::write(&path, "geheim".repeat(300_000)).expect("written");
        let mut open = File::open(&path).expect("a file that somebody still reads");
        wipe(folder.path()).expect("wiped");
        let mut left = Vec::new();
        io::Read::read_to_end(&mut open, &mut left).expect("what is left");
        assert!(left.len() == 1_800_000 && left.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_wipe_that_cannot_end_is_not_over() {
        let folder = tempfile::tempdir().expect("a folder");
        request(folder.path()).expect("asked");
        let missing = folder.path().join("missing");
        assert!(wipe(&missing).is_err());
        assert!(is_requested(folder.path()));
    }
}
