//! What the memory's routes show of the embedding model and ask of it.

use futures_util::future::BoxFuture;
use serde::Deserialize;

use crate::config::Config;
use crate::dashboard::memory::{Configured, Embedding, EmbeddingFacts, Install, Refused, Runtime, Work};
use crate::db::Db;
use crate::memory;

/// The keys of `memory.embedding`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    enabled: bool,
    provider: String,
    model: String,
    dimension: u64,
    normalize: bool,
    cache_dir: String,
    auto_download: bool,
    endpoint: String,
    startup_timeout_sec: u64,
}

pub(super) fn configured(config: &Config) -> Result<Configured, serde_json::Error> {
    let keys: Keys = config.section("/memory/embedding")?;
    Ok(Configured {
        enabled: keys.enabled,
        provider: keys.provider,
        model: keys.model,
        dimension: keys.dimension,
        normalize: keys.normalize,
        cache_dir: keys.cache_dir,
        auto_download: keys.auto_download,
        endpoint: keys.endpoint,
        startup_timeout_s: keys.startup_timeout_sec,
    })
}

/// A house without an embedding model: words find alone.
pub(super) struct NoEmbedding {
    pub configured: Configured,
    pub db: Db,
}

impl Embedding for NoEmbedding {
    fn facts(&self) -> BoxFuture<'_, EmbeddingFacts> {
        Box::pin(async {
            let total = self.db.read(memory::stats).await.map_or(0, |stats| stats.total);
            let detail = "there is no embedding model; memories are found by their words".to_owned();
            EmbeddingFacts {
                configured: self.configured.clone(),
                runtime: Runtime { detail, ..Runtime::default() },
                install: Install::default(),
                index: Work { total, ..Work::default() },
                is_active: false,
            }
        })
    }

    fn install(&self, _: String) -> BoxFuture<'_, Result<(), Refused>> {
        Box::pin(async { Err(Refused("this build cannot install models".to_owned())) })
    }

    fn reindex(&self) -> BoxFuture<'_, Result<u64, Refused>> {
        Box::pin(async { Err(Refused("there is no embedding model to make vectors with".to_owned())) })
    }
}
