//! When to be in the group: only while a broker can be reached, and back as soon as it can be again.
//!
//! Who may do what: [`Machine`] decides and does no input or output; [`run`] carries out what it decides, with the real network and
//! through the ports in `port`. Clients of Kafka are made and ended here and nowhere else, and never before a probe passed.
//!
//! While no group is configured there is no timer, no socket and no client. Absent on purpose: what is said in the group.

mod back_off;
mod broker;
mod port;
mod run;
mod state;

#[cfg(test)]
mod tests;

pub use broker::{BrokerProber, MissingTopics};
pub use port::{ClientFactory, Probed, Prober};
pub use run::{Connectivity, Parts, Status};
pub use state::{Action, Fact, Health, Machine, State};

use std::time::Duration;

/// How patient the machine is.
#[derive(Clone, Debug)]
pub struct Config {
    /// First wait between probes; doubles each time.
    pub probe_wait_min: Duration,
    /// Longest wait between probes.
    pub probe_wait_max: Duration,
    /// Wait after a fault that only a person can mend, such as a wrong password.
    pub lasting_wait: Duration,
    /// From a change of the network to the probe: addresses and name servers come a moment after the route.
    pub settle: Duration,
    /// A probe that says nothing for so long has failed.
    pub probe_max: Duration,
    /// A client without a connection is ended after this long.
    pub offline_after: Duration,
    /// What is on its way when the group is left may take this long.
    pub drain_max: Duration,
    /// The farewell may take this long.
    pub leave_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_wait_min: Duration::from_secs(1),
            probe_wait_max: Duration::from_secs(20),
            lasting_wait: Duration::from_secs(300),
            settle: Duration::from_millis(300),
            probe_max: Duration::from_secs(60),
            offline_after: Duration::from_secs(120),
            drain_max: Duration::from_secs(3),
            leave_max: Duration::from_secs(1),
        }
    }
}
