//! `kafclaw factory-reset`: forget everything this home has told.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::app::{self, Forgotten};
use crate::cli::client::Client;
use crate::cli::{Failure, Terminal};
use crate::config::Config;
use crate::reset::{self, Reach, WORDS};

const AFTER_HELP: &str = "\
On a device that runs this product's image the machine starts anew and forgets everything: the home, its keys and passwords, the
Wi-Fi, its own name. Elsewhere the folder with the state of this home (~/.kafclaw) is emptied; what lies outside of it, such as the
workspace, stays. There is no way back but a backup that lies elsewhere (`kafclaw backup /media/stick/home.tar`): those of the folder
go too. The next start is a first start.

Example:
  kafclaw factory-reset";

/// How long a gateway has to end, and to forget.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = app::bare_config(terminal.variables.clone()).map_err(Failure::Config)?;
        let reach = reset::reach();
        if !self.yes {
            agree(&config, &reach, terminal)?;
        }
        reset::request(&config.paths.state_dir).map_err(Failure::Reset)?;
        match reach {
            Reach::Machine => {
                terminal.print("The machine starts anew now, and forgets everything before it is up again.")
            }
            Reach::Folder => finish(&config, terminal),
        }
    }
}

fn agree(config: &Config, reach: &Reach, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    if !terminal.input_is_person {
        return Err(Failure::usage("nobody is there to be asked; say --yes to forget everything"));
    }
    terminal.note(&match reach {
        Reach::Machine => {
            "This machine forgets everything: the home with its backups, its keys and passwords, and the Wi-Fi."
                .to_owned()
        }
        Reach::Folder => format!("Everything in {} is deleted, backups too.", config.paths.state_dir.display()),
    });
    match terminal.ask(&format!("There is no way back. Type `{WORDS}` to go on: "))? {
        Some(answer) if answer == WORDS => Ok(()),
        _ => Err(Failure::Outcome("nothing was changed".to_owned())),
    }
}

/// Ends the gateway, if there is one, which forgets everything when it starts again; else this does.
fn finish(config: &Config, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let state_dir = &config.paths.state_dir;
    let running = Client::find(config).ok().filter(Client::is_alive).and_then(|gateway| gateway.pid);
    if let Some(pid) = running.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        if kill_process(pid, Signal::TERM).is_err() {
            return Err(Failure::Outcome(
                "the gateway runs as somebody else; it forgets everything when it is started the next time".to_owned(),
            ));
        }
        let began = Instant::now();
        while reset::is_requested(state_dir) && test_kill_process(pid).is_ok() && began.elapsed() < PATIENCE {
            thread::sleep(LOOK_AGAIN);
        }
    }
    match app::forget(&config.paths) {
        Ok(Forgotten::Now(wiped)) => terminal.print(&format!("Everything is forgotten ({} files).", wiped.files)),
        Ok(Forgotten::Nothing) => terminal.print("Everything is forgotten."),
        Err(source) => Err(Failure::Gateway(Box::new(source))),
    }
}
