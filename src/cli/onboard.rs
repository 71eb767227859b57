//! `kafclaw onboard`: a machine that was bare becomes one that can run the gateway.

mod choice;
mod health;
mod settle;
mod soul;
mod unit;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::{Failure, Terminal};
use settle::Done;

const AFTER_HELP: &str = "\
What exists stays: keys that are not named here keep their values and comments, soul files keep their texts. Any key can
be changed later with `kafclaw config set`; a key of a model may also come from a variable, such as
KAFCLAW_PROVIDERS_OPENAI_APIKEY, and then need not be on the command line.

Examples:
  kafclaw onboard
  kafclaw onboard --mqtt-url mqtt://127.0.0.1:1883 --llm ollama --llm-model qwen3:4b
  kafclaw onboard --non-interactive --accept-risk --mode local --llm skip --json
  sudo env KAFCLAW_HOME=/srv/kafclaw /usr/local/bin/kafclaw onboard --non-interactive --accept-risk --mode local --llm skip --systemd";

#[derive(clap::Args, Debug, Default)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Ask nothing; needs --accept-risk, --mode and --llm.
    #[arg(long)]
    non_interactive: bool,
    /// Agree that the assistant may act in this home within its policies.
    #[arg(long)]
    accept_risk: bool,
    /// Print a summary as JSON.
    #[arg(long)]
    json: bool,
    /// How this machine is used; `local`, a home that stands alone, is what this version knows.
    #[arg(long, alias = "profile")]
    mode: Option<String>,
    /// The language model: skip, openai-compatible, or a known one such as ollama or claude.
    #[arg(long, value_name = "NAME")]
    llm: Option<String>,
    /// Address of the model's server, such as http://10.0.0.5:8000/v1.
    #[arg(long, value_name = "URL")]
    llm_api_base: Option<String>,
    /// Name of the model at that server.
    #[arg(long, value_name = "MODEL")]
    llm_model: Option<String>,
    /// Key for that server; others on this machine can see it while the command runs.
    #[arg(long, value_name = "KEY")]
    llm_token: Option<String>,
    /// The MQTT broker of the devices, such as mqtt://user:password@127.0.0.1:1883.
    #[arg(long, value_name = "URL")]
    mqtt_url: Option<String>,
    /// Port of the chat API.
    #[arg(long, value_name = "PORT")]
    gateway_port: Option<u16>,
    /// Address the gateway listens on; beyond this machine it needs --allow-non-loopback.
    #[arg(long, value_name = "ADDRESS")]
    gateway_host: Option<IpAddr>,
    /// Agree that other machines may reach the gateway; people need the password, programs the token.
    #[arg(long)]
    allow_non_loopback: bool,
    /// Begin with a new configuration and new soul files; the old ones are kept beside them.
    #[arg(short, long)]
    force: bool,
    /// Set aside what is there before: nothing, the configuration, or the database, the token and the password too.
    #[arg(long, value_enum, default_value_t)]
    reset_scope: ResetScope,
    /// Write a systemd unit: for the system as root, for yourself with --user.
    #[arg(long)]
    systemd: bool,
    /// Write the unit for your own systemd.
    #[arg(long, requires = "systemd")]
    user: bool,
    /// User that the system's unit runs as.
    #[arg(long, value_name = "USER", default_value = "kafclaw", requires = "systemd")]
    service_user: String,
    /// Program that the unit starts; this one when left out.
    #[arg(long, value_name = "PATH", requires = "systemd")]
    service_binary: Option<PathBuf>,
    /// Folder that stands for / when the unit is written.
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    service_install_root: PathBuf,
    /// Do not look whether a gateway answers.
    #[arg(long)]
    skip_healthcheck: bool,
    /// Wait until the gateway answers; start it meanwhile.
    #[arg(long)]
    wait_for_gateway: bool,
    /// How long to wait for it, such as 15s.
    #[arg(long, value_name = "LENGTH", default_value = "15s", value_parser = length)]
    health_timeout: Duration,
}

/// What is set aside before anything is set up.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
enum ResetScope {
    #[default]
    None,
    Config,
    Full,
}

fn length(text: &str) -> Result<Duration, String> {
    crate::scheduler::parse_duration(text).map_err(|error| error.to_string())
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut choice = choice::from_flags(&self)?;
        let asks = !self.non_interactive && terminal.input_is_person;
        match asks {
            true => choice = choice::from_person(choice, &self, terminal)?,
            false => choice::require_flags(&self)?,
        }
        let done = settle::settle(&self, &choice, terminal)?;
        let health = health::look(&self, &done.config, terminal);
        match self.json {
            true => terminal.print_json(&summary(&done, &health))?,
            false => terminal.print(&text(&done, &health))?,
        }
        match (self.wait_for_gateway, health["gatewayReachable"] == true) {
            (true, false) => {
                Err(Failure::Outcome("the gateway did not answer in time; start it with `kafclaw gateway`".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// KafClaw's shape, with what was done besides.
fn summary(done: &Done, health: &Value) -> Value {
    let (paths, gateway) = (&done.config.paths, &done.config.gateway);
    json!({
        "configPath": paths.config_file,
        "workspace": paths.workspace,
        "workRepo": paths.work_repo,
        "mode": "local",
        "gatewayBind": if gateway.host.is_loopback() { "loopback" } else { "non-loopback" },
        // This version brings its tools along and has no skills to install.
        "skills": { "enabled": false, "stateDirsOk": false, "nodeFound": false, "clawhubFound": false },
        "health": health,
        "steps": done.steps,
        "remarks": done.remarks,
        "next": done.next,
    })
}

fn text(done: &Done, health: &Value) -> String {
    let mut text = String::new();
    for step in &done.steps {
        text.push_str(&format!("  ✓ {step}\n"));
    }
    for remark in &done.remarks {
        text.push_str(&format!("  ! {remark}\n"));
    }
    if let Some(warning) = health["warning"].as_str() {
        text.push_str(&format!("  ! {warning}\n"));
    }
    text.push_str("\nNext:\n");
    for next in &done.next {
        text.push_str(&format!("  {next}\n"));
    }
    text
}
