//! Recordings for tests: WAV files in every coding, tones, and the small files of `tests/fixtures/audio`.

use std::f32::consts::TAU;
use std::path::PathBuf;

use bytes::Bytes;

/// A `fmt ` chunk with these numbers, and a `data` chunk.
pub(crate) struct WavFile<'a> {
    pub tag: u16,
    pub channels: u16,
    pub rate_hz: u32,
    pub bits: u16,
    /// Zero reads as what channels and bits give.
    pub block_bytes: u16,
    pub sound: &'a [u8],
}

impl WavFile<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let natural = self.channels.wrapping_mul(self.bits / 8);
        let block = if self.block_bytes == 0 { natural } else { self.block_bytes };
        let mut format = Vec::new();
        format.extend(self.tag.to_le_bytes());
        format.extend(self.channels.to_le_bytes());
        format.extend(self.rate_hz.to_le_bytes());
        format.extend(self.rate_hz.wrapping_mul(u32::from(block)).to_le_bytes());
        format.extend(block.to_le_bytes());
        format.extend(self.bits.to_le_bytes());
        riff(&[(*b"fmt ", &format), (*b"LIST", b"INFOx"), (*b"data", self.sound)])
    }
}

/// A RIFF file of these chunks.
pub(crate) fn riff(chunks: &[([u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WAVE".to_vec();
    for (name, content) in chunks {
        body.extend(name);
        body.extend((content.len() as u32).to_le_bytes());
        body.extend(*content);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"RIFF".to_vec(), (body.len() as u32).to_le_bytes().to_vec(), body].concat()
}

/// One channel of 16 bits.
pub(crate) fn wav(samples: &[f32], rate_hz: u32) -> Bytes {
    let sound: Vec<u8> = samples.iter().flat_map(|sample| ((sample * 32767.0).round() as i16).to_le_bytes()).collect();
    WavFile { tag: 1, channels: 1, rate_hz, bits: 16, block_bytes: 0, sound: &sound }.bytes().into()
}

/// A sine of half the full height.
pub(crate) fn tone(hz: f32, rate_hz: u32, seconds: f32) -> Vec<f32> {
    let step = f64::from(TAU * hz) / f64::from(rate_hz);
    (0..(rate_hz as f32 * seconds) as usize).map(|n| 0.5 * (n as f64 * step).sin() as f32).collect()
}

/// White noise with this peak; the same for the same seed.
pub(crate) fn noise(len: usize, peak: f32, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32) * 2.0 - 1.0
    };
    (0..len).map(|_| peak * next()).collect()
}

pub(crate) fn fixture(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name);
    std::fs::read(&path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display())).into()
}

/// Share of the power that lies at `hz`, by Goertzel's filter: 1 for a pure tone.
pub(crate) fn share_at(samples: &[f32], hz: f32) -> f32 {
    let (mut real, mut imaginary) = (0.0_f64, 0.0_f64);
    for (n, sample) in samples.iter().enumerate() {
        let angle = f64::from(TAU * hz) * n as f64 / 16_000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    let power: f64 = samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
    (2.0 * (real * real + imaginary * imaginary) / (samples.len() as f64 * power + 1e-9)) as f32
}
