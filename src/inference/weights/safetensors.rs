//! Safetensors files: a JSON header that says where each tensor lies, then the numbers.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. Every claim of the header is checked against the file when it is
//! opened, as the format's authors do: tensors lie one behind the other and fill the file. They are read one at a time, so that
//! loading needs little more memory than the network itself. The file is read, not mapped: it may be of the process that serves
//! the house, which nobody may kill by cutting a file short.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use half::{bf16, f16};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// Largest header: a network with thousands of tensors has a few 100 KiB.
const HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The header's length, little-endian, at the start of the file.
const LENGTH_BYTES: u64 = 8;
const DIMENSIONS_MAX: usize = 8;
/// What stands among the tensors and is none.
const METADATA: &str = "__metadata__";

#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    #[error("could not read its {what}")]
    Read { what: &'static str, source: io::Error },
    #[error("its header would have {bytes} bytes, more than {bytes_max}")]
    Header { bytes: u64, bytes_max: u64 },
    #[error("its header is not the JSON it should be")]
    Json { source: serde_json::Error },
    #[error("{name} has {dimensions} dimensions; at most {DIMENSIONS_MAX} are accepted")]
    Dimensions { name: String, dimensions: usize },
    #[error("{name} is said to lie at {start}..{end} of {bytes} bytes, which its type and shape do not need")]
    Length { name: String, start: u64, end: u64, bytes: u64 },
    #[error("{name} begins at {start}, where {expected} was expected: tensors overlap or leave holes")]
    Place { name: String, start: u64, expected: u64 },
    #[error("{name} is not of floats of 32 or 16 bits")]
    Kind { name: String },
}

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
    dtype: Kind,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Kind {
    F32,
    F16,
    #[serde(rename = "BF16")]
    Bf16,
    /// What weights are not kept in: positions of some networks are integers.
    #[serde(other)]
    Other,
}

impl Kind {
    /// Bytes of a number.
    fn bytes(self) -> Option<u64> {
        match self {
            Self::F32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::Other => None,
        }
    }
}

impl Safetensors {
    /// Reads and checks the header.
    pub fn open(path: &Path) -> Result<Self, SafetensorsError> {
        let read = |source| SafetensorsError::Read { what: "header", source };
        let file = File::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        let mut length = [0; LENGTH_BYTES as usize];
        file.read_exact_at(&mut length, 0).map_err(read)?;
        let length = u64::from_le_bytes(length);
        let bytes_max = HEADER_BYTES_MAX.min(bytes.saturating_sub(LENGTH_BYTES));
        if length > bytes_max {
            return Err(SafetensorsError::Header { bytes: length, bytes_max });
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(&mut header, LENGTH_BYTES).map_err(read)?;
        let Header(places) = serde_json::from_slice(&header).map_err(|source| SafetensorsError::Json { source })?;
        let start = LENGTH_BYTES + length;
        check(&places, bytes - start)?;
        Ok(Self { file, start, places })
    }

    /// Whether all matrices are of 16-bit floats.
    pub fn are_halves(&self) -> bool {
        self.places.values().filter(|place| place.shape.len() > 1).all(|place| place.dtype == Kind::F16)
    }

    /// Dimensions of a tensor, outermost first.
    pub fn dims(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|place| place.shape.as_slice())
    }

    /// All numbers of a tensor, the last dimension's neighbors side by side. None when it is not in the file.
    pub fn floats(&self, name: &str) -> Option<Result<Vec<f32>, SafetensorsError>> {
        self.places.get(name).map(|place| self.read(name, place))
    }

    fn read(&self, name: &str, place: &Place) -> Result<Vec<f32>, SafetensorsError> {
        let (start, end) = place.data_offsets;
        let mut bytes = vec![0; (end - start) as usize];
        let read = self.file.read_exact_at(&mut bytes, self.start + start);
        read.map_err(|source| SafetensorsError::Read { what: "numbers", source })?;
        Ok(match place.dtype {
            Kind::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Kind::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            Kind::Bf16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            Kind::Other => return Err(SafetensorsError::Kind { name: name.to_owned() }),
        })
    }
}

/// Tensors must be as long as their shapes say, and lie one behind the other from the first byte to the last of `bytes`.
fn check(places: &HashMap<String, Place>, bytes: u64) -> Result<(), SafetensorsError> {
    let mut ordered: Vec<_> = places.iter().collect();
    ordered.sort_unstable_by_key(|(name, place)| (place.data_offsets, *name));
    let mut expected = 0;
    for (name, Place { dtype, shape, data_offsets: (start, end) }) in ordered {
        let (name, start, end) = (name.clone(), *start, *end);
        if shape.len() > DIMENSIONS_MAX {
            return Err(SafetensorsError::Dimensions { name, dimensions: shape.len() });
        }
        let product =
            |number_bytes| shape.iter().try_fold(number_bytes, |sum: u64, size| sum.checked_mul(*size as u64));
        let len = end.checked_sub(start);
        let is_right = dtype.bytes().is_none_or(|number_bytes| product(number_bytes) == len);
        if len.is_none() || end > bytes || !is_right {
            return Err(SafetensorsError::Length { name, start, end, bytes });
        }
        if start != expected {
            return Err(SafetensorsError::Place { name, start, expected });
        }
        expected = end;
    }
    if expected != bytes {
        return Err(SafetensorsError::Place { name: "the file's end".to_owned(), start: bytes, expected });
    }
    Ok(())
}

/// The header's tensors; its remarks are skipped, a name that is said twice is refused.
struct Header(HashMap<String, Place>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut places = HashMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        map.next_value::<IgnoredAny>()?;
                    } else if places.insert(name, map.next_value()?).is_some() {
                        return Err(A::Error::custom("a name is said twice"));
                    }
                }
                Ok(Header(places))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn content(header: &str, numbers: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), numbers].concat()
    }

    pub(super) fn open(content: &[u8]) -> Result<Safetensors, SafetensorsError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        Safetensors::open(file.path())
    }

    #[test]
    fn three_kinds_of_floats_are_read_where_the_header_says() {
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
            "c":{"dtype":"BF16","shape":[1],"data_offsets":[6,8]},"b":{"dtype":"F16","shape":[1,1],"data_offsets":[4,6]},
            "ids":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}"#;
        let tensors = open(&content(header, &[0, 0, 0x80, 0x3f, 0, 0x40, 0x40, 0x40, 1, 0, 0, 0, 0, 0, 0, 0]));
        let tensors = tensors.expect("a file");
        let floats = |name| tensors.floats(name).expect("there");
        assert_eq!(["a", "b", "c"].map(|name| floats(name).expect("floats")), [[1.0], [2.0], [3.0]]);
        assert_eq!(tensors.dims("b"), Some(&[1, 1][..]));
        assert!(matches!(floats("ids"), Err(SafetensorsError::Kind { .. })));
        assert!(tensors.floats("d").is_none() && tensors.dims("__metadata__").is_none());
    }

    #[test]
    fn every_lie_is_named() {
        let of = |entry: &str| open(&content(&format!(r#"{{"a": {entry}}}"#), &[0; 8])).expect_err(entry).to_string();
        for (entry, part) in [
            (r#"{"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}"#, "0..8 of 8"),
            (r#"{"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}"#, "8..0"),
            (r#"{"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}"#, "8..16 of 8"),
            (r#"{"dtype": "F32", "shape": [4611686018427387905, 8], "data_offsets": [0, 8]}"#, "type and shape"),
            (r#"{"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}"#, "of 8 bytes"),
            (r#"{"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}"#, "0..16 of 8"),
            (r#"{"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}"#, "begins at 4, where 0"),
            (r#"{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}"#, "the file's end begins at 8, where 4"),
            (r#"{"dtype": "F32", "shape": [1,1,1,1,1,1,1,1,2], "data_offsets": [0, 8]}"#, "9 dimensions"),
            (r#"{"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}"#, "JSON"),
            (r#"{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": 1"#, "JSON"),
            ("1", "JSON"),
        ] {
            assert!(of(entry).contains(part), "{} says nothing of {part:?}", of(entry));
        }
        let twice = r#"{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}"#;
        assert!(open(&content(&format!(r#"{{"a": {twice}, "a": {twice}}}"#), &[0; 8])).is_err());
        assert!(open(&content(&format!(r#"{{"a": {twice}, "b": {twice}}}"#), &[0; 8])).is_err(), "they overlap");
        assert!(matches!(open(&u64::MAX.to_le_bytes()), Err(SafetensorsError::Header { bytes_max: 0, .. })));
        assert!(matches!(open(&[1, 2, 3]), Err(SafetensorsError::Read { .. })));
        assert!(matches!(open(&content(&"[".repeat(500), &[])), Err(SafetensorsError::Json { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn values_come_back_as_they_were_written(values in prop::collection::vec(-1e6_f32..1e6, 1..50)) {
            let end = values.len() * 4;
            let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{},1],"data_offsets":[0,{end}]}}}}"#, values.len());
            let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let tensors = open(&content(&header, &data)).expect("a file");
            prop_assert_eq!(tensors.floats("a").expect("there").expect("floats"), values);
        }
    }
}
