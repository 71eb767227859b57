//! Where somebody speaks: in a file, so that silence is not paid for, and at a microphone, so that one knows when to answer.
//!
//! A [`Vad`] gives a probability for each frame; [`Spans`] makes stretches of speech of them, [`detect`] those of a whole
//! recording, [`Pieces`] cuts a stream of any length by them, [`Endpointer`] follows a microphone.
//!
//! There are two: [`EnergyVad`] needs nothing and is always there; [`SileroVad`] is better in noise and needs a model.

mod cut;
mod endpoint;
mod energy;
mod pieces;
mod silero;
mod spans;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;

pub use cut::Cut;
pub use endpoint::{EndpointConfig, Endpointer, Event, Reason, Utterance};
pub use energy::EnergyVad;
pub use pieces::{PieceConfig, PieceError, Pieces};
pub use silero::SileroVad;
pub use spans::Spans;

use crate::inference::audio::RATE_HZ;

/// Judges frames of a recording, one after the other.
pub trait Vad: Send {
    /// Samples of a frame.
    fn frame_len(&self) -> usize;

    /// Probability, 0 to 1, that somebody speaks in the next frame, which has [`Vad::frame_len`] samples.
    fn speech(&mut self, frame: &[f32]) -> Result<f32, VadError>;

    /// Listens to what comes first without judging it, where one can look ahead; what follows begins there again.
    fn prime(&mut self, _samples: &[f32]) -> Result<(), VadError> {
        Ok(())
    }

    /// Forgets what it heard; a new recording begins.
    fn reset(&mut self);
}

impl Vad for Box<dyn Vad> {
    fn frame_len(&self) -> usize {
        (**self).frame_len()
    }

    fn speech(&mut self, frame: &[f32]) -> Result<f32, VadError> {
        (**self).speech(frame)
    }

    fn prime(&mut self, samples: &[f32]) -> Result<(), VadError> {
        (**self).prime(samples)
    }

    fn reset(&mut self) {
        (**self).reset();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum VadError {
    #[error("could not load {path} as a model that finds speech")]
    Load { path: PathBuf, source: ort::Error },
    #[error("{path} is no model that finds speech: {why}")]
    OtherModel { path: PathBuf, why: String },
    #[error("the model that finds speech failed")]
    Run { source: ort::Error },
    #[error("the model that finds speech answered with {len} numbers")]
    Answer { len: usize },
}

/// What counts as speech. With these defaults a breath within a sentence is part of it and a click is nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// From here on somebody begins to speak.
    pub start_probability: f32,
    /// Down to here somebody still does.
    pub stay_probability: f32,
    /// Less is a noise.
    pub speech_ms_min: u32,
    /// A shorter pause is part of what is said.
    pub silence_ms_min: u32,
    /// Kept around speech: quiet beginnings of words, and their ends.
    pub pad_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { start_probability: 0.5, stay_probability: 0.35, speech_ms_min: 150, silence_ms_min: 600, pad_ms: 250 }
    }
}

/// How far ahead of its first judgment a [`Vad`] listens in a file.
const PRIME_S: usize = 3;

/// Stretches of speech in `samples`, in order, padded, without overlap.
pub fn detect(samples: &[f32], vad: &mut dyn Vad, config: &Config) -> Result<Vec<Range<usize>>, VadError> {
    vad.reset();
    vad.prime(&samples[..samples.len().min(PRIME_S * RATE_HZ as usize)])?;
    let mut spans = Spans::new(config, vad.frame_len());
    let mut found = Vec::new();
    let mut last = Vec::new();
    for frame in samples.chunks(vad.frame_len()) {
        let frame = if frame.len() == vad.frame_len() {
            frame
        } else {
            last.extend_from_slice(frame);
            last.resize(vad.frame_len(), 0.0);
            &last
        };
        found.extend(spans.next(vad.speech(frame)?));
    }
    found.extend(spans.finish());
    for span in &mut found {
        span.end = span.end.min(samples.len());
    }
    Ok(found)
}

fn samples_of(ms: u32) -> usize {
    ms as usize * (RATE_HZ as usize / 1000)
}
