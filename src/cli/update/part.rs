//! `kafclaw update part`: what the house's own user does for a driver. JSON in, JSON out, one object a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use crate::base::error::chain;
use crate::cli::update::health::Embedding;
use crate::cli::update::{backup_file, fetching, health};
use crate::cli::{Failure, Terminal};
use crate::config::Loaded;
use crate::db;
use crate::update::{Fetching, Order, Places, UpdateError, bring, check_room, make_folder};

/// Of what comes in.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// Bring the bundle of an order.
    Fetch {
        /// How long a server that cannot be reached is waited for.
        #[arg(long, default_value_t = 0)]
        network_wait_s: u64,
    },
    /// Copy the database.
    BackUp,
    /// Say what is wrong with the system that runs.
    Health,
}

#[derive(Deserialize)]
struct Look {
    embed: bool,
}

impl Args {
    pub fn run(self, loaded: &Loaded, places: &Places, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let done = match self.part {
            Part::Fetch { network_wait_s } => {
                fetch(loaded, places, Duration::from_secs(network_wait_s), terminal).map(|()| json!({"done": true}))
            }
            Part::BackUp => back_up(&loaded.config.paths.database, &backup_file(loaded))
                .map(|copy| json!({"copy": copy}))
                .map_err(Failure::Update),
            Part::Health => {
                let look: Look = input(terminal)?;
                let embedding = if look.embed { Embedding::Try } else { Embedding::Leave };
                Ok(json!({"troubles": health::troubles(loaded, embedding)}))
            }
        };
        match done {
            Ok(value) => terminal.print(&value.to_string()),
            Err(failure) => terminal.print(&json!({"error": chain(&failure)}).to_string()),
        }
    }
}

fn input<T: for<'de> Deserialize<'de>>(terminal: &mut Terminal<'_>) -> Result<T, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    (&mut terminal.input).take(INPUT_BYTES_MAX).read_to_string(&mut text).map_err(Failure::Input)?;
    serde_json::from_str(&text).map_err(Failure::usage)
}

fn fetch(loaded: &Loaded, places: &Places, network_wait: Duration, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let order: Order = input(terminal)?;
    let fetching = Fetching { network_wait, ..fetching(loaded, places, &order.source)? };
    let mut told = None;
    let mut tell = |bytes: u64, total: Option<u64>| {
        let percent = total.filter(|total| *total > 0).map_or(bytes >> 22, |total| bytes.saturating_mul(100) / total);
        if told != Some(percent) {
            told = Some(percent);
            // A driver that has gone away is told by the next line at the latest.
            let _ = terminal.print(&json!({"bytes": bytes, "total": total}).to_string());
        }
    };
    bring(&fetching, &order, &mut tell).map(drop).map_err(Failure::Update)
}

/// Copies the database to `copy`, which replaces that of the update before; none where there is no database yet.
pub(super) fn back_up(database: &Path, copy: &Path) -> Result<Option<PathBuf>, UpdateError> {
    if !database.exists() {
        return Ok(None);
    }
    let failed = |why: &dyn std::error::Error| UpdateError::Backup { why: chain(why) };
    let folder = copy.parent().unwrap_or(Path::new("/"));
    check_room(folder, fs::metadata(database).map_or(0, |file| file.len()))?;
    let draft = copy.with_extension("draft");
    let copied = make_folder(folder, 0o700).and_then(|()| match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    copied.map_err(|error| failed(&error))?;
    db::copy_file(database, &draft).map_err(|error| failed(&error))?;
    let kept = fs::File::open(&draft).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&draft, copy));
    kept.map_err(|error| failed(&error))?;
    Ok(Some(copy.to_owned()))
}
