//! Which network is loaded and what computes it: ONNX Runtime where it is, candle where its weights are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bert::Bert;
use super::description::Description;
use super::error::{EmbedError, LoadError};
use super::network::Network;
use super::session::{OnnxNetwork, Provider};
use super::{Config, Engines};
use crate::base::error::chain;
use crate::inference::device::Device;
use crate::inference::onnx::{self, OnnxError, Runtime};

/// Names of an ONNX file in a model's folder, best first.
const ONNX_FILES: [&str; 6] = [
    "model.onnx",
    "model_int8.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
    "onnx/model_int8.onnx",
    "onnx/model.onnx",
];
const SAFETENSORS_FILE: &str = "model.safetensors";

/// What will be loaded.
pub(super) enum Choice {
    Onnx { runtime: Arc<Runtime>, file: PathBuf },
    Candle { file: PathBuf },
}

/// The file whose weights decide the vectors, for the model's fingerprint; whether its library is here does not matter.
pub(super) fn weights_file(config: &Config) -> Option<PathBuf> {
    onnx_file(config).or_else(|| safetensors_file(config))
}

/// Chooses by what is configured and what is here.
pub(super) fn choose(config: &Config) -> Result<Choice, EmbedError> {
    let onnx = if config.engines == Engines::Candle { None } else { onnx_file(config) };
    let candle = if config.engines == Engines::Onnx { None } else { safetensors_file(config) };
    let runtime = match (&onnx, &candle) {
        (None, None) => return Err(missing_model(config)),
        (None, Some(_)) => Err(OnnxError::Missing { places: 0 }),
        (Some(_), _) => onnx::runtime(&config.libraries),
    };
    match (onnx, candle, runtime) {
        (Some(file), _, Ok(runtime)) => Ok(Choice::Onnx { runtime, file }),
        (_, Some(file), _) => Ok(Choice::Candle { file }),
        (_, None, Err(OnnxError::Missing { .. })) => Err(EmbedError::Unavailable {
            missing: "ONNX Runtime (libonnxruntime.so)".to_owned(),
            install: "run `kafclaw models install onnxruntime`, or let ORT_DYLIB_PATH name the file".to_owned(),
        }),
        (_, None, Err(error)) => {
            Err(EmbedError::Load { id: config.id.clone(), source: Arc::new(LoadError::Runtime(error)) })
        }
        (None, None, Ok(_)) => Err(missing_model(config)),
    }
}

pub(super) fn missing_model(config: &Config) -> EmbedError {
    EmbedError::Unavailable {
        missing: format!("model {} in {}", config.id, config.folder.display()),
        install: format!("run `kafclaw models install {}`", config.id),
    }
}

impl Choice {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Onnx { .. } => "onnxruntime",
            Self::Candle { .. } => "candle",
        }
    }

    pub(super) fn library(&self) -> Option<PathBuf> {
        match self {
            Self::Onnx { runtime, .. } => Some(runtime.library.clone()),
            Self::Candle { .. } => None,
        }
    }

    /// Loads the network; also says what computes it.
    pub(super) fn open(
        &self,
        config: &Config,
        description: &Description,
    ) -> Result<(Network, &'static str), LoadError> {
        match self {
            Self::Onnx { runtime, file } => open_onnx(runtime, file, config, description.dims()),
            Self::Candle { file } => {
                let (device, name) = opened(config.device);
                Ok((Network::Bert(Bert::load(file, &description.shape, device)?), name))
            }
        }
    }
}

/// Tries providers in their order; a GPU that fails leaves the work to the processor.
fn open_onnx(
    runtime: &Runtime,
    file: &Path,
    config: &Config,
    dims: usize,
) -> Result<(Network, &'static str), LoadError> {
    let threads = config.threads();
    for (provider, name) in providers(config, runtime.has_cuda, runtime.has_tensorrt) {
        match OnnxNetwork::load(runtime, file, dims, (provider, threads)) {
            Ok(network) => return Ok((Network::Onnx(network), name)),
            Err(error) => tracing::warn!(error = chain(&error), "Embeddings cannot be computed on the GPU."),
        }
    }
    OnnxNetwork::load(runtime, file, dims, (Provider::Cpu, threads)).map(|network| (Network::Onnx(network), "cpu"))
}

/// GPU providers worth a try, best first. TensorRT only by name: it compiles for minutes before its first answer.
fn providers(config: &Config, has_cuda: bool, has_tensor_rt: bool) -> Vec<(Provider, &'static str)> {
    let number = match config.device {
        Device::Cpu => return Vec::new(),
        Device::Auto => 0,
        Device::Cuda(number) => number,
    };
    let tensor_rt = (has_tensor_rt && config.tensor_rt).then_some((Provider::TensorRt(number), "tensorrt"));
    let cuda = has_cuda.then_some((Provider::Cuda(number), "cuda"));
    tensor_rt.into_iter().chain(cuda).collect()
}

/// The device of the candle network; the processor when the one that is wanted is not there.
fn opened(device: Device) -> (candle_core::Device, &'static str) {
    match device.open() {
        Ok(device) if device.is_cuda() => (device, "cuda"),
        Ok(device) => (device, "cpu"),
        Err(error) => {
            tracing::warn!(error = chain(&error), "Embeddings cannot be computed on the GPU.");
            (candle_core::Device::Cpu, "cpu")
        }
    }
}

fn onnx_file(config: &Config) -> Option<PathBuf> {
    match &config.file {
        Some(file) => Some(config.folder.join(file)).filter(|path| is(path, "onnx")),
        None => ONNX_FILES.iter().map(|name| config.folder.join(name)).find(|path| path.is_file()),
    }
}

fn safetensors_file(config: &Config) -> Option<PathBuf> {
    let named = config.file.as_ref().map(|file| config.folder.join(file)).filter(|path| is(path, "safetensors"));
    named.or_else(|| Some(config.folder.join(SAFETENSORS_FILE)).filter(|path| path.is_file()))
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension) && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_that_was_chosen_computes() {
        let names = |device: &str, tensor_rt, has_cuda| {
            let config = Config { device: device.parse().expect("a device"), tensor_rt, ..Config::default() };
            providers(&config, has_cuda, true)
        };
        assert_eq!(names("cpu", true, true), []);
        assert_eq!(names("auto", false, true), [(Provider::Cuda(0), "cuda")]);
        assert_eq!(names("cuda:2", false, true), [(Provider::Cuda(2), "cuda")]);
        assert_eq!(names("cuda:1", true, true), [(Provider::TensorRt(1), "tensorrt"), (Provider::Cuda(1), "cuda")]);
        assert_eq!(names("auto", false, false), []);
        // A GPU that is not there leaves the work to the processor.
        assert_eq!(opened(Device::Cuda(7)).1, "cpu");
        assert_eq!(opened(Device::Cpu).1, "cpu");
    }
}
