//! `kafclaw task ...`: what was asked, and what became of it.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::client::part;
use crate::cli::show::{field, one_line, printable, table, time};
use crate::cli::{Failure, Terminal};
use crate::domain::task::TaskStatus;

/// Steps of a trace that the summary shows.
const STEPS_SHOWN_MAX: usize = 20;

const AFTER_HELP: &str = "\
Examples:
  kafclaw task list --status failed
  kafclaw task show 0123456789abcdef0123456789abcdef
  kafclaw task status --trace 0123456789abcdef";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show tasks, newest first.
    List {
        /// Only those in this state.
        #[arg(long, value_parser = TaskStatus::ALL.map(TaskStatus::as_str))]
        status: Option<String>,
        /// Only those of this channel, such as cli, mqtt or webui.
        #[arg(long)]
        channel: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show everything about one task.
    Show {
        /// The id, as `list` shows it.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the steps of one trace, from door to delivery.
    Status {
        /// The trace id, as answers and `task show` give it.
        #[arg(long)]
        trace: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let client = terminal.gateway()?;
        let (value, json, text): (Value, bool, fn(&Value) -> String) = match self.action {
            Action::List { status, channel, limit, json } => {
                let mut path = format!("tasks?limit={limit}");
                for (name, value) in [("status", status), ("channel", channel)] {
                    path.extend(value.map(|value| format!("&{name}={}", part(&value))));
                }
                (client.get(&path).map_err(Failure::Client)?, json, listing)
            }
            Action::Show { id, json } => {
                (client.get(&format!("tasks/{}", part(&id))).map_err(Failure::Client)?, json, whole)
            }
            Action::Status { trace, json } => {
                let found = client.get(&format!("trace/{}", part(&trace))).map_err(Failure::Client)?;
                (summary(&trace, &found), json, steps)
            }
        };
        if json { terminal.print_json(&value) } else { terminal.print(&text(&value)) }
    }
}

fn listing(tasks: &Value) -> String {
    let rows: Vec<[String; 6]> = tasks
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| {
            [
                field(task, "task_id"),
                field(task, "status"),
                field(task, "delivery_status"),
                field(task, "channel"),
                time(task, "created_at"),
                field(task, "content_in"),
            ]
        })
        .collect();
    match rows.is_empty() {
        true => "There are no such tasks.".to_owned(),
        false => table(["TASK", "STATUS", "DELIVERY", "CHANNEL", "SINCE", "ASKED"], &rows),
    }
}

/// Each fact on a line of its own, times on the clock of this place.
fn whole(task: &Value) -> String {
    let mut text = String::new();
    for (name, value) in task.as_object().into_iter().flatten() {
        let shown = match name.ends_with("_at") {
            true => time(task, name),
            false => field(task, name),
        };
        if !value.is_null() && !shown.is_empty() {
            text.push_str(&format!("{:<20}{}\n", format!("{name}:"), printable(&shown).replace('\n', "\n    ")));
        }
    }
    text
}

/// KafClaw's shape of `task status --json`.
fn summary(trace: &str, found: &Value) -> Value {
    let tasks: Vec<&Value> = Some(&found["task"]).into_iter().filter(|task| !task.is_null()).collect();
    let steps = found["spans"].as_array().map_or(&[][..], Vec::as_slice);
    json!({
        "traceId": trace,
        "taskCount": tasks.len(),
        "transitionCount": steps.len(),
        "tasks": tasks,
        "transitionsPreview": &steps[..steps.len().min(STEPS_SHOWN_MAX)],
    })
}

fn steps(summary: &Value) -> String {
    let mut text = format!("Trace:  {}\n", field(summary, "traceId"));
    for task in summary["tasks"].as_array().into_iter().flatten() {
        let (id, status, delivery) = (field(task, "task_id"), field(task, "status"), field(task, "delivery_status"));
        text.push_str(&format!("Task:   {id} {status}, delivery {delivery}\n"));
    }
    let preview = summary["transitionsPreview"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |step: &Value| {
        [field(step, "time"), field(step, "type"), field(step, "duration"), one_line(&field(step, "title"))]
    };
    let rows: Vec<[String; 4]> = preview.iter().map(row).collect();
    match rows.is_empty() {
        true => text.push_str("Nothing is known about this trace.\n"),
        false => text.push_str(&table(["TIME", "KIND", "TOOK", "STEP"], &rows)),
    }
    let left = summary["transitionCount"].as_u64().unwrap_or(0).saturating_sub(rows.len() as u64);
    if left > 0 {
        text.push_str(&format!("and {left} more\n"));
    }
    text
}
