//! The container of Hugging Face's weights: a JSON header that says where each tensor lies, then the numbers.
//!
//! Tensors are read one at a time, so that a model is never in memory twice. Every length is checked against the file before
//! anything is allocated by it. Format: <https://github.com/huggingface/safetensors#format>.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use half::{bf16, f16};
use serde::Deserialize;

/// The format's own bound on its header.
const HEADER_BYTES_MAX: u64 = 100_000_000;
const DIMENSIONS_MAX: usize = 8;

/// An open file and the places of its tensors.
#[derive(Debug)]
pub struct Safetensors {
    file: File,
    /// Where the numbers begin.
    start: u64,
    places: HashMap<String, Place>,
}

/// Where a tensor lies and what it is.
#[derive(Debug, Clone, Deserialize)]
struct Place {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl Place {
    /// Bytes per number; none for kinds that weights are not kept in.
    fn number_bytes(&self) -> Option<u64> {
        match self.dtype.as_str() {
            "F32" => Some(4),
            "F16" | "BF16" => Some(2),
            _ => None,
        }
    }
}

impl Safetensors {
    /// Reads the header. The error is a sentence's end: what is wrong with the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let total = file.metadata().map_err(|error| error.to_string())?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| "it ends within its first 8 bytes".to_owned())?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES_MAX || length > total.saturating_sub(8) {
            return Err(format!("its header would have {length} bytes and the file has {total}"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|error| error.to_string())?;
        let values: HashMap<String, serde_json::Value> =
            serde_json::from_slice(&header).map_err(|error| format!("its header is no JSON object: {error}"))?;
        let start = 8 + length;
        let mut places = HashMap::with_capacity(values.len());
        for (name, value) in values.into_iter().filter(|(name, _)| name != "__metadata__") {
            let place: Place =
                serde_json::from_value(value).map_err(|error| format!("the entry of {name}: {error}"))?;
            check(&name, &place, total - start)?;
            places.insert(name, place);
        }
        Ok(Self { file, start, places })
    }

    /// Dimensions of a tensor.
    pub fn dims(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|place| place.shape.as_slice())
    }

    /// All numbers of a tensor.
    pub fn floats(&mut self, name: &str) -> Result<Vec<f32>, String> {
        let place = self.places.get(name).ok_or_else(|| format!("{name} is missing"))?;
        let (from, to) = place.data_offsets;
        let mut bytes = vec![0; (to - from) as usize];
        let read = self.file.seek(SeekFrom::Start(self.start + from)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| format!("{name} could not be read: {error}"))?;
        Ok(match place.dtype.as_str() {
            "F32" => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            "F16" => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            _ => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        })
    }
}

/// A tensor must lie in the file and have as many bytes as its shape says.
fn check(name: &str, place: &Place, bytes: u64) -> Result<(), String> {
    let Some(number_bytes) = place.number_bytes() else { return Ok(()) };
    let (from, to) = place.data_offsets;
    let count = place.shape.iter().try_fold(number_bytes, |count, size| count.checked_mul(*size as u64));
    if place.shape.len() > DIMENSIONS_MAX || from > to || to > bytes || count != Some(to - from) {
        let shape: Vec<_> = place.shape.iter().take(DIMENSIONS_MAX).collect();
        return Err(format!("{name} claims {shape:?} at {from} to {to} of {bytes} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, numbers: &[u8]) -> tempfile::NamedTempFile {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(numbers);
        raw(&bytes)
    }

    fn raw(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    #[test]
    fn three_kinds_of_floats_are_read() {
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
            "b":{"dtype":"F16","shape":[1,1],"data_offsets":[4,6]},"c":{"dtype":"BF16","shape":[1],"data_offsets":[6,8]}}"#;
        let file = file(header, &[0, 0, 0x80, 0x3f, 0, 0x40, 0x40, 0x40]);
        let mut tensors = Safetensors::open(file.path()).expect("a file");
        assert_eq!(["a", "b", "c"].map(|name| tensors.floats(name).expect("there")), [[1.0], [2.0], [3.0]]);
        assert_eq!(tensors.dims("b"), Some(&[1, 1][..]));
        assert!(tensors.floats("d").is_err());
    }

    #[test]
    fn lies_about_lengths_are_found_before_anything_is_allocated() {
        for header in [
            r#"{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#,
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
            r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
            r#"[]"#,
        ] {
            assert!(Safetensors::open(file(header, &[0; 4]).path()).is_err(), "{header}");
        }
        assert!(Safetensors::open(raw(&u64::MAX.to_le_bytes()).path()).is_err());
        assert!(Safetensors::open(raw(&[1, 2, 3]).path()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_opens_can_be_read(
            shape in proptest::collection::vec(0_usize..4, 0..4), from in 0_u64..40, len in 0_u64..80, noise in any::<Vec<u8>>()
        ) {
            let header = serde_json::json!({"a": {"dtype": "F16", "shape": shape, "data_offsets": [from, from + len]}});
            let file = file(&header.to_string(), &[0; 64]);
            if let Ok(mut tensors) = Safetensors::open(file.path()) {
                prop_assert_eq!(tensors.floats("a").map(|values| values.len()), Ok(shape.iter().product()));
            }
            let _ = Safetensors::open(raw(&noise).path());
        }
    }
}
