//! The handle that callers hold: ask a model, hear it, get its result. Where it computes is not their business.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use crate::base::shutdown::Shutdown;
use crate::inference::worker::hearing::Speech;
use crate::inference::worker::message::{Kind, ModelSpec};
use crate::inference::worker::port::Minds;
use crate::inference::worker::supervise::{EVENTS_LEN, Event, Request, Supervisor, TAKE_MAX};
use crate::inference::worker::talk::Talk;
use crate::inference::worker::{Config, EngineError, Status};

/// Requests on their way to the supervisor.
const REQUESTS_LEN: usize = 16;

/// Heavy models, wherever they run. Clones share them; the last one that is dropped ends the worker.
#[derive(Clone)]
pub struct Engines {
    requests: mpsc::Sender<Request>,
    left: Arc<Notify>,
    status: watch::Receiver<Status>,
}

/// Who hears pieces of type `P` as what they are to it.
#[derive(Clone, Debug)]
pub struct Listener<P, T> {
    pub sender: mpsc::Sender<T>,
    /// None for pieces that are nothing to it.
    pub choose: fn(P) -> Option<T>,
}

impl<P, T> Listener<P, T> {
    /// A listener that has left misses nothing: the result is kept.
    pub(super) async fn tell(&self, piece: P) {
        if let Some(chosen) = (self.choose)(piece) {
            let _ = self.sender.send(chosen).await;
        }
    }
}

/// Tells the supervisor that its caller has gone, whenever that is.
struct Listening {
    events: mpsc::Receiver<Event>,
    left: Arc<Notify>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.events.close();
        self.left.notify_one();
    }
}

impl Engines {
    /// Starts no worker yet. `minds` serve when models run in this process. Must be called inside a runtime.
    pub fn start(config: Config, minds: Arc<dyn Minds>, shutdown: Shutdown) -> Self {
        let (requests, receiver) = mpsc::channel(REQUESTS_LEN);
        let (sender, status) = watch::channel(Status::default());
        let left = Arc::new(Notify::new());
        let supervisor = Supervisor::new(config, minds, sender);
        tokio::spawn(supervisor.run(receiver, left.clone(), shutdown));
        Self { requests, left, status }
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The same as it changes.
    pub fn status_changes(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// This handle for speech models.
    pub fn speech(&self) -> Speech {
        Speech::new(self.clone())
    }

    /// The same handle for language models.
    pub fn talk(&self) -> Talk {
        Talk::new(self.clone())
    }

    /// Gives a model a job; pieces go to the listener as they come. Whoever drops this future has the job cancelled.
    pub async fn run<P: DeserializeOwned, T>(
        &self,
        model: ModelSpec,
        job: Value,
        audio: Bytes,
        listener: Listener<P, T>,
    ) -> Result<Value, EngineError> {
        let (sender, events) = mpsc::channel(EVENTS_LEN);
        let mut listening = Listening { events, left: self.left.clone() };
        let request = Request { model, job, audio, events: sender };
        match timeout(TAKE_MAX, self.requests.send(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(EngineError::Stopped),
            Err(_) => return Err(EngineError::Busy),
        }
        loop {
            match listening.events.recv().await {
                Some(Event::Piece(piece)) => {
                    // A piece of a newer worker than this gateway is no reason to lose the answer.
                    if let Ok(piece) = serde_json::from_value(piece) {
                        listener.tell(piece).await;
                    }
                }
                Some(Event::Done(result)) => return Ok(result),
                Some(Event::Failed(error)) => return Err(error),
                None => return Err(EngineError::Stopped),
            }
        }
    }
}

/// A model of `kind` with what its files make one expect of its memory.
pub fn model(kind: Kind, id: impl Into<String>, path: PathBuf) -> ModelSpec {
    let memory_bytes = crate::inference::worker::rack::memory_estimate(&path);
    ModelSpec { kind, id: id.into(), path, memory_bytes }
}
