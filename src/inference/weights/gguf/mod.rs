//! GGUF files: what a model says of itself, and where its weights lie in the file.
//!
//! Format: `docs/gguf.md` of ggml, versions 2 and 3, little endian. The file is mapped, not read: weights are used where they lie,
//! so that loading costs nothing and the kernel may drop what is not in use. Every length is checked against the file before
//! anything is allocated for it; arrays stay in the file and are walked when they are asked for.

mod cursor;
mod tensor;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashMap;
use std::path::Path;

pub use tensor::Tensor;
pub use value::Value;

use crate::inference::kernel::quant::Matrix;
use crate::inference::weights::Bytes;

use cursor::Cursor;

/// Entries that describe a model; real ones have a few dozen.
const ENTRIES_MAX: u64 = 16_384;
/// Tensors of a model; real ones of our size have a few hundred.
const TENSORS_MAX: u64 = 16_384;
/// Elements of one array; the largest vocabularies have 262,144 tokens and twice as many merges.
const ELEMENTS_MAX: u64 = 4_000_000;
/// Longest key or tensor name in bytes (ggml allows 64 for tensors, 65,535 for keys).
const NAME_BYTES_MAX: usize = 1_024;
const ALIGNMENT: u64 = 32;

#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("could not open {path}")]
    Open { path: String, source: std::io::Error },
    #[error("this is no GGUF file")]
    Magic,
    #[error("GGUF version {0} is not understood; 2 and 3 are")]
    Version(u32),
    #[error("the file ends within {0}")]
    Truncated(&'static str),
    #[error("the file claims {count} {what}; at most {max} are accepted")]
    TooMany { what: &'static str, count: u64, max: u64 },
    #[error("{0} is not valid UTF-8 or too long")]
    Name(&'static str),
    #[error("the value of {key} has the unknown type {kind}")]
    ValueType { key: String, kind: u32 },
    #[error("tensor {name} has type {kind}, which is not supported")]
    TensorType { name: String, kind: u32 },
    #[error("tensor {name} {wrong}")]
    Tensor { name: String, wrong: &'static str },
    #[error("the alignment {0} is no power of two up to 64 KiB")]
    Alignment(u64),
    #[error("{0} is said twice")]
    Twice(String),
}

/// An opened model file.
#[derive(Debug)]
pub struct Gguf {
    bytes: Bytes,
    values: HashMap<String, Value>,
    tensors: HashMap<String, Tensor>,
}

impl Gguf {
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let bytes = Bytes::map(path).map_err(|source| GgufError::Open { path: path.display().to_string(), source })?;
        Self::read(bytes)
    }

    pub fn read(bytes: Bytes) -> Result<Self, GgufError> {
        let (values, tensors) = parse(bytes.as_slice())?;
        Ok(Self { bytes, values, tensors })
    }

    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A whole number that is not negative, however it is stored.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.value(key)?.as_count()
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        self.value(key)?.as_number()
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            other => other.as_count().map(|count| count != 0),
        }
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The strings of an array; what is not UTF-8 in it is replaced by `U+FFFD`.
    pub fn texts(&self, key: &str) -> Option<impl ExactSizeIterator<Item = std::borrow::Cow<'_, str>>> {
        self.value(key)?.texts(self.bytes.as_slice())
    }

    /// The numbers of an array.
    pub fn numbers(&self, key: &str) -> Option<impl ExactSizeIterator<Item = f64>> {
        self.value(key)?.numbers(self.bytes.as_slice())
    }

    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// All tensors with their names, in no order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensor's weights, in ggml's layout.
    pub fn data(&self, tensor: &Tensor) -> &[u8] {
        &self.bytes.as_slice()[tensor.range()]
    }

    /// The tensor's weights as floats, row by row.
    pub fn floats(&self, tensor: &Tensor) -> Vec<f32> {
        let matrix = Matrix::new(tensor.format, tensor.columns, tensor.rows, self.data(tensor))
            .expect("invariant: tensors were measured when the file was read");
        let mut floats = vec![0.0; tensor.columns * tensor.rows];
        for (row, floats) in floats.chunks_exact_mut(tensor.columns).enumerate() {
            matrix.read_row(row, floats);
        }
        floats
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.range().len() as u64).sum()
    }
}

type Parts = (HashMap<String, Value>, HashMap<String, Tensor>);

fn parse(bytes: &[u8]) -> Result<Parts, GgufError> {
    let mut cursor = Cursor::new(bytes);
    if cursor.take(4, "its magic")? != b"GGUF" {
        return Err(GgufError::Magic);
    }
    let version = cursor.u32("its version")?;
    if version != 2 && version != 3 {
        return Err(GgufError::Version(version));
    }
    let tensor_count = bounded(cursor.u64("its counts")?, "tensors", TENSORS_MAX)?;
    let entry_count = bounded(cursor.u64("its counts")?, "entries", ENTRIES_MAX)?;
    let mut values = HashMap::new();
    for _ in 0..entry_count {
        let key = cursor.name("a key")?;
        let value = Value::read(&mut cursor, &key)?;
        if values.insert(key.clone(), value).is_some() {
            return Err(GgufError::Twice(key));
        }
    }
    let mut heads = Vec::new();
    for _ in 0..tensor_count {
        heads.push(tensor::Head::read(&mut cursor)?);
    }
    let alignment = values.get("general.alignment").and_then(Value::as_count).unwrap_or(ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > 65_536 {
        return Err(GgufError::Alignment(alignment));
    }
    let data_start = (cursor.position() as u64).next_multiple_of(alignment);
    let mut tensors = HashMap::new();
    for head in heads {
        let name = head.name.clone();
        if tensors.insert(name.clone(), head.place(data_start, bytes.len() as u64)?).is_some() {
            return Err(GgufError::Twice(name));
        }
    }
    Ok((values, tensors))
}

fn bounded(count: u64, what: &'static str, max: u64) -> Result<u64, GgufError> {
    if count > max { Err(GgufError::TooMany { what, count, max }) } else { Ok(count) }
}
