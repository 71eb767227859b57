//! `kafclaw config ...`: reading, changing and checking the configuration.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Subcommand};

use crate::cli::{Cli, Failure, Terminal};
use crate::config::edit::{self, Editing, Secrets};
use crate::config::{self, Reader, schema};

const AFTER_HELP: &str = "\
A path is written with dots: gateway.port, providers.openai.apiKey, channels.slack.accounts[0].id.
Variables outweigh the file, the file outweighs the defaults. `get` shows what is in effect; `set` and
`unset` change the file only, keep its comments, and refuse what would not load.

Examples:
  kafclaw config get gateway
  kafclaw config set mqtt.url mqtt://127.0.0.1:1883
  kafclaw config set gateway.tlsCert /etc/kafclaw/cert.pem gateway.tlsKey /etc/kafclaw/key.pem
  kafclaw config schema > config.schema.json";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show a value that is in effect, or all of them.
    Get {
        /// The key, or a whole section; everything when left out.
        #[arg(default_value = "")]
        path: String,
        /// Show tokens, keys and passwords as they are instead of `***`.
        #[arg(long)]
        show_secrets: bool,
    },
    /// Set keys in the file; several at once when they need each other.
    Set {
        /// The key, then its value: JSON, or plain text.
        #[arg(required = true, num_args = 2.., value_names = ["PATH", "VALUE"], allow_negative_numbers = true)]
        pairs: Vec<String>,
    },
    /// Remove a key from the file, so that its default is in effect.
    Unset {
        /// The key, or a whole section.
        path: String,
    },
    /// Check the file and the variables, and report every mistake at once.
    Validate,
    /// Print the JSON Schema of the file, for editors: every key with its default and what it means.
    Schema,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::Get { path, show_secrets } => {
                let secrets = if show_secrets { Secrets::Shown } else { Secrets::Masked };
                let loaded = terminal.load_config()?;
                let value = edit::get(&loaded.effective, &path, secrets).map_err(Failure::Edit)?;
                terminal.print(&value)
            }
            Action::Set { pairs } => set(&pairs, terminal),
            Action::Unset { path } => {
                let file = locate(terminal)?;
                editing(&file, terminal).unset(&path).map_err(Failure::Edit)?;
                terminal.print(&format!("{path} is no longer in {}", file.display()))
            }
            Action::Validate => validate(terminal),
            Action::Schema => {
                let text = serde_json::to_string_pretty(&schema::schema()).expect("invariant: JSON values print");
                terminal.print(&text)
            }
        }
    }
}

fn set(pairs: &[String], terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    if !pairs.len().is_multiple_of(2) {
        let last = pairs.last().map_or("", String::as_str);
        let message = format!("`{last}` has no value; write each key followed by its value");
        return Err(Failure::Usage(Cli::command().error(ErrorKind::WrongNumberOfValues, message)));
    }
    let pairs: Vec<(&str, &str)> = pairs.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let file = locate(terminal)?;
    editing(&file, terminal).set(&pairs).map_err(Failure::Edit)?;
    let names: Vec<&str> = pairs.iter().map(|(path, _)| *path).collect();
    let (names, file) = (names.join(", "), file.display());
    terminal.print(&format!("{names} written to {file}; a running gateway goes by it after its next start"))
}

fn validate(terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let loaded = terminal.load_config()?;
    let file = loaded.config.paths.config_file.display();
    let text = match loaded.file_found {
        true => format!("{file} is valid."),
        false => format!("{file} does not exist; the defaults and the variables are valid."),
    };
    terminal.print(&text)
}

fn locate(terminal: &Terminal<'_>) -> Result<PathBuf, Failure> {
    config::locate(terminal.variables.clone(), &Reader::disk()).map_err(Failure::Config)
}

fn editing<'a>(file: &'a std::path::Path, terminal: &'a Terminal<'_>) -> Editing<'a> {
    Editing { file, variables: &terminal.variables, reader: Reader::disk() }
}
