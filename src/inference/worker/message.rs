//! What gateway and worker say to each other: orders one way, reports the other way.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inference::device::Device;

/// Counts the changes of what is said. A worker of another build refuses to work for a gateway that speaks differently.
pub const PROTOCOL: u32 = 1;

/// Which kind of model: one of each may be loaded at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Speech,
    Language,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Speech, Self::Language];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::Language => "language",
        }
    }
}

/// Which model is wanted, and from where it is loaded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelSpec {
    pub kind: Kind,
    /// As people call it.
    pub id: String,
    /// Folder of a speech model, file of a language model.
    pub path: PathBuf,
    /// Of memory that it needs once loaded, estimated.
    pub memory_bytes: u64,
}

/// What a worker is told at its start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setup {
    pub device: Device,
    /// Threads that compute; 0 takes one per core.
    pub threads: usize,
    /// A model that nobody has used for so long is let go.
    pub unload_after_ms: u64,
}

/// From the gateway to the worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// First of all.
    Hello {
        protocol: u32,
        version: String,
        setup: Setup,
    },
    /// The payload is the audio, where there is one.
    Run {
        id: u64,
        model: ModelSpec,
        job: Value,
    },
    Cancel {
        id: u64,
    },
    Ping,
}

/// From the worker to the gateway.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// Ready, on this device.
    Welcome {
        protocol: u32,
        version: String,
        device: String,
    },
    /// This worker cannot work here, and will not another time.
    Unfit {
        why: String,
    },
    Piece {
        id: u64,
        piece: Value,
    },
    Done {
        id: u64,
        result: Value,
    },
    Failed {
        id: u64,
        fault: Fault,
    },
    Pong {
        loaded: Vec<Loaded>,
        resident_bytes: u64,
    },
}

/// A model in memory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Loaded {
    pub kind: Kind,
    pub id: String,
    pub memory_bytes: u64,
}

/// Why a job has no result, in words for whoever asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{why}")]
pub struct Fault {
    pub kind: FaultKind,
    pub why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// What was asked cannot be done, here or elsewhere.
    Input,
    /// The model cannot be loaded from its files.
    Model,
    /// There is too little memory for the model.
    Memory,
    /// Whoever asked has left.
    Cancelled,
    Busy,
    /// The machinery failed; on a GPU the CPU may still have an answer.
    Broken,
}

impl Fault {
    pub fn new(kind: FaultKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }
}
