//! Orchestrator messages on the wire (group specification §2.12, §6). Fields are in KafClaw's order; those behind a line break
//! are ours and Go skips them.
//!
//! Agents in Go take everything on the orchestrator's topic for a discovery, whatever its action. So only discoveries are said
//! there; changes of zones and of the hierarchy go to the topic that only hubs like this one read.

use serde::{Deserialize, Serialize};

use crate::base::gojson::GoTime;
use crate::domain::refusal::{Refusal, check_id, check_len, check_name};

/// Zones, nodes or members in one message.
pub const LIST_LEN_MAX: usize = 1_000;

/// One message, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    Discovery(Discovery),
    Hierarchy(HierarchyChange),
    Zone(ZoneChange),
}

/// Who somebody is, where it stands, and the zones it knows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Discovery {
    /// `discover`.
    pub action: String,
    pub node: Node,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hierarchy: Vec<Node>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    pub agent_id: String,
    pub agent_name: String,
    pub role: String,
    pub parent_id: String,
    pub zone_id: String,
    pub endpoint: String,
    pub status: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Zone {
    pub zone_id: String,
    pub name: String,
    pub visibility: String,
    pub owner_id: String,
    pub parent_zone: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_ids: Vec<String>,
    pub created_at: GoTime,

    /// Its members, as its owner counts them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

/// `set_parent` or `remove_child`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HierarchyChange {
    pub action: String,
    pub agent_id: String,
    pub parent_id: String,
}

/// `create`, `delete`, `join_request`, `join_approve` or `join_deny`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneChange {
    pub action: String,
    pub zone: Zone,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
}

/// The kinds of payload that an action leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Discovery,
    Hierarchy,
    Zone,
}

impl Shape {
    /// By the payload's `action`. Agents in Go never look at it, so an unknown one is a discovery as it is to them.
    pub fn of_action(action: &str) -> Self {
        match action {
            "set_parent" | "remove_child" => Self::Hierarchy,
            "create" | "delete" | "join_request" | "join_approve" | "join_deny" => Self::Zone,
            _ => Self::Discovery,
        }
    }
}

impl Message {
    /// Names are short and lists bounded; nobody is without a name.
    pub fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Discovery(discovery) => {
                check_id("node.agent_id", &discovery.node.agent_id)?;
                discovery.node.check()?;
                check_len("zones", &discovery.zones, LIST_LEN_MAX)?;
                check_len("hierarchy", &discovery.hierarchy, LIST_LEN_MAX)?;
                discovery.zones.iter().try_for_each(Zone::check)?;
                discovery.hierarchy.iter().try_for_each(Node::check)
            }
            Self::Hierarchy(change) => {
                check_id("agent_id", &change.agent_id)?;
                check_name("parent_id", &change.parent_id)
            }
            Self::Zone(change) => {
                check_id("zone.zone_id", &change.zone.zone_id)?;
                check_name("agent_id", &change.agent_id)?;
                change.zone.check()
            }
        }
    }
}

impl Node {
    fn check(&self) -> Result<(), Refusal> {
        for (field, text) in [
            ("node.agent_id", &self.agent_id),
            ("node.agent_name", &self.agent_name),
            ("node.role", &self.role),
            ("node.parent_id", &self.parent_id),
            ("node.zone_id", &self.zone_id),
            ("node.status", &self.status),
        ] {
            check_name(field, text)?;
        }
        if self.endpoint.len() > ENDPOINT_BYTES_MAX {
            return Err(Refusal::TooLong { field: "node.endpoint", bytes_max: ENDPOINT_BYTES_MAX });
        }
        Ok(())
    }
}

/// Longest address of a node, in bytes.
const ENDPOINT_BYTES_MAX: usize = 2048;

impl Zone {
    fn check(&self) -> Result<(), Refusal> {
        for (field, text) in [
            ("zone.zone_id", &self.zone_id),
            ("zone.name", &self.name),
            ("zone.visibility", &self.visibility),
            ("zone.owner_id", &self.owner_id),
            ("zone.parent_zone", &self.parent_zone),
        ] {
            check_name(field, text)?;
        }
        check_len("zone.allowed_ids", &self.allowed_ids, LIST_LEN_MAX)?;
        check_len("zone.members", &self.members, LIST_LEN_MAX)?;
        self.allowed_ids.iter().chain(&self.members).try_for_each(|id| check_id("zone.members", id))
    }
}
