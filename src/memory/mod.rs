//! Floor 4: what the house was told to remember, found again by its words.
//!
//! Who may do what: anybody builds a [`Chunk`], which checks it, and [`remember`]s it in a transaction of their own; the index
//! of words is kept in step in the same transaction. Owner of tables `memory_chunks` and `memory_words`.
//!
//! Absent on purpose: vectors (column `embedding` is kept for them and left alone), splitting of long texts.

mod layer;
mod query;
mod schema;
mod search;
mod write;

pub use layer::{LAYERS, Layer, layer_of};
pub use query::{Query, WORDS_MAX};
pub use schema::{MIGRATIONS, index_missing};
pub use search::{Hit, LayerCount, Stats, find, list, search, stats};
pub use write::{
    CHUNK_BYTES_MAX, CHUNKS_MAX, Chunk, ChunkError, Remembered, chunk_id, forget, forget_matching, prune, remember,
    reset,
};

#[cfg(test)]
mod tests;
