//! The real search for a broker: the configured ones in turn, and the group's topics are made where they are missing.

use std::time::Duration;

use super::port::{Probed, Prober};
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::link::kafka::{Address, Fault, create_topics, probe};

/// What to do about topics that are not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MissingTopics {
    Make,
    Leave,
}

pub struct BrokerProber {
    pub address: Address,
    /// What the group talks in.
    pub topics: Vec<String>,
    pub missing: MissingTopics,
    /// Each step of the probe may take this long.
    pub step_max: Duration,
    pub clock: Clock,
}

impl BrokerProber {
    /// Missing topics keep nobody out of the group: what is there is of use, and the clients tell what is not.
    async fn make_topics(&self, missing: &[String]) {
        if missing.is_empty() || self.missing == MissingTopics::Leave {
            return;
        }
        match create_topics(&self.address, missing, self.step_max, &self.clock).await {
            Ok(made) => {
                for (topic, fault) in &made.refused {
                    let error = format!("{topic}: {fault}");
                    tracing::warn!(error, "A topic of the group is missing and cannot be made.");
                }
            }
            Err(fault) => {
                tracing::warn!(error = chain(&fault), "Topics of the group are missing and cannot be made.");
            }
        }
    }
}

impl Prober for BrokerProber {
    async fn probe(&self) -> Probed {
        let found = probe(&self.address, &self.topics, self.step_max, &self.clock).await;
        let nobody = Fault::Other("no broker is configured".to_owned());
        let Some(examination) = found else { return failed("", &nobody) };
        if let Some(fault) = examination.fault() {
            return failed(&format!("{}: ", examination.broker), fault);
        }
        self.make_topics(&examination.missing_topics()).await;
        Probed::Passed
    }
}

fn failed(place: &str, fault: &Fault) -> Probed {
    Probed::Failed {
        reason: format!("{place}{}", chain(fault)),
        advice: fault.advice().to_owned(),
        is_lasting: fault.is_lasting(),
    }
}
