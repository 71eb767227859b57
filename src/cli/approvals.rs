//! `kafclaw approvals ...`: the questions the assistant waits for.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::client::part;
use crate::cli::show::{field, one_line, table, time};
use crate::cli::{Failure, Terminal};

const AFTER_HELP: &str = "\
A question that nobody answers in time counts as no (policy.approvalTimeout).

Examples:
  kafclaw approvals list
  kafclaw approvals approve 3f1c2a9b5d7e8f00";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show what waits for an answer.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Agree: it is done now.
    Approve {
        /// The id, as `list` shows it.
        id: String,
    },
    /// Refuse: it is not done.
    Deny {
        /// The id, as `list` shows it.
        id: String,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::List { json } => {
                let pending = terminal.gateway()?.get("approvals/pending").map_err(Failure::Client)?;
                if json { terminal.print_json(&pending) } else { terminal.print(&listing(&pending)) }
            }
            Action::Approve { id } => answer(&id, true, terminal),
            Action::Deny { id } => answer(&id, false, terminal),
        }
    }
}

fn answer(id: &str, approved: bool, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let path = format!("approvals/{}", part(id));
    let answer = terminal.gateway()?.post(&path, &json!({ "approved": approved })).map_err(Failure::Client)?;
    terminal.print(&format!("{id} is {}.", one_line(&field(&answer, "status"))))
}

fn listing(pending: &Value) -> String {
    let rows: Vec<[String; 5]> = pending
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            [
                field(row, "approval_id"),
                field(row, "tool"),
                field(row, "arguments"),
                field(row, "sender"),
                time(row, "created_at"),
            ]
        })
        .collect();
    match rows.is_empty() {
        true => "Nothing waits for an answer.".to_owned(),
        false => table(["ID", "TOOL", "WITH", "FOR", "SINCE"], &rows),
    }
}
