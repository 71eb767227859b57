//! What shared items need from the memory.

use crate::base::clock::Timestamp;
use crate::db::Tx;

/// A text that is to be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note<'a> {
    /// Names an item: `group:<author>:<item>`, as KafClaw names them.
    pub source: &'a str,
    pub text: &'a str,
    /// Words by which it is found too: who shared it, and the author's tags.
    pub tags: &'a str,
    pub expires_at: Option<Timestamp>,
}

/// Keeps texts so that recall finds them.
pub trait Shelf {
    /// Replaces what is kept under the note's source.
    fn keep(&self, tx: &Tx<'_>, note: &Note<'_>, now: Timestamp) -> rusqlite::Result<()>;

    fn drop(&self, tx: &Tx<'_>, source: &str) -> rusqlite::Result<()>;
}
