//! Models played by parrots, for tests of everything around models.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::inference::device::Device;
use crate::inference::worker::message::{Fault, FaultKind, Kind, ModelSpec, Setup};
use crate::inference::worker::port::{Hear, Mind, Minds};

/// Says `say` again, word by word. `forever` never ends, `panic!` panics, `broken` fails.
#[derive(Clone, Default)]
pub struct Parrots {
    pub loads: Arc<AtomicU32>,
    /// Whether the device is there.
    pub unfit: bool,
    /// Whether every job fails as on a broken GPU.
    pub is_broken: bool,
}

struct Parrot {
    is_broken: bool,
}

impl Minds for Parrots {
    fn prepare(&self, _: &Setup) -> Result<String, Fault> {
        if self.unfit { Err(Fault::new(FaultKind::Broken, "no perch")) } else { Ok("a perch".to_owned()) }
    }

    fn load(&self, model: &ModelSpec, _: &Setup) -> Result<Box<dyn Mind>, Fault> {
        if model.id == "missing" {
            return Err(Fault::new(FaultKind::Model, "there is no such parrot"));
        }
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Parrot { is_broken: self.is_broken }))
    }
}

impl Mind for Parrot {
    fn run(&mut self, job: &Value, audio: &Bytes, hear: Hear<'_>) -> Result<Value, Fault> {
        let text = job["say"].as_str().unwrap_or_default();
        assert_ne!(text, "panic!", "as asked");
        if self.is_broken || text == "broken" {
            return Err(Fault::new(FaultKind::Broken, "the perch broke"));
        }
        if text == "forever" {
            while hear(json!("on and on")).is_continue() {}
        }
        for word in text.split(' ') {
            if hear(json!(word)).is_break() {
                break;
            }
        }
        Ok(json!({"text": text, "bytes": audio.len()}))
    }
}

pub fn model(kind: Kind, id: &str) -> ModelSpec {
    ModelSpec { kind, id: id.to_owned(), path: "/nowhere".into(), memory_bytes: 1024 }
}

pub fn setup() -> Setup {
    Setup { device: Device::Cpu, threads: 1, unload_after_ms: 600_000 }
}
