//! Floor 6: factory reset: everything that this home has told is forgotten, and the next start is a first start.
//!
//! Who may do what: whoever may write to the state folder asks ([`request`]); the request is a file, so that a power cut anywhere
//! means that the next start goes on. On a machine of its own (an image of this product) root's `kafclaw-reset.path` sees the file and starts
//! the machine anew, and the initramfs forgets whole partitions (`image/initramfs/reset`), keys and Wi-Fi too. Elsewhere [`wipe`]
//! empties the state folder, before a gateway reads anything in it.
//!
//! Absent on purpose: a way back, and everything that lies elsewhere on a machine that is not ours, the workspace for one.

mod wipe;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use wipe::{Wiped, wipe};

/// What people type, so that nobody does this by mistake.
pub const WORDS: &str = "forget everything";
/// The request's name in the state folder.
const FILE: &str = "factory-reset";
/// Where an image keeps the state of the house (`image/rootfs`).
const IMAGE_STATE: &str = "/var/lib/kafclaw/.kafclaw";
/// What GRUB tells the kernel of an image (`image/grub/grub.cfg`).
const IMAGE_MARK: &str = "kafclaw.root=";

#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    #[error("could not write {}; is the disk full or read-only?", path.display())]
    Request { path: PathBuf, source: io::Error },
    #[error("could not forget {}; the next start tries again", path.display())]
    Wipe { path: PathBuf, source: io::Error },
}

/// What there is to forget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// The whole machine: its initramfs does it.
    Machine,
    /// A folder on somebody's machine.
    Folder,
}

/// What a factory reset reaches here.
pub fn reach() -> Reach {
    reach_of(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
}

fn reach_of(cmdline: &str) -> Reach {
    match cmdline.split_whitespace().any(|word| word.starts_with(IMAGE_MARK)) {
        true => Reach::Machine,
        false => Reach::Folder,
    }
}

/// Asks for a factory reset of the house that keeps its state in `state_dir`. It happens with the next start, or when the machine's
/// root has seen the request.
pub fn request(state_dir: &Path) -> Result<(), ResetError> {
    let folder = match reach() {
        Reach::Machine => Path::new(IMAGE_STATE),
        Reach::Folder => state_dir,
    };
    let path = folder.join(FILE);
    // That it is there is the request: a disk without room for a word in it must not make one of half a request that was refused.
    let write = || -> io::Result<()> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?.sync_all()?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| ResetError::Request { path: path.clone(), source })
}

/// Whether a factory reset was asked for and is not over.
pub fn is_requested(state_dir: &Path) -> bool {
    state_dir.join(FILE).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_what_its_boot_loader_says() {
        assert_eq!(reach_of("kafclaw.root=root-a rauc.slot=A ro panic=10"), Reach::Machine);
        assert_eq!(reach_of("BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet"), Reach::Folder);
    }

    #[test]
    fn a_request_stays_until_it_was_done() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!is_requested(folder.path()));
        request(folder.path()).expect("asked");
        request(folder.path()).expect("asked twice");
        assert!(is_requested(folder.path()));
        wipe(folder.path()).expect("done");
        assert!(!is_requested(folder.path()));
    }
}
