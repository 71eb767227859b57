//! The embedding model of the memory: which one it is, the index it fills, and installing another one while the house runs.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::watch;

use crate::app::asked::{self, Asked};
use crate::app::finder::Find;
use crate::base::clock::{Clock, Timestamp};
use crate::base::error::chain;
use crate::base::lane::Lane;
use crate::base::shutdown::Shutdown;
use crate::config::Config;
use crate::dashboard::memory::{Configured, Embedding, EmbeddingFacts, Install, Refused, Runtime, Work};
use crate::db::Db;
use crate::inference::embed::{self, EmbedError, Embedder};
use crate::memory::{self, Embed, EmbedFailure, Indexer};
use crate::models::{Options, Store, Task};
use crate::settings::Stored;

/// KafClaw's default. Who leaves it has not asked for it.
const USUAL_MODEL: &str = "BAAI/bge-small-en-v1.5";

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

/// An embedder as the memory sees it.
struct Vectors {
    embedder: Embedder,
    fingerprint: String,
    dims: usize,
}

impl Vectors {
    fn of(embedder: Embedder) -> Result<Self, EmbedError> {
        Ok(Self { fingerprint: embedder.fingerprint()?, dims: embedder.dims()?, embedder })
    }
}

impl Embed for Vectors {
    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn embed(&self, texts: Vec<String>, use_: memory::TextUse) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedFailure>> {
        let use_ = match use_ {
            memory::TextUse::Query => embed::TextUse::Query,
            memory::TextUse::Passage => embed::TextUse::Passage,
        };
        Box::pin(async move {
            self.embedder.embed(texts, use_).await.map_err(|error| match error {
                // The texts are at fault, or the model with these texts: one by one will tell.
                EmbedError::Run { .. } => EmbedFailure::Refused { why: chain(&error) },
                error => EmbedFailure::Unavailable { why: chain(&error) },
            })
        })
    }
}

/// The model that makes the memory's vectors now.
struct Current {
    model: Arc<Vectors>,
    progress: watch::Receiver<memory::Progress>,
    stop: Shutdown,
}

struct Shared {
    db: Db,
    clock: Clock,
    configured: Configured,
    store: Store,
    find: Find,
    recall: memory::Recall,
    shutdown: Shutdown,
    current: Mutex<Option<Current>>,
    /// Why there is none.
    trouble: Mutex<String>,
    install: Mutex<Install>,
    installer: Lane<Store>,
}

/// Handle; clones share it.
#[derive(Clone)]
pub(super) struct Meaning(Arc<Shared>);

/// What [`Meaning::start`] stands on.
pub(super) struct Ground {
    pub db: Db,
    pub clock: Clock,
    pub configured: Configured,
    pub store: Store,
    pub installer: Lane<Store>,
    pub find: Find,
    pub shutdown: Shutdown,
}

impl Meaning {
    /// Takes the model that was chosen at run time, else the configured one, and begins to give chunks their vectors.
    pub(super) async fn start(ground: Ground) -> Self {
        let Ground { db, clock, configured, store, installer, find, shutdown } = ground;
        let recall = memory::Recall::new(db.clone(), Vec::new());
        let asked = db.read(asked::read).await.unwrap_or_default();
        let is_enabled = configured.enabled;
        let meaning = Self(Arc::new(Shared {
            db,
            clock,
            configured,
            store,
            find,
            recall,
            shutdown,
            current: Mutex::new(None),
            trouble: Mutex::new("there is no embedding model; memories are found by their words".to_owned()),
            install: Mutex::new(Install {
                requested_at: asked.requested_at,
                requested_model: asked.model.clone(),
                ..Install::default()
            }),
            installer,
        }));
        if is_enabled {
            meaning.adopt(&asked.model);
            if !meaning.resume(&asked) {
                meaning.fetch_wanted();
            }
        }
        meaning
    }

    /// Goes on with the installation that the last run was stopped in, or that failed in it; false when there is none. A model that
    /// was here and has been removed is not fetched again.
    fn resume(&self, asked: &Asked) -> bool {
        let Asked { model, requested_at, is_installed } = asked;
        if model.is_empty() || *is_installed || self.check(model).is_err() {
            return false;
        }
        tracing::info!(peer = model, "The embedding model that was asked for is being installed again.");
        self.begin(model.clone(), *requested_at).is_ok()
    }

    /// Installs the configured model where it may be fetched and is not here. One that nobody chose is fetched only where there is
    /// none at all: what the program came with does for most, and a download costs.
    fn fetch_wanted(&self) {
        let Configured { model, auto_download, .. } = &self.0.configured;
        let is_chosen = !model.is_empty() && model != USUAL_MODEL;
        let is_missing = self.0.store.entry(model).is_ok() && self.0.store.locate(model).is_err();
        let is_wanted = is_chosen || self.embedder().is_none();
        if !(*auto_download && is_missing && is_wanted) {
            return;
        }
        tracing::info!(peer = model, "The embedding model that is wanted is being fetched.");
        let begun = self.check(model).and_then(|()| self.begin(model.clone(), Some(self.0.clock.now())));
        if let Err(Refused(sentence)) = begun {
            tracing::warn!(error = sentence, peer = model, "The embedding model that is wanted is not fetched.");
        }
    }

    /// Whether `model` can be installed for the memory, and nothing else is being.
    fn check(&self, model: &str) -> Result<(), Refused> {
        let entry = self.0.store.entry(model).map_err(|error| Refused(error.to_string()))?;
        if entry.task != Task::Embedding {
            return Err(Refused(format!("{model} is no embedding model")));
        }
        unless_pending(&lock(&self.0.install))
    }

    /// Begins to install what was checked.
    fn begin(&self, model: String, requested_at: Option<Timestamp>) -> Result<(), Refused> {
        {
            let mut install = lock(&self.0.install);
            unless_pending(&install)?;
            *install = Install { pending: true, requested_at, requested_model: model.clone(), ..Install::default() };
        }
        tokio::spawn(self.clone().fetch(model));
        Ok(())
    }

    /// What searches by meaning.
    pub(super) fn recall(&self) -> memory::Recall {
        self.0.recall.clone()
    }

    /// Where models lie, for everybody who looks.
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    /// The model of the memory, for whoever wants vectors.
    pub(super) fn embedder(&self) -> Option<Embedder> {
        lock(&self.0.current).as_ref().map(|current| current.model.embedder.clone())
    }

    /// Uses `name` from now on; the old model answers until all vectors are made.
    fn adopt(&self, name: &str) {
        let Some(embedder) = (self.0.find)(name) else { return };
        let model = match Vectors::of(embedder) {
            Ok(model) => Arc::new(model),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "The embedding model cannot be used; memories are found by their words."
                );
                *lock(&self.0.trouble) = chain(&error);
                return;
            }
        };
        let mut current = lock(&self.0.current);
        let mut models: Vec<Arc<dyn Embed>> = vec![model.clone()];
        if let Some(old) = current.take() {
            old.stop.trigger();
            models.push(old.model);
        }
        self.0.recall.replace(models);
        let indexer = Indexer::new(self.0.db.clone(), model.clone());
        let (progress, stop) = (indexer.progress(), Shutdown::default());
        *current = Some(Current { model, progress, stop: stop.clone() });
        let house = self.0.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = indexer.run(stop.clone()) => {}
                () = house.triggered() => stop.trigger(),
            }
        });
    }

    /// Installs and adopts; what happens is seen in the facts.
    async fn fetch(self, model: String) {
        let (shared, name) = (self.0.clone(), model.clone());
        let installed = self.0.installer.call(move |store| {
            store.install(&name, &Options::default(), &mut |progress| {
                lock(&shared.install).work = Work {
                    done: progress.bytes,
                    total: progress.bytes_total.unwrap_or(0),
                    per_second: progress.bytes_per_s as f64,
                    failure: None,
                };
                if shared.shutdown.is_triggered() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        });
        let failure = match installed.await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(chain(&error)),
        };
        if let Some(error) = &failure {
            tracing::warn!(error, peer = model, "An embedding model could not be installed.");
        } else {
            self.adopt(&model);
            let (installed, now) = (model.clone(), self.0.clock.now());
            if let Err(error) = self.0.db.write(move |tx| asked::installed(tx, &installed, now)).await {
                tracing::warn!(error = chain(&error), peer = model, "That a model was installed could not be noted.");
            }
        }
        let mut install = lock(&self.0.install);
        install.pending = false;
        install.work.failure = failure;
    }

    fn runtime(&self) -> Runtime {
        let Some((embedder, fingerprint)) = lock(&self.0.current)
            .as_ref()
            .map(|current| (current.model.embedder.clone(), current.model.fingerprint.clone()))
        else {
            return Runtime { detail: lock(&self.0.trouble).clone(), ..Runtime::default() };
        };
        let status = embedder.status();
        match (embedder.check(), status.reason) {
            (Err(error), _) => Runtime { ready: false, detail: chain(&error), fingerprint },
            (Ok(()), Some(reason)) => Runtime { ready: false, detail: reason, fingerprint },
            (Ok(()), None) => {
                let where_ = match &status.loaded {
                    Some(facts) => format!("{} on {}, {} threads", facts.engine, facts.provider, facts.threads),
                    None => "resting until the next text".to_owned(),
                };
                Runtime { ready: true, detail: format!("{}: {where_}", status.id), fingerprint }
            }
        }
    }
}

impl Embedding for Meaning {
    fn facts(&self) -> BoxFuture<'_, EmbeddingFacts> {
        Box::pin(async {
            let progress = lock(&self.0.current).as_ref().map(|current| current.progress.borrow().clone());
            let (index, is_active) = match progress {
                Some(progress) => (
                    Work {
                        done: progress.counted.done,
                        total: progress.counted.total,
                        per_second: progress.per_second,
                        failure: progress.failure,
                    },
                    progress.is_active,
                ),
                None => {
                    let total = self.0.db.read(memory::stats).await.map_or(0, |stats| stats.total);
                    (Work { total, ..Work::default() }, false)
                }
            };
            let mut install = lock(&self.0.install).clone();
            install.cache_path_available = self.0.store.folder().is_dir();
            EmbeddingFacts { configured: self.0.configured.clone(), runtime: self.runtime(), install, index, is_active }
        })
    }

    fn install(&self, model: String) -> BoxFuture<'_, Result<(), Refused>> {
        Box::pin(async move {
            self.check(&model)?;
            let (wanted, now) = (model.clone(), self.0.clock.now());
            match self.0.db.write(move |tx| asked::ask(tx, &wanted, now)).await {
                Ok(Stored::Stored) => self.begin(model, Some(now)),
                Ok(Stored::Full) => Err(Refused("there are too many settings; remove one".to_owned())),
                Err(error) => {
                    tracing::error!(error = chain(&error), peer = model, "A model that is wanted could not be noted.");
                    Err(Refused("the memory could not be written; is the disk full or read-only?".to_owned()))
                }
            }
        })
    }

    fn reindex(&self) -> BoxFuture<'_, Result<u64, Refused>> {
        Box::pin(async {
            if lock(&self.0.current).is_none() {
                return Err(Refused("there is no embedding model to make vectors with".to_owned()));
            }
            let begun = self.0.db.write(|tx| {
                let begun = memory::reindex(tx)?;
                Ok((begun.is_some(), memory::stats(tx)?.total))
            });
            match begun.await {
                Ok((true, total)) => Ok(total),
                Ok((false, _)) => Err(Refused("the first index is still being made".to_owned())),
                Err(error) => {
                    tracing::error!(error = chain(&error), "The memory could not be indexed anew.");
                    Err(Refused("the memory could not be written; is the disk full or read-only?".to_owned()))
                }
            }
        })
    }
}

fn unless_pending(install: &Install) -> Result<(), Refused> {
    match install.pending {
        true => Err(Refused(format!("{} is being installed", install.requested_model))),
        false => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
