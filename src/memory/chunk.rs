//! A chunk: something that may be remembered, checked once.

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::id::to_hex;

/// Longest text of a chunk, in bytes. Longer texts are [`super::split`].
pub const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// Longest source or tags of a chunk, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// What most chunks are worth, between 0 and 1.
pub const IMPORTANCE: f32 = 0.5;

/// Something that may be remembered.
#[derive(Clone, PartialEq, Debug)]
pub struct Chunk {
    pub(super) content: String,
    pub(super) source: String,
    pub(super) tags: String,
    pub(super) importance: f32,
    pub(super) expires_at: Option<Timestamp>,
}

impl Chunk {
    /// `source` is `user` for what people say themselves, or begins with a layer's prefix.
    pub fn new(content: &str, source: &str, tags: &str) -> Result<Self, ChunkError> {
        let content = content.trim();
        if content.is_empty() {
            return Err(ChunkError::Empty);
        }
        if content.len() > CHUNK_BYTES_MAX {
            return Err(ChunkError::TooLong);
        }
        if source.is_empty() || source.len() > NAME_BYTES_MAX || tags.len() > NAME_BYTES_MAX {
            return Err(ChunkError::Source);
        }
        Ok(Self {
            content: content.to_owned(),
            source: source.to_owned(),
            tags: tags.to_owned(),
            importance: IMPORTANCE,
            expires_at: None,
        })
    }

    /// From 0 to 1; what is beyond is cut, what is no number is as usual.
    pub fn important(self, importance: f32) -> Self {
        let importance = if importance.is_nan() { IMPORTANCE } else { importance.clamp(0.0, 1.0) };
        Self { importance, ..self }
    }

    /// Is found no more from then on, and deleted soon after.
    pub fn until(self, expires_at: Timestamp) -> Self {
        Self { expires_at: Some(expires_at), ..self }
    }

    /// The same text from the same source is the same chunk.
    pub fn id(&self) -> String {
        chunk_id(&self.source, &self.content)
    }
}

/// Why something cannot be remembered. The text is meant for the person who said it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChunkError {
    #[error("there is nothing to remember")]
    Empty,
    #[error("a memory may have {CHUNK_BYTES_MAX} bytes")]
    TooLong,
    #[error("a memory needs a source, and source and tags may have {NAME_BYTES_MAX} bytes each")]
    Source,
}

/// First eight bytes of the SHA-256 of `source:content`, in hexadecimal (specification §8.1).
pub fn chunk_id(source: &str, content: &str) -> String {
    let digest = Sha256::new().chain_update(source).chain_update(":").chain_update(content).finalize();
    to_hex(&digest[..8])
}
