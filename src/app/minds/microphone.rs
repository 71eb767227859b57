//! A microphone of the page or of a satellite, understood where models run.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::api::port::{Listening, Reason, Refusal};
use crate::app::minds::doors::refused;
use crate::base::error::chain;
use crate::inference::microphone::{Microphone, MicrophoneError, Scribe, Words};
use crate::inference::speech::Detector;
use crate::inference::transcript::Transcript;
use crate::inference::whisper::{Options, Progress};
use crate::inference::worker::{EngineError, Hearing, Listener, ModelSpec, Recording, Speech};

/// One model for as long as the microphone is open.
struct Worker {
    speech: Speech,
    model: ModelSpec,
}

impl Scribe for Worker {
    fn write_down(&self, samples: Vec<f32>, options: Options) -> BoxFuture<'_, Result<Transcript, EngineError>> {
        let (nobody, _) = mpsc::channel(1);
        let listener = Listener { sender: nobody, choose: nothing };
        // The microphone has cut the silence off.
        let hearing = Hearing { options, detector: Detector::Off };
        Box::pin(self.speech.transcribe(self.model.clone(), Recording::Samples(samples), hearing, listener))
    }
}

/// The end of a phrase comes soon enough.
fn nothing(_: Progress) -> Option<()> {
    None
}

/// Must be called inside a runtime.
pub(super) fn open(
    speech: Speech,
    model: ModelSpec,
    options: Options,
    detector: Detector,
) -> Result<Box<dyn Listening>, Refusal> {
    let microphone = Microphone::open(Arc::new(Worker { speech, model }), options, detector);
    Ok(Box::new(microphone.map_err(|error| failed(&error))?))
}

impl Listening for Microphone {
    fn hear(&mut self, samples: Vec<f32>) -> BoxFuture<'_, Result<Words, Refusal>> {
        Box::pin(async move { Self::hear(self, samples).await.map_err(|error| failed(&error)) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Words, Refusal>> {
        Box::pin(async move { Self::finish(*self).await.map_err(|error| failed(&error)) })
    }
}

fn failed(error: &MicrophoneError) -> Refusal {
    match error {
        MicrophoneError::Understand { source } => refused(source),
        MicrophoneError::Listen { .. } | MicrophoneError::Detect { .. } => {
            Refusal::new(Reason::Unavailable, chain(error))
        }
    }
}
