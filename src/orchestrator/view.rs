//! Chart and zones as the API shows them (group specification §6, §7): KafClaw's fields, then ours; always in the same order.

use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::orchestrator::Chart;
use crate::orchestrator::hierarchy::Node;
use crate::orchestrator::zone::{PUBLIC, Zone};

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NodeView {
    pub agent_id: String,
    pub agent_name: String,
    pub role: String,
    /// As the node says it.
    pub parent_id: String,
    pub zone_id: String,
    pub endpoint: String,
    pub status: String,

    /// Who is above it once circles are cut and those who left are passed over; blank for nobody.
    pub above: String,
    pub is_alive: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ZoneView {
    pub created_at: Timestamp,
    pub member_count: usize,
    pub name: String,
    pub owner_id: String,
    pub parent_zone: String,
    pub visibility: &'static str,
    pub zone_id: String,

    pub members: Vec<String>,
    /// Who may come in without asking.
    pub allowed_ids: Vec<String>,
    /// Who has asked and waits for the owner.
    pub waiting: Vec<String>,
}

/// Nodes that have not left, by id.
pub fn nodes(chart: &Chart, is_alive: impl Fn(&PeerId) -> bool) -> Vec<NodeView> {
    let present = chart.hierarchy.iter().filter(|node| !node.has_left());
    present.map(|node| node_view(chart, node, is_alive(&node.id))).collect()
}

/// All zones, by id. Everybody is of the public one.
pub fn zones(chart: &Chart) -> Vec<ZoneView> {
    chart.zones.iter().map(|zone| zone_view(chart, zone)).collect()
}

fn node_view(chart: &Chart, node: &Node, is_alive: bool) -> NodeView {
    NodeView {
        agent_id: node.id.to_string(),
        agent_name: node.name.clone(),
        role: node.role.clone(),
        parent_id: node.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        zone_id: node.zone.as_ref().map(ToString::to_string).unwrap_or_default(),
        endpoint: node.endpoint.clone(),
        status: node.status.clone(),
        above: chart.hierarchy.parent(&node.id).map(ToString::to_string).unwrap_or_default(),
        is_alive,
    }
}

pub fn zone_view(chart: &Chart, zone: &Zone) -> ZoneView {
    let texts = |peers: &mut dyn Iterator<Item = &PeerId>| peers.map(ToString::to_string).collect::<Vec<_>>();
    let members = if zone.id.as_str() == PUBLIC {
        texts(&mut chart.hierarchy.iter().filter(|node| !node.has_left()).map(|node| &node.id))
    } else {
        texts(&mut chart.zones.members(&zone.id).iter())
    };
    ZoneView {
        created_at: zone.created_at,
        member_count: members.len(),
        name: zone.name.clone(),
        owner_id: zone.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        parent_zone: zone.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        visibility: zone.visibility.as_str(),
        zone_id: zone.id.to_string(),
        members,
        allowed_ids: texts(&mut zone.allowed.iter()),
        waiting: texts(&mut zone.waiting.iter()),
    }
}
