//! A recording, window after window: language, prompt, the ladder of temperatures, phrases, and where the next window begins.

use std::ops::ControlFlow;

use crate::base::error::chain;
use crate::inference::transcript::{Segment, Task};
use crate::inference::whisper::Parts;
use crate::inference::whisper::engine::{Engine, Step};
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::judge::{Figures, Verdict, compression_ratio};
use crate::inference::whisper::mel::{HOP, RATE};
use crate::inference::whisper::options::{AudioContext, Options, PROMPT_BYTES_MAX, Progress};
use crate::inference::whisper::phrases::{Phrase, cut};
use crate::inference::whisper::rules::{Rules, Times};
use crate::inference::whisper::saying::{Said, Way, say};
use crate::inference::whisper::tokenizer::{TIME_STEP_S, code_of};
use crate::inference::whisper::trial::{Hearing, is_same};
use crate::inference::whisper::words::word_times;

/// Samples per audio position, and per step of the times that are said.
const SAMPLES_PER_POSITION: usize = 2 * HOP;
/// A trimmed context is not shorter than ten seconds: shorter ones make Whisper talk on after the end.
const POSITIONS_MIN: usize = 512;
/// Silence that is heard after the last sound.
const POSITIONS_AFTER: usize = 50;
/// Trimmed contexts are a multiple of this.
const POSITIONS_STEP: usize = 64;
/// Each window must bring the recording forward by this many samples, whatever times are said.
const ADVANCE_MIN: usize = RATE / 2;
/// Texts that were drawn warmer than this are no help for the next window.
const TEMPERATURE_FORGET: f32 = 0.5;

/// Who is told about progress and may stop the work.
pub type Listener<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The state from window to window.
#[derive(Debug)]
pub struct Course<'a, E: Engine> {
    engine: &'a E,
    parts: &'a Parts,
    options: &'a Options,
    rules: Rules,
    /// None until the first window, unless it was given.
    language: Option<String>,
    /// Words of the prompt and of the windows so far.
    previous: Vec<u32>,
}

/// What came of one window.
#[derive(Debug)]
pub struct Window {
    pub segments: Vec<Segment>,
    /// Samples until the next window.
    pub advance: usize,
}

impl<'a, E: Engine> Course<'a, E> {
    pub fn new(engine: &'a E, parts: &'a Parts, options: &'a Options) -> Result<Self, WhisperError> {
        options.check()?;
        let vocabulary = &parts.vocabulary;
        let language = match &options.language {
            _ if !parts.is_multilingual => Some("en".to_owned()),
            Some(name) => {
                let code = code_of(name);
                vocabulary.language_token(&code).ok_or(WhisperError::UnknownLanguage { code: code.clone() })?;
                Some(code)
            }
            None => None,
        };
        if options.task == Task::Translate && (vocabulary.translate.is_none() || !parts.is_multilingual) {
            return Err(WhisperError::CannotTranslate);
        }
        let prompt = options.prompt.as_deref().unwrap_or_default().trim();
        let tail = prompt.ceil_char_boundary(prompt.len().saturating_sub(PROMPT_BYTES_MAX));
        let previous = if prompt.is_empty() { vec![] } else { vocabulary.tokens(&format!(" {}", &prompt[tail..])) };
        let times = if options.times { Times::Said } else { Times::Left };
        Ok(Self { engine, parts, options, rules: parts.rules(times), language, previous })
    }

    pub fn language(&self) -> &str {
        self.language.as_deref().unwrap_or_default()
    }

    /// Understands one window: the first thirty seconds of `samples`, which begin at `at_s` of the recording.
    pub fn window(&mut self, samples: &[f32], at_s: f64, listener: Listener<'_>) -> Result<Window, WhisperError> {
        let samples = &samples[..samples.len().min(self.parts.window())];
        let hearing = self.hearing(samples.len());
        let all = self.parts.shape.max_source_positions;
        let mut positions = if hearing == Hearing::Trimmed { self.trimmed(samples.len()) } else { all };
        let mut heard = self.hear(samples, positions)?;
        if self.language.is_none() {
            self.language = Some(self.find_language(&heard)?);
        }
        let (said, temperature, figures, verdict) = loop {
            let is_trimmed = positions < all;
            let found = self.climb(&heard, is_trimmed, listener)?;
            if !(is_trimmed && found.3 == Verdict::Again) {
                break found;
            }
            positions = all;
            heard = self.hear(samples, positions)?;
        };
        if hearing == Hearing::Both {
            match self.try_trimmed((samples, at_s), (&said, verdict), listener) {
                Err(WhisperError::Cancelled) => return Err(WhisperError::Cancelled),
                // What was understood counts, whatever came of the trial.
                Err(error) => tracing::debug!(error = chain(&error), "A trimmed context could not be tried."),
                Ok(()) => {}
            }
        }
        let (used, heard_steps) = (samples.len().div_ceil(SAMPLES_PER_POSITION), samples.len() / SAMPLES_PER_POSITION);
        if verdict == Verdict::Silence {
            return Ok(Window { segments: vec![], advance: samples.len() });
        }
        let cut = cut(&said.tokens, self.parts.vocabulary.first_time, heard_steps as u32);
        let (mut segments, mut chances) = (Vec::new(), Vec::new());
        let mut from = 0;
        for phrase in &cut.phrases {
            if let Some(segment) = self.segment(phrase, &figures, (temperature, at_s, heard_steps as u32)) {
                segments.push(segment);
                chances.push(said.logprobs[from..from + phrase.tokens.len()].to_vec());
            }
            from += phrase.tokens.len();
        }
        if self.options.word_times {
            let prompt = self.prompt_for_task();
            let what = (self.parts, self.language(), prompt.as_slice());
            word_times(self.engine, &heard, what, (used.min(positions), at_s), (&mut segments, &chances))?;
        }
        self.remember(&cut.phrases, temperature);
        let is_all = cut.next as usize >= heard_steps;
        let advance = if is_all { samples.len() } else { cut.next as usize * SAMPLES_PER_POSITION };
        Ok(Window { segments, advance: advance.max(ADVANCE_MIN).min(samples.len()) })
    }

    /// Which language it is, by the model's first token, and how likely.
    pub fn languages(&self, samples: &[f32]) -> Result<Vec<(String, f32)>, WhisperError> {
        let samples = &samples[..samples.len().min(self.parts.window())];
        self.language_shares(&self.hear(samples, self.parts.shape.max_source_positions)?)
    }

    fn hear(&self, samples: &[f32], positions: usize) -> Result<E::Heard, WhisperError> {
        let (parts, engine) = (self.parts, self.engine);
        parts.pool.install(|| engine.hear(&parts.mel.hear(samples, parts.window(), 2 * positions)))
    }

    /// How so many samples are heard.
    fn hearing(&self, samples: usize) -> Hearing {
        if self.trimmed(samples) == self.parts.shape.max_source_positions {
            return Hearing::Full;
        }
        match self.options.audio_context {
            AudioContext::Full => Hearing::Full,
            AudioContext::Trimmed => Hearing::Trimmed,
            AudioContext::Tried => self.parts.trial.next(),
            AudioContext::Quick if self.parts.trial.has_differed() => Hearing::Full,
            AudioContext::Quick => Hearing::Trimmed,
        }
    }

    /// Positions of a trimmed context for so many samples.
    fn trimmed(&self, samples: usize) -> usize {
        let needed = samples.div_ceil(SAMPLES_PER_POSITION) + POSITIONS_AFTER;
        needed.max(POSITIONS_MIN).next_multiple_of(POSITIONS_STEP).min(self.parts.shape.max_source_positions)
    }

    /// Hears the same in a trimmed context, and notes whether it is what was `said`. A text that the guards refuse is no difference: it
    /// would have been heard in full. Silence proves little.
    fn try_trimmed(
        &self,
        (samples, at_s): (&[f32], f64),
        (said, verdict): (&Said, Verdict),
        listener: Listener<'_>,
    ) -> Result<(), WhisperError> {
        // It is the end of the recording: only that is shorter than a window. Guesses of the trial are nobody's.
        let total_s = at_s + samples.len() as f64 / RATE as f64;
        let mut listener = |_| listener(Progress::Heard { done_s: at_s, total_s });
        let text = |said: &Said, verdict| match verdict {
            Verdict::Silence => String::new(),
            _ => self.parts.vocabulary.text(&said.tokens),
        };
        let heard = self.hear(samples, self.trimmed(samples.len()))?;
        let (other, _, _, other_verdict) = self.climb(&heard, true, &mut listener)?;
        let (text, other) = (text(said, verdict), text(&other, other_verdict));
        if other_verdict != Verdict::Again && !(is_same(&text, "") && is_same(&other, "")) {
            self.parts.trial.note(is_same(&text, &other));
        }
        Ok(())
    }

    /// Warmer and warmer, until the guards are content; the last try counts in any case. A trimmed context has only the first.
    fn climb(
        &self,
        heard: &E::Heard,
        is_trimmed: bool,
        listener: Listener<'_>,
    ) -> Result<(Said, f32, Figures, Verdict), WhisperError> {
        let vocabulary = &self.parts.vocabulary;
        let (prompt, start) = self.prompt();
        let room = self.engine.positions() - prompt.len();
        let ladder = &self.options.temperatures;
        let mut last = None;
        for (rung, temperature) in ladder.iter().enumerate() {
            let way = Way {
                rules: &self.rules,
                prompt: &prompt,
                silence: (start, vocabulary.no_speech),
                temperature: *temperature,
                beams: self.options.beams,
                tokens_max: self.options.tokens_max.unwrap_or(room).min(room),
                may_end: self.options.may_end,
                seed: self.options.seed.wrapping_add(rung as u64),
            };
            let said = say(self.engine, heard, &way, &mut |tokens| {
                listener(Progress::Guess { text: vocabulary.text(tokens).trim().to_owned() })
            })?;
            let figures = Figures {
                avg_logprob: said.avg_logprob,
                compression_ratio: compression_ratio(vocabulary.text(&said.tokens).trim()),
                no_speech_prob: said.no_speech_prob,
                is_stuck: said.is_stuck,
            };
            let verdict = match self.options.may_end {
                true => self.options.guards.judge(&figures),
                false => Verdict::Keep,
            };
            let is_done = verdict != Verdict::Again || is_trimmed;
            last = Some((said, *temperature, figures, verdict));
            if is_done {
                break;
            }
        }
        Ok(last.expect("invariant: the ladder has a rung"))
    }

    /// What was said before, then what is to be done; and where the latter begins.
    fn prompt(&self) -> (Vec<u32>, usize) {
        let mut prompt = Vec::new();
        let most = self.engine.positions() / 2 - 1;
        if !self.previous.is_empty() {
            prompt.push(self.parts.vocabulary.previous);
            prompt.extend(&self.previous[self.previous.len().saturating_sub(most)..]);
        }
        let start = prompt.len();
        prompt.extend(self.prompt_for_task());
        (prompt, start)
    }

    /// Start, language, task, times.
    fn prompt_for_task(&self) -> Vec<u32> {
        let vocabulary = &self.parts.vocabulary;
        let mut prompt = vec![vocabulary.start];
        if self.parts.is_multilingual {
            prompt.extend(vocabulary.language_token(self.language()));
            prompt.push(match self.options.task {
                Task::Transcribe => vocabulary.transcribe,
                Task::Translate => vocabulary.translate.unwrap_or(vocabulary.transcribe),
            });
        }
        if !self.options.times {
            prompt.push(vocabulary.no_times);
        }
        prompt
    }

    fn find_language(&self, heard: &E::Heard) -> Result<String, WhisperError> {
        let best = self.language_shares(heard)?.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        Ok(best.map_or_else(|| "en".to_owned(), |(code, _)| code))
    }

    fn language_shares(&self, heard: &E::Heard) -> Result<Vec<(String, f32)>, WhisperError> {
        let vocabulary = &self.parts.vocabulary;
        let start = [Step { lane: 0, token: vocabulary.start }];
        let scores = self.engine.say(heard, &mut self.engine.tape(), &start, &[0])?;
        let mut shares: Vec<f32> = vocabulary.languages.iter().map(|(_, token)| scores[*token as usize]).collect();
        crate::inference::kernel::f32_vector::softmax(&mut shares, 1.0);
        let codes = vocabulary.languages.iter().map(|(code, _)| code.clone());
        Ok(codes.zip(shares).collect())
    }

    fn segment(
        &self,
        phrase: &Phrase,
        figures: &Figures,
        (temperature, at_s, heard): (f32, f64, u32),
    ) -> Option<Segment> {
        // What is said about the silence after the end was not heard.
        if phrase.start >= heard.max(1) {
            return None;
        }
        let text = self.parts.vocabulary.text(&phrase.tokens).trim().to_owned();
        (!text.is_empty()).then(|| Segment {
            start_s: at_s + f64::from(phrase.start) * TIME_STEP_S,
            end_s: at_s + f64::from(phrase.end.min(heard)) * TIME_STEP_S,
            text,
            words: None,
            tokens: phrase.tokens.clone(),
            temperature,
            avg_logprob: figures.avg_logprob,
            compression_ratio: figures.compression_ratio,
            no_speech_prob: figures.no_speech_prob,
        })
    }

    /// Words, not times: they would be wrong in the next window.
    fn remember(&mut self, phrases: &[Phrase], temperature: f32) {
        if !self.options.previous_text || temperature > TEMPERATURE_FORGET {
            self.previous.clear();
            return;
        }
        let end = self.parts.vocabulary.end;
        self.previous.extend(phrases.iter().flat_map(|phrase| &phrase.tokens).filter(|token| **token < end));
        let spare = self.previous.len().saturating_sub(self.engine.positions());
        self.previous.drain(..spare);
    }
}
