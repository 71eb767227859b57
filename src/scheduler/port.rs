//! What the scheduler needs from the house.

use super::job::Fire;
use crate::db::Tx;

/// Puts a job that came due on its way: a text to be said becomes a delivery, a text to be asked becomes a message.
pub trait Firing: Send + Sync + 'static {
    /// Runs in the transaction that records the run: when this fails, the run has not happened and is tried again.
    fn fire(&self, tx: &Tx<'_>, fire: &Fire) -> rusqlite::Result<()>;
}
