//! Finding the embedding model that is asked for among those that are installed.

use crate::app::minds;
use crate::base::clock::Clock;
use crate::inference::embed::{self, Embedder};
use crate::inference::onnx;
use crate::models::{Store, Task};

/// Finds an installed model by name; the empty name means the configured one, or whichever is there.
pub(super) type Find = Box<dyn Fn(&str) -> Option<Embedder> + Send + Sync>;

/// Looks for the model that is asked for, then the configured one, then any that is here.
pub(super) fn finder(wanted: String, keys: minds::Keys, store: Store, clock: Clock) -> Find {
    Box::new(move |name| {
        let entries = store.manifest().entries().iter();
        let others = entries.filter(|entry| entry.task == Task::Embedding).map(|entry| entry.id.as_str());
        let mut names = [name, wanted.as_str()].into_iter().filter(|name| !name.is_empty()).chain(others);
        let found =
            names.find_map(|name| store.locate(name).ok().filter(|found| found.entry.task == Task::Embedding))?;
        if ![name, wanted.as_str()].iter().any(|name| found.entry.is_called(name)) {
            tracing::info!(
                peer = found.id,
                "The embedding model that is wanted is not installed; another one is used."
            );
        }
        let own = Some(keys.runtime.clone()).filter(|path| !path.as_os_str().is_empty());
        Some(Embedder::new(embed::Config {
            id: found.id,
            folder: found.folder,
            libraries: onnx::places(&store.runtimes(own), std::env::var_os("ORT_DYLIB_PATH")),
            device: keys.device,
            tensor_rt: keys.tensor_rt,
            threads: (keys.threads > 0).then_some(keys.threads),
            idle: keys.idle_unload,
            clock: clock.clone(),
            ..embed::Config::default()
        }))
    })
}
