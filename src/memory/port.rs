//! What the memory needs from elsewhere: somebody who turns texts into vectors. Optional; without one, words find alone.

use futures_util::future::BoxFuture;

/// What a text is to a model that tells questions from answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextUse {
    Query,
    Passage,
}

/// Why there are no vectors.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EmbedFailure {
    /// The model is not there now; later it may be.
    #[error("the embedding model is not available: {why}")]
    Unavailable { why: String },
    /// The model will never take one of these texts.
    #[error("the embedding model refuses a text: {why}")]
    Refused { why: String },
}

/// A model that turns texts into vectors of one dimension.
pub trait Embed: Send + Sync {
    /// Tells this model from every other whose vectors cannot be compared with its own.
    fn fingerprint(&self) -> String;

    /// Numbers of each vector.
    fn dims(&self) -> usize;

    /// One vector per text, in order.
    fn embed(&self, texts: Vec<String>, use_: TextUse) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedFailure>>;
}
