//! `kafclaw gateway`.

use crate::app::{self, Forgotten};
use crate::cli::{Failure, Terminal};
use crate::reset;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Runs until Ctrl-C or SIGTERM, then ends in order; a second signal ends it at once.
Under systemd it reports READY, feeds the watchdog, logs to the journal and takes over sockets.")]
pub struct Args {}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        loop {
            // The configuration is among what a factory reset forgets.
            let paths = app::bare_config(terminal.variables.clone()).map_err(Failure::Config)?.paths;
            let forgotten = app::forget(&paths).map_err(|source| Failure::Gateway(Box::new(source)))?;
            if let Forgotten::Now(_) = forgotten {
                terminal.note("Everything that this home had told is forgotten.");
            }
            let loaded = terminal.load_config()?;
            let out = &mut *terminal.out;
            let mut announce = |text: &str| {
                // A terminal that has gone away does not stop the house.
                let _ = writeln!(out, "{text}").and_then(|()| out.flush());
            };
            app::run(loaded, &mut announce).map_err(|source| Failure::Gateway(Box::new(source)))?;
            // A service manager has been told that this process ends, and starts another.
            let is_supervised = std::env::var_os("NOTIFY_SOCKET").is_some();
            if is_supervised || !reset::is_requested(&paths.state_dir) || reset::reach() == reset::Reach::Machine {
                return Ok(());
            }
        }
    }
}
