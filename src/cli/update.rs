//! `kafclaw update`: the whole system, to a newer version and back.

mod hands;
mod health;
mod part;
mod show;
mod system;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::secret::Secret;
use crate::cli::client::Client;
use crate::cli::{Failure, Terminal};
use crate::config::Loaded;
use crate::update::{Desk, Fetching, Offer, Order, Phase, Places, Refusal, UpdateError, bundle_on_stick, look};

const AFTER_HELP: &str = "\
A bundle is signed and holds a whole system. It is written to the other slot while the house goes on; a restart starts it, and when it
does not prove itself within ten minutes, the machine comes back to the system that ran before, by itself. `status` says why.

SOURCE is a file, `stick` for the bundle on a USB stick, a web address of a bundle or of an index of them, or another hub
(http://hub:18791; its token in KAFCLAW_UPDATE_TOKEN). Where it comes from does not matter: the signature does.

Examples:
  kafclaw update check
  kafclaw update install stick --restart
  kafclaw update install https://example.org/kafclaw/index.json
  kafclaw update status --json | jq .phase
  kafclaw update rollback";

/// Between two looks at how far somebody else's work is.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Say whether there is a newer version.
    Check {
        /// Where to look; update.source of the configuration when left out.
        source: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write an update to the other slot.
    Install {
        /// Where it is; update.source of the configuration when left out.
        source: Option<String>,
        /// Take an older version than the one that runs, too.
        #[arg(long)]
        downgrade: bool,
        /// Do nothing when that version runs already.
        #[arg(long, conflicts_with = "downgrade")]
        only_newer: bool,
        /// Start it at once.
        #[arg(long)]
        restart: bool,
        /// Print the progress and, last, the status as JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show which system runs, how far an update is, and why the last one was taken back.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Start the system that was installed.
    Restart,
    /// Go back to the system of the other slot, take back what waits for a restart, or call off what is on its way here.
    Rollback,
    /// Do what the gateway has asked for, or go on with what the power cut. Run by systemd, as root.
    #[command(hide = true)]
    Apply,
    /// Prove that the system that runs is well, or give the other one its turn. Run by systemd after each start, as root.
    #[command(hide = true)]
    Confirm,
    /// A part of the work that the house's own user does.
    #[command(hide = true)]
    Part(part::Args),
}

/// The keys of `update` that commands need.
#[derive(Deserialize)]
struct Keys {
    source: String,
    #[serde(default)]
    token: Secret<String>,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        // A system that refuses the configuration of the one before must be left all the same.
        let loaded = terminal.load_config_or_defaults()?;
        if let (Action::Check { .. } | Action::Install { .. }, Some(mistakes)) = (&self.action, &loaded.mistakes) {
            return Err(Failure::Config(mistakes.clone()));
        }
        let places = places(&loaded);
        match self.action {
            Action::Check { source, json } => check(source, json, &loaded, &places, terminal),
            Action::Install { source, downgrade, only_newer, restart, json } => {
                let source = self::source(source, &loaded)?;
                let order = Order { source, downgrade, restart, only_newer, ..Order::default() };
                Act { places, loaded, json }.install(order, terminal)
            }
            Action::Status { json } => {
                let view = Desk::new(places).view();
                if json { terminal.print_json(&view) } else { terminal.print(&show::text(&view)) }
            }
            Action::Restart => Act { places, loaded, json: false }.restart(terminal),
            Action::Rollback => Act { places, loaded, json: false }.roll_back(terminal),
            Action::Apply => system::apply(&loaded, &places, terminal),
            Action::Confirm => system::confirm(&loaded, &places, terminal),
            Action::Part(part) => part.run(&loaded, &places, terminal),
        }
    }
}

pub(super) fn places(loaded: &Loaded) -> Places {
    Places::new(&loaded.config.paths.state_dir, Path::new(test_root(loaded).unwrap_or("/")))
}

/// Where a test's own machine is; its environment says so, and no file can (`config::variables`).
fn test_root(loaded: &Loaded) -> Option<&str> {
    loaded.variables.get("KAFCLAW_UPDATE_ROOT").filter(|root| !root.is_empty())
}

fn keys(loaded: &Loaded) -> Result<Keys, Failure> {
    let keys = loaded.config.section("/update");
    keys.map_err(|error| Failure::Outcome(format!("the keys of update cannot be read: {error}")))
}

/// How this home gets bundles from `source`.
fn fetching(loaded: &Loaded, places: &Places, source: &str) -> Result<Fetching, Failure> {
    let keys = keys(loaded)?;
    // A token from the environment is for what was typed; that of the configuration only for what the configuration names.
    let is_given = loaded.variables.get("KAFCLAW_UPDATE_TOKEN").is_some_and(|token| !token.is_empty());
    let token = ((is_given || source == keys.source) && !keys.token.is_empty()).then_some(keys.token);
    let compatible = places.compatible();
    let folder = places.incoming.clone();
    Ok(Fetching { folder, compatible, token, places: Some(places.clone()), ..Fetching::default() })
}

/// What was typed, as it is written down: an absolute path or a web address.
fn source(given: Option<String>, loaded: &Loaded) -> Result<String, Failure> {
    let source = match given {
        Some(source) => source,
        None => keys(loaded)?.source,
    };
    if source.is_empty() {
        return Err(Failure::usage(
            "say where the update is: a file, `stick`, or a web address; or set update.source once",
        ));
    }
    if source == "stick" {
        let bundle = bundle_on_stick(&crate::models::sticks()).map_err(Failure::Update)?;
        return Ok(bundle.display().to_string());
    }
    if source.contains("://") {
        return Ok(source);
    }
    let path = std::path::absolute(&source);
    let path = path.map_err(|error| Failure::File { attempt: format!("find {source}"), source: error })?;
    Ok(path.display().to_string())
}

fn check(
    given: Option<String>,
    json: bool,
    loaded: &Loaded,
    places: &Places,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let source = source(given, loaded)?;
    if !places.has_slots() {
        return Err(Failure::Update(UpdateError::Refused(Refusal::NoRauc)));
    }
    let running = places.version();
    let offer: Offer = look(&fetching(loaded, places, &source)?, &source).map_err(Failure::Update)?;
    let is_newer = offer.is_newer_than(&running);
    if json {
        return terminal.print_json(&json!({"running": running, "newer": is_newer, "offer": offer}));
    }
    terminal.print(&if is_newer {
        format!("Version {} is there, {running} runs. To install it: kafclaw update install {source}", offer.version)
    } else {
        format!("Version {running} runs and {} is offered: nothing newer.", offer.version)
    })
}

/// Something that changes the machine: done here by who may, else by way of the gateway.
struct Act {
    places: Places,
    loaded: Loaded,
    json: bool,
}

impl Act {
    fn install(&self, order: Order, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        self.check_slots()?;
        let restarts = order.restart;
        let done = match self.may_drive() {
            true => system::drive(&self.loaded, &self.places, (self.json, terminal), |driver| driver.install(order)),
            false => self.by_gateway("update/install", &json!(order), terminal),
        };
        done?;
        if self.json {
            return terminal.print(&Desk::new(self.places.clone()).view().to_string());
        }
        let version = Desk::new(self.places.clone()).ledger().bundle.map(|bundle| bundle.version).unwrap_or_default();
        terminal.print(&if restarts {
            format!("Version {version} is installed; the machine restarts into it.")
        } else {
            format!("Version {version} is installed. To start it: kafclaw update restart")
        })
    }

    fn restart(&self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        self.check_slots()?;
        match self.may_drive() {
            true => system::drive(&self.loaded, &self.places, (false, terminal), |driver| driver.restart())?,
            false => self.by_gateway("update/restart", &json!({}), terminal)?,
        }
        terminal.print("The machine restarts; `kafclaw update status` says what came of it.")
    }

    fn roll_back(&self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        self.check_slots()?;
        let desk = Desk::new(self.places.clone());
        let is_coming = desk.ledger().phase.is_coming();
        // The gateway can reach who is at work.
        match self.may_drive() && !(is_coming && desk.is_at_work()) {
            true => system::drive(&self.loaded, &self.places, (false, terminal), |driver| driver.roll_back())?,
            false => match self.by_gateway("update/rollback", &json!({}), terminal) {
                // Said to whoever asked for the update, and meant here.
                Err(Failure::Outcome(why)) if why == Refusal::CalledOff.to_string() => {}
                done => done?,
            },
        }
        let ledger = desk.ledger();
        terminal.print(&match (ledger.phase, ledger.reason) {
            (Phase::GoingBack, _) => "The machine restarts into the system of the other slot.".to_owned(),
            (Phase::AwaitingRestart, Some(why)) => {
                return Err(Failure::Outcome(format!("the update still waits for a restart: {why}")));
            }
            (Phase::AwaitingRestart, None) => {
                let version = ledger.bundle.map(|bundle| bundle.version).unwrap_or_default();
                format!("It was called off; version {version} waits for a restart as before.")
            }
            (Phase::Idle, _) if is_coming => "The update was called off; nothing of it was written.".to_owned(),
            _ => "The update was taken back; this system goes on.".to_owned(),
        })
    }

    fn check_slots(&self) -> Result<(), Failure> {
        if self.places.has_slots() { Ok(()) } else { Err(Failure::Update(UpdateError::Refused(Refusal::NoRauc))) }
    }

    /// Root may, and tests in a folder of their own.
    fn may_drive(&self) -> bool {
        rustix::process::geteuid().is_root() || test_root(&self.loaded).is_some()
    }

    /// Has the gateway ask for it, and follows what becomes of it.
    fn by_gateway(&self, path: &str, body: &Value, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let client = Client::find(&self.loaded.config).map_err(Failure::Client)?;
        let before = client.get("update").map_err(Failure::Client)?;
        client.post(path, body).map_err(Failure::Client)?;
        let mut bar = show::Bar::new(terminal.output_is_person, self.json);
        let is_restart = path == "update/restart";
        loop {
            std::thread::sleep(POLL_INTERVAL);
            let view = client.get("update").map_err(Failure::Client)?;
            if let Some(line) = bar.tell_view(&view) {
                terminal.print(&line)?;
            }
            match show::ended(is_restart, &before, &view) {
                None => {}
                Some(Ok(())) => return Ok(()),
                Some(Err(why)) => return Err(Failure::Outcome(why)),
            }
        }
    }
}

/// What the house's own user copies the database to before an update.
fn backup_file(loaded: &Loaded) -> PathBuf {
    loaded.config.paths.backups_dir.join("before-update.db")
}
