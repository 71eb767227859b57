//! What can go wrong with a speech model.

use std::path::PathBuf;

use crate::inference::device::DeviceError;
use crate::inference::weights::TensorsError;

/// Why a model was not loaded or a recording not understood. No recording is an error: silence and noise have empty transcripts.
#[derive(Debug, thiserror::Error)]
pub enum WhisperError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not valid JSON of its kind")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("the model in {path} is not a Whisper: {fault}")]
    Shape { path: PathBuf, fault: String },
    #[error("the tokenizer {path} does not fit a Whisper: {fault}")]
    Tokenizer { path: PathBuf, fault: String },
    #[error("{folder} holds no weights; it needs model.safetensors or a .gguf file")]
    NoWeights { folder: PathBuf },
    #[error("the weights are damaged or of another model")]
    Weights { source: TensorsError },
    #[error("the model needs about {needed_mib} MiB of memory and {free_mib} MiB are free")]
    Memory { needed_mib: u64, free_mib: u64 },
    #[error("could not start the threads of the model")]
    Threads { source: rayon::ThreadPoolBuildError },
    #[error("could not use the device")]
    Device { source: DeviceError },
    #[error("the model could not compute")]
    Compute { source: candle_core::Error },
    #[error("the model does not know the language `{code}`")]
    UnknownLanguage { code: String },
    #[error("the model knows one language only and cannot translate")]
    CannotTranslate,
    #[error("{name} is {value}, which is outside {bounds}")]
    Option { name: &'static str, value: String, bounds: &'static str },
    #[error("the caller has left")]
    Cancelled,
}

impl From<candle_core::Error> for WhisperError {
    fn from(source: candle_core::Error) -> Self {
        Self::Compute { source }
    }
}
