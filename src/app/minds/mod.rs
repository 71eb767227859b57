//! The models of this house: found in the store, run by the engines, shown to the doors, the chain and the memory.

mod doors;
mod local;
mod microphone;
mod shelf;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::app::embedding::Meaning;
use crate::app::gateway::GatewayError;
use crate::base::clock::Clock;
use crate::base::lane::Lane;
use crate::base::shutdown::Shutdown;
use crate::config::{Config, LogLevel, deserialize_duration};
use crate::inference::worker::{self, Device, Engines, Loader, Patience, Place};
use crate::models::{Store, StoreConfig, bundled_folders};
use crate::provider::port::LocalModels;

use shelf::Shelf;
pub(crate) use shelf::detector;

/// Questions that wait for the disk with the models.
const SHELF_QUEUE_LEN: usize = 64;

/// The keys of `inference`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Keys {
    worker: String,
    pub device: Device,
    pub tensor_rt: bool,
    pub threads: usize,
    #[serde(deserialize_with = "deserialize_duration")]
    pub idle_unload: Duration,
    speech_model: String,
    language_model: String,
    pub runtime: PathBuf,
}

/// Everything that thinks in this house. Clones share it.
#[derive(Clone)]
pub(super) struct Minds {
    pub engines: Engines,
    pub meaning: Meaning,
    shelf: Shelf,
}

impl Minds {
    /// Loads nothing yet. Must be called inside a runtime.
    pub(super) fn start(
        config: &Config,
        clock: &Clock,
        meaning: Meaning,
        shutdown: &Shutdown,
    ) -> Result<Self, GatewayError> {
        let unread = |source| GatewayError::Models { source };
        let keys: Keys = config.section("/inference").map_err(unread)?;
        let store = meaning.store();
        if let Some(problem) = store.problem() {
            tracing::warn!(error = problem, "The list of one's own models is left out.");
        }
        let engines =
            Engines::start(engines(&keys, config.log.level), Arc::new(Loader::new(clock.clone())), shutdown.clone());
        let lane = Lane::start("models", SHELF_QUEUE_LEN, store.clone());
        let lane = lane.map_err(|source| GatewayError::Shelf { source })?;
        let speech = match keys.speech_model.as_str() {
            "" => format!("whisper-{}", config.section::<String>("/providers/localWhisper/model").map_err(unread)?),
            named => named.to_owned(),
        };
        let runtime = Some(keys.runtime).filter(|path| !path.as_os_str().is_empty());
        let shelf = Shelf { store: lane, speech, language: keys.language_model, runtime };
        Ok(Self { engines, meaning, shelf })
    }

    /// What the chain of models asks.
    pub(super) fn local(&self) -> Arc<dyn LocalModels> {
        Arc::new(self.clone())
    }
}

/// Where models lie, for everybody who looks.
pub(super) fn store(config: &Config) -> Store {
    let program = std::env::current_exe().ok();
    Store::open(StoreConfig::new(config.paths.state_dir.join("models"), bundled_folders(program.as_deref())))
}

fn engines(keys: &Keys, level: LogLevel) -> worker::Config {
    let usual = worker::Config::default();
    let place = match (keys.worker.as_str(), usual.place) {
        ("off", _) => Place::Here,
        ("auto", place) => place,
        // A build of one's own, for whatever computes here.
        (path, Place::Process { cpu, .. }) if keys.device != Device::Cpu => Place::Process { cpu, gpu: path.into() },
        (path, _) => Place::Process { cpu: path.into(), gpu: PathBuf::new() },
    };
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    worker::Config {
        place,
        device: keys.device,
        probe: usual.probe,
        threads: keys.threads,
        patience: Patience { idle: keys.idle_unload, ..Patience::default() },
        arguments: vec!["--log-level".to_owned(), level.to_owned()],
    }
}
