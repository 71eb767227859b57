//! Floor 7: checks that say what is wrong and what to do about it.
//!
//! Who may do what: [`examine`] looks at this machine and this home and changes nothing, but for one file that it writes to the disk
//! and takes away again. It works beside a running gateway and without one. [`kshark`] looks at the way to Kafka alone.
//!
//! Absent on purpose: repairs, and what a gateway says about itself (the caller asks it and hands the answer over).

mod house;
pub mod kshark;
mod machine;
mod minds;
mod programs;
mod report;
mod update;

pub use machine::{Machine, clock_trouble};
pub use report::{Finding, Report, Verdict};

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::clock::Clock;
use crate::update::Places;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Plan {
    pub machine: Machine,
    pub configuration: Configuration,
    /// Where all state lies.
    pub state_dir: PathBuf,
    pub database: PathBuf,
    /// The gateway's doors by name, and whether it is known to run.
    pub doors: Vec<(&'static str, SocketAddr)>,
    pub gateway: Gateway,
    /// The home's broker; none when no devices are configured.
    pub broker: Option<Broker>,
    /// The way to Kafka; none without a group, and why it cannot even be tried.
    pub kafka: Result<Option<kshark::Plan>, String>,
    pub models: minds::Place,
    pub updates: Places,
}

pub use minds::Place as ModelPlace;

/// What was written for this home.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Configuration {
    pub file: PathBuf,
    pub is_there: bool,
    /// Each with its place. Where there are any, everything else in the plan is of the defaults.
    pub mistakes: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    /// What the gateway says about it; none where no gateway answers.
    pub session: Option<Session>,
}

/// The gateway's connection to the broker, in the words of its own status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// `online`, `connecting`, `offline`, or `off` where it was started without a broker.
    pub state: String,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// What is known of the gateway of this home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gateway {
    Answers,
    /// Nothing listens.
    Stopped,
    /// Something is there and is no use, with the reason.
    Troubled(String),
}

/// Whether the model that came with the program computes here; skipped where it or its runtime is not.
pub async fn embeds(place: &ModelPlace) -> Finding {
    minds::embeds(place).await
}

/// Looks at everything, the quick and local first; `each` hears every finding as it is made.
pub async fn examine(plan: &Plan, clock: &Clock, each: &mut dyn FnMut(&Finding)) -> Report {
    let mut report = Report::default();
    let mut take = |findings: Vec<Finding>| {
        for finding in findings {
            each(&finding);
            report.findings.push(finding);
        }
    };
    take(vec![
        plan.machine.board(),
        plan.machine.clock(plan.updates.built_at(), &plan.database, clock.now()),
        plan.machine.disk(&plan.state_dir),
        plan.machine.disk_errors(),
        plan.machine.memory(),
        plan.machine.temperature(),
        plan.machine.throttling(),
        plan.machine.network(),
    ]);
    take(vec![
        house::configuration(&plan.configuration),
        house::gateway(plan),
        house::doors(plan).await,
        house::database(&plan.database),
    ]);
    take(vec![house::broker(plan.broker.as_ref()).await, house::kafka(&plan.kafka, clock).await]);
    take(vec![
        programs::units().await,
        programs::wifi().await,
        programs::slots(plan.updates.has_slots()).await,
        update::last(&plan.updates),
    ]);
    take(minds::examine(&plan.models).await);
    report
}
