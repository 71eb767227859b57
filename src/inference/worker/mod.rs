//! Heavy models (speech, language) behind one handle: in a worker process that may die without the home noticing, or in this
//! process.
//!
//! [`Engines`] is the handle. A supervisor starts `kafclaw worker` on demand, gives it jobs over a socket pair, stops it when it
//! idles (the memory really comes back), and starts it again after a crash, later each time. `state` decides, `supervise` does,
//! `serve` is the other end of the socket. A thread of this process takes the worker's place where there is no program to
//! start, with the same protocol over the same kind of socket; so there is one way of doing everything.
//!
//! Absent on purpose: what models are (`Minds` loads them), where they come from, and any retry of work that killed a worker.

mod budget;
mod engines;
mod frame;
mod hearing;
mod line;
mod loader;
mod message;
mod port;
mod rack;
mod serve;
mod start;
mod state;
mod supervise;
mod talk;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Serialize;

use crate::inference::device::{self, Probe};

pub use crate::inference::device::Device;
pub use engines::{Engines, Listener, model};
pub use hearing::{Hearing, Recording, Speech};
pub use loader::Loader;
pub use message::{Fault, FaultKind, Kind, Loaded, ModelSpec, Setup};
pub use port::{Mind, Minds};
pub use serve::{ServeError, serve};
pub use state::Patience;
pub use talk::Talk;

/// The program that computes on GPUs, where it was installed.
pub const GPU_WORKER: &str = "/usr/lib/kafclaw/worker-cuda";

/// Where models run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In this process, on threads.
    Here,
    /// In a process of their own.
    Process {
        cpu: PathBuf,
        /// A build with the `cuda` feature; where there is no such file the GPU is left alone.
        gpu: PathBuf,
    },
}

#[derive(Clone, Debug)]
pub struct Config {
    pub place: Place,
    pub device: Device,
    /// Whether a GPU's driver is there; asked before its worker is started.
    pub probe: Probe,
    /// Threads that compute; 0 takes one per core.
    pub threads: usize,
    pub patience: Patience,
    /// Further arguments of `kafclaw worker`.
    pub arguments: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // As it was when this process started, also when a newer one has been installed since.
            place: Place::Process { cpu: "/proc/self/exe".into(), gpu: GPU_WORKER.into() },
            device: Device::Auto,
            probe: device::probe,
            threads: 0,
            patience: Patience::default(),
            arguments: Vec::new(),
        }
    }
}

/// How it is with models, for people.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Status {
    /// Where they run at the moment; none while nothing is loaded.
    pub place: Option<&'static str>,
    pub pid: Option<u32>,
    pub device: Option<String>,
    pub loaded: Vec<Loaded>,
    pub resident_bytes: u64,
    pub waiting: usize,
    pub running: usize,
    /// Workers that fell.
    pub restarts: u64,
    /// How the last worker ended.
    pub last_end: String,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Fault(Fault),
    #[error("the worker fell before it was done: {end}")]
    Crashed { end: String },
    #[error("no worker can be started: {why}")]
    Unavailable { why: String },
    #[error("the request could not be handed to the worker: {why}")]
    Unsent { why: String },
    #[error("too many requests wait for a model")]
    Busy,
    #[error("the answer was not taken fast enough")]
    Slow,
    #[error("models are switched off; the house is going down")]
    Stopped,
    #[error("the worker's answer is not understood: {why}")]
    Garbled { why: String },
}
