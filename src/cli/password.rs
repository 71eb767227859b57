//! `kafclaw password`: the way back for an owner who has forgotten the password.

use crate::cli::setup_code::{failed, store};
use crate::cli::{Failure, Terminal};

const AFTER_HELP: &str = "\
Whoever may write to this home's folder may do this. Passwords are set and changed in the web page.

Example:
  kafclaw password reset";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Forget the owner's password, sign every browser out, and show the setup code with which a new one is set.
    Reset,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let Command::Reset = self.command;
        let paths = terminal.load_config()?.config.paths;
        let code = store(&paths, terminal)?.reset().map_err(failed)?;
        terminal.note("The password is forgotten. The web page asks for this code and for a new password:");
        terminal.print(&code.shown())
    }
}
