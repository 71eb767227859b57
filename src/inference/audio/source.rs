//! Where the bytes of a recording come from, and how far they were read.

use std::fs::File;
use std::io::{Cursor, Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use symphonia::core::io::MediaSource;

use crate::inference::audio::AudioError;

/// A file whose tables send the reader back and forth is given up after so many times its length.
const READ_TIMES_MAX: u64 = 8;
/// What short files may be read beyond that.
const READ_BYTES_EXTRA: u64 = 16 * 1024 * 1024;

/// A file or bytes in memory.
pub(super) struct Source {
    inner: Inner,
    /// Where the recording begins.
    base: u64,
    /// Of the recording.
    bytes_total: u64,
    /// The furthest place that was read.
    position: Arc<AtomicU64>,
    here: u64,
    budget_bytes: u64,
}

enum Inner {
    File(File),
    Bytes(Cursor<Bytes>),
}

impl Source {
    pub(super) fn open(path: &Path) -> std::result::Result<Self, AudioError> {
        let failed = |source| AudioError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(Error::new(ErrorKind::InvalidInput, "it is no file")));
        }
        Ok(Self::new(Inner::File(file), metadata.len()))
    }

    pub(super) fn of(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self::new(Inner::Bytes(Cursor::new(bytes)), len)
    }

    fn new(inner: Inner, bytes_total: u64) -> Self {
        let budget_bytes = bytes_total.saturating_mul(READ_TIMES_MAX).saturating_add(READ_BYTES_EXTRA);
        Self { inner, base: 0, bytes_total, position: Arc::default(), here: 0, budget_bytes }
    }

    pub(super) fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// The furthest place that was read, which goes on being told while a decoder owns the source.
    pub(super) fn position(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.position)
    }

    pub(super) fn here(&self) -> u64 {
        self.here
    }

    /// The first bytes, up to twelve; behind the titles that MP3 and other files may begin with (ID3v2.4, §3.1: seven bits of
    /// length in each of four bytes), which do not belong to the recording.
    pub(super) fn start(&mut self) -> Result<Vec<u8>> {
        loop {
            let mut start = [0; 12];
            let len = self.fill(&mut start)?;
            self.rewind()?;
            if len < start.len() || &start[..3] != b"ID3" || start[6..10].iter().any(|byte| *byte > 0x7f) {
                return Ok(start[..len].to_vec());
            }
            let tag_bytes = start[6..10].iter().fold(10, |bytes, seven| (bytes - 10) * 128 + u64::from(*seven) + 10);
            let skipped = tag_bytes.min(self.bytes_total);
            self.base += skipped;
            self.bytes_total -= skipped;
            self.rewind()?;
        }
    }

    /// Reads until `buffer` is full or the end is there.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut len = 0;
        while len < buffer.len() {
            match self.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(problem) if problem.kind() == ErrorKind::Interrupted => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(len)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = match &mut self.inner {
            Inner::File(file) => file.read(buffer)?,
            Inner::Bytes(bytes) => bytes.read(buffer)?,
        } as u64;
        self.budget_bytes = self
            .budget_bytes
            .checked_sub(count)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "its tables lead in circles"))?;
        self.here += count;
        if count > 0 {
            // A damaged table may lead behind the end, where nothing is read.
            self.position.fetch_max(self.here, Ordering::Relaxed);
        }
        Ok(usize::try_from(count).expect("invariant: no more than the buffer holds"))
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => self.bytes_total.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.here.checked_add_signed(offset),
        };
        let place = place.ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
        let absolute = SeekFrom::Start(self.base.saturating_add(place));
        match &mut self.inner {
            Inner::File(file) => file.seek(absolute)?,
            Inner::Bytes(bytes) => bytes.seek(absolute)?,
        };
        self.here = place;
        Ok(place)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes_total)
    }
}
