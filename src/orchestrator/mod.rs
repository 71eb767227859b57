//! Floor 6: who stands where in the group, in which zones, and who is to do a task. Owner of tables `orchestrator_zones`,
//! `orchestrator_zone_members` and `orchestrator_hierarchy`.
//!
//! Who may do what: [`choose`] picks a member; [`zone::Zones::judge`] is asked before anything is sent in a zone and before
//! anything that came is done; [`apply`] takes what another member says, in the caller's transaction; [`discovery`] is what this
//! member says about itself. A member's word counts for itself and for its own zones, never for others.
//!
//! Absent on purpose: Kafka, and the sending of tasks: `group` carries what is decided here. The role of a node decides nothing.

mod apply;
mod begin;
mod change;
mod choose;
pub mod hierarchy;
mod schema;
mod store;
pub mod view;
pub mod wire;
pub mod zone;

pub use apply::{Applied, Said, apply, discovery, leave};
pub use begin::begin;
pub use change::change_own;
pub use choose::{Candidate, Need, NobodyReason, choose};
pub use schema::MIGRATIONS;
pub use store::load;

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};
use crate::domain::peer::Visibility;

/// This member's own place, from the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub is_enabled: bool,
    /// `orchestrator`, `worker` or `observer`; shown, nothing depends on it.
    pub role: String,
    pub zone: Option<ZoneId>,
    /// Of that zone. When it is said here, it holds; else the zone begins as shared, and its owner may change it.
    pub visibility: Option<Visibility>,
    /// Who may come into that zone without asking. When somebody is named here, it holds.
    pub allowed: Vec<PeerId>,
    pub parent: Option<PeerId>,
    pub endpoint: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            is_enabled: false,
            role: "worker".to_owned(),
            zone: None,
            visibility: None,
            allowed: Vec::new(),
            parent: None,
            endpoint: String::new(),
        }
    }
}

impl Config {
    /// The node of this member.
    pub fn node(&self, me: &PeerId, name: &str, now: Timestamp) -> hierarchy::Node {
        hierarchy::Node {
            id: me.clone(),
            name: name.to_owned(),
            role: self.role.clone(),
            parent: self.parent.clone(),
            zone: self.zone.clone(),
            endpoint: self.endpoint.clone(),
            status: "active".to_owned(),
            stamp: None,
            source: hierarchy::Source::Itself,
            heard_at: now,
        }
    }

    /// The zone that the configuration names, which KafClaw makes at start when nobody has it yet: shared, and this member's own.
    pub fn own_zone(&self, me: &PeerId, now: Timestamp) -> Option<zone::Zone> {
        let id = self.zone.clone().filter(|id| id.as_str() != zone::PUBLIC)?;
        let zone = zone::Zone::new(id, self.visibility.unwrap_or(Visibility::Shared), me.clone(), now);
        Some(zone::Zone { allowed: self.allowed.iter().cloned().collect(), ..zone })
    }

    /// Whether the configuration says how the zone is, so that nobody may say otherwise at run time.
    pub fn states(&self, zone: &ZoneId) -> bool {
        self.zone.as_ref() == Some(zone) && (self.visibility.is_some() || !self.allowed.is_empty())
    }
}

/// Zones and hierarchy together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chart {
    pub zones: zone::Zones,
    pub hierarchy: hierarchy::Hierarchy,
}

#[cfg(test)]
mod tests;
