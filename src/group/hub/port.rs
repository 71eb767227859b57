//! What the group needs from the house.

use tokio::sync::watch;

use crate::base::clock::Timestamp;
use crate::base::id::TaskId;
use crate::bus::WaitsFor;
use crate::db::Tx;
use crate::domain::peer::Request;
use crate::group::share::Shelf;

/// The house as somebody who works for others.
pub trait House: Send + Sync + 'static {
    /// Takes a request of a member as a task of the house, in the transaction that takes the request. The same request again is
    /// the same task.
    fn begin(&self, tx: &Tx<'_>, request: &Request, now: Timestamp) -> rusqlite::Result<TaskId>;

    /// Lets the turn go on that waits for an answer; none when no turn does.
    fn resume(&self, tx: &Tx<'_>, waits_for: &WaitsFor, now: Timestamp) -> rusqlite::Result<Option<TaskId>>;

    /// Called after the commit of what [`House::begin`] and [`House::resume`] did.
    fn moved(&self, begun: usize, resumed: Vec<TaskId>);

    /// Where texts of shared items go.
    fn shelf(&self) -> &dyn Shelf;

    /// Whether a model answers at the moment; told when that changes.
    fn can_think(&self) -> watch::Receiver<bool>;
}
