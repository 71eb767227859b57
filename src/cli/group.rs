//! `kafclaw group ...`: the other hubs and agents, and what is asked of them.

use serde_json::{Value, json};

use crate::cli::client::part;
use crate::cli::show::{field, printable, table, time};
use crate::cli::{Failure, Terminal};

mod membership;

const AFTER_HELP: &str = "\
All of this is asked of the running gateway. A group that is joined here is joined again after a restart, and one that is left
stays left; group.enabled, group.groupName and group.kafkaBrokers of the configuration count where nothing else was said. Without
a network the hub goes on alone; what it was to tell the others waits on its disk.

Examples:
  kafclaw group join home --brokers 127.0.0.1:9092
  kafclaw group status
  kafclaw group members
  kafclaw group ask --member garage 'is the side door open?'
  kafclaw group tasks --direction outgoing";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    #[command(flatten)]
    Membership(membership::Action),
    /// Show whether this hub is in its group, and what to do if not.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show who belongs to the group, and who is there.
    Members {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask a member to do something or to answer a question.
    Ask {
        /// Name or id of a member; without it whoever is able is asked.
        #[arg(long, default_value = "")]
        member: String,
        /// A skill that the member must offer.
        #[arg(long, default_value = "")]
        skill: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// What to do, in whole sentences.
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Show what was asked of others, and what others asked, newest first.
    Tasks {
        /// Only what went out, or only what came in.
        #[arg(long, value_parser = ["outgoing", "incoming"], default_value = "")]
        direction: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call off what was asked.
    Cancel {
        /// The id, as `tasks` shows it.
        id: String,
    },
    /// Show what waits for the network, and what was not kept.
    Outbox {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::Membership(action) => action.run(terminal),
            Action::Status { json } => show("group/status", json, standing, terminal),
            Action::Members { json } => show("group/members", json, members, terminal),
            Action::Tasks { direction, json } => {
                show(&format!("group/tasks?direction={}", part(&direction)), json, tasks, terminal)
            }
            Action::Outbox { json } => show("group/outbox", json, outbox, terminal),
            Action::Ask { member, skill, json, text } => {
                let order = json!({"description": text.join(" "), "member": member, "skill": skill});
                let asked = terminal.gateway()?.post("group/tasks/submit", &order).map_err(Failure::Client)?;
                if json { terminal.print_json(&asked) } else { terminal.print(&taken(&asked)) }
            }
            Action::Cancel { id } => {
                let path = format!("group/tasks/{}/cancel", part(&id));
                terminal.gateway()?.post(&path, &json!({})).map_err(Failure::Client)?;
                terminal.print(&format!("{} is called off.", printable(&id)))
            }
        }
    }
}

fn show(path: &str, json: bool, words: fn(&Value) -> String, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let found = terminal.gateway()?.get(path).map_err(Failure::Client)?;
    if json { terminal.print_json(&found) } else { terminal.print(&words(&found)) }
}

fn standing(status: &Value) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("Group", field(status, "group_name")),
        ("This hub", field(status, "agent_id")),
        ("Connection", field(status, "connectivity")),
        ("Members", field(status, "member_count")),
        ("Waiting", field(status, "outbox_rows")),
        ("Let in", let_in(&status["onboarding"])),
        ("Why", field(status, "reason")),
        ("What to do", field(status, "advice")),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{:<12}{}\n", format!("{name}:"), printable(&value)));
        }
    }
    text
}

/// What the members said to whom they have to let in; blank where nobody was asked.
fn let_in(onboarding: &Value) -> String {
    let (by, reason) = (field(onboarding, "by"), field(onboarding, "reason"));
    match onboarding["state"].as_str() {
        Some("asking") if reason.is_empty() => "the members are being asked".to_owned(),
        Some("asking" | "shut_out") => format!("no, says {by}: {reason}"),
        Some("let_in") => format!("yes, by {by}"),
        Some("nobody_answered") => "nobody answered".to_owned(),
        _ => String::new(),
    }
}

fn members(members: &Value) -> String {
    let row = |member: &Value| {
        let state = if member["is_alive"] == true { "there".to_owned() } else { field(member, "status") };
        [
            field(member, "agent_id"),
            field(member, "agent_name"),
            state,
            field(member, "model"),
            time(member, "last_seen"),
        ]
    };
    let rows: Vec<[String; 5]> = members.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "Nobody else was ever heard in the group.".to_owned(),
        false => table(["AGENT", "NAME", "STATE", "MODEL", "LAST SEEN"], &rows),
    }
}

fn tasks(tasks: &Value) -> String {
    let row = |task: &Value| {
        let other = if task["direction"] == "outgoing" { "responder_id" } else { "requester_id" };
        [
            field(task, "task_id"),
            field(task, "direction"),
            field(task, "status"),
            field(task, other),
            field(task, "description"),
        ]
    };
    let rows: Vec<[String; 5]> = tasks.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "Nothing was asked yet.".to_owned(),
        false => table(["TASK", "DIRECTION", "STATUS", "WITH", "WHAT"], &rows),
    }
}

fn outbox(outbox: &Value) -> String {
    let row = |class: &Value| {
        ["class", "rows", "sent", "sampled", "dropped", "expired", "refused"].map(|name| field(class, name))
    };
    let rows: Vec<[String; 7]> = outbox["classes"].as_array().into_iter().flatten().map(row).collect();
    table(["CLASS", "WAITING", "SENT", "SAMPLED", "DROPPED", "EXPIRED", "REFUSED"], &rows)
}

fn taken(asked: &Value) -> String {
    let member = field(asked, "member");
    let who = if member.is_empty() { "whoever is able".to_owned() } else { member };
    let when = if asked["queued"] == true { "as soon as it can be reached" } else { "now" };
    format!("{}: {} is asked {when}; `kafclaw group tasks` shows the answer.", field(asked, "task_id"), printable(&who))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_says_who_is_there_and_why_not() {
        let status = json!({"group_name": "home", "agent_id": "kitchen", "connectivity": "offline", "member_count": 1,
            "outbox_rows": 3, "reason": "127.0.0.1:9092: nobody listens", "advice": "Start the broker."});
        let text = standing(&status);
        assert!(text.contains("offline") && text.contains("Start the broker."), "{text}");
        let there =
            members(&json!([{"agent_id": "garage", "agent_name": "Garage", "is_alive": true, "status": "active"}]));
        assert!(there.contains("garage") && there.contains("there"), "{there}");
        assert!(taken(&json!({"task_id": "t1", "member": "garage", "queued": true})).contains("as soon as"));
    }
}
