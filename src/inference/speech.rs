//! From a recording of any kind and length to what was said in it: decoder, detector of speech and Whisper in one line.
//!
//! Only speech reaches the model, in pieces that fit into memory, and times are put back to where they were in the recording.
//! Blocking; whoever runs it gives it a lane, the worker or a process of its own.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::inference::audio::vad::{Cut, EnergyVad, PieceConfig, PieceError, Pieces, SileroVad, Vad};
use crate::inference::audio::{Stream, Warnings};
use crate::inference::onnx;
use crate::inference::transcript::{Segment, Transcript};
use crate::inference::whisper::{Options, Progress, Whisper, WhisperError};

/// So much of what was said is told to the model with the next piece, in bytes; it remembers about as much.
const BEFORE_BYTES_MAX: usize = 600;

/// Who is told about progress, and may stop the work.
pub type Hearer<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// What finds speech before the model hears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Everything is heard, silence too.
    Off,
    /// The one that needs no model.
    #[default]
    Energy,
    /// Silero's network in this file, with ONNX Runtime from the first of these places that has it; where either is missing, the
    /// one that needs no model.
    Silero { model: PathBuf, runtime: Vec<PathBuf> },
}

impl Detector {
    /// A fresh detector, for one recording.
    pub fn open(&self) -> Option<Box<dyn Vad>> {
        match self {
            Self::Off => None,
            Self::Energy => Some(Box::<EnergyVad>::default()),
            Self::Silero { model, runtime } => {
                Some(silero(model, runtime).unwrap_or_else(|| Box::<EnergyVad>::default()))
            }
        }
    }
}

fn silero(model: &std::path::Path, runtime: &[PathBuf]) -> Option<Box<dyn Vad>> {
    let runtime = onnx::runtime(runtime)
        .inspect_err(|problem| tracing::debug!(error = %problem, "Speech is found without Silero."))
        .ok()?;
    match SileroVad::load(&runtime, model) {
        Ok(vad) => Some(Box::new(vad)),
        Err(problem) => {
            tracing::warn!(error = crate::base::error::chain(&problem), path = %model.display(), "Speech is found without Silero.");
            None
        }
    }
}

/// What turns one piece of speech into words. [`Whisper`] does.
pub trait Understand {
    fn understand(&self, samples: &[f32], options: &Options, hear: Hearer<'_>) -> Result<Transcript, WhisperError>;
}

impl Understand for Whisper {
    fn understand(&self, samples: &[f32], options: &Options, hear: Hearer<'_>) -> Result<Transcript, WhisperError> {
        self.transcribe(samples, options, hear)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    #[error(transparent)]
    Recording(#[from] PieceError),
    #[error(transparent)]
    Model(#[from] WhisperError),
}

/// What was said, and what was wrong with the recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Understood {
    pub transcript: Transcript,
    pub warnings: Warnings,
}

/// Writes down `recording`. `hear` is told how far it is and what was said, in the recording's times; when it answers `Break` the
/// work ends with [`WhisperError::Cancelled`].
pub fn transcribe(
    model: &dyn Understand,
    recording: Stream,
    detector: &Detector,
    options: &Options,
    hear: Hearer<'_>,
) -> Result<Understood, SpeechError> {
    let mut pieces = Pieces::new(recording, detector.open(), &PieceConfig::default());
    let mut whole = Transcript { language: options.language.clone().unwrap_or_default(), ..Transcript::default() };
    let mut options = options.clone();
    while let Some(cut) = pieces.next_piece().map_err(SpeechError::Recording)? {
        let total_s = expected_s(&pieces);
        let mut placed = |progress: Progress| hear(in_place(progress, &cut, total_s));
        let mut piece = model.understand(&cut.samples, &options, &mut placed)?;
        cut.restore(&mut piece);
        if options.language.is_none() {
            whole.language.clone_from(&piece.language);
            // What follows is in the same language; a cough in it is not to change that.
            options.language = (!piece.segments.is_empty()).then_some(piece.language);
        }
        whole.segments.extend(piece.segments);
        if options.previous_text {
            options.prompt = said_before(&whole.segments).or(options.prompt);
        }
    }
    whole.duration_s = pieces.progress().seconds;
    let over = Progress::Heard { done_s: whole.duration_s, total_s: whole.duration_s };
    if hear(over) == ControlFlow::Break(()) {
        return Err(WhisperError::Cancelled.into());
    }
    Ok(Understood { transcript: whole, warnings: pieces.warnings() })
}

/// The recording's length, as far as its bytes tell.
fn expected_s(pieces: &Pieces) -> f64 {
    let progress = pieces.progress();
    let share = progress.bytes as f64 / progress.bytes_total.max(1) as f64;
    progress.seconds / share.clamp(0.001, 1.0)
}

fn in_place(progress: Progress, cut: &Cut, total_s: f64) -> Progress {
    match progress {
        Progress::Heard { done_s, .. } => Progress::Heard { done_s: cut.end_s(done_s).min(total_s), total_s },
        Progress::Said(segment) => {
            let mut alone = Transcript { segments: vec![segment], ..Transcript::default() };
            cut.restore(&mut alone);
            Progress::Said(alone.segments.pop().expect("invariant: one went in"))
        }
        guess => guess,
    }
}

/// The end of what was said, in whole words.
fn said_before(segments: &[Segment]) -> Option<String> {
    let mut texts: Vec<&str> = Vec::new();
    let mut bytes = 0;
    for segment in segments.iter().rev() {
        bytes += segment.text.len() + 1;
        if bytes > BEFORE_BYTES_MAX {
            break;
        }
        texts.push(segment.text.trim());
    }
    texts.reverse();
    (!texts.is_empty()).then(|| texts.join(" "))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::inference::audio::testing::{noise, tone, wav};
    use crate::inference::audio::{Limits, seconds};

    /// Says how long what it heard was, as one phrase over all of it.
    #[derive(Default)]
    struct Parrot {
        asked: Mutex<Vec<Options>>,
    }

    impl Understand for Parrot {
        fn understand(&self, samples: &[f32], options: &Options, hear: Hearer<'_>) -> Result<Transcript, WhisperError> {
            self.asked.lock().expect("alone").push(options.clone());
            let end_s = seconds(samples.len());
            let segment = Segment { end_s, text: format!("{end_s:.0} seconds"), ..Segment::default() };
            for progress in [Progress::Said(segment.clone()), Progress::Heard { done_s: end_s, total_s: end_s }] {
                if hear(progress).is_break() {
                    return Err(WhisperError::Cancelled);
                }
            }
            Ok(Transcript { language: "de".to_owned(), duration_s: end_s, segments: vec![segment] })
        }
    }

    fn stream(samples: &[f32]) -> Stream {
        Stream::of(wav(samples, 16_000), &Limits::default()).expect("a stream")
    }

    /// Two tones that warble enough to be taken for speech, with silence around them.
    fn recording() -> Vec<f32> {
        let warble: Vec<f32> =
            tone(300.0, 16_000, 2.0).iter().enumerate().map(|(n, s)| s * (n as f32 * 0.001).sin()).collect();
        let mut samples = noise(12 * 16_000, 0.001, 1);
        for at in [3, 8] {
            samples[at * 16_000..][..warble.len()].iter_mut().zip(&warble).for_each(|(sample, voice)| *sample += voice);
        }
        samples
    }

    #[test]
    fn silence_is_not_heard_and_times_are_those_of_the_recording() {
        let (model, mut told) = (Parrot::default(), Vec::new());
        let mut hear = |progress| {
            told.push(progress);
            ControlFlow::Continue(())
        };
        let understood = transcribe(&model, stream(&recording()), &Detector::Energy, &Options::default(), &mut hear);
        let transcript = understood.expect("understood").transcript;
        assert_eq!((transcript.language.as_str(), transcript.duration_s), ("de", 12.0));
        let [segment] = &transcript.segments[..] else { panic!("{transcript:?}") };
        assert!((2.5..3.3).contains(&segment.start_s) && (9.7..10.5).contains(&segment.end_s), "{segment:?}");
        assert_eq!(segment.text, "5 seconds");
        assert_eq!(told[0], Progress::Said(segment.clone()));
        assert_eq!(told.last(), Some(&Progress::Heard { done_s: 12.0, total_s: 12.0 }));
    }

    #[test]
    fn nobody_speaking_costs_nothing_and_says_nothing() {
        let model = Parrot::default();
        let mut hear = |_| ControlFlow::Continue(());
        let quiet = noise(5 * 16_000, 0.001, 1);
        let understood =
            transcribe(&model, stream(&quiet), &Detector::Energy, &Options::default(), &mut hear).expect("understood");
        assert_eq!((understood.transcript.segments.len(), understood.transcript.duration_s), (0, 5.0));
        assert!(model.asked.lock().expect("alone").is_empty());
    }

    #[test]
    fn long_recordings_come_in_pieces_that_know_what_was_said() {
        let model = Parrot::default();
        let mut hear = |_| ControlFlow::Continue(());
        let long = noise(500 * 16_000, 0.2, 1);
        let understood =
            transcribe(&model, stream(&long), &Detector::Off, &Options::default(), &mut hear).expect("understood");
        let segments = &understood.transcript.segments;
        assert_eq!(segments.len(), 3);
        assert!(segments.windows(2).all(|pair| (pair[0].end_s - pair[1].start_s).abs() < 0.01));
        assert!((segments[2].end_s - 500.0).abs() < 0.01);
        let asked = model.asked.lock().expect("alone");
        assert_eq!(asked[0].language, None);
        assert_eq!(asked[1].language.as_deref(), Some("de"));
        assert_eq!(asked[2].prompt, Some(format!("{} {}", segments[0].text, segments[1].text)));
    }

    #[test]
    fn whoever_listens_can_stop_it() {
        let mut hear = |_| ControlFlow::Break(());
        let ended =
            transcribe(&Parrot::default(), stream(&recording()), &Detector::Energy, &Options::default(), &mut hear);
        assert!(matches!(ended, Err(SpeechError::Model(WhisperError::Cancelled))));
    }
}
