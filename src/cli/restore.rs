//! `kafclaw restore`: what a backup holds comes back.

use std::path::PathBuf;

use crate::backup;
use crate::cli::backup::places;
use crate::cli::client::Client;
use crate::cli::show::count;
use crate::cli::{Failure, Terminal};
use crate::config::{self, Reader};

const AFTER_HELP: &str = "\
The gateway must not run. Everything in the file is checked before anything is replaced, and what is replaced is kept
aside. What the file does not hold, such as a workspace that was left out, stays as it is.

Examples:
  sudo systemctl stop kafclaw-gateway        (on an image of ours: kafclaw)
  kafclaw restore ~/.kafclaw/backups/kafclaw-20260818-120000.tar";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The file that `kafclaw backup` wrote.
    file: PathBuf,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = terminal.load_config()?.config;
        if let Some(gateway) = Client::find(&config).ok().filter(Client::is_alive) {
            let text = format!("the gateway is running on {}; stop it first; nothing was changed", gateway.chat);
            return Err(Failure::Outcome(text));
        }
        let now = terminal.clock.now();
        let tells = terminal.output_is_person;
        let mut progress = |text: &str| {
            if tells {
                terminal.note(text)
            }
        };
        let replaced =
            backup::restore(&self.file, &places(&config.paths), now, &mut progress).map_err(Failure::Backup)?;
        let mut text = format!(
            "{} of the backup made at {} are back.\n",
            count(replaced.files as u64, "file"),
            crate::cli::show::one_line(&replaced.created_at)
        );
        for aside in &replaced.aside {
            text.push_str(&format!("What was there before is in {}\n", aside.display()));
        }
        // The configuration may be another one now; whoever starts the gateway should not be the first to hear of it.
        match config::load(terminal.variables.clone(), &Reader::disk()) {
            Ok(_) => text.push_str("Start the gateway with `kafclaw gateway`."),
            Err(error) => terminal.note(&format!("warning: {error}")),
        }
        terminal.print(&text)
    }
}
