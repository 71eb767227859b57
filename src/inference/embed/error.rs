//! What can go wrong between a text and its vector.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::lane::LaneError;
use crate::inference::onnx::OnnxError;
use crate::inference::weights::TensorsError;

/// Clones are cheap: several callers may share the run that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EmbedError {
    /// Not there at all; nothing is broken, and `install` says what a person would do.
    #[error("there are no embeddings: {missing} is missing; {install}")]
    Unavailable { missing: String, install: String },
    #[error("could not load embedding model {id}")]
    Load { id: String, source: Arc<LoadError> },
    #[error("could not embed with model {id}")]
    Run { id: String, source: Arc<RunError> },
    #[error("{texts} texts at once are more than {texts_max}")]
    TooMany { texts: usize, texts_max: usize },
    #[error("too many callers wait for embeddings ({waiting})")]
    Busy { waiting: usize },
    #[error("the embedder's thread could not do its work")]
    Lane { source: Arc<LaneError> },
}

impl EmbedError {
    /// Whether there is no embedder here, as opposed to one that failed.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// What is wrong with a model or the library that should run it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} has {bytes} bytes, more than {bytes_max}")]
    TooLarge { path: PathBuf, bytes: u64, bytes_max: u64 },
    #[error("{path} is not the JSON it should be")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{path} has an impossible value: {field} is {value}")]
    Value { path: PathBuf, field: &'static str, value: String },
    #[error("{what} is not supported")]
    Unsupported { what: String },
    #[error("could not use tokenizer {path}")]
    Tokenizer { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Runtime(#[from] OnnxError),
    #[error("ONNX Runtime refused {path}")]
    Session { path: PathBuf, source: ort::Error },
    #[error("{path} is not an embedding network: {reason}")]
    Shape { path: PathBuf, reason: String },
    #[error(transparent)]
    Weights(#[from] TensorsError),
    #[error("could not set up the network")]
    Network { source: candle_core::Error },
    #[error("the network's first run failed")]
    FirstRun { source: RunError },
    #[error("loading the model panicked")]
    Panicked,
}

/// What went wrong while a loaded model computed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("could not split a text into tokens")]
    Tokens { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("ONNX Runtime failed")]
    Session { source: ort::Error },
    #[error("the network failed")]
    Network { source: candle_core::Error },
    #[error("the network answered with shape {found:?}, expected {expected:?}")]
    Shape { found: Vec<i64>, expected: Vec<usize> },
    #[error("the tokenizer has a word {id}, the network knows {words}")]
    Word { id: i64, words: usize },
    #[error("the network answered with what are no numbers")]
    NoDirection,
}
