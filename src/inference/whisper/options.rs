//! What a caller may ask for, and what is told while the answer is made.

use serde::{Deserialize, Serialize};

use crate::inference::transcript::{Segment, Task};
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::judge::Guards;

const BEAMS_MAX: usize = 8;
const TEMPERATURES_MAX: usize = 8;
/// Longest prompt that is looked at, in bytes; the model remembers a few hundred tokens.
pub const PROMPT_BYTES_MAX: usize = 16 * 1024;

/// How much of thirty seconds the encoder hears when there is less to hear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioContext {
    /// Trimmed where this model has shown that it hears the same ([`crate::inference::whisper::trial`]), else full.
    #[default]
    Tried,
    /// The recording and at least a second of silence, never less than ten seconds. Whisper was trained on thirty, so a text that
    /// the guards do not like is decoded again with all of them before it is decoded warmer.
    Trimmed,
    /// Trimmed unless this model has shown that it hears otherwise; nothing is tried. For texts that do not stay.
    Quick,
    /// Always thirty seconds, as Whisper was trained.
    Full,
}

/// How to understand a recording. What is left out is as OpenAI has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Code such as `en`; found out when it is not given.
    pub language: Option<String>,
    pub task: Task,
    /// What was said or written before: spelling of names, style. Only the end of a long one counts.
    pub prompt: Option<String>,
    /// Phrases with times. Without, a window of thirty seconds is one phrase.
    pub times: bool,
    /// Times of single words; costs about a tenth more.
    pub word_times: bool,
    /// Tried one after the other until the guards are content.
    pub temperatures: Vec<f32>,
    /// Texts that are followed side by side at temperature 0; 1 is greedy and the right thing on small boards.
    pub beams: usize,
    pub guards: Guards,
    /// Whether a window is told what was said in the one before.
    pub previous_text: bool,
    pub audio_context: AudioContext,
    /// Most tokens said about one window; none for as many as there is room for.
    pub tokens_max: Option<usize>,
    /// Whether a text ends where the model says so. Off for measurements of a fixed number of tokens.
    pub may_end: bool,
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: None,
            task: Task::Transcribe,
            prompt: None,
            times: true,
            word_times: false,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            beams: 1,
            guards: Guards::default(),
            previous_text: true,
            audio_context: AudioContext::default(),
            tokens_max: None,
            may_end: true,
            seed: 0,
        }
    }
}

impl Options {
    /// Refuses what makes no sense, with the option's name.
    pub fn check(&self) -> Result<(), WhisperError> {
        let fault = |name, value: String, bounds| Err(WhisperError::Option { name, value, bounds });
        if !(1..=BEAMS_MAX).contains(&self.beams) {
            return fault("beams", self.beams.to_string(), "1 to 8");
        }
        if !(1..=TEMPERATURES_MAX).contains(&self.temperatures.len()) {
            return fault("temperatures", format!("a list of {}", self.temperatures.len()), "1 to 8 numbers");
        }
        if let Some(bad) = self.temperatures.iter().find(|value| !(0.0..=2.0).contains(*value)) {
            return fault("temperatures", bad.to_string(), "0 to 2");
        }
        if self.tokens_max == Some(0) {
            return fault("tokens_max", "0".to_owned(), "1 and more");
        }
        Ok(())
    }
}

/// Where the work is. The caller stops it by answering `ControlFlow::Break`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// So much of the recording is understood.
    Heard { done_s: f64, total_s: f64 },
    /// What the phrase at hand sounds like so far. The next one of its kind takes its place; so does `Said`.
    Guess { text: String },
    /// A phrase that will not change any more.
    Said(Segment),
}
