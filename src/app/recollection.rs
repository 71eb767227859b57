//! What fills the memory while the house runs: the auto-indexer, the observer, the soul files.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use crate::agent::SOUL_FILES;
use crate::app::embedding::{Ground, Meaning};
use crate::app::gateway::GatewayError;
use crate::app::{embedding, finder, minds, wiring};
use crate::base::clock::Clock;
use crate::base::error;
use crate::base::lane::Lane;
use crate::base::shutdown::Shutdown;
use crate::config::Config;
use crate::dashboard::memory::{Desk, Facts};
use crate::db::Db;
use crate::provider::port::LocalModels;
use crate::provider::{Chain, Message, ProviderError, Request};
use crate::recall::{CondenseError, Condenser, Finder, index, observe, soul};

/// The memory's keys of the configuration.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Settings {
    pub search: Search,
    #[serde(skip)]
    pub observer: Observer,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Search {
    pub min_score: f32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Observer {
    pub enabled: bool,
    pub model: String,
    pub message_threshold: u32,
    pub max_observations: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Er1 {
    url: String,
    #[serde(deserialize_with = "crate::config::deserialize_duration")]
    sync_interval: Duration,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Result<Self, serde_json::Error> {
        Ok(Self { observer: config.section("/observer")?, ..config.section("/memory")? })
    }
}

/// The model of the memory, with the index it fills.
pub(super) async fn meaning(
    config: &Config,
    db: &Db,
    clock: &Clock,
    shutdown: &Shutdown,
) -> Result<Meaning, GatewayError> {
    let configured = embedding::configured(config).map_err(|source| GatewayError::Memory { source })?;
    let keys = config.section("/inference").map_err(|source| GatewayError::Models { source })?;
    let store = minds::store(config);
    let installer = Lane::start("model-install", 1, store.clone()).map_err(|source| GatewayError::Shelf { source })?;
    let find = finder::finder(configured.model.clone(), keys, store.clone(), clock.clone());
    Ok(Meaning::start(Ground {
        db: db.clone(),
        clock: clock.clone(),
        configured,
        store,
        installer,
        find,
        shutdown: shutdown.clone(),
    })
    .await)
}

/// What the memory's routes need.
pub(super) fn desk(
    config: &Config,
    settings: &Settings,
    finder: &Arc<dyn Finder>,
    meaning: &Meaning,
) -> Result<Desk, GatewayError> {
    const UPLOADS_WAITING_MAX: usize = 4;
    let unread = |source| GatewayError::Memory { source };
    let er1: Er1 = config.section("/er1").map_err(unread)?;
    let program = std::env::current_exe().unwrap_or_else(|_| "kafclaw".into());
    let reader =
        Lane::start("documents", UPLOADS_WAITING_MAX, program).map_err(|source| GatewayError::Documents { source })?;
    Ok(Desk {
        finder: finder.clone(),
        embedding: Arc::new(meaning.clone()),
        facts: Facts {
            er1_url: er1.url,
            er1_sync_interval: er1.sync_interval,
            observer_enabled: settings.observer.enabled,
            observer_threshold: settings.observer.message_threshold,
            observer_max_obs: settings.observer.max_observations,
        },
        reader,
    })
}

/// Starts everything that follows the house until shutdown; `chain` condenses conversations.
pub(super) fn start(
    config: &Config,
    settings: &Settings,
    db: &Db,
    clock: &Clock,
    chain: &Arc<Chain>,
    shutdown: &Shutdown,
) {
    let Observer { enabled, message_threshold, max_observations, .. } = settings.observer;
    let indexing = index::Config { observes: enabled, ..index::Config::default() };
    tokio::spawn(index::run(db.clone(), clock.clone(), indexing, shutdown.clone()));
    let observing = observe::Config { enabled, message_threshold, observations_max: max_observations };
    let condenser = Arc::new(ChainCondenser(chain.clone()));
    tokio::spawn(observe::run(db.clone(), clock.clone(), condenser, observing, shutdown.clone()));
    let (db, workspace, now) = (db.clone(), config.paths.workspace.clone(), clock.now());
    tokio::spawn(async move {
        match soul::index(&db, &workspace, &SOUL_FILES, now).await {
            Ok(indexed) if indexed.changed + indexed.removed > 0 => {
                tracing::info!(files = indexed.changed, "The files that make the assistant who it is were read again.");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = error::chain(&error), "The soul files could not be indexed."),
        }
    });
}

/// The chain that answers people, or one of the observer's own model; `here` runs those of this house.
pub(super) fn condensing_chain(
    config: &Config,
    settings: &Settings,
    chain: &Arc<Chain>,
    clock: &Clock,
    here: &Arc<dyn LocalModels>,
) -> Arc<Chain> {
    let model = settings.observer.model.as_str();
    if model.is_empty() {
        return chain.clone();
    }
    match wiring::endpoint(config, model) {
        Ok(endpoint) => Arc::new(Chain::with_local(vec![endpoint], wiring::model_options(config), clock.clone(), here)),
        Err(problem) => {
            tracing::warn!(
                error = error::chain(&problem),
                "The observer's model cannot be used; the usual ones observe."
            );
            chain.clone()
        }
    }
}

struct ChainCondenser(Arc<Chain>);

impl Condenser for ChainCondenser {
    /// The chain's own bound on answers holds.
    fn complete<'a>(&'a self, system: &'a str, text: &'a str, _: u32) -> BoxFuture<'a, Result<String, CondenseError>> {
        Box::pin(async move {
            let messages = vec![Message::System(system.to_owned()), Message::User(text.to_owned())];
            match self.0.ask(&Request { messages, tools: Vec::new() }, None).await {
                // An answer that was cut off is no list that may replace another.
                Ok(answer) if answer.finish_reason == "length" => Err(CondenseError::Refused),
                Ok(answer) => Ok(answer.text),
                Err(ProviderError::NoneReachable { .. }) => Err(CondenseError::Unavailable),
                Err(ProviderError::Refused { .. }) => Err(CondenseError::Refused),
            }
        })
    }
}
