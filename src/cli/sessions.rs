//! `kafclaw sessions ...`: what was said.

use clap::Subcommand;
use serde_json::Value;

use crate::cli::client::part;
use crate::cli::show::{field, printable, table, time};
use crate::cli::{Failure, Terminal};

const AFTER_HELP: &str = "\
Examples:
  kafclaw sessions list
  kafclaw sessions show cli:default --limit 20
  kafclaw sessions delete cli:default";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show every conversation.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what was said in one conversation.
    Show {
        /// The conversation, as `list` shows it.
        key: String,
        /// The newest so many messages.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget what was said in one conversation.
    Delete {
        /// The conversation, as `list` shows it.
        key: String,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let client = terminal.gateway()?;
        match self.action {
            Action::List { json } => {
                let list = client.get("sessions").map_err(Failure::Client)?;
                if json { terminal.print_json(&list) } else { terminal.print(&listing(&list)) }
            }
            Action::Show { key, limit, json } => {
                let path = format!("sessions/{}?limit={limit}", part(&key));
                let session = client.get(&path).map_err(Failure::Client)?;
                if json { terminal.print_json(&session) } else { terminal.print(&transcript(&session)) }
            }
            Action::Delete { key } => {
                client.delete(&format!("sessions/{}", part(&key))).map_err(Failure::Client)?;
                terminal.print(&format!("{key} is forgotten."))
            }
        }
    }
}

fn listing(list: &Value) -> String {
    let row = |row: &Value| [field(row, "key"), field(row, "message_count"), time(row, "updated_at")];
    let rows: Vec<[String; 3]> = list.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "Nothing was said yet.".to_owned(),
        false => table(["SESSION", "MESSAGES", "LAST"], &rows),
    }
}

/// The messages, given alone or in an object with facts about the conversation.
fn transcript(session: &Value) -> String {
    let messages = session.as_array().or_else(|| session["messages"].as_array());
    let mut text = String::new();
    for message in messages.into_iter().flatten() {
        let (when, role) = (time(message, "timestamp"), field(message, "role"));
        text.push_str(&format!("{when}  {role}: {}\n", printable(&field(message, "content"))));
    }
    if text.is_empty() { "Nothing was said yet.".to_owned() } else { text }
}
