//! What the layers need from elsewhere.

use futures_util::future::BoxFuture;

use crate::base::clock::Timestamp;

/// How chunks are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// By meaning and by words together; by words alone while there is no embedder.
    #[default]
    Hybrid,
    /// By meaning only.
    Semantic,
    /// By words only.
    Keyword,
}

impl Mode {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "hybrid" => Some(Self::Hybrid),
            "semantic" => Some(Self::Semantic),
            "keyword" => Some(Self::Keyword),
            _ => None,
        }
    }
}

/// What is looked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    pub text: String,
    pub count_max: usize,
    /// Only sources that begin with this; all when empty.
    pub source_prefix: String,
    pub mode: Mode,
    pub now: Timestamp,
}

impl Wanted {
    pub fn anywhere(text: impl Into<String>, count_max: usize, now: Timestamp) -> Self {
        Self { text: text.into(), count_max, source_prefix: String::new(), mode: Mode::default(), now }
    }
}

/// A chunk that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    pub id: String,
    pub content: String,
    pub source: String,
    /// 0 to 1; orders this answer.
    pub score: f64,
    /// 0 to 1; says how well it fits, whatever else was found: the cosine of question and chunk where both have vectors, or
    /// the share of the question's words that it has.
    pub relevance: f64,
    pub created_at: Timestamp,
}

/// Why nothing could be looked for.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Only where it was asked for by meaning alone.
    #[error("there is no embedding model, so memories cannot be searched by meaning")]
    NoEmbedder,
    #[error("the memory could not be searched")]
    Failed,
}

/// Finds chunks, best first.
pub trait Finder: Send + Sync {
    fn find(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Found>, FindError>>;
}

/// Why a model did not condense.
#[derive(Debug, thiserror::Error)]
pub enum CondenseError {
    /// No model is configured or reachable; it will be asked again later.
    #[error("no model can be reached")]
    Unavailable,
    #[error("the model refused")]
    Refused,
}

/// A model that condenses; the observer's and the reflector's.
pub trait Condenser: Send + Sync {
    /// The model's whole answer. `tokens_max` bounds its length.
    fn complete<'a>(
        &'a self,
        system: &'a str,
        text: &'a str,
        tokens_max: u32,
    ) -> BoxFuture<'a, Result<String, CondenseError>>;
}
