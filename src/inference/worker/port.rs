//! What the worker needs from models: to be loaded, to do a job, to be let go.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde_json::Value;

use crate::inference::worker::message::{Fault, ModelSpec, Setup};

/// Takes a piece of a result; when it breaks, nobody listens any more.
pub type Hear<'a> = &'a mut (dyn FnMut(Value) -> ControlFlow<()> + Send);

/// A loaded model. Both kinds look alike from here: a job and perhaps audio go in, pieces and a result come out, all of them
/// JSON whose meaning only the model and the typed handle at the other end know.
pub trait Mind: Send {
    /// Does one job; it ends early when `hear` breaks. A piece that is null is not sent and only asks whether to go on.
    fn run(&mut self, job: &Value, audio: &Bytes, hear: Hear<'_>) -> Result<Value, Fault>;
}

/// Where loaded models come from.
pub trait Minds: Send + Sync {
    /// Makes the device ready; the name of what will compute.
    fn prepare(&self, setup: &Setup) -> Result<String, Fault>;
    fn load(&self, model: &ModelSpec, setup: &Setup) -> Result<Box<dyn Mind>, Fault>;
}
