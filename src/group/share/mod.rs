//! What members want each other to remember: items with a title and a text, for ever or for a while.
//!
//! Who may do what: the loop stores items that come and go ([`put`]); the text is handed to the memory through the port
//! [`Shelf`], in the same transaction, and taken from it when the item expires. Small texts travel in the message; larger ones as
//! a pointer beside their content on the same topic ([`content_came`]), or in an object store from where it is fetched later
//! ([`unresolved`], [`resolve`]). Only its author changes an item. Owner of the tables `group_memory_items` and `group_objects`.
//!
//! Absent on purpose: fetching, and finding: that is the memory's.

mod object;
mod port;
mod schema;
mod store;
#[cfg(test)]
mod tests;

pub use object::{OBJECT_BYTES_MAX, Origin, keep, object, prune as prune_objects};
pub use port::{Note, Shelf};
pub use schema::{create_objects, create_tables};
pub use store::{
    ATTEMPTS_MAX, ItemFilter, ItemRow, author_of, content_came, expire, forget, list, next_expiry, put, resolve,
    unresolved,
};

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;

/// Texts up to this size travel in the message, in bytes.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Items that are kept; the oldest go first.
pub const ITEMS_MAX: u32 = 5_000;

/// Where a text lies that does not travel in the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer {
    pub bucket: String,
    pub key: String,
    pub bytes: u64,
    /// Hexadecimal; empty when the author did not say.
    pub sha256: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Text {
    Inline(String),
    At(Pointer),
    /// Agents in Go announce items of the context without their text.
    None,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    pub id: String,
    pub author: PeerId,
    pub title: String,
    pub content_type: String,
    pub tags: Vec<String>,
    pub text: Text,
    /// JSON text of an object.
    pub metadata: String,
    pub created_at: Timestamp,
    /// By our clock; items of the context have one.
    pub expires_at: Option<Timestamp>,
}

/// What became of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    New,
    Changed,
    /// Exactly this is known.
    Known,
    /// It belongs to somebody else.
    NotTheirs,
    /// It is over already.
    Expired,
    /// Its author took it back.
    Withdrawn,
    TooLarge,
}
