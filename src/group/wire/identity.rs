//! Announcements: who comes, stays and goes (group specification §2.2, §2.3).

use serde::{Deserialize, Serialize};

use crate::base::gojson::GoTime;
use crate::base::id::{PeerId, ZoneId};
use crate::domain::peer;
use crate::domain::refusal::{Refusal, check_id, check_len, check_name};
use crate::group::wire::NAMES_LEN_MAX;

/// Longest summary of a character, in bytes.
const SOUL_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Announce {
    /// See [`Action`].
    pub action: String,
    pub identity: AgentIdentity,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    Join,
    Leave,
    Heartbeat,
}

impl Action {
    pub const ALL: [Self; 3] = [Self::Join, Self::Leave, Self::Heartbeat];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Heartbeat => "heartbeat",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// KafClaw's fields in KafClaw's order, then ours.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentIdentity {
    pub agent_id: String,
    pub agent_name: String,
    pub soul_summary: String,
    pub capabilities: Option<Vec<String>>,
    pub channels: Option<Vec<String>>,
    pub model: String,
    pub joined_at: String,
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,

    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_think: Option<bool>,
}

impl Announce {
    pub fn action(&self) -> Option<Action> {
        Action::parse(&self.action)
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.action().is_none() {
            return Err(Refusal::UnknownAction { kind: "announce" });
        }
        check_id("identity.agent_id", &self.identity.agent_id)?;
        self.identity.check()
    }
}

impl AgentIdentity {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        for (field, text) in [
            ("identity.agent_id", &self.agent_id),
            ("identity.agent_name", &self.agent_name),
            ("identity.model", &self.model),
            ("identity.status", &self.status),
            ("identity.parent_id", &self.parent_id),
            ("identity.zone_id", &self.zone_id),
            ("identity.role", &self.role),
            ("identity.public_key", &self.public_key),
        ] {
            check_name(field, text)?;
        }
        for (field, text) in [("identity.soul_summary", &self.soul_summary), ("identity.endpoint", &self.endpoint)] {
            if text.len() > SOUL_BYTES_MAX {
                return Err(Refusal::TooLong { field, bytes_max: SOUL_BYTES_MAX });
            }
        }
        let lists = [
            ("identity.capabilities", self.capabilities.as_deref().unwrap_or_default()),
            ("identity.channels", self.channels.as_deref().unwrap_or_default()),
            ("identity.skills", &self.skills),
        ];
        for (field, list) in lists {
            check_len(field, list, NAMES_LEN_MAX)?;
            list.iter().try_for_each(|name| check_name(field, name))?;
        }
        Ok(())
    }
}

impl TryFrom<AgentIdentity> for peer::Identity {
    type Error = Refusal;

    /// A time of joining that cannot be read is none: agents in Go leave it blank, and nothing depends on it.
    fn try_from(wire: AgentIdentity) -> Result<Self, Refusal> {
        check_id("identity.agent_id", &wire.agent_id)?;
        wire.check()?;
        Ok(Self {
            id: PeerId::from(wire.agent_id),
            name: wire.agent_name,
            soul: wire.soul_summary,
            capabilities: wire.capabilities.unwrap_or_default(),
            skills: wire.skills,
            channels: wire.channels.unwrap_or_default(),
            model: wire.model,
            status: wire.status,
            role: wire.role,
            parent: filled(wire.parent_id).map(PeerId::from),
            zone: filled(wire.zone_id).map(ZoneId::from),
            endpoint: filled(wire.endpoint),
            joined_at: GoTime::parse(&wire.joined_at).map(GoTime::to_timestamp),
            public_key: filled(wire.public_key),
            load: wire.load,
            can_think: wire.can_think,
        })
    }
}

impl From<peer::Identity> for AgentIdentity {
    fn from(identity: peer::Identity) -> Self {
        Self {
            agent_id: identity.id.to_string(),
            agent_name: identity.name,
            soul_summary: identity.soul,
            capabilities: Some(identity.capabilities),
            channels: Some(identity.channels),
            model: identity.model,
            joined_at: identity.joined_at.map(GoTime::seconds_text).unwrap_or_default(),
            status: identity.status,
            parent_id: identity.parent.map(|id| id.to_string()).unwrap_or_default(),
            zone_id: identity.zone.map(|id| id.to_string()).unwrap_or_default(),
            endpoint: identity.endpoint.unwrap_or_default(),
            role: identity.role,
            skills: identity.skills,
            public_key: identity.public_key.unwrap_or_default(),
            load: identity.load,
            can_think: identity.can_think,
        }
    }
}

/// None for a blank text.
pub(super) fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
