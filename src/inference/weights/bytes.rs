//! The bytes of a model file, mapped or in memory.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// A whole file.
#[derive(Debug)]
pub enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a file. The store renames finished files into place and never writes to them again; whoever truncates a mapped model
    /// in place kills the process that uses it, which is why large models run in a worker.
    #[allow(unsafe_code)]
    pub fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        // SAFETY: the mapping is private and only read. Models are replaced by renaming, not by writing into the file.
        unsafe { Mmap::map(&file) }.map(Self::Mapped)
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
