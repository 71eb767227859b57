//! `kafclaw kshark`: looks at every step between this machine and a Kafka broker.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::cli::show::table;
use crate::cli::{Failure, Terminal};
use crate::config::duration;
use crate::doctor::kshark::{Diagnostics, Plan, Preset, Properties, PropertiesError, Report, Waits, run};
use crate::link::kafka::Start;

const AFTER_HELP: &str = "\
Looks at name resolution, connection, TLS and its certificate, login, what the broker says, and, in the topics named with
--topic only, writes a record and reads it back. Says what to do about every step that fails. The exit code is 1 when one fails.

Examples:
  kafclaw kshark --auto
  kafclaw kshark --props client.properties --topic lab -y
  kafclaw kshark --auto -y --json - | jq .summary";

/// Kafka's own, where the configuration names only a proxy.
const PORT: u16 = 9092;
const FAILED: &str = "one or more checks failed";
/// Keys of the configuration and what Kafka's clients call them.
const GROUP_KEYS: [(&str, &str); 8] = [
    ("kafkaBrokers", "bootstrap.servers"),
    ("kafkaSecurityProtocol", "security.protocol"),
    ("kafkaSaslMechanism", "sasl.mechanism"),
    ("kafkaSaslUsername", "sasl.username"),
    ("kafkaSaslPassword", "sasl.password"),
    ("kafkaTlsCAFile", "ssl.ca.location"),
    ("kafkaTlsCertFile", "ssl.certificate.location"),
    ("kafkaTlsKeyFile", "ssl.key.location"),
];

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["props", "auto"])))]
pub struct Args {
    /// File with the settings of a Kafka client: `bootstrap.servers=...` and so on.
    #[arg(short, long, value_name = "FILE")]
    props: Option<PathBuf>,
    /// Use the group of this home's configuration.
    #[arg(long)]
    auto: bool,
    /// Topics to write a record to and to read it back from.
    #[arg(short, long, value_name = "TOPIC", value_delimiter = ',')]
    topic: Vec<String>,
    /// Consumer group for reading.
    #[arg(short, long, default_value = "kshark")]
    group: String,
    /// Settings for what the file leaves out.
    #[arg(long, value_enum)]
    preset: Option<PresetName>,
    /// Time for everything together.
    #[arg(long, default_value = "60s", value_parser = wait)]
    timeout: Duration,
    /// Time for each step with a broker.
    #[arg(long, default_value = "10s", value_parser = wait)]
    kafka_timeout: Duration,
    /// Time for writing a record.
    #[arg(long, default_value = "10s", value_parser = wait)]
    produce_timeout: Duration,
    /// Time for reading a record.
    #[arg(long, default_value = "10s", value_parser = wait)]
    consume_timeout: Duration,
    /// How a partition is chosen; taken for compatibility, the key decides.
    #[arg(long, value_enum, default_value_t = Balancer::Least)]
    balancer: Balancer,
    /// Where reading begins in a group that never read.
    #[arg(long, value_enum, default_value_t = Offset::Latest)]
    start_offset: Offset,
    /// Measure the way to the broker too.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    diag: bool,
    /// Write the report as JSON to a file; `-` is the standard output, instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave out where everything is, to show the report to others.
    #[arg(long)]
    hide_targets: bool,
    /// Do not ask before looking.
    #[arg(short, long)]
    yes: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum PresetName {
    /// Confluent Cloud: TLS and PLAIN.
    CcPlain,
    /// TLS and SCRAM.
    SelfScram,
    /// Neither.
    Plaintext,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Balancer {
    Least,
    Rr,
    Random,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Offset {
    Earliest,
    Latest,
}

fn wait(text: &str) -> Result<Duration, String> {
    let read = duration::parse(text).filter(|wait| !wait.is_zero());
    read.ok_or_else(|| "a duration is meant, such as 10s or 1m30s".to_owned())
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let plan = self.plan(terminal)?;
        if !self.yes {
            let answer = terminal.ask("Continue with the scan? (y/n): ")?.unwrap_or_default();
            if !matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") {
                return terminal.print("Nothing was looked at.");
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| Failure::File { attempt: "start the runtime".to_owned(), source })?;
        let mut report = runtime.block_on(run(&plan, &terminal.clock));
        // Clients that are still closing are not waited for.
        runtime.shutdown_background();
        if self.hide_targets {
            report.rows.iter_mut().for_each(|row| row.target = "(hidden)".to_owned());
        }
        self.show(&report, terminal)?;
        if report.has_failed() { Err(Failure::Outcome(FAILED.to_owned())) } else { Ok(()) }
    }

    fn plan(&self, terminal: &mut Terminal<'_>) -> Result<Plan, Failure> {
        let mut properties = match &self.props {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let failed = |source| Failure::File { attempt: format!("read {}", path.display()), source };
                Properties::parse(&text.map_err(failed)?)
            }
            None => of_group(&terminal.load_config()?.effective)?,
        };
        if let Some(preset) = self.preset {
            properties.preset(match preset {
                PresetName::CcPlain => Preset::CloudPlain,
                PresetName::SelfScram => Preset::SelfScram,
                PresetName::Plaintext => Preset::Plaintext,
            });
        }
        let wrong = |error: PropertiesError| Failure::Outcome(crate::base::error::chain(&error));
        let mut plan = Plan {
            address: properties.address("kafclaw-kshark").map_err(wrong)?,
            topics: self.topic.iter().map(|topic| topic.trim().to_owned()).filter(|topic| !topic.is_empty()).collect(),
            group: self.group.clone(),
            start: match self.start_offset {
                Offset::Earliest => Start::Beginning,
                Offset::Latest => Start::Now,
            },
            waits: Waits {
                total: self.timeout,
                broker: self.kafka_timeout,
                produce: self.produce_timeout,
                consume: self.consume_timeout,
            },
            diagnostics: if self.diag { Diagnostics::On } else { Diagnostics::Off },
            registry: None,
            rest: None,
            echo: Vec::new(),
        };
        properties.complete(&mut plan).map_err(wrong)?;
        Ok(plan)
    }

    fn show(&self, report: &Report, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match &self.json {
            Some(path) if path.as_os_str() == "-" => return terminal.print_json(&report.to_json()),
            Some(path) => {
                let text = serde_json::to_string_pretty(&report.to_json()).expect("invariant: JSON values print");
                std::fs::write(path, text + "\n")
                    .map_err(|source| Failure::File { attempt: format!("write {}", path.display()), source })?;
            }
            None => {}
        }
        terminal.print(&text(report))
    }
}

/// What `kafclaw doctor` looks at of Kafka: the group of this configuration, without writing anything; none without a group.
pub(super) fn of_configuration(effective: &Value, wait_max: Duration) -> Result<Option<Plan>, Failure> {
    if effective["group"]["enabled"] != true {
        return Ok(None);
    }
    let properties = of_group(effective)?;
    let wrong = |error: PropertiesError| Failure::Outcome(crate::base::error::chain(&error));
    let mut plan = Plan {
        address: properties.address("kafclaw-doctor").map_err(wrong)?,
        topics: Vec::new(),
        group: "kafclaw-doctor".to_owned(),
        start: Start::Now,
        waits: Waits { total: wait_max, broker: wait_max, produce: wait_max, consume: wait_max },
        diagnostics: Diagnostics::Off,
        registry: None,
        rest: None,
        echo: Vec::new(),
    };
    properties.complete(&mut plan).map_err(wrong)?;
    Ok(Some(plan))
}

/// The group's settings as a client's; the proxy's host stands in where no broker is named.
fn of_group(effective: &Value) -> Result<Properties, Failure> {
    let group = &effective["group"];
    if group["enabled"] != true {
        return Err(Failure::Outcome(
            "no group is in the configuration; set group.enabled and group.kafkaBrokers there, or name a file with --props".to_owned(),
        ));
    }
    let mut properties = Properties::default();
    for (key, name) in GROUP_KEYS {
        match group[key].as_str() {
            Some(value) if !value.is_empty() => properties.set(name, value),
            _ => {}
        }
    }
    if group["kafkaBrokers"].as_str().is_none_or(str::is_empty) {
        let proxy = group["lfsProxyUrl"].as_str().and_then(|url| crate::link::http::Url::parse(url).ok());
        let host = proxy.as_ref().and_then(|url| url.host_str()).unwrap_or("localhost");
        properties.set("bootstrap.servers", &format!("{host}:{PORT}"));
    }
    Ok(properties)
}

fn text(report: &Report) -> String {
    let rows: Vec<[String; 5]> = report
        .rows
        .iter()
        .map(|row| {
            let (layer, status) = (row.layer.name().to_owned(), row.status.name().to_owned());
            [status, layer, row.component.clone(), row.target.clone(), row.detail.clone()]
        })
        .collect();
    let mut text = table(["STATUS", "LAYER", "COMPONENT", "TARGET", "DETAIL"], &rows);
    let hints: Vec<String> = report
        .rows
        .iter()
        .filter_map(|row| Some(format!("  {} {}: {}\n", row.component, row.target, row.hint.as_deref()?)))
        .collect();
    if !hints.is_empty() {
        text.push_str("\nWhat to do:\n");
        text.push_str(&hints.concat());
    }
    let totals: Vec<[String; 5]> = report
        .totals()
        .into_iter()
        .map(|(layer, totals)| {
            let [ok, warn, fail, skip] =
                [totals.ok, totals.warn, totals.fail, totals.skip].map(|count| count.to_string());
            [layer.name().to_owned(), ok, warn, fail, skip]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(["LAYER", "OK", "WARN", "FAIL", "SKIP"], &totals));
    text
}
