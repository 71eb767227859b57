//! What shared items need from the memory.

use crate::base::clock::Timestamp;
use crate::db::Tx;

/// Keeps texts so that recall finds them. `source` names an item (`group:<author>:<item>`, as KafClaw names them).
pub trait Shelf {
    /// Replaces what is kept under `source`. Titles are found too.
    fn keep(
        &self,
        tx: &Tx<'_>,
        source: &str,
        text: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> rusqlite::Result<()>;

    fn drop(&self, tx: &Tx<'_>, source: &str) -> rusqlite::Result<()>;
}
