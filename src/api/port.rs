//! What the doors for models need: somebody who knows which there are, and somebody who runs them.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::inference::language;
use crate::inference::microphone::Words;
use crate::inference::transcript::{Segment, Task, Transcript};

/// Why a model does not answer, in a sentence for the outside.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    pub reason: Reason,
    pub sentence: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// There is no such model, or it is not installed.
    NoModel,
    /// What was asked cannot be done.
    Input,
    /// Too much is asked at the moment.
    Busy,
    /// It should work and does not, for now.
    Unavailable,
}

impl Refusal {
    pub fn new(reason: Reason, sentence: impl Into<String>) -> Self {
        Self { reason, sentence: sentence.into() }
    }
}

/// What texts are embedded for; some models read questions differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Purpose {
    Question,
    #[default]
    Passage,
}

/// Vectors of one length, in the order of their texts.
#[derive(Clone, PartialEq, Debug)]
pub struct Embedded {
    /// As the model is called here.
    pub model: String,
    /// Of length one.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that were computed.
    pub tokens: usize,
}

pub trait Embeddings: Send + Sync {
    fn embed<'a>(
        &'a self,
        model: &'a str,
        texts: Vec<String>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Embedded, Refusal>>;
}

/// How a recording is to be understood; what is left out is as the model has it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Hearing {
    pub task: Task,
    /// Code such as `en`.
    pub language: Option<String>,
    /// What was said or written before.
    pub prompt: Option<String>,
    /// 0 to 1; without it the model warms up as far as it has to.
    pub temperature: Option<f32>,
    pub word_times: bool,
}

/// What is heard of a recording while it is worked on.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    /// The words since the last phrase, as they sound so far; the next one of either kind takes its place.
    Guess(String),
    /// A phrase that will not change any more.
    Said(Segment),
}

pub trait Speech: Send + Sync {
    /// Understands a recording in any known format. Guesses and phrases go to `heard` as they come; whoever drops the future
    /// has the work stop.
    fn transcribe<'a>(
        &'a self,
        model: &'a str,
        recording: Bytes,
        hearing: Hearing,
        heard: Option<mpsc::Sender<Heard>>,
    ) -> BoxFuture<'a, Result<Transcript, Refusal>>;

    /// Opens a microphone, whose sound is understood while it comes. Must be called inside a runtime.
    fn listen<'a>(&'a self, model: &'a str, hearing: Hearing) -> BoxFuture<'a, Result<Box<dyn Listening>, Refusal>>;
}

/// A microphone that is open. Dropping it stops what is computed for it.
pub trait Listening: Send {
    /// Takes the next samples, one channel of 16,000 a second, and tells the words so far; those of these samples come later.
    fn hear(&mut self, samples: Vec<f32>) -> BoxFuture<'_, Result<Words, Refusal>>;

    /// Nothing follows; waits until all of it is understood.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Words, Refusal>>;
}

pub trait Talk: Send + Sync {
    /// Continues a conversation with a model of this house. Whoever drops the future has it stop.
    fn generate<'a>(
        &'a self,
        model: &'a str,
        request: language::Request,
        pieces: mpsc::Sender<language::Piece>,
    ) -> BoxFuture<'a, Result<language::Completion, Refusal>>;
}

/// Which models can be asked.
pub trait Models: Send + Sync {
    /// Ids as the doors take them, without `kafclaw` itself.
    fn ids(&self) -> BoxFuture<'_, Vec<String>>;
}
