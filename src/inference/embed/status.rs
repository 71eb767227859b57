//! What the embedder says about itself, written by its thread, read by anybody.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::error::EmbedError;
use crate::base::clock::Timestamp;
use crate::base::error::chain;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody asked yet, or not for long; the next request loads the model.
    Resting,
    Ready,
    /// The library or the model is not there.
    Unavailable,
    /// The model is there and does not load.
    Broken,
}

/// Facts of a loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// `onnxruntime` or `candle`.
    pub engine: &'static str,
    /// `cpu`, `cuda` or `tensorrt`.
    pub provider: &'static str,
    pub library: Option<PathBuf>,
    pub dims: usize,
    pub threads: usize,
    pub load_ms: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub id: String,
    pub state: State,
    /// Of the model that is loaded.
    pub loaded: Option<Facts>,
    /// Why there are none, with what to install.
    pub reason: Option<String>,
    pub loads: u64,
    pub texts: u64,
    pub tokens: u64,
    /// Time spent computing.
    pub busy_ms: u64,
}

/// The status, and what decides when memory is given back.
pub(super) struct Board(Mutex<Written>);

struct Written {
    status: Status,
    used_at: Timestamp,
    /// Memory was given back since.
    is_trimmed: bool,
}

impl Board {
    pub(super) fn new(id: String) -> Self {
        let status =
            Status { id, state: State::Resting, loaded: None, reason: None, loads: 0, texts: 0, tokens: 0, busy_ms: 0 };
        Self(Mutex::new(Written { status, used_at: Timestamp::default(), is_trimmed: true }))
    }

    pub(super) fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// When the model was last used, while one is loaded.
    pub(super) fn used_at(&self) -> Option<Timestamp> {
        let written = self.lock();
        (written.status.state == State::Ready).then_some(written.used_at)
    }

    pub(super) fn used(&self, now: Timestamp) {
        let mut written = self.lock();
        (written.used_at, written.is_trimmed) = (now, false);
    }

    /// Whether the model was not used for `quiet` and still holds what runs needed.
    pub(super) fn is_quiet(&self, now: Timestamp, quiet: Duration) -> bool {
        let written = self.lock();
        written.status.state == State::Ready && !written.is_trimmed && now.since(written.used_at) >= quiet
    }

    pub(super) fn is_trimmed(&self) -> bool {
        self.lock().is_trimmed
    }

    pub(super) fn trimmed(&self) {
        self.lock().is_trimmed = true;
    }

    pub(super) fn loaded(&self, facts: Facts) {
        let status = &mut self.lock().status;
        (status.state, status.loaded, status.reason) = (State::Ready, Some(facts), None);
        status.loads += 1;
    }

    pub(super) fn unloaded(&self) {
        let status = &mut self.lock().status;
        (status.state, status.loaded) = (State::Resting, None);
    }

    pub(super) fn failed(&self, error: &EmbedError) {
        let status = &mut self.lock().status;
        status.state = if error.is_unavailable() { State::Unavailable } else { State::Broken };
        (status.loaded, status.reason) = (None, Some(chain(error)));
    }

    pub(super) fn computed(&self, texts: usize, tokens: usize, elapsed: Duration) {
        let status = &mut self.lock().status;
        status.texts += texts as u64;
        status.tokens += tokens as u64;
        status.busy_ms += elapsed.as_millis() as u64;
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
