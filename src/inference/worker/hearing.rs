//! Speech behind the handle: recordings of any kind go in, phrases come out while they are understood.
//!
//! A recording is decoded where the model runs: what a stranger's file does to a decoder, it does not do to the home. Silence is
//! cut out first and put back into the times afterwards.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::chain;
use crate::inference::audio::vad::PieceError;
use crate::inference::audio::{AudioError, Limits, Stream};
use crate::inference::speech::{self, Detector, SpeechError};
use crate::inference::transcript::Transcript;
use crate::inference::whisper::{self, Options, Progress, Whisper, WhisperError};
use crate::inference::worker::message::{Fault, FaultKind, ModelSpec, Setup};
use crate::inference::worker::port::{Hear, Mind};
use crate::inference::worker::{EngineError, Engines, Listener};

/// What is to be understood.
#[derive(Clone, Debug)]
pub enum Recording {
    /// Mono, 16,000 per second.
    Samples(Vec<f32>),
    /// A whole file, in any format that is known.
    File(Bytes),
    /// The same, on this machine's disk.
    Path(PathBuf),
}

/// What crosses the socket beside the bytes.
#[derive(Serialize, Deserialize)]
struct Job {
    form: Form,
    hearing: Hearing,
}

/// How a recording is to be understood.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hearing {
    pub options: Options,
    /// What finds speech in files; samples are heard as they are.
    pub detector: Detector,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Samples,
    File,
    Path(PathBuf),
}

/// [`Engines`] as somebody who wants to be understood sees them.
#[derive(Clone)]
pub struct Speech {
    engines: Engines,
}

impl Speech {
    pub(super) fn new(engines: Engines) -> Self {
        Self { engines }
    }

    /// Understands a recording. Whoever drops this future has the work stop.
    pub async fn transcribe<T>(
        &self,
        model: ModelSpec,
        recording: Recording,
        hearing: Hearing,
        listener: Listener<Progress, T>,
    ) -> Result<Transcript, EngineError> {
        let garbled = |error: serde_json::Error| EngineError::Garbled { why: error.to_string() };
        let (form, audio) = match recording {
            Recording::Samples(samples) => (Form::Samples, packed(&samples)),
            Recording::File(bytes) => (Form::File, bytes),
            Recording::Path(path) => (Form::Path(path), Bytes::new()),
        };
        let job = serde_json::to_value(Job { form, hearing }).map_err(garbled)?;
        let result = self.engines.run(model, job, audio, listener).await?;
        serde_json::from_value(result).map_err(garbled)
    }
}

fn packed(samples: &[f32]) -> Bytes {
    let mut bytes = Vec::with_capacity(samples.len() * 4);
    samples.iter().for_each(|sample| bytes.extend_from_slice(&sample.to_le_bytes()));
    bytes.into()
}

/// None when the bytes end within a sample.
fn unpacked(bytes: &[u8]) -> Option<Vec<f32>> {
    let (whole, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| whole.iter().map(|sample| f32::from_le_bytes(*sample)).collect())
}

/// Longest recording that is understood at one go.
const SECONDS_MAX: u64 = 12 * 3600;

/// Whisper with what comes before it.
pub(super) struct Ear {
    whisper: Whisper,
}

impl Ear {
    pub(super) fn load(model: &ModelSpec, setup: &Setup) -> Result<Self, Fault> {
        let config = whisper::Config {
            folder: model.path.clone(),
            device: setup.device,
            threads: setup.threads,
            trial: Some(model.path.join(whisper::TRIAL_FILE)),
            ..whisper::Config::default()
        };
        Whisper::load(&config).map(|whisper| Self { whisper }).map_err(|error| fault(&error))
    }

    /// Piece by piece, so that hours of silence are neither kept nor paid for.
    fn understand(
        &self,
        recording: Result<Stream, AudioError>,
        hearing: &Hearing,
        hear: Hear<'_>,
    ) -> Result<Transcript, Fault> {
        let recording = recording.map_err(|error| Fault::new(FaultKind::Input, chain(&error)))?;
        let mut pass_on = |progress: Progress| match progress {
            // Nobody is told by it; whether somebody still listens, is.
            Progress::Heard { .. } => hear(Value::Null),
            said => serde_json::to_value(said).map_or(ControlFlow::Continue(()), &mut *hear),
        };
        speech::transcribe(&self.whisper, recording, &hearing.detector, &hearing.options, &mut pass_on)
            .map(|understood| understood.transcript)
            .map_err(|error| match error {
                SpeechError::Recording(error) => unheard(&error),
                SpeechError::Model(error) => fault(&error),
            })
    }
}

impl Mind for Ear {
    fn run(&mut self, job: &Value, audio: &Bytes, hear: Hear<'_>) -> Result<Value, Fault> {
        let unread =
            |error: serde_json::Error| Fault::new(FaultKind::Input, format!("the request is not understood: {error}"));
        let Job { form, hearing } = serde_json::from_value(job.clone()).map_err(unread)?;
        hearing.options.check().map_err(|error| fault(&error))?;
        let limits = Limits { seconds_max: SECONDS_MAX };
        let transcript = match form {
            Form::Samples => {
                let samples = unpacked(audio).ok_or_else(|| Fault::new(FaultKind::Input, "the samples are cut off"))?;
                let mut pass_on =
                    |progress| serde_json::to_value(progress).map_or(ControlFlow::Continue(()), &mut *hear);
                self.whisper.transcribe(&samples, &hearing.options, &mut pass_on).map_err(|error| fault(&error))?
            }
            Form::File => self.understand(Stream::of(audio.clone(), &limits), &hearing, hear)?,
            Form::Path(path) => self.understand(Stream::open(&path, &limits), &hearing, hear)?,
        };
        serde_json::to_value(transcript).map_err(unread)
    }
}

fn unheard(error: &PieceError) -> Fault {
    let kind = match error {
        PieceError::Audio(_) => FaultKind::Input,
        PieceError::Vad(_) => FaultKind::Broken,
    };
    Fault::new(kind, chain(error))
}

fn fault(error: &WhisperError) -> Fault {
    use WhisperError as E;
    let kind = match error {
        E::UnknownLanguage { .. } | E::CannotTranslate | E::Option { .. } => FaultKind::Input,
        E::Memory { .. } => FaultKind::Memory,
        E::Cancelled => FaultKind::Cancelled,
        E::Threads { .. } | E::Device { .. } | E::Compute { .. } => FaultKind::Broken,
        _ => FaultKind::Model,
    };
    Fault::new(kind, chain(error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn samples_cross_the_socket_as_they_are(bits in proptest::collection::vec(any::<u32>(), 0..50), rest in 1_usize..4) {
            let samples: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
            let wire = packed(&samples);
            let back = unpacked(&wire).expect("whole samples");
            prop_assert!(back.iter().map(|sample| sample.to_bits()).eq(bits.iter().copied()));
            prop_assert!(unpacked(&[&wire[..], &vec![0; rest]].concat()).is_none());
        }
    }
}
