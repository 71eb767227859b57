//! Recordings and microphones: from files of any kind to one channel at 16 kHz, and where in it somebody speaks.
//!
//! [`Stream`] pulls a file through decoder, down-mix and resampler block by block, so that ten hours never lie in memory at
//! once; [`decode`] does the same for short ones. [`vad`] finds speech.
//!
//! WAV is taken apart here, because what writes it lies about lengths more than about anything else; the other formats are
//! symphonia's, behind a shield: a decoder that panics on a damaged file ends that file and nothing else.
//!
//! Absent on purpose: spectra (each model has its own), microphones of this machine, writing audio.

mod adpcm;
mod coded;
mod mix;
mod pcm;
mod rate;
mod source;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod vad;
mod wav;

use std::path::PathBuf;

use bytes::Bytes;

pub use stream::{Progress, Stream, Warnings};

/// What every speech model here wants.
pub const RATE_HZ: u32 = 16_000;

/// Slower recordings are not speech, and would grow without end when they are brought to [`RATE_HZ`].
const RATE_HZ_MIN: u32 = 4_000;
const RATE_HZ_MAX: u32 = 768_000;
const CHANNELS_MAX: usize = 64;

/// What is accepted of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Length of what is given out.
    pub seconds_max: u64,
}

impl Default for Limits {
    /// A day; what holds it all in memory wants less.
    fn default() -> Self {
        Self { seconds_max: 24 * 3600 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    #[error("could not open {path}")]
    Open { path: PathBuf, source: std::io::Error },
    #[error("could not read the recording")]
    Read { source: std::io::Error },
    #[error("this is no recording that can be read here; WAV, FLAC, MP3, Ogg, WebM, MP4 and AAC can")]
    UnknownFormat,
    #[error("the recording has no sound in it")]
    NoTrack,
    #[error("the sound is coded in a way that is not known here: {what}")]
    UnknownCodec { what: String },
    #[error("the recording claims {rate_hz} samples a second; {RATE_HZ_MIN} to {RATE_HZ_MAX} can be read")]
    Rate { rate_hz: u32 },
    #[error("the recording claims {channels} channels; 1 to {CHANNELS_MAX} can be read")]
    Channels { channels: usize },
    #[error("the recording is damaged: {what}")]
    Damaged { what: String },
    #[error("the recording is longer than {seconds_max} seconds")]
    TooLong { seconds_max: u64 },
}

/// A whole recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Audio {
    /// One channel at [`RATE_HZ`], -1 to 1, never NaN.
    pub samples: Vec<f32>,
    pub warnings: Warnings,
}

impl Audio {
    pub fn seconds(&self) -> f64 {
        seconds(self.samples.len())
    }
}

/// Decodes a recording that fits into memory: 230 MB an hour. What was cut off or damaged is left out and told in
/// [`Audio::warnings`].
pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Audio, AudioError> {
    let mut stream = Stream::of(bytes, limits)?;
    let mut samples = Vec::new();
    while stream.read(&mut samples)? {}
    Ok(Audio { samples, warnings: stream.warnings() })
}

/// Length of so many samples at [`RATE_HZ`].
pub fn seconds(samples_len: usize) -> f64 {
    samples_len as f64 / f64::from(RATE_HZ)
}

/// Checks what a header claims about every sample.
fn checked(rate_hz: u32, channels: usize) -> Result<(), AudioError> {
    if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&rate_hz) {
        return Err(AudioError::Rate { rate_hz });
    }
    if !(1..=CHANNELS_MAX).contains(&channels) {
        return Err(AudioError::Channels { channels });
    }
    Ok(())
}
