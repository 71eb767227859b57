//! What was installed: one small JSON file in each model's folder, and the reading of digests.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(super) const RECORD_FILE: &str = "installed.json";
const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 1024 * 1024;

/// `installed.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub id: String,
    pub files: Vec<RecordedFile>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordedFile {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    /// Where it came from.
    pub source: String,
    /// The list knew no checksum: this one is what came at the first installation.
    #[serde(default)]
    pub pinned: bool,
}

impl Record {
    pub(super) fn new(id: &str, files: Vec<RecordedFile>) -> Self {
        Self { version: VERSION, id: id.to_owned(), files }
    }

    /// None when there is none, or none that this version understands.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(folder.join(RECORD_FILE)).ok()?.take(RECORD_BYTES_MAX).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok().filter(|record: &Self| record.version == VERSION)
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(RECORD_FILE);
        let mut file = File::create(&path)?;
        file.write_all(&serde_json::to_vec_pretty(self).unwrap_or_default())?;
        file.sync_all()
    }
}

/// SHA-256 of a file as 64 digits, and its length. `each` hears of every piece read and stops by returning false.
pub(super) fn digest(path: &Path, each: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<(String, u64)>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 256 * 1024];
    let mut bytes = 0_u64;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(Some((hex(&hasher.finalize()), bytes))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
        bytes += count as u64;
        if !each(bytes) {
            return Ok(None);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Length of what is there as a plain file; a link or a folder is nothing.
pub(super) fn plain_len(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|found| found.len())
}
