//! Finding the model that somebody means, on a thread that may wait for the disk.

use std::path::PathBuf;

use crate::api::port::{Reason, Refusal};
use crate::base::lane::Lane;
use crate::inference::onnx;
use crate::inference::speech::Detector;
use crate::inference::worker::{Kind, ModelSpec};
use crate::models::{Installed, Memory, Store, StoreError, Task, usual};

/// What OpenAI calls its own; clients send it when they are told nothing else.
const ANY_SPEECH_MODEL: &str = "whisper-1";
const MIB: u64 = 1024 * 1024;

#[derive(Clone)]
pub(super) struct Shelf {
    pub store: Lane<Store>,
    /// The models that are meant when none is named; blank leaves it to the machine.
    pub speech: String,
    pub language: String,
    /// Where ONNX Runtime was said to be, if anywhere.
    pub runtime: Option<PathBuf>,
}

impl Shelf {
    /// The model called `name`, or the usual one of its kind.
    pub(super) async fn find(&self, kind: Kind, name: &str) -> Result<ModelSpec, Refusal> {
        let usual = match kind {
            Kind::Speech => self.speech.clone(),
            Kind::Language => self.language.clone(),
        };
        let name = if name == ANY_SPEECH_MODEL { String::new() } else { name.to_owned() };
        let found = self.store.call(move |store| choose(store, kind, &name, &usual)).await;
        let busy = |_| Refusal::new(Reason::Busy, "too many requests look for a model");
        spec(kind, found.map_err(busy)??)
    }

    /// What finds speech before a model hears it.
    pub(super) async fn detector(&self) -> Result<Detector, Refusal> {
        let runtime = self.runtime.clone();
        let found = self.store.call(move |store| detector(store, runtime)).await;
        found.map_err(|_| Refusal::new(Reason::Busy, "too many requests look for a model"))
    }

    /// Ids of what is installed, as the doors call it.
    pub(super) async fn ids(&self) -> Vec<String> {
        let installed = |store: &mut Store| {
            let entries = store.manifest().entries().iter();
            let known = entries.filter(|entry| matches!(entry.task, Task::Speech | Task::Language));
            known
                .filter(|entry| store.locate(&entry.id).is_ok())
                .map(|entry| match entry.task {
                    Task::Language => format!("local/{}", entry.id),
                    _ => entry.id.clone(),
                })
                .collect()
        };
        self.store.call(installed).await.unwrap_or_default()
    }
}

/// Silero's where it and ONNX Runtime are installed, else the one that needs no model. `runtime` is where one's own library lies.
pub(crate) fn detector(store: &Store, runtime: Option<PathBuf>) -> Detector {
    let Some(model) = store.installed(Task::Vad).find_map(|installed| installed.file_like(".onnx")) else {
        return Detector::Energy;
    };
    Detector::Silero { model, runtime: onnx::places(&store.runtimes(runtime), std::env::var_os("ORT_DYLIB_PATH")) }
}

const fn task(kind: Kind) -> Task {
    match kind {
        Kind::Speech => Task::Speech,
        Kind::Language => Task::Language,
    }
}

fn choose(store: &Store, kind: Kind, name: &str, wanted: &str) -> Result<Installed, Refusal> {
    let task = task(kind);
    if !name.is_empty() {
        let found = store.locate(name).map_err(|error| missing(&error))?;
        return if found.entry.task == task {
            Ok(found)
        } else {
            Err(Refusal::new(Reason::NoModel, format!("`{}` is no {} model", found.id, kind.as_str())))
        };
    }
    let usual = usual(store.manifest(), task, Memory::of_machine()).map(|entry| entry.id.as_str());
    let others = store.manifest().entries().iter().filter(|entry| entry.task == task).map(|entry| entry.id.as_str());
    let mut names = Some(wanted).filter(|name| !name.is_empty()).into_iter().chain(usual).chain(others);
    names.find_map(|name| store.locate(name).ok().filter(|found| found.entry.task == task)).ok_or_else(|| {
        let sentence = format!(
            "no {} model is installed; `kafclaw models list` shows them, `kafclaw models install ID` gets one",
            kind.as_str()
        );
        Refusal::new(Reason::NoModel, sentence)
    })
}

fn missing(error: &StoreError) -> Refusal {
    Refusal::new(Reason::NoModel, crate::base::error::chain(error))
}

fn spec(kind: Kind, found: Installed) -> Result<ModelSpec, Refusal> {
    let path = match kind {
        Kind::Speech => found.folder.clone(),
        Kind::Language => found.file_like(".gguf").ok_or_else(|| {
            Refusal::new(Reason::NoModel, format!("`{}` has no file of a kind that can be run here", found.id))
        })?,
    };
    Ok(ModelSpec { kind, memory_bytes: found.entry.memory_mib * MIB, id: found.id, path })
}
