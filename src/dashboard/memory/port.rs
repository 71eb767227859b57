//! What the memory's routes need from elsewhere.

use futures_util::future::BoxFuture;

use crate::base::clock::Timestamp;

/// The embedding model as it is configured.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Configured {
    pub enabled: bool,
    pub provider: String,
    pub model: String,
    pub dimension: u64,
    pub normalize: bool,
    pub cache_dir: String,
    pub auto_download: bool,
    pub endpoint: String,
    pub startup_timeout_s: u64,
}

impl Configured {
    /// `provider|model|dim|normalize`, as KafClaw writes it.
    pub fn fingerprint(&self) -> String {
        format!("{}|{}|{}|{}", self.provider, self.model, self.dimension, self.normalize)
    }
}

/// How far work has come that runs in the background.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Work {
    pub done: u64,
    pub total: u64,
    /// Bytes or chunks per second; zero at rest.
    pub per_second: f64,
    /// Why it stands still, when it does.
    pub failure: Option<String>,
}

/// An installation that was asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Install {
    pub cache_path_available: bool,
    pub pending: bool,
    pub requested_at: Option<Timestamp>,
    pub requested_model: String,
    /// In bytes.
    pub work: Work,
}

/// Whether texts get vectors now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Runtime {
    pub ready: bool,
    /// A sentence for people.
    pub detail: String,
    /// The model whose vectors are made, as the memory names it; empty for none.
    pub fingerprint: String,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct EmbeddingFacts {
    pub configured: Configured,
    pub runtime: Runtime,
    pub install: Install,
    /// Chunks with vectors, of all chunks.
    pub index: Work,
    /// Whether the vectors that are being made are those that answer; otherwise the old model's do meanwhile.
    pub is_active: bool,
}

/// What was refused, as a sentence for the person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The embedding model and the index it fills.
pub trait Embedding: Send + Sync {
    fn facts(&self) -> BoxFuture<'_, EmbeddingFacts>;

    /// Begins to install `model` in the background and uses it when it is there. It is noted before, so that a house that is stopped
    /// meanwhile goes on at its next start.
    fn install(&self, model: String) -> BoxFuture<'_, Result<(), Refused>>;

    /// Makes every vector anew in the background; the old ones answer meanwhile. Returns how many chunks that are.
    fn reindex(&self) -> BoxFuture<'_, Result<u64, Refused>>;
}
