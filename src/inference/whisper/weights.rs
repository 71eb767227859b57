//! Weights by name, from Hugging Face's safetensors or from a GGUF file with the same names, quantised or not.

use std::path::{Path, PathBuf};

use crate::inference::weights::{Kept, Tensors};
use crate::inference::whisper::error::WhisperError;

/// What Hugging Face puts before the names of a model that has a head; some files leave it out.
const PREFIX: &str = "model.";

/// An open file of weights.
#[derive(Debug)]
pub struct Weights(Tensors);

impl Weights {
    /// Opens `name` in `folder`, or the one file of weights there is: safetensors first.
    pub fn open(folder: &Path, name: Option<&str>) -> Result<Self, WhisperError> {
        let path = match name {
            Some(name) => folder.join(name),
            None => find(folder)?,
        };
        Tensors::open(&path).map(Self).map_err(|source| WhisperError::Weights { source })
    }

    pub fn kept(&self) -> Kept {
        self.0.kept()
    }

    pub fn has(&self, name: &str) -> bool {
        self.full_name(name).is_some()
    }

    /// Numbers of the tensor `name`, which must have these dimensions, outermost first.
    pub fn floats(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WhisperError> {
        let full = self.full_name(name).unwrap_or_else(|| name.to_owned());
        self.0.floats(&full, dims).map_err(|source| WhisperError::Weights { source })
    }

    fn full_name(&self, name: &str) -> Option<String> {
        [format!("{PREFIX}{name}"), name.to_owned()].into_iter().find(|name| self.0.dims(name).is_some())
    }
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
