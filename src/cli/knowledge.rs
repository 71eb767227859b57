//! `kafclaw knowledge ...`: what the hubs of a group agree on.

use serde_json::{Value, json};

use crate::cli::client::part;
use crate::cli::show::{field, printable, table};
use crate::cli::{Failure, Terminal};

const AFTER_HELP: &str = "\
Needs knowledge.enabled, and a group. A hub votes for itself only. Without a network everything is said as soon as there is one.
What is tagged with one of knowledge.publish.denyTags stays here; one of knowledge.publish.allowTags is needed.

Examples:
  kafclaw knowledge propose --title 'Heating' --statement 'The boiler is serviced in May.' --tags ops
  kafclaw knowledge vote --proposal-id kp-0123456789abcdef --vote yes
  kafclaw knowledge decisions --status pending
  kafclaw knowledge publish --proposal-id kp-0123456789abcdef --subject boiler --predicate serviced --object May --tags ops
  kafclaw knowledge facts";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Show how this hub shares knowledge, and how much there is.
    Status,
    /// Propose something to the group.
    Propose {
        /// The group that shares knowledge; only this hub's own one.
        #[arg(long, default_value = "")]
        group: String,
        /// Id of the proposal; without it a new one is made.
        #[arg(long, default_value = "")]
        proposal_id: String,
        /// A few words.
        #[arg(long, default_value = "")]
        title: String,
        /// What is proposed, in whole sentences.
        #[arg(long)]
        statement: String,
        /// What it is about, separated by commas.
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
        /// Always done; taken for compatibility.
        #[arg(long, hide = true)]
        publish: bool,
    },
    /// Vote on a proposal, as this hub.
    Vote {
        /// The id, as `decisions --status pending` shows it.
        #[arg(long)]
        proposal_id: String,
        /// The vote; another one later replaces it.
        #[arg(long, value_parser = ["yes", "no"], ignore_case = true)]
        vote: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        /// Always done; taken for compatibility.
        #[arg(long, hide = true)]
        publish: bool,
    },
    /// Show what was decided, newest first.
    Decisions {
        /// How it came out.
        #[arg(long, default_value = "approved", value_parser = ["approved", "rejected", "expired", "pending", "all"])]
        status: String,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Publish a fact, or its next version.
    Publish {
        /// The fact that has changed; without it a new one is made.
        #[arg(long, default_value = "")]
        fact_id: String,
        /// What the fact is about.
        #[arg(long)]
        subject: String,
        /// What is said about it.
        #[arg(long)]
        predicate: String,
        /// How it is.
        #[arg(long)]
        object: String,
        /// The approved proposal that it rests on; needed unless knowledge.shareMode is direct.
        #[arg(long, default_value = "")]
        proposal_id: String,
        /// What it is about, separated by commas.
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
    },
    /// Show facts, newest first.
    Facts {
        /// Only those of this group.
        #[arg(long, default_value = "")]
        group: String,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let gateway = terminal.gateway()?;
        let (answer, words): (_, fn(&Value) -> String) = match self.action {
            Action::Status => (gateway.get("knowledge/status"), standing),
            Action::Propose { group, proposal_id, title, statement, tags, publish: _ } => {
                let body = json!({"group": group, "proposalId": proposal_id, "title": title, "statement": statement,
                    "tags": tags});
                (gateway.post("knowledge/propose", &body), proposed)
            }
            Action::Vote { proposal_id, vote, reason, publish: _ } => {
                let body = json!({"proposalId": proposal_id, "vote": vote, "reason": reason});
                (gateway.post("knowledge/vote", &body), voted)
            }
            Action::Decisions { status, limit } => {
                (gateway.get(&format!("knowledge/decisions?status={status}&limit={limit}")), decisions)
            }
            Action::Publish { fact_id, subject, predicate, object, proposal_id, tags } => {
                let body = json!({"factId": fact_id, "subject": subject, "predicate": predicate, "object": object,
                    "proposalId": proposal_id, "tags": tags});
                (gateway.post("knowledge/facts", &body), published)
            }
            Action::Facts { group, limit } => {
                (gateway.get(&format!("knowledge/facts?group={}&limit={limit}", part(&group))), facts)
            }
        };
        let answer = answer.map_err(Failure::Client)?;
        if self.json { terminal.print_json(&answer) } else { terminal.print(&words(&answer)) }
    }
}

fn standing(status: &Value) -> String {
    let yes = |name: &str| if status[name] == true { "yes" } else { "no" }.to_owned();
    let counts = &status["counts"];
    let mut text = String::new();
    for (name, value) in [
        ("Sharing", yes("enabled")),
        ("Voting", yes("governanceEnabled")),
        ("Group", field(status, "group")),
        ("This hub", field(status, "clawId")),
        ("Connected", yes("online")),
        ("Open", field(counts, "pending")),
        ("Approved", field(counts, "approved")),
        ("Rejected", field(counts, "rejected")),
        ("Expired", field(counts, "expired")),
        ("Facts", field(counts, "facts")),
        ("Why", field(status, "reason")),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{:<12}{}\n", format!("{name}:"), printable(&value)));
        }
    }
    if status["enabled"] != true {
        text.push_str("Nothing is shared; set knowledge.enabled, and start the gateway again.\n");
    }
    text
}

/// KafClaw's first two lines.
fn head(answer: &Value, name: &str, key: &str) -> String {
    let later = if answer["queued"] == true { " (said as soon as there is a network)" } else { "" };
    format!("knowledge {}: ok{later}\n{name}: {}", field(answer, "action"), printable(&field(answer, key)))
}

fn proposed(answer: &Value) -> String {
    head(answer, "proposal", "proposalId")
}

fn voted(answer: &Value) -> String {
    let decision = &answer["decision"];
    format!(
        "{}\ndecision: {} ({} yes, {} no: {})",
        head(answer, "proposal", "proposalId"),
        field(decision, "Status"),
        field(decision, "Yes"),
        field(decision, "No"),
        printable(&field(decision, "Reason"))
    )
}

fn published(answer: &Value) -> String {
    head(answer, "fact", "factId")
}

fn decisions(answer: &Value) -> String {
    let row =
        |row: &Value| ["proposal_id", "status", "yes_votes", "no_votes", "statement"].map(|name| field(row, name));
    let rows: Vec<[String; 5]> = answer["decisions"].as_array().into_iter().flatten().map(row).collect();
    listed(answer, &table(["PROPOSAL", "STATUS", "YES", "NO", "STATEMENT"], &rows))
}

fn facts(answer: &Value) -> String {
    let row = |row: &Value| ["fact_id", "version", "subject", "predicate", "object"].map(|name| field(row, name));
    let rows: Vec<[String; 5]> = answer["facts"].as_array().into_iter().flatten().map(row).collect();
    listed(answer, &table(["FACT", "VERSION", "SUBJECT", "PREDICATE", "OBJECT"], &rows))
}

fn listed(answer: &Value, table: &str) -> String {
    let count = field(answer, "count");
    let head = format!("knowledge {}: ok\ncount: {count}", field(answer, "action"));
    if count == "0" { head } else { format!("{head}\n{table}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_say_how_many_there_are() {
        let rows =
            json!([{"proposal_id": "kp-1", "status": "approved", "yes_votes": 2, "no_votes": 0, "statement": "So."}]);
        let text = decisions(&json!({"action": "decisions", "count": 1, "decisions": rows}));
        assert!(text.starts_with("knowledge decisions: ok\ncount: 1\n") && text.contains("kp-1"), "{text}");
        assert_eq!(facts(&json!({"action": "facts", "count": 0, "facts": []})), "knowledge facts: ok\ncount: 0");
    }
}
