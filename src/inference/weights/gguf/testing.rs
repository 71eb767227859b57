//! Writes small GGUF files for tests.

use crate::inference::weights::Bytes;
use crate::inference::weights::gguf::Gguf;

#[derive(Clone, Default)]
pub struct Builder {
    entries: Vec<u8>,
    entry_count: u64,
    heads: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Builder {
    pub fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.entries.extend([string(key), kind.to_le_bytes().to_vec(), value.to_vec()].concat());
        self.entry_count += 1;
        self
    }

    pub fn count(self, key: &str, value: u32) -> Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    pub fn text(self, key: &str, value: &str) -> Self {
        self.entry(key, 8, &string(value))
    }

    pub fn texts(self, key: &str, values: &[&str]) -> Self {
        let mut bytes = [&8_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.iter().for_each(|value| bytes.extend(string(value)));
        self.entry(key, 9, &bytes)
    }

    pub fn counts(self, key: &str, values: &[u32]) -> Self {
        let mut bytes = [&4_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        self.entry(key, 9, &bytes)
    }

    pub fn tensor(mut self, name: &str, dims: &[u64], kind: u32, data: &[u8]) -> Self {
        self.heads.extend(string(name));
        self.heads.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|dim| self.heads.extend(dim.to_le_bytes()));
        self.heads.extend(kind.to_le_bytes());
        self.heads.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(data);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.tensor_count += 1;
        self
    }

    /// What stands before the weights, which are missing.
    pub fn without_data(mut self) -> Self {
        self.data.clear();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend(self.entry_count.to_le_bytes());
        bytes.extend(&self.entries);
        bytes.extend(&self.heads);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }

    pub fn read(&self) -> Gguf {
        Gguf::read(Bytes::Owned(self.bytes())).expect("a GGUF file")
    }
}
