//! What the loop needs from outside: something that looks for a broker, and something that makes clients.

use std::time::Duration;

/// What a probe found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probed {
    Passed,
    /// `reason` and `advice` are for people.
    Failed {
        reason: String,
        advice: String,
        is_lasting: bool,
    },
}

/// Looks for a broker. Dropping the future ends the search.
pub trait Prober: Send + Sync + 'static {
    fn probe(&self) -> impl Future<Output = Probed> + Send;
}

/// Owns the clients. Calls return at once; what comes of them is told as facts through [`super::Connectivity::tell`].
///
/// There is at most one client: `create` is only called while there is none, and `destroy` only while there is one.
pub trait ClientFactory: Send + 'static {
    /// Makes producer and consumer. The reason is for people.
    fn create(&mut self) -> Result<(), String>;

    fn destroy(&mut self);

    /// Remembers `epoch` durably, then announces this member with it. Answered by `Joined` or `JoinFailed` with the epoch.
    fn announce_join(&mut self, epoch: u64);

    /// Takes nothing new for the broker; answered by `Drained`, after `within` at the latest it goes on without.
    fn drain(&mut self, within: Duration);

    /// Says farewell; answered by `Left`.
    fn announce_leave(&mut self, epoch: u64);
}
