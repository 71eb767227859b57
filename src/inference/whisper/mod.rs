//! Whisper: speech to text in many languages, offline.
//!
//! Our own model on the kernels (`slices`) or on candle for a GPU (`candle`), both behind [`engine::Engine`]; around it what OpenAI
//! and Hugging Face do for long recordings, as small machines that are tested without a model: `rules` (what may be said next),
//! `beam`, `judge` (is it worth keeping), `phrases` (where to cut), `words` (when each was said), `course` (window after window).
//!
//! Blocking, and not for many callers at once: whoever runs it gives it a lane. Absent on purpose: where models come from, what
//! format a recording was in and which parts of it are speech ([`crate::inference::audio`] knows), and conversations.

mod beam;
mod candle;
mod course;
mod engine;
mod error;
mod judge;
mod load;
mod mel;
mod names;
mod options;
mod phrases;
mod rules;
mod saying;
mod shape;
mod slices;
#[cfg(test)]
mod tests;
mod tokenizer;
mod trial;
mod weights;
mod words;

use std::ops::ControlFlow;
use std::sync::Arc;

use rayon::ThreadPool;

use crate::inference::transcript::Transcript;

use candle::Candle;
use course::{Course, Listener};
use engine::Engine;
use mel::{HOP, MelMaker, RATE};
use rules::{Rules, Times};
use shape::{Habits, Shape};
use slices::Slices;
use tokenizer::Vocabulary;
use trial::Trial;

pub use error::WhisperError;
pub use judge::Guards;
pub use load::{Config, Estimate};
pub use options::{AudioContext, Options, Progress};
pub use slices::Precision;
pub use trial::FILE as TRIAL_FILE;

/// What is left after a window and shorter than this holds no word, and Whisper would make one up.
const REST_MIN: usize = RATE / 10;

/// A model in memory, with its threads.
#[derive(Debug)]
pub struct Whisper {
    model: Model,
    parts: Parts,
}

#[derive(Debug)]
enum Model {
    Slices(Box<Slices>),
    Candle(Box<Candle>),
}

/// What all windows need beside the arithmetic.
#[derive(Debug)]
pub struct Parts {
    shape: Shape,
    habits: Habits,
    vocabulary: Vocabulary,
    mel: MelMaker,
    is_multilingual: bool,
    /// Layer and head of the cross attention that follows time.
    alignment: Vec<(usize, usize)>,
    pool: Arc<ThreadPool>,
    /// Of trimmed contexts.
    trial: Trial,
}

impl Parts {
    /// Samples in a window.
    fn window(&self) -> usize {
        self.shape.max_source_positions * 2 * HOP
    }

    fn rules(&self, times: Times) -> Rules {
        let (vocabulary, size) = (&self.vocabulary, self.shape.vocab_size);
        let mut never = self.habits.suppressed(size).unwrap_or_else(|| vocabulary.signs());
        never.extend(vocabulary.never_said());
        Rules {
            never,
            not_first: self.habits.suppressed_at_begin(size).unwrap_or_else(|| vocabulary.not_first()),
            end: vocabulary.end,
            no_times: vocabulary.no_times,
            first_time: vocabulary.first_time,
            first_time_max: self.habits.max_initial_timestamp_index.or(Some(50)).map(|steps| steps as u32),
            times,
        }
    }
}

impl Whisper {
    /// Loads the model of a folder. Takes seconds for the larger ones.
    pub fn load(config: &Config) -> Result<Self, WhisperError> {
        load::load(config)
    }

    /// Writes down a recording of any length: 16,000 samples per second, one channel, full scale 1.
    ///
    /// `listener` hears how far it is, guesses at the phrase at hand and phrases that are done; when it answers `Break`, the work
    /// stops with [`WhisperError::Cancelled`]. Silence, noise and samples that are no numbers give an empty transcript.
    pub fn transcribe(
        &self,
        samples: &[f32],
        options: &Options,
        listener: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Transcript, WhisperError> {
        match &self.model {
            Model::Slices(engine) => transcribe(&**engine, &self.parts, samples, (options, listener)),
            Model::Candle(engine) => transcribe(&**engine, &self.parts, samples, (options, listener)),
        }
    }

    /// The languages the model knows with their probabilities for the first thirty seconds, likeliest first.
    pub fn languages(&self, samples: &[f32]) -> Result<Vec<(String, f32)>, WhisperError> {
        let options = Options::default();
        let mut shares = match &self.model {
            Model::Slices(engine) => Course::new(&**engine, &self.parts, &options)?.languages(samples)?,
            Model::Candle(engine) => Course::new(&**engine, &self.parts, &options)?.languages(samples)?,
        };
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(shares)
    }

    /// Whether it can translate into English and tell languages apart.
    pub fn is_multilingual(&self) -> bool {
        self.parts.is_multilingual
    }
}

fn transcribe<E: Engine>(
    engine: &E,
    parts: &Parts,
    samples: &[f32],
    (options, listener): (&Options, Listener<'_>),
) -> Result<Transcript, WhisperError> {
    let mut course = Course::new(engine, parts, options)?;
    let seconds = |samples: usize| samples as f64 / RATE as f64;
    let (mut segments, mut at) = (Vec::new(), 0);
    while at < samples.len() && (at == 0 || samples.len() - at >= REST_MIN) {
        let window = course.window(&samples[at..], seconds(at), listener)?;
        at += window.advance;
        let news = window.segments.iter().cloned().map(Progress::Said);
        let news = news.chain([Progress::Heard { done_s: seconds(at), total_s: seconds(samples.len()) }]);
        for progress in news {
            if listener(progress).is_break() {
                return Err(WhisperError::Cancelled);
            }
        }
        segments.extend(window.segments);
    }
    Ok(Transcript { language: course.language().to_owned(), duration_s: seconds(samples.len()), segments })
}
