//! `kafclaw group join`, `leave` and what belongs to it: how the group is joined, and whose keys are believed.

use serde_json::{Map, Value, json};

use crate::cli::client::part;
use crate::cli::group::{show, standing};
use crate::cli::show::{field, one_line, printable, table, time};
use crate::cli::{Failure, Terminal};

#[derive(clap::Subcommand, Debug)]
pub(super) enum Action {
    /// Join a group now, and again after every start. Leaves the one there is.
    Join {
        /// Name of the group.
        name: String,
        /// Kafka brokers as host:port, separated by commas; left out, those that are kept.
        #[arg(long, default_value = "")]
        brokers: String,
        /// Name of this hub in the group.
        #[arg(long, default_value = "")]
        agent_id: String,
        /// Address of a proxy that agents in Go produce through.
        #[arg(long, default_value = "")]
        lfs_proxy_url: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Leave the group, and stay out of it.
    Leave,
    /// Let a member that left count as one again; with this hub's own name, join as it was joined last.
    Rejoin {
        /// Name of the member.
        agent_id: String,
        /// The group it was in, where there were several.
        #[arg(long, default_value = "")]
        group: String,
    },
    /// Ask the members to be let in, where the group is gated.
    Onboard,
    /// Show what the group is joined with, or change it for the next time.
    Config {
        /// A change as key=value; a blank value goes back to the configuration file. May be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Offer a skill to the others, now and after every start.
    Offer {
        /// One word.
        skill: String,
    },
    /// Show the group's topics and how lively each is.
    Topics {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the keys of members; those that wait for a yes come first.
    Keys {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a member in.
    Approve {
        /// Name of the member.
        agent_id: String,
        /// Its public key, told by whoever looks after it; left out, the one that it asked with.
        public_key: Option<String>,
    },
    /// Believe a member no longer.
    Revoke {
        /// Name of the member.
        agent_id: String,
    },
}

impl Action {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self {
            Self::Join { name, brokers, agent_id, lfs_proxy_url, json } => {
                let wish = json!({"group_name": name, "kafka_brokers": brokers, "agent_id": agent_id,
                    "lfs_proxy_url": lfs_proxy_url});
                let status = terminal.gateway()?.post("group/join", &wish).map_err(Failure::Client)?;
                if json { terminal.print_json(&status) } else { terminal.print(&joined(&status)) }
            }
            Self::Leave => {
                terminal.gateway()?.post("group/leave", &json!({})).map_err(Failure::Client)?;
                terminal.print("The group is left. What is stored of it stays.")
            }
            Self::Rejoin { agent_id, group } => {
                let wish = json!({"agent_id": agent_id, "group_name": group});
                terminal.gateway()?.post("group/rejoin", &wish).map_err(Failure::Client)?;
                terminal.print(&format!("{} counts as a member again.", printable(&agent_id)))
            }
            Self::Onboard => {
                terminal.gateway()?.post("group/onboard", &json!({})).map_err(Failure::Client)?;
                terminal.print("The members are asked; `kafclaw group status` shows what they say.")
            }
            Self::Config { set, json } if set.is_empty() => show("group/config", json, config, terminal),
            Self::Config { set, .. } => configure(&set, terminal),
            Self::Offer { skill } => {
                terminal.gateway()?.post("group/skills", &json!({"skill_name": skill})).map_err(Failure::Client)?;
                terminal.print(&format!("{} is offered.", printable(&skill)))
            }
            Self::Topics { json } => show("group/topics", json, topics, terminal),
            Self::Keys { json } => show("group/keys", json, keys, terminal),
            Self::Approve { agent_id, public_key } => approve(&agent_id, public_key, terminal),
            Self::Revoke { agent_id } => {
                decide(&agent_id, &json!({"revoke": true}), terminal)?;
                terminal.print(&format!("{} is not believed any more.", printable(&agent_id)))
            }
        }
    }
}

fn configure(set: &[String], terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut changes = Map::new();
    for change in set {
        let Some((key, value)) = change.split_once('=') else {
            return Err(Failure::usage(format!("`{change}` is no change; write key=value")));
        };
        changes.insert(key.trim().to_owned(), Value::from(value));
    }
    let told = terminal.gateway()?.post("group/config", &Value::Object(changes)).map_err(Failure::Client)?;
    terminal.print(match told["requires_rejoin"] == true {
        true => "Kept. It counts when the group is joined again (`kafclaw group join NAME`).",
        false => "Kept for the next time a group is joined.",
    })
}

fn approve(agent_id: &str, public_key: Option<String>, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let key = match public_key {
        Some(key) => key,
        None => {
            let keys = terminal.gateway()?.get("group/keys").map_err(Failure::Client)?;
            let known = keys.as_array().into_iter().flatten().find(|row| row["agent_id"] == agent_id);
            let known = known.map(|row| field(row, "public_key")).unwrap_or_default();
            if known.is_empty() {
                return Err(Failure::Outcome(format!(
                    "no key of {} is known; it is when it has asked (`kafclaw group onboard` there)",
                    printable(agent_id)
                )));
            }
            known
        }
    };
    decide(agent_id, &json!({"public_key": key}), terminal)?;
    terminal.print(&format!("{} is let in with the key {}.", printable(agent_id), printable(&key)))
}

fn decide(agent_id: &str, decision: &Value, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let path = format!("group/keys/{}", part(agent_id));
    terminal.gateway()?.post(&path, decision).map(drop).map_err(Failure::Client)
}

fn joined(status: &Value) -> String {
    let first = match status["active"] == true {
        true => "Joined.",
        false => "Joined; the broker cannot be reached yet and is tried again and again.",
    };
    format!("{first}\n{}", standing(status))
}

fn config(config: &Value) -> String {
    let fields = config.as_object().into_iter().flatten();
    let rows: Vec<[String; 2]> = fields.map(|(name, _)| [name.clone(), field(config, name)]).collect();
    table(["KEY", "VALUE"], &rows)
}

fn topics(topics: &Value) -> String {
    let all = ["topics", "skill_topics"].into_iter().flat_map(|list| topics[list].as_array().into_iter().flatten());
    let row = |topic: &Value| {
        let (stats, health) = (&topic["stats"], &topic["health"]);
        [
            field(topic, "name"),
            field(stats, "message_count"),
            field(stats, "last_message_at"),
            field(health, "score"),
            one_line(&field(topic, "description")),
        ]
    };
    let rows: Vec<[String; 5]> = all.map(row).collect();
    table(["TOPIC", "MESSAGES", "LAST", "HEALTH", "WHAT"], &rows)
}

fn keys(keys: &Value) -> String {
    let row = |key: &Value| {
        [field(key, "agent_id"), field(key, "standing"), field(key, "public_key"), time(key, "updated_at")]
    };
    let rows: Vec<[String; 4]> = keys.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "No keys are known.".to_owned(),
        false => table(["AGENT", "STANDING", "KEY", "SINCE"], &rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_whose_broker_is_away_is_joined_all_the_same() {
        let status =
            json!({"active": false, "group_name": "home", "connectivity": "offline", "reason": "nobody listens"});
        let text = joined(&status);
        assert!(text.contains("cannot be reached yet") && text.contains("nobody listens"), "{text}");
        assert!(joined(&json!({"active": true})).starts_with("Joined.\n"));
    }

    #[test]
    fn keys_and_topics_are_tables() {
        let rows = json!([{"agent_id": "garage", "standing": "asked", "public_key": "ed25519:x", "updated_at": ""}]);
        assert!(keys(&rows).contains("asked"));
        assert_eq!(keys(&json!([])), "No keys are known.");
        let listed =
            json!({"topics": [{"name": "group.g.announce", "stats": {"message_count": 3}}], "skill_topics": []});
        assert!(topics(&listed).contains("group.g.announce"));
    }
}
