//! `kafclaw completion <shell>`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Failure, Terminal};

const AFTER_HELP: &str = "\
Examples:
  bash:  kafclaw completion bash > ~/.local/share/bash-completion/completions/kafclaw
  zsh:   kafclaw completion zsh > \"${fpath[1]}/_kafclaw\"
  fish:  kafclaw completion fish > ~/.config/fish/completions/kafclaw.fish";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The shell that is to complete.
    shell: Shell,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "kafclaw", &mut script);
        terminal.print(&String::from_utf8_lossy(&script))
    }
}
