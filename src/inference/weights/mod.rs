//! Files of weights, each checked against its own size before anything is allocated: what every network here is read from.
//!
//! [`safetensors`] and [`gguf`] know their formats; [`Tensors`] is the one face of both for networks that take their numbers as
//! floats. Absent on purpose: what tensors mean, and any tensor library.

mod bytes;
#[cfg(test)]
mod fuzz;
pub mod gguf;
pub mod safetensors;

use std::path::{Path, PathBuf};

pub use bytes::Bytes;

use crate::inference::kernel::quant::Format;

use gguf::{Gguf, GgufError};
use safetensors::{Safetensors, SafetensorsError};

#[derive(Debug, thiserror::Error)]
pub enum TensorsError {
    #[error("could not use {path} as safetensors")]
    Safetensors { path: PathBuf, source: SafetensorsError },
    #[error("could not use {path} as GGUF")]
    Gguf { path: PathBuf, source: GgufError },
    #[error("{path} has no tensor {name}")]
    Missing { path: PathBuf, name: String },
    #[error("tensor {name} of {path} has the shape {found:?}, expected {wanted:?}")]
    Shape { path: PathBuf, name: String, found: Vec<usize>, wanted: Vec<usize> },
}

/// An open file of tensors, by name, in either format.
#[derive(Debug)]
pub struct Tensors {
    path: PathBuf,
    source: Source,
}

/// What the matrices of a file are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Floats of 32 bits, or some of them.
    Floats,
    /// Floats of 16 bits (`f16`) without exception.
    Halves,
    /// Some of them in blocks of few bits.
    Blocks,
}

#[derive(Debug)]
enum Source {
    Safetensors(Safetensors),
    Gguf(Gguf),
}

impl Tensors {
    /// Opens a file and checks what it says of itself: GGUF when it is called so, safetensors otherwise.
    pub fn open(path: &Path) -> Result<Self, TensorsError> {
        let source = if path.extension().is_some_and(|extension| extension == "gguf") {
            let gguf = |source| TensorsError::Gguf { path: path.to_owned(), source };
            Source::Gguf(Gguf::open(path).map_err(gguf)?)
        } else {
            let safetensors = |source| TensorsError::Safetensors { path: path.to_owned(), source };
            Source::Safetensors(Safetensors::open(path).map_err(safetensors)?)
        };
        Ok(Self { path: path.to_owned(), source })
    }

    /// What matrices are kept in, if it is the same for all of them.
    pub fn kept(&self) -> Kept {
        match &self.source {
            Source::Safetensors(tensors) if tensors.are_halves() => Kept::Halves,
            Source::Safetensors(_) => Kept::Floats,
            Source::Gguf(gguf) => {
                let mut matrices = gguf.tensors().map(|(_, tensor)| tensor).filter(|tensor| tensor.rows > 1);
                if gguf.tensors().any(|(_, tensor)| tensor.format.is_quantised()) {
                    Kept::Blocks
                } else if matrices.all(|tensor| tensor.format == Format::F16) {
                    Kept::Halves
                } else {
                    Kept::Floats
                }
            }
        }
    }

    /// The file behind it, when it is a GGUF file: for who multiplies blocks where they lie.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.source {
            Source::Safetensors(_) => None,
            Source::Gguf(gguf) => Some(gguf),
        }
    }

    /// Dimensions of a tensor, outermost first (which GGUF has the other way round).
    pub fn dims(&self, name: &str) -> Option<&[usize]> {
        match &self.source {
            Source::Safetensors(tensors) => tensors.dims(name),
            Source::Gguf(gguf) => gguf.tensor(name).map(|tensor| tensor.dims()),
        }
    }

    /// The numbers of a tensor as floats, the last dimension's neighbors side by side. It must have the shape `wanted`, outermost
    /// dimension first, in which a zero stands for any size.
    pub fn floats(&self, name: &str, wanted: &[usize]) -> Result<Vec<f32>, TensorsError> {
        let missing = || TensorsError::Missing { path: self.path.clone(), name: name.to_owned() };
        let found = self.dims(name).ok_or_else(missing)?;
        let fits = |(found, wanted): (&usize, &usize)| *wanted == 0 || found == wanted;
        if found.len() != wanted.len() || !found.iter().zip(wanted).all(fits) {
            return Err(TensorsError::Shape {
                path: self.path.clone(),
                name: name.to_owned(),
                found: found.to_vec(),
                wanted: wanted.to_vec(),
            });
        }
        match &self.source {
            Source::Safetensors(tensors) => tensors
                .floats(name)
                .ok_or_else(missing)?
                .map_err(|source| TensorsError::Safetensors { path: self.path.clone(), source }),
            Source::Gguf(gguf) => Ok(gguf.floats(gguf.tensor(name).ok_or_else(missing)?)),
        }
    }
}
