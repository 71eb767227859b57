//! `kafclaw doctor`: what works here, what does not, and what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::cli::client::{Client, ClientError};
use crate::cli::{Failure, Terminal, kshark, update};
use crate::config::{Config, Loaded};
use crate::doctor::{
    Broker, Configuration, Finding, Gateway, Machine, ModelPlace, Plan, Report, Session, Verdict, examine,
};
use crate::link::mqtt::Address;
use crate::models::bundled_folders;
use crate::update::{Places, Rauc, prove};

const AFTER_HELP: &str = "\
Looks at the machine (board, clock, disk, memory, heat, network), the house (configuration, gateway, doors, database, brokers),
the system (services, update slots) and the models. Changes nothing, but for --confirm. Works beside a running gateway and
without one; the exit code is 1 when something fails.

Examples:
  kafclaw doctor
  kafclaw doctor --json | jq '.findings[] | select(.verdict == \"FAIL\")'";

/// Kafka is looked at for so long.
const KAFKA_WAIT_MAX: Duration = Duration::from_secs(10);
/// A gateway that was just started may need so long to its broker.
const BROKER_WAIT_MAX: Duration = Duration::from_secs(5);
const BROKER_PAUSE: Duration = Duration::from_millis(100);
/// Of the configuration that are told; mending these may mend the rest.
const MISTAKES_MAX: usize = 10;

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
        let loaded = terminal.load_config_or_defaults()?;
        let plan = plan(&loaded);
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
pub(super) async fn report(loaded: &Loaded, clock: &Clock) -> Report {
    examine(&plan(loaded), clock, &mut |_| {}).await
}

/// Where this home's models and their runtime are, as far as it is configured.
pub(super) fn models(loaded: &Loaded, updates: &Places) -> ModelPlace {
    let config = &loaded.config;
    let runtime: PathBuf = config.section("/inference/runtime").unwrap_or_default();
    let program = std::env::current_exe().ok();
    ModelPlace {
        folder: config.paths.state_dir.join("models"),
        bundled: bundled_folders(program.as_deref()),
        runtime: Some(runtime).filter(|path| !path.as_os_str().is_empty()),
        is_of_system: updates.has_slots(),
    }
}

fn plan(loaded: &Loaded) -> Plan {
    let config = &loaded.config;
    let (gateway, client, session) = ask(config);
    let updates = update::places(loaded);
    let mut models = models(loaded, &updates);
    // The gateway was perhaps told by its environment, which is not this terminal's.
    models.runtime = models.runtime.or_else(|| client.as_ref()?.onnx_runtime.clone());
    let doors = client.map_or_else(
        || configured_doors(config),
        |client| vec![("chat", client.chat), ("dashboard", client.dashboard)],
    );
    let broker = Address::parse(config.mqtt.url.reveal()).ok().filter(|_| config.mqtt.enabled);
    Plan {
        machine: Machine::default(),
        configuration: configuration(loaded),
        state_dir: config.paths.state_dir.clone(),
        database: config.paths.database.clone(),
        doors,
        gateway,
        broker: broker.map(|address| Broker { host: address.host, port: address.port, session }),
        kafka: kshark::of_configuration(&loaded.effective, KAFKA_WAIT_MAX).map_err(|failure| chain(&failure)),
        models,
        updates,
    }
}

fn configuration(loaded: &Loaded) -> Configuration {
    let file = &loaded.config.paths.config_file;
    let problems = loaded.mistakes.iter().flat_map(|mistakes| &mistakes.problems);
    let mistakes = problems.take(MISTAKES_MAX).map(ToString::to_string).collect();
    Configuration { file: file.clone(), is_there: file.exists(), mistakes }
}

fn ask(config: &Config) -> (Gateway, Option<Client>, Option<Session>) {
    let client = match Client::find(config) {
        Ok(client) => client,
        Err(ClientError::NoAddress { .. }) => return (Gateway::Stopped, None, None),
        Err(error) => return (Gateway::Troubled(chain(&error)), None, None),
    };
    match status(&client) {
        Ok(status) => {
            let text = |name: &str| status[name].as_str().map(str::to_owned);
            let session = text("mqtt").map(|state| Session { state, error: text("mqtt_error") });
            (Gateway::Answers, Some(client), session)
        }
        Err(ClientError::NotRunning { .. }) => (Gateway::Stopped, None, None),
        Err(error) => (Gateway::Troubled(chain(&error)), None, None),
    }
}

/// What the gateway says about itself; one that was just started is given the time to reach its broker.
fn status(client: &Client) -> Result<Value, ClientError> {
    let asked = Instant::now();
    loop {
        let status = client.get("status")?;
        if status["mqtt"] != "connecting" || asked.elapsed() >= BROKER_WAIT_MAX {
            return Ok(status);
        }
        std::thread::sleep(BROKER_PAUSE);
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
            let why = chain(&error);
            Err(Failure::Outcome(format!("the system could not be marked as good: {why}; run this as root")))
        }
    }
}
