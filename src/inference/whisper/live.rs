//! A recording that is not over: a microphone, or a file that is too long to be in memory at once.

use std::ops::ControlFlow;

use crate::inference::transcript::{Segment, Transcript};
use crate::inference::whisper::candle::Candle;
use crate::inference::whisper::course::{Course, Listener};
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::mel::RATE;
use crate::inference::whisper::slices::Slices;
use crate::inference::whisper::{Model, Options, Progress, Whisper};

/// Samples that are kept at most: callers that bring more before they [`Live::advance`] are told how many were taken.
const SAMPLES_MAX: usize = 120 * RATE;

/// A recording under way, bound to one model.
#[derive(Debug)]
pub struct Live<'a> {
    whisper: &'a Whisper,
    course: AnyCourse<'a>,
    samples: Vec<f32>,
    /// Samples before those that are kept.
    passed: usize,
    segments: Vec<Segment>,
}

#[derive(Debug)]
enum AnyCourse<'a> {
    Slices(Course<'a, Slices>),
    Candle(Course<'a, Candle>),
}

impl<'a> Live<'a> {
    pub fn new(whisper: &'a Whisper, options: &'a Options) -> Result<Self, WhisperError> {
        let course = match &whisper.model {
            Model::Slices(engine) => AnyCourse::Slices(Course::new(&**engine, &whisper.parts, options)?),
            Model::Candle(engine) => AnyCourse::Candle(Course::new(&**engine, &whisper.parts, options)?),
        };
        Ok(Self { whisper, course, samples: Vec::new(), passed: 0, segments: Vec::new() })
    }

    /// Takes samples, as many as there is room for, and says how many those were.
    pub fn push(&mut self, samples: &[f32]) -> usize {
        let taken = samples.len().min(SAMPLES_MAX - self.samples.len());
        self.samples.extend_from_slice(&samples[..taken]);
        taken
    }

    /// Whether a whole window is there and [`Live::advance`] has something to do.
    pub fn is_due(&self) -> bool {
        self.samples.len() >= self.whisper.parts.window()
    }

    /// Understands whole windows for good; the listener hears their phrases.
    pub fn advance(&mut self, listener: Listener<'_>) -> Result<(), WhisperError> {
        while self.is_due() {
            self.step(listener)?;
        }
        Ok(())
    }

    /// What the samples so far sound like; nothing is decided by it, and more samples may change it.
    pub fn guess(&mut self) -> Result<Vec<Segment>, WhisperError> {
        let (samples, at_s) = (&self.samples, seconds(self.passed));
        let quiet: Listener<'_> = &mut |_| ControlFlow::Continue(());
        match &mut self.course {
            AnyCourse::Slices(course) => course.guess(samples, at_s, quiet),
            AnyCourse::Candle(course) => course.guess(samples, at_s, quiet),
        }
    }

    /// Understands the rest. The transcript has everything since the beginning.
    pub fn finish(mut self, listener: Listener<'_>) -> Result<Transcript, WhisperError> {
        let total = self.passed + self.samples.len();
        while !self.samples.is_empty() {
            self.step(listener)?;
        }
        let language = match &self.course {
            AnyCourse::Slices(course) => course.language().to_owned(),
            AnyCourse::Candle(course) => course.language().to_owned(),
        };
        Ok(Transcript { language, duration_s: seconds(total), segments: self.segments })
    }

    fn step(&mut self, listener: Listener<'_>) -> Result<(), WhisperError> {
        let (samples, at_s) = (&self.samples, seconds(self.passed));
        let window = match &mut self.course {
            AnyCourse::Slices(course) => course.window(samples, at_s, listener)?,
            AnyCourse::Candle(course) => course.window(samples, at_s, listener)?,
        };
        self.samples.drain(..window.advance);
        self.passed += window.advance;
        let total_s = seconds(self.passed + self.samples.len());
        let news = window.segments.iter().cloned().map(Progress::Said);
        let news = news.chain([Progress::Heard { done_s: seconds(self.passed), total_s }]);
        for progress in news {
            if listener(progress).is_break() {
                return Err(WhisperError::Cancelled);
            }
        }
        self.segments.extend(window.segments);
        Ok(())
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / RATE as f64
}
