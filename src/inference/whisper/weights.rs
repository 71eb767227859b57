//! Weights by name, from Hugging Face's safetensors or from a GGUF file with the same names, quantised or not.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, QTensor};

use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::safetensors::Safetensors;

/// What Hugging Face puts before the names of a model that has a head; some files leave it out.
const PREFIX: &str = "model.";
/// Largest tensor that is believed, in numbers: several times the largest of the largest Whisper.
const TENSOR_LEN_MAX: usize = 1 << 30;

/// An open file of weights.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Safetensors(Safetensors),
    Gguf { file: File, content: Box<Content> },
}

impl Weights {
    /// Opens `name` in `folder`, or the one file of weights there is: safetensors first.
    pub fn open(folder: &Path, name: Option<&str>) -> Result<Self, WhisperError> {
        let path = match name {
            Some(name) => folder.join(name),
            None => find(folder)?,
        };
        let damaged = |fault| WhisperError::Weights { path: path.clone(), fault };
        let source = if path.extension().is_some_and(|extension| extension == "gguf") {
            open_gguf(&path)?
        } else {
            Source::Safetensors(Safetensors::open(&path).map_err(damaged)?)
        };
        Ok(Self { path, source })
    }

    /// Whether most numbers have fewer bits than a half float.
    pub fn is_quantized(&self) -> bool {
        match &self.source {
            Source::Safetensors(_) => false,
            Source::Gguf { content, .. } => content.tensor_infos.values().any(|info| is_quantized(info.ggml_dtype)),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.full_name(name).is_some()
    }

    /// Dimensions of a tensor, outermost first.
    pub fn dims(&self, name: &str) -> Option<Vec<usize>> {
        let name = self.full_name(name)?;
        match &self.source {
            Source::Safetensors(tensors) => tensors.dims(&name).map(<[usize]>::to_vec),
            Source::Gguf { content, .. } => content.tensor_infos.get(&name).map(|info| info.shape.dims().to_vec()),
        }
    }

    /// Numbers of the tensor `name`, which must have these dimensions, outermost first.
    pub fn floats(&mut self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WhisperError> {
        let name = self.checked_name(name, dims)?;
        if let Source::Safetensors(tensors) = &mut self.source {
            let path = &self.path;
            return tensors.floats(&name).map_err(|fault| WhisperError::Weights { path: path.clone(), fault });
        }
        let tensor = self.read_quantized(&name, &Device::Cpu)?;
        Ok(tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?)
    }

    fn read_quantized(&mut self, name: &str, device: &Device) -> Result<QTensor, WhisperError> {
        let path = &self.path;
        let damaged = |fault: String| WhisperError::Weights { path: path.clone(), fault };
        match &mut self.source {
            Source::Safetensors(_) => Err(damaged(format!("{name} is not quantised"))),
            Source::Gguf { file, content } => {
                content.tensor(file, name, device).map_err(|error| damaged(format!("{name}: {error}")))
            }
        }
    }

    fn full_name(&self, name: &str) -> Option<String> {
        let has = |name: &str| match &self.source {
            Source::Safetensors(tensors) => tensors.dims(name).is_some(),
            Source::Gguf { content, .. } => content.tensor_infos.contains_key(name),
        };
        [format!("{PREFIX}{name}"), name.to_owned()].into_iter().find(|name| has(name))
    }

    fn checked_name(&self, name: &str, dims: &[usize]) -> Result<String, WhisperError> {
        let damaged = |fault| WhisperError::Weights { path: self.path.clone(), fault };
        let full = self.full_name(name).ok_or_else(|| damaged(format!("{name} is missing")))?;
        let found = self.dims(name).unwrap_or_default();
        if found != dims {
            return Err(damaged(format!("{name} is {found:?} and should be {dims:?}")));
        }
        Ok(full)
    }
}

fn is_quantized(dtype: GgmlDType) -> bool {
    !matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16)
}

fn find(folder: &Path) -> Result<PathBuf, WhisperError> {
    let failed = |source| WhisperError::Read { path: folder.to_owned(), source };
    let usual = folder.join("model.safetensors");
    if usual.exists() {
        return Ok(usual);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    let mut paths: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "gguf")).collect();
    paths.sort_unstable();
    paths.into_iter().next().ok_or_else(|| WhisperError::NoWeights { folder: folder.to_owned() })
}

fn open_gguf(path: &Path) -> Result<Source, WhisperError> {
    let mut file = File::open(path).map_err(|source| WhisperError::Read { path: path.to_owned(), source })?;
    let damaged = |fault| WhisperError::Weights { path: path.to_owned(), fault };
    let content = Content::read(&mut file).map_err(|error| damaged(error.to_string()))?;
    for (name, info) in &content.tensor_infos {
        let count = info.shape.dims().iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
        if count.is_none_or(|count| count > TENSOR_LEN_MAX) {
            return Err(damaged(format!("{name} claims {:?}", info.shape.dims())));
        }
    }
    Ok(Source::Gguf { file, content: Box::new(content) })
}
