//! Reading configuration files: where the bytes come from, how much of them, and what a failure is called.

use std::fmt;
use std::io;
use std::path::Path;

/// Largest configuration or environment file, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Reads whole files; tests and `config set` put their own texts in place of the disk's.
#[derive(Clone, Copy)]
pub struct Reader<'a>(&'a dyn Fn(&Path) -> io::Result<Vec<u8>>);

/// Why a file could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadFailure {
    Missing,
    TooLarge,
    NotText,
    Io(String),
}

impl fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::TooLarge => write!(f, "is larger than {FILE_BYTES_MAX} bytes"),
            Self::NotText => f.write_str("is not UTF-8 text"),
            Self::Io(reason) => write!(f, "cannot be read ({reason})"),
        }
    }
}

impl<'a> Reader<'a> {
    pub const fn new(read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Self {
        Self(read)
    }

    /// Reads from the disk.
    pub const fn disk() -> Reader<'static> {
        Reader(&read_from_disk)
    }

    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        (self.0)(path)
    }

    pub fn read(&self, path: &Path) -> Result<String, ReadFailure> {
        let bytes = (self.0)(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadFailure::Missing,
            _ => ReadFailure::Io(error.to_string()),
        })?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ReadFailure::TooLarge);
        }
        let text = String::from_utf8(bytes).map_err(|_| ReadFailure::NotText)?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }
}

/// At most one byte more than allowed, so that a huge file or a device cannot fill the memory.
fn read_from_disk(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;

    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
