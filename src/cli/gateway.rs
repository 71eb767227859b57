//! `kafclaw gateway`.

use crate::app;
use crate::cli::{Failure, Terminal};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Runs until Ctrl-C or SIGTERM, then ends in order; a second signal ends it at once.
Under systemd it reports READY, feeds the watchdog, logs to the journal and takes over sockets.")]
pub struct Args {}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let loaded = terminal.load_config()?;
        let out = &mut *terminal.out;
        let mut announce = |text: &str| {
            // A terminal that has gone away does not stop the house.
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        };
        app::run(loaded, &mut announce).map_err(|source| Failure::Gateway(Box::new(source)))
    }
}
