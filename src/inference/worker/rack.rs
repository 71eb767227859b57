//! The models that a worker holds: one place per kind, filled on first use, emptied by age, by pressure, or for the other one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use crate::inference::worker::budget::{self, Decision, Memory};
use crate::inference::worker::message::{Fault, FaultKind, Kind, Loaded, ModelSpec, Setup};
use crate::inference::worker::port::{Hear, Mind, Minds};

pub(super) struct Rack {
    minds: Arc<dyn Minds>,
    setup: Setup,
    memory: fn() -> Memory,
    /// Held while a model is loaded, and taken before any place is: so two kinds that want each other gone cannot wait for
    /// each other.
    loading: Mutex<()>,
    places: [Place; Kind::ALL.len()],
}

#[derive(Default)]
struct Place {
    /// Held while the model works.
    held: Mutex<Option<Held>>,
    /// What is held, for those who must not wait.
    known: Mutex<Option<Loaded>>,
}

struct Held {
    model: ModelSpec,
    mind: Box<dyn Mind>,
    used_at: Instant,
}

/// One job for one model.
pub(super) struct Job<'a> {
    pub model: &'a ModelSpec,
    pub job: &'a Value,
    pub audio: &'a Bytes,
}

impl Rack {
    pub(super) fn new(minds: Arc<dyn Minds>, setup: Setup) -> Self {
        Self::with_memory(minds, setup, budget::memory)
    }

    fn with_memory(minds: Arc<dyn Minds>, setup: Setup, memory: fn() -> Memory) -> Self {
        Self { minds, setup, memory, loading: Mutex::default(), places: Default::default() }
    }

    /// Does a job, with its model loaded first where that is needed.
    pub(super) fn run(&self, job: &Job<'_>, hear: Hear<'_>) -> Result<Value, Fault> {
        let place = self.place(job.model.kind);
        let mut held = self.ready(job.model)?;
        let Some(ready) = held.as_mut() else {
            return Err(Fault::new(FaultKind::Broken, "the model went away before it was asked"));
        };
        let worked = catch_unwind(AssertUnwindSafe(|| ready.mind.run(job.job, job.audio, hear)));
        ready.used_at = Instant::now();
        worked.unwrap_or_else(|_panic| {
            // Whatever it was in the middle of, it is not to be trusted any more. The panic itself is in the log.
            *held = None;
            *lock(&place.known) = None;
            Err(Fault::new(FaultKind::Broken, format!("{} stumbled over this", job.model.id)))
        })
    }

    /// The place with the model in it.
    fn ready(&self, model: &ModelSpec) -> Result<MutexGuard<'_, Option<Held>>, Fault> {
        let place = self.place(model.kind);
        let is_it = |held: &Option<Held>| held.as_ref().is_some_and(|held| held.model == *model);
        let held = lock(&place.held);
        if is_it(&held) {
            return Ok(held);
        }
        drop(held);
        let _loading = lock(&self.loading);
        let mut held = lock(&place.held);
        if is_it(&held) {
            return Ok(held);
        }
        // The old one goes first: two of one kind never stand side by side.
        *held = None;
        *lock(&place.known) = None;
        self.make_room(model)?;
        let loaded = catch_unwind(AssertUnwindSafe(|| self.minds.load(model, &self.setup)));
        let mind = loaded.unwrap_or_else(|_panic| {
            Err(Fault::new(FaultKind::Model, format!("{} could not be loaded; its files may be damaged", model.id)))
        })?;
        *held = Some(Held { model: model.clone(), mind, used_at: Instant::now() });
        *lock(&place.known) = Some(Loaded { kind: model.kind, id: model.id.clone(), memory_bytes: model.memory_bytes });
        Ok(held)
    }

    fn make_room(&self, model: &ModelSpec) -> Result<(), Fault> {
        let other = Kind::ALL.into_iter().filter(|kind| *kind != model.kind);
        let other = other.filter_map(|kind| lock(&self.place(kind).known).clone()).next();
        let other = other.map(|loaded| (loaded.kind, loaded.memory_bytes));
        match budget::decide(model.memory_bytes, other, (self.memory)()) {
            Decision::Fits => Ok(()),
            Decision::Evict(kind) => {
                tracing::info!(peer = kind.as_str(), "A model makes room for another one.");
                // Waits for what it is doing; who works has no need of `loading`.
                self.empty(kind, &mut lock(&self.place(kind).held));
                Ok(())
            }
            Decision::Never { room } => {
                const MIB: u64 = 1024 * 1024;
                let (need, room) = (model.memory_bytes.div_ceil(MIB), room / MIB);
                let why =
                    format!("{} needs {need} MiB of memory and {room} MiB are free; a smaller model may fit", model.id);
                Err(Fault::new(FaultKind::Memory, why))
            }
        }
    }

    /// Lets go of models that nobody has used for long, or of all idle ones where memory is short.
    pub(super) fn sweep(&self, now: Instant, is_under_pressure: bool) {
        let unload_after = Duration::from_millis(self.setup.unload_after_ms);
        for kind in Kind::ALL {
            // Whoever works is not idle.
            let Ok(mut held) = self.place(kind).held.try_lock() else { continue };
            let age = held.as_ref().map(|held| now.saturating_duration_since(held.used_at));
            if age.is_some_and(|age| is_under_pressure || age >= unload_after) {
                tracing::info!(peer = kind.as_str(), "An idle model is let go.");
                self.empty(kind, &mut held);
            }
        }
    }

    fn empty(&self, kind: Kind, held: &mut MutexGuard<'_, Option<Held>>) {
        **held = None;
        *lock(&self.place(kind).known) = None;
    }

    /// What is loaded, without waiting for it.
    pub(super) fn loaded(&self) -> Vec<Loaded> {
        self.places.iter().filter_map(|place| lock(&place.known).clone()).collect()
    }

    fn place(&self, kind: Kind) -> &Place {
        &self.places[kind as usize]
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a model's files take once loaded: their sizes, and a part for what is computed with them. Folders are added up.
pub fn memory_estimate(path: &std::path::Path) -> u64 {
    let mut bytes = 0_u64;
    let mut open: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => bytes = bytes.saturating_add(found.len()),
            Ok(found) if found.is_dir() && open.len() < 64 => {
                let inside = std::fs::read_dir(&path).into_iter().flatten().flatten();
                open.extend(inside.take(64).map(|entry| entry.path()));
            }
            _ => {}
        }
    }
    const WORKING_BYTES: u64 = 64 * 1024 * 1024;
    bytes.saturating_add(bytes / 4).saturating_add(WORKING_BYTES)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use serde_json::json;

    use super::*;
    use crate::inference::worker::testing::{Parrots, model, setup};

    const MIB: u64 = 1024 * 1024;

    fn small_board() -> Memory {
        Memory { total: 4000 * MIB, available: 3000 * MIB }
    }

    fn rack() -> Rack {
        Rack::with_memory(Arc::new(Parrots::default()), setup(), small_board)
    }

    fn say(rack: &Rack, model: &ModelSpec, text: &str) -> Result<Value, Fault> {
        rack.run(&Job { model, job: &json!({"say": text}), audio: &Bytes::new() }, &mut |_| ControlFlow::Continue(()))
    }

    fn ids(rack: &Rack) -> Vec<String> {
        rack.loaded().into_iter().map(|loaded| loaded.id).collect()
    }

    #[test]
    fn models_are_loaded_on_first_use_and_share_the_memory_there_is() {
        let rack = rack();
        let small = ModelSpec { memory_bytes: 100 * MIB, ..model(Kind::Speech, "small") };
        let large = ModelSpec { memory_bytes: 1800 * MIB, ..model(Kind::Language, "large") };
        let larger = ModelSpec { memory_bytes: 2000 * MIB, ..model(Kind::Speech, "larger") };
        let huge = ModelSpec { memory_bytes: 9000 * MIB, ..model(Kind::Language, "huge") };
        assert!(ids(&rack).is_empty());
        say(&rack, &small, "a").expect("loaded");
        say(&rack, &large, "a").expect("loaded beside it");
        assert_eq!(ids(&rack), ["small", "large"]);
        say(&rack, &larger, "a").expect("loaded instead of both");
        assert_eq!(ids(&rack), ["larger"]);
        let fault = say(&rack, &huge, "a").expect_err("it never fits");
        assert_eq!(
            (fault.kind, fault.why.as_str()),
            (FaultKind::Memory, "huge needs 9000 MiB of memory and 4808 MiB are free; a smaller model may fit")
        );
        assert_eq!(ids(&rack), ["larger"], "nothing was evicted in vain");
    }

    #[test]
    fn idle_models_go_by_age_and_at_once_under_pressure() {
        let rack = rack();
        let now = Instant::now();
        say(&rack, &model(Kind::Speech, "a"), "x").expect("loaded");
        rack.sweep(now, false);
        assert_eq!(ids(&rack), ["a"]);
        rack.sweep(now + Duration::from_secs(3600), false);
        assert!(ids(&rack).is_empty());
        say(&rack, &model(Kind::Speech, "a"), "x").expect("loaded again");
        rack.sweep(now, true);
        assert!(ids(&rack).is_empty());
    }

    #[test]
    fn a_model_that_panics_is_replaced_and_one_that_cannot_be_loaded_is_a_fault() {
        let rack = rack();
        let parrot = model(Kind::Language, "parrot");
        assert_eq!(say(&rack, &parrot, "panic!").expect_err("a panic").kind, FaultKind::Broken);
        assert!(ids(&rack).is_empty());
        assert_eq!(say(&rack, &parrot, "hello").expect("alive again")["text"], "hello");
        assert_eq!(say(&rack, &model(Kind::Language, "missing"), "x").expect_err("no file").kind, FaultKind::Model);
    }

    #[test]
    fn what_a_model_needs_is_guessed_from_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("weights"), vec![0; 4096]).expect("a file");
        assert_eq!(memory_estimate(folder.path()), 4096 + 1024 + 64 * MIB);
        assert_eq!(memory_estimate(&folder.path().join("none")), 64 * MIB);
    }
}
