//! `kafclaw doctor`: what works here, what does not, and what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::base::clock::Clock;
use crate::cli::client::{Client, ClientError};
use crate::cli::{Failure, Terminal, kshark, update};
use crate::config::{Config, Loaded};
use crate::doctor::{Finding, Gateway, Machine, ModelPlace, Plan, Report, Verdict, examine};
use crate::link::mqtt::Address;
use crate::models::bundled_folders;
use crate::update::{Rauc, prove};

const AFTER_HELP: &str = "\
Looks at the machine (board, clock, disk, memory, heat, network), the house (configuration, gateway, doors, database, brokers),
the system (services, update slots) and the models. Changes nothing, but for --confirm. Works beside a running gateway and
without one; the exit code is 1 when something fails.

Examples:
  kafclaw doctor
  kafclaw doctor --json | jq '.findings[] | select(.verdict == \"FAIL\")'";

/// Kafka is looked at for so long.
const KAFKA_WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// When nothing fails, mark the running system as good, so that the machine does not fall back to the other one.
    #[arg(long)]
    confirm: bool,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let loaded = terminal.load_config()?;
        let plan = plan(&loaded)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| Failure::File { attempt: "start the runtime".to_owned(), source })?;
        let (clock, shows, mut printed) = (terminal.clock.clone(), !self.json, Ok(()));
        let report = runtime.block_on(examine(&plan, &clock, &mut |finding| {
            if shows && printed.is_ok() {
                printed = terminal.print(&line(finding));
            }
        }));
        runtime.shutdown_background();
        printed?;
        let text = if self.json { None } else { Some(summary(&report)) };
        match text {
            Some(text) => terminal.print(&text)?,
            None => terminal.print_json(&report.to_json())?,
        }
        if report.has_failed() {
            let why = if self.confirm {
                "one or more checks failed; nothing was confirmed"
            } else {
                "one or more checks failed"
            };
            return Err(Failure::Outcome(why.to_owned()));
        }
        if self.confirm { confirm(&loaded, terminal) } else { Ok(()) }
    }
}

/// What is found, for whoever does not show it at once.
pub(super) async fn report(loaded: &Loaded, clock: &Clock) -> Result<Report, Failure> {
    Ok(examine(&plan(loaded)?, clock, &mut |_| {}).await)
}

/// The keys of `inference` that say where the runtime is.
#[derive(Deserialize)]
struct InferenceKeys {
    runtime: PathBuf,
}

fn plan(loaded: &Loaded) -> Result<Plan, Failure> {
    let config = &loaded.config;
    let (gateway, client) = ask(config);
    let doors = client.map_or_else(
        || configured_doors(config),
        |client| vec![("chat", client.chat), ("dashboard", client.dashboard)],
    );
    let broker = Address::parse(config.mqtt.url.reveal()).ok().filter(|_| config.mqtt.enabled);
    let runtime = config.section::<InferenceKeys>("/inference").map(|keys| keys.runtime).unwrap_or_default();
    let program = std::env::current_exe().ok();
    Ok(Plan {
        machine: Machine::default(),
        state_dir: config.paths.state_dir.clone(),
        database: config.paths.database.clone(),
        doors,
        gateway,
        broker: broker.map(|address| (address.host, address.port)),
        kafka: kshark::of_configuration(&loaded.effective, KAFKA_WAIT_MAX)?,
        models: ModelPlace {
            folder: config.paths.state_dir.join("models"),
            bundled: bundled_folders(program.as_deref()),
            runtime: Some(runtime).filter(|path| !path.as_os_str().is_empty()),
        },
        updates: update::places(loaded),
    })
}

fn ask(config: &Config) -> (Gateway, Option<Client>) {
    let client = match Client::find(config) {
        Ok(client) => client,
        Err(ClientError::NoAddress { .. }) => return (Gateway::Stopped, None),
        Err(error) => return (Gateway::Troubled(crate::base::error::chain(&error)), None),
    };
    match client.get("status") {
        Ok(_) => (Gateway::Answers, Some(client)),
        Err(ClientError::NotRunning { .. }) => (Gateway::Stopped, None),
        Err(error) => (Gateway::Troubled(crate::base::error::chain(&error)), None),
    }
}

/// Doors with a port of their own; any free one can be had.
fn configured_doors(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let gateway = &config.gateway;
    let all = [("chat", gateway.port), ("dashboard", gateway.dashboard_port)];
    let named = all.into_iter().filter(|(_, port)| *port != 0);
    named.map(|(name, port)| (name, SocketAddr::new(gateway.host, port))).collect()
}

fn line(finding: &Finding) -> String {
    let Finding { check, verdict, detail, advice } = finding;
    let advice = advice.as_deref().map(|advice| format!("\n      what to do: {advice}")).unwrap_or_default();
    format!("{}  {check:<13} {detail}{advice}", verdict.name())
}

fn summary(report: &Report) -> String {
    let [pass, fail, skip] = [Verdict::Pass, Verdict::Fail, Verdict::Skip].map(|verdict| report.count(verdict));
    format!("{pass} passed, {fail} failed, {skip} skipped")
}

/// The boot loader counts the starts of a system until somebody says that it is good; without another one nobody counts.
fn confirm(loaded: &Loaded, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let places = update::places(loaded);
    if !places.has_slots() {
        return terminal.print("There is no second system to fall back to here, so nothing was confirmed.");
    }
    match prove(&places, &Rauc, &terminal.clock) {
        Ok(_) => terminal.print("This system is marked as good."),
        Err(error) => {
            let why = crate::base::error::chain(&error);
            Err(Failure::Outcome(format!("the system could not be marked as good: {why}; run this as root")))
        }
    }
}
