//! Tensors of a safetensors file, read one by one, so that loading needs little more memory than the network itself.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. The header's claims are checked against the file before anything
//! is allocated for them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::error::LoadError;

/// Largest header: a network with thousands of tensors has a few 100 KiB.
const HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The header's length, little-endian, at the start of the file.
const LENGTH_BYTES: u64 = 8;

pub(super) struct Weights {
    file: File,
    header: Metadata,
    /// Where the tensors begin, and how many bytes of them there are.
    data_start: u64,
    data_bytes: u64,
    /// What stands before all names: published files of one network differ in it.
    prefix: &'static str,
    device: Device,
}

impl Weights {
    pub(super) fn open(path: &Path, device: Device) -> Result<Self, LoadError> {
        let read = |source| LoadError::Read { path: path.into(), source };
        let mut file = File::open(path).map_err(read)?;
        let file_bytes = file.metadata().map_err(read)?.len();
        let mut length = [0; LENGTH_BYTES as usize];
        file.read_exact(&mut length).map_err(read)?;
        let header_bytes = u64::from_le_bytes(length);
        let bytes_max = HEADER_BYTES_MAX.min(file_bytes.saturating_sub(LENGTH_BYTES));
        if header_bytes > bytes_max {
            return Err(LoadError::TooLarge { path: path.into(), bytes: header_bytes, bytes_max });
        }
        let mut header = Vec::new();
        Read::by_ref(&mut file).take(header_bytes).read_to_end(&mut header).map_err(read)?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|source| LoadError::Json { path: path.into(), source })?;
        let data_start = LENGTH_BYTES + header_bytes;
        let data_bytes = file_bytes.saturating_sub(data_start);
        Ok(Self { file, header, data_start, data_bytes, prefix: "", device })
    }

    /// Takes the first of `prefixes` under which `name` is there.
    pub(super) fn with_prefix_of(mut self, name: &str, prefixes: &[&'static str]) -> Self {
        let has = |prefix: &&&'static str| self.header.info(&format!("{prefix}{name}")).is_some();
        self.prefix = prefixes.iter().find(has).copied().unwrap_or_default();
        self
    }

    /// Tensor `name` as 32-bit floats, which must have `shape`; a zero in it stands for any size.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let name = format!("{}{name}", self.prefix);
        let refuse = |reason: String| LoadError::Tensor { name: name.clone(), reason };
        let info = self.header.info(&name).ok_or_else(|| refuse("it is not in the file".to_owned()))?;
        let fits = info.shape.len() == shape.len()
            && info.shape.iter().zip(shape).all(|(found, wanted)| *wanted == 0 || found == wanted);
        if !fits {
            return Err(refuse(format!("its shape is {:?}, expected {shape:?}", info.shape)));
        }
        let (dtype, size) = match info.dtype {
            Dtype::F32 => (DType::F32, 4),
            Dtype::F16 => (DType::F16, 2),
            Dtype::BF16 => (DType::BF16, 2),
            other => return Err(refuse(format!("its type {other:?} is not supported"))),
        };
        let bytes = info.shape.iter().try_fold(size, |bytes: usize, side| bytes.checked_mul(*side));
        let (start, end) = info.data_offsets;
        if bytes.is_none() || end.checked_sub(start) != bytes || end as u64 > self.data_bytes {
            return Err(refuse(format!("it is said to lie at {start}..{end} of {} bytes", self.data_bytes)));
        }
        let shape = info.shape.clone();
        let content = self.content(start, end - start).map_err(|error| refuse(error.to_string()))?;
        Tensor::from_raw_buffer(&content, dtype, &shape, &self.device)
            .and_then(|tensor| tensor.to_dtype(DType::F32))
            .map_err(|source| LoadError::Network { source })
    }

    fn content(&mut self, start: usize, bytes: usize) -> io::Result<Vec<u8>> {
        let mut content = vec![0; bytes];
        self.file.seek(SeekFrom::Start(self.data_start + start as u64))?;
        self.file.read_exact(&mut content)?;
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, proptest};

    fn file(header: &str, data: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut content = (header.len() as u64).to_le_bytes().to_vec();
        content.extend(header.as_bytes());
        content.extend(data);
        std::fs::write(file.path(), content).unwrap();
        file
    }

    fn tensor(header: &str, data: &[u8]) -> Result<Tensor, LoadError> {
        Weights::open(file(header, data).path(), Device::Cpu)?.tensor("a", &[2])
    }

    #[test]
    fn a_tensor_is_read_where_the_header_says() {
        let header = r#"{"b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "a": {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]}}"#;
        let found = tensor(header, &[0, 0, 0, 0, 0, 0x3C, 0, 0xC0]).unwrap();
        assert_eq!(found.to_vec1::<f32>().unwrap(), [1.0, -2.0]);
    }

    #[test]
    fn lies_about_size_and_place_are_refused() {
        for entry in [
            r#"{"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}"#,
            r#"{"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}"#,
            r#"{"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}"#,
            r#"{"dtype": "F32", "shape": [4611686018427387905, 8], "data_offsets": [0, 8]}"#,
            r#"{"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}"#,
            r#"{"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}"#,
        ] {
            assert!(tensor(&format!(r#"{{"a": {entry}}}"#), &[0; 8]).is_err(), "{entry}");
        }
        assert!(tensor("{}", &[]).is_err());
        assert!(tensor("{", &[]).is_err());
        let short = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(short.path(), u64::MAX.to_le_bytes()).unwrap();
        assert!(matches!(Weights::open(short.path(), Device::Cpu), Err(LoadError::TooLarge { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_bytes_are_weights_or_an_error(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), content).unwrap();
            let _ = Weights::open(file.path(), Device::Cpu).map(|mut weights| weights.tensor("a", &[0]));
        }

        #[test]
        fn values_come_back_as_they_were_written(values in prop::collection::vec(-1e6_f32..1e6, 1..50)) {
            let header = format!(r#"{{"a": {{"dtype": "F32", "shape": [{0}], "data_offsets": [0, {1}]}}}}"#, values.len(), values.len() * 4);
            let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let mut weights = Weights::open(file(&header, &data).path(), Device::Cpu).unwrap();
            prop_assert_eq!(weights.tensor("a", &[0]).unwrap().to_vec1::<f32>().unwrap(), values);
        }
    }
}
