//! WAV (RIFF, RF64, BW64) by Microsoft's and the EBU's papers, read as it is found: lengths that lie, streams that never got a
//! length, chunks in odd places.

use std::io::{Seek, SeekFrom};

use crate::inference::audio::pcm::Coding;
use crate::inference::audio::source::Source;
use crate::inference::audio::stream::{Frames, Shape};
use crate::inference::audio::{AudioError, Warnings, checked};

/// Bytes that are decoded at once, about.
const PIECE_BYTES: usize = 32 * 1024;
/// Lengths from here on mean "unknown": programs that write into a pipe cannot go back and tell.
const LENGTH_UNKNOWN_MIN: u32 = 0x7fff_0000;
/// Chunks before the sound; more is no recording.
const CHUNKS_MAX: usize = 1_000;
/// Length of the longest `fmt ` chunk that means anything.
const FORMAT_BYTES_MAX: usize = 64;

/// The samples of a WAV file.
pub(super) struct Wav {
    source: Source,
    format: Format,
    /// Bytes of sound that are left.
    left: u64,
    buffer: Vec<u8>,
    warnings: Warnings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    coding: Coding,
    channels: usize,
    rate_hz: u32,
    /// Bytes that can only be decoded together: one sample of every channel, or a block.
    block_bytes: usize,
}

/// Whether the first twelve bytes of a file are those of a WAV file.
pub(super) fn is_wav(start: &[u8]) -> bool {
    start.len() >= 12 && matches!(&start[..4], b"RIFF" | b"RF64" | b"BW64") && &start[8..12] == b"WAVE"
}

impl Wav {
    /// `source` stands at its beginning, which [`is_wav`].
    pub(super) fn open(mut source: Source) -> Result<Self, AudioError> {
        skip_to(&mut source, 12)?;
        let mut format = None;
        for _ in 0..CHUNKS_MAX {
            let mut head = [0; 8];
            if fill(&mut source, &mut head)? < head.len() {
                break;
            }
            let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let start = source.here();
            match &head[..4] {
                b"fmt " => format = Some(read_format(&mut source, len)?),
                b"data" => {
                    let format = format.ok_or_else(|| damaged("the sound comes before its format"))?;
                    return Ok(Self::new(source, format, len));
                }
                _ => {}
            }
            // Chunks begin at even places.
            let next = start.saturating_add(u64::from(len)).saturating_add(u64::from(len % 2));
            if next > source.bytes_total() {
                break;
            }
            skip_to(&mut source, next)?;
        }
        Err(if format.is_some() { AudioError::NoTrack } else { damaged("it has no format") })
    }

    fn new(source: Source, format: Format, len: u32) -> Self {
        let there = source.bytes_total().saturating_sub(source.here());
        let is_known = len != 0 && len < LENGTH_UNKNOWN_MIN;
        let left = if is_known { u64::from(len).min(there) } else { there };
        let is_truncated = (is_known && u64::from(len) > there) || (len == 0 && there > 0);
        let warnings = Warnings { is_truncated, ..Warnings::default() };
        Self { source, format, left, buffer: Vec::new(), warnings }
    }
}

impl Frames for Wav {
    fn next(&mut self, samples: &mut Vec<f32>) -> Result<Option<Shape>, AudioError> {
        let block = self.format.block_bytes;
        let blocks = (PIECE_BYTES / block).max(1);
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(blocks * block);
        self.buffer.resize(wanted, 0);
        let len = fill(&mut self.source, &mut self.buffer)?;
        self.left -= len as u64;
        // What is left of the last block of a file that was cut off cannot be decoded, except from blocks that begin with
        // their state.
        let usable = if self.format.coding.is_in_blocks() { len } else { len - len % block };
        if usable == 0 {
            return Ok(None);
        }
        self.format.coding.decode(&self.buffer[..usable], self.format.channels, block, samples);
        Ok(Some(Shape { rate_hz: self.format.rate_hz, channels: self.format.channels }))
    }

    fn warnings(&self) -> Warnings {
        self.warnings
    }
}

/// The `fmt ` chunk: tag, channels, samples a second, bytes a second, bytes a block, bits a sample, and for the extensible tag
/// the real one in a GUID.
fn read_format(source: &mut Source, len: u32) -> Result<Format, AudioError> {
    let mut bytes = [0; FORMAT_BYTES_MAX];
    let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(FORMAT_BYTES_MAX);
    if fill(source, &mut bytes[..wanted])? < wanted || wanted < 14 {
        return Err(damaged("its format is cut off"));
    }
    let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let tag = if number(0) == 0xfffe && wanted >= 26 { number(24) } else { number(0) };
    let channels = usize::from(number(2));
    let rate_hz = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    checked(rate_hz, channels)?;
    let block_bytes = usize::from(number(12));
    let bits = if wanted >= 16 { usize::from(number(14)) } else { 8 };
    let coding = Coding::of(tag, bits, block_bytes, channels).ok_or_else(|| AudioError::UnknownCodec {
        what: format!("WAV format {tag:#06x} with {bits} bits in blocks of {block_bytes} bytes"),
    })?;
    let block_bytes = coding.block_bytes(channels).unwrap_or(block_bytes);
    Ok(Format { coding, channels, rate_hz, block_bytes })
}

fn fill(source: &mut Source, buffer: &mut [u8]) -> Result<usize, AudioError> {
    source.fill(buffer).map_err(|source| AudioError::Read { source })
}

fn skip_to(source: &mut Source, place: u64) -> Result<(), AudioError> {
    source.seek(SeekFrom::Start(place)).map_err(|source| AudioError::Read { source })?;
    Ok(())
}

fn damaged(what: &str) -> AudioError {
    AudioError::Damaged { what: what.to_owned() }
}
