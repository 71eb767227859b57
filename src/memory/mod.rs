//! Floor 4: what the house was told to remember, found again by its words and by its meaning.
//!
//! Who may do what: anybody builds a [`Chunk`], which checks it, and [`remember`]s it in a transaction of their own; the index
//! of words is kept in step in the same transaction. Owner of tables `memory_chunks`, `memory_words`, `memory_generations` and of
//! the tables of vectors.

mod chunk;
mod chunker;
mod fill;
mod forget;
mod generation;
mod index;
mod indexer;
mod layer;
mod nearest;
mod port;
mod query;
mod rank;
mod recall;
mod schema;
mod search;
mod seek;
mod transfer;
mod vector;
mod write;

pub use chunk::{CHUNK_BYTES_MAX, Chunk, ChunkError, IMPORTANCE, chunk_id};
pub use chunker::{Cut, Form, PIECE_BYTES_MIN, Piece, split};
pub use fill::{Counted, Repaired, Waiting, counted, finish, reindex, repair, settle, store, waiting};
pub use forget::{
    Forgotten, PIECE_LEN, Scope, forget, forget_all, forget_matching, forget_some, forget_source, in_pieces, prune,
};
pub use generation::{Generation, State, active, filling};
pub use indexer::{Failure, Indexer, Progress};
pub use layer::{DOCUMENT_LAYER, LAYERS, Layer, USER_LAYER, layer_name, layer_of};
pub use port::{Embed, EmbedFailure, TextUse};
pub use query::{Query, WORDS_MAX};
pub use rank::Weights;
pub use recall::Recall;
pub use schema::{MIGRATIONS, index_missing};
pub use search::{Hit, LayerCount, Stats, find, list, search, stats};
pub use seek::{Ask, HITS_MAX, MIN_SCORE, Mode, QueryVector, seek};
pub use transfer::{ImportCount, Imported, LINE_BYTES_MAX, LineError, Vectors, export, import, read_line};
pub use vector::{DIMS_MAX, from_blob, to_blob, unit};
pub use write::{CHUNKS_MAX, Remembered, remember, remember_all};

#[cfg(test)]
mod forget_tests;
#[cfg(test)]
mod meaning_tests;
#[cfg(test)]
mod tests;
