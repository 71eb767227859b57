//! The models there really are: Whisper for speech, GGUF files for language.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde_json::Value;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::inference::device::Device;
use crate::inference::language::{self, Generator, LanguageError, Piece, Request};
use crate::inference::worker::hearing::Ear;
use crate::inference::worker::message::{Fault, FaultKind, Kind, ModelSpec, Setup};
use crate::inference::worker::port::{Hear, Mind, Minds};

pub struct Loader {
    clock: Clock,
}

impl Loader {
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl Minds for Loader {
    fn prepare(&self, setup: &Setup) -> Result<String, Fault> {
        let opened = setup.device.open().map_err(|error| Fault::new(FaultKind::Broken, chain(&error)))?;
        Ok(if opened.is_cpu() { Device::Cpu.to_string() } else { setup.device.to_string() })
    }

    fn load(&self, model: &ModelSpec, setup: &Setup) -> Result<Box<dyn Mind>, Fault> {
        match model.kind {
            Kind::Speech => Ok(Box::new(Ear::load(model, setup)?)),
            Kind::Language => {
                let config = language::Config {
                    path: model.path.clone(),
                    device: setup.device,
                    threads: (setup.threads > 0).then_some(setup.threads),
                    ..language::Config::default()
                };
                let generator = Generator::load(&config, self.clock.clone());
                Ok(Box::new(Tongue { generator: generator.map_err(|error| fault(&error))? }))
            }
        }
    }
}

struct Tongue {
    generator: Generator,
}

impl Mind for Tongue {
    fn run(&mut self, job: &Value, _: &Bytes, hear: Hear<'_>) -> Result<Value, Fault> {
        let unread =
            |error: serde_json::Error| Fault::new(FaultKind::Input, format!("the request is not understood: {error}"));
        let request: Request = serde_json::from_value(job.clone()).map_err(unread)?;
        let mut pass_on = |piece: Piece| match serde_json::to_value(&piece) {
            Ok(piece) => hear(piece),
            Err(_) => ControlFlow::Continue(()),
        };
        let completion = self.generator.generate(&request, &mut pass_on).map_err(|error| fault(&error))?;
        serde_json::to_value(&completion).map_err(unread)
    }
}

fn fault(error: &LanguageError) -> Fault {
    let kind = match error {
        LanguageError::Prompt(_) => FaultKind::Input,
        LanguageError::Memory { .. } => FaultKind::Memory,
        LanguageError::Threads(_) | LanguageError::Device(_) | LanguageError::Compute(_) => FaultKind::Broken,
        _ => FaultKind::Model,
    };
    Fault::new(kind, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_the_device_says_so() {
        let setup = |device| Setup { device, threads: 1, unload_after_ms: 1_000 };
        let loader = Loader::new(Clock::System);
        assert_eq!(loader.prepare(&setup(Device::Cpu)), Ok("cpu".to_owned()));
        let refused = loader.prepare(&setup(Device::Cuda(99))).expect_err("nobody has so many").why;
        assert!(cfg!(feature = "cuda") || refused.starts_with("the device cuda:99 is not built in"), "{refused}");
    }
}
