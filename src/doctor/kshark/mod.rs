//! Every step between this machine and a Kafka broker, from the name to a record that comes back, each with a verdict and advice.
//!
//! Records are written and read only in topics that the caller names. Passwords are in no report.

mod broker;
mod properties;
mod record;
mod report;
mod web;

#[cfg(test)]
mod tests;

use std::time::Duration;

use reqwest::Url;

pub use properties::{Preset, Properties, PropertiesError};
pub use report::{Layer, Report, Row, Status, Totals};

use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::link::kafka::{Address, Start};

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Plan {
    pub address: Address,
    /// A record is written to each of these and read back.
    pub topics: Vec<String>,
    /// The group of the reading side.
    pub group: String,
    pub start: Start,
    pub waits: Waits,
    /// Whether the way itself is measured.
    pub diagnostics: Diagnostics,
    pub registry: Option<Web>,
    pub rest: Option<Web>,
    /// Settings to show in the report, without secrets.
    pub echo: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Diagnostics {
    On,
    Off,
}

#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For everything together.
    pub total: Duration,
    /// For each step with a broker.
    pub broker: Duration,
    pub produce: Duration,
    pub consume: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        let step = Duration::from_secs(10);
        Self { total: Duration::from_secs(60), broker: step, produce: step, consume: step }
    }
}

/// A server of the Kafka world that speaks HTTP.
#[derive(Clone, Debug)]
pub struct Web {
    pub url: Url,
    /// `user:password`.
    pub user: Option<Secret<String>>,
}

/// Looks at everything in the plan. Never fails: what fails is in the report.
pub async fn run(plan: &Plan, clock: &Clock) -> Report {
    let mut report = Report::new(clock.now(), &plan.echo);
    let looked = tokio::time::timeout(plan.waits.total, look(plan, clock, &mut report)).await;
    if looked.is_err() {
        let detail = format!("not finished after {} s", plan.waits.total.as_secs());
        let row = Row::new("kshark", "", Layer::Kafka, Status::Fail, &detail);
        report.add(row.hint("Give it more time, or look at fewer brokers and topics."));
    }
    report.finish(clock.now());
    report
}

async fn look(plan: &Plan, clock: &Clock, report: &mut Report) {
    let brokers = broker::look(plan, clock, report).await;
    for topic in &plan.topics {
        record::look(plan, topic, brokers.obstacle(topic), clock, report).await;
    }
    let servers = [("schema-registry", "/subjects", &plan.registry), ("rest-proxy", "/topics", &plan.rest)];
    for (name, path, server) in servers {
        if let Some(server) = server {
            report.add(web::look(name, server, path, plan.waits.broker).await);
        }
    }
}
