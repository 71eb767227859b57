//! A recording as a stream of samples: pull a block, look how far it is, pull the next.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::inference::audio::coded::Coded;
use crate::inference::audio::mix::Mixer;
use crate::inference::audio::rate::Resampler;
use crate::inference::audio::source::Source;
use crate::inference::audio::wav::{Wav, is_wav};
use crate::inference::audio::{AudioError, Limits, RATE_HZ, seconds};

/// What a decoder gives for each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub rate_hz: u32,
    pub channels: usize,
}

/// A decoder of one kind.
pub(super) trait Frames: Send {
    /// Appends the next block to `samples`, which is empty, channel by channel; none at the end.
    fn next(&mut self, samples: &mut Vec<f32>) -> Result<Option<Shape>, AudioError>;

    fn warnings(&self) -> Warnings;
}

/// What was wrong with a recording that could be read all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warnings {
    /// It ends before it says.
    pub is_truncated: bool,
    /// Pieces of some milliseconds that are left out.
    pub packets_damaged: u32,
}

/// How far a recording was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    pub bytes: u64,
    pub bytes_total: u64,
    /// Of sound that was given out.
    pub seconds: f64,
}

/// One channel at 16 kHz, -1 to 1, never NaN, block by block.
pub struct Stream {
    frames: Box<dyn Frames>,
    mixer: Mixer,
    resampler: Option<Resampler>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    position: Arc<AtomicU64>,
    bytes_total: u64,
    seconds_max: u64,
    given: u64,
    is_over: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Stream {
    /// A file; what kind it is, its bytes tell and not its name.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, AudioError> {
        Self::new(Source::open(path)?, limits)
    }

    /// The bytes of a file.
    pub fn of(bytes: Bytes, limits: &Limits) -> Result<Self, AudioError> {
        Self::new(Source::of(bytes), limits)
    }

    fn new(mut source: Source, limits: &Limits) -> Result<Self, AudioError> {
        let start = source.start().map_err(|source| AudioError::Read { source })?;
        let (position, bytes_total) = (source.position(), source.bytes_total());
        let frames: Box<dyn Frames> =
            if is_wav(&start) { Box::new(Wav::open(source)?) } else { Box::new(Coded::open(source)?) };
        Ok(Self {
            frames,
            mixer: Mixer::default(),
            resampler: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
            position,
            bytes_total,
            seconds_max: limits.seconds_max,
            given: 0,
            is_over: false,
        })
    }

    /// Appends the next block, which may be empty, to `samples`; false at the end. After an error it is at its end.
    pub fn read(&mut self, samples: &mut Vec<f32>) -> Result<bool, AudioError> {
        if self.is_over {
            return Ok(false);
        }
        let before = samples.len();
        let is_more = self.block(samples).inspect_err(|_| self.is_over = true)?;
        self.is_over = !is_more;
        self.given += (samples.len() - before) as u64;
        if self.given > self.seconds_max.saturating_mul(u64::from(RATE_HZ)) {
            self.is_over = true;
            return Err(AudioError::TooLong { seconds_max: self.seconds_max });
        }
        Ok(is_more)
    }

    fn block(&mut self, samples: &mut Vec<f32>) -> Result<bool, AudioError> {
        self.interleaved.clear();
        let Some(shape) = self.frames.next(&mut self.interleaved)? else {
            if let Some(resampler) = &mut self.resampler {
                resampler.finish(samples)?;
            }
            return self.ended();
        };
        self.mono.clear();
        self.mixer.mix(&self.interleaved, shape.channels, &mut self.mono);
        self.be_at(shape.rate_hz, samples)?;
        let resampler = self.resampler.as_mut().expect("invariant: it was made above");
        resampler.push(&self.mono, samples)?;
        Ok(true)
    }

    /// Nothing but damage is no silence.
    fn ended(&self) -> Result<bool, AudioError> {
        let warnings = self.frames.warnings();
        if self.resampler.is_none() && warnings.packets_damaged > 0 {
            return Err(AudioError::Damaged {
                what: format!("none of its {} pieces can be decoded", warnings.packets_damaged),
            });
        }
        Ok(false)
    }

    /// Makes the resampler for what comes; what is still in another one comes out first.
    fn be_at(&mut self, rate_hz: u32, samples: &mut Vec<f32>) -> Result<(), AudioError> {
        match &mut self.resampler {
            Some(current) if current.rate_hz() == rate_hz => return Ok(()),
            Some(other) => other.finish(samples)?,
            None => {}
        }
        self.resampler = Some(Resampler::new(rate_hz)?);
        Ok(())
    }

    pub fn progress(&self) -> Progress {
        let given = usize::try_from(self.given).unwrap_or(usize::MAX);
        Progress {
            bytes: self.position.load(Ordering::Relaxed),
            bytes_total: self.bytes_total,
            seconds: seconds(given),
        }
    }

    /// What was found wrong so far.
    pub fn warnings(&self) -> Warnings {
        self.frames.warnings()
    }
}
