//! What members say about themselves and their zones, taken and told.

use std::collections::BTreeSet;

use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::gojson::GoTime;
use crate::base::id::{PeerId, TraceId, ZoneId};
use crate::db::Tx;
use crate::domain::event::Event;
use crate::domain::peer::Visibility;
use crate::domain::record::Stamp;
use crate::domain::refusal::Refusal;
use crate::orchestrator::hierarchy::{Heard, LEFT, Node, Source};
use crate::orchestrator::zone::{Change, PUBLIC, Zone, ZoneRefusal, Zones};
use crate::orchestrator::{Chart, store, wire};

/// Who said it, and where it stands among what the same one has said.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub by: &'a PeerId,
    pub stamp: Option<Stamp>,
    /// When it was received, by our own clock.
    pub at: Timestamp,
}

/// What came of a message. The caller writes the events in the same transaction.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Applied {
    pub changed: bool,
    /// Zones that are different now.
    pub zones: Vec<ZoneId>,
    /// Whether the sender was not known before; it does not know us either.
    pub is_met: bool,
    pub refused: Vec<Reason>,
    pub events: Vec<Event>,
}

/// Why a part of a message was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reason {
    #[error("{by} speaks for {node}")]
    NotItself { by: PeerId, node: PeerId },
    #[error("a newer word is known")]
    Stale,
    #[error("there is no room for more nodes")]
    Full,
    #[error("a change of a zone was refused")]
    Zone { source: ZoneRefusal },
    #[error("a part of the message means nothing")]
    Meaningless { source: Refusal },
}

/// Takes a message of another member.
pub fn apply(tx: &Tx<'_>, said: &Said<'_>, message: &wire::Message) -> rusqlite::Result<Applied> {
    let mut chart = store::load(tx)?;
    let mut taking = Taking { tx, said, chart: &mut chart, applied: Applied::default() };
    match message {
        wire::Message::Discovery(discovery) => taking.discovery(discovery)?,
        wire::Message::Hierarchy(change) => taking.hierarchy(change)?,
        wire::Message::Zone(change) => match Change::try_from(change) {
            Ok(change) => taking.zone(change)?,
            Err(source) => taking.applied.refused.push(Reason::Meaningless { source }),
        },
    }
    Ok(taking.applied)
}

/// The member has left; whoever was below it is below the one above now.
pub fn leave(tx: &Tx<'_>, peer: &PeerId) -> rusqlite::Result<bool> {
    let mut chart = store::load(tx)?;
    if !chart.hierarchy.leave(peer) {
        return Ok(false);
    }
    let Some(node) = chart.hierarchy.get(peer) else { return Ok(false) };
    store::save_node(tx, node)?;
    Ok(true)
}

/// What this member says about itself: its node, the zones it owns, and the public one, which Go expects.
pub fn discovery(chart: &Chart, me: &Node) -> wire::Discovery {
    let node = wire_node(me);
    let is_told = |zone: &&Zone| zone.id.as_str() == PUBLIC || zone.owner.as_ref() == Some(&me.id);
    let zones = chart.zones.iter().filter(is_told).map(|zone| wire_zone(zone, &chart.zones)).collect();
    wire::Discovery { action: "discover".to_owned(), hierarchy: vec![node.clone()], node, zones }
}

struct Taking<'a, 'b> {
    tx: &'a Tx<'b>,
    said: &'a Said<'a>,
    chart: &'a mut Chart,
    applied: Applied,
}

impl Taking<'_, '_> {
    fn discovery(&mut self, discovery: &wire::Discovery) -> rusqlite::Result<()> {
        let by = self.said.by;
        if discovery.node.agent_id != by.as_str() {
            let node = PeerId::from(discovery.node.agent_id.as_str());
            self.applied.refused.push(Reason::NotItself { by: by.clone(), node });
            return Ok(());
        }
        let was_known =
            self.chart.hierarchy.get(by).is_some_and(|node| node.source == Source::Itself && !node.has_left());
        match self.hear(&discovery.node, Source::Itself)? {
            Heard::Stale | Heard::Full => return Ok(()),
            Heard::New | Heard::Changed | Heard::Same => self.applied.is_met = !was_known,
        }
        for other in discovery.hierarchy.iter().filter(|node| node.agent_id != by.as_str() && !node.agent_id.is_empty())
        {
            // Hearsay, as in Go: it counts until the node itself speaks.
            if self.chart.hierarchy.get(&PeerId::from(other.agent_id.as_str())).is_none() {
                self.hear(other, Source::Another)?;
            }
        }
        self.zones(&discovery.zones)
    }

    /// The owner's list is complete when it is one of our kind: what it does not list any more is gone.
    fn zones(&mut self, zones: &[wire::Zone]) -> rusqlite::Result<()> {
        let by = self.said.by;
        let own: Vec<&wire::Zone> = zones.iter().filter(|zone| zone.owner_id == by.as_str()).collect();
        for zone in &own {
            match Zone::try_from(*zone) {
                Ok(mut stated) => {
                    if self.said.stamp.is_none()
                        && let Some(known) = self.chart.zones.get(&stated.id)
                    {
                        // Go never says who is a member.
                        stated.members.clone_from(&known.members);
                    }
                    self.zone(Change::Put(stated))?;
                }
                Err(source) => self.applied.refused.push(Reason::Meaningless { source }),
            }
        }
        if self.said.stamp.is_some() {
            let stated: BTreeSet<&str> = own.iter().map(|zone| zone.zone_id.as_str()).collect();
            let is_gone = |zone: &&Zone| zone.owner.as_ref() == Some(by) && !stated.contains(zone.id.as_str());
            let gone: Vec<ZoneId> = self.chart.zones.iter().filter(is_gone).map(|zone| zone.id.clone()).collect();
            for id in gone {
                self.zone(Change::Delete(id))?;
            }
        }
        Ok(())
    }

    fn hierarchy(&mut self, change: &wire::HierarchyChange) -> rusqlite::Result<()> {
        let (by, id) = (self.said.by, PeerId::from(change.agent_id.as_str()));
        let Some(known) = self.chart.hierarchy.get(&id).cloned() else {
            self.applied.refused.push(Reason::NotItself { by: by.clone(), node: id });
            return Ok(());
        };
        let parent = match change.action.as_str() {
            "set_parent" if *by == id => Some(change.parent_id.as_str()).filter(|parent| !parent.is_empty()),
            "remove_child" if *by == id || known.parent.as_ref() == Some(by) => None,
            _ => {
                self.applied.refused.push(Reason::NotItself { by: by.clone(), node: id });
                return Ok(());
            }
        };
        // A parent that lets go does not make the child's own words older.
        let stamp = if *by == id { self.said.stamp } else { known.stamp };
        let node = Node { parent: parent.map(PeerId::from), stamp, heard_at: self.said.at, ..known };
        self.keep(node)?;
        Ok(())
    }

    fn zone(&mut self, change: Change) -> rusqlite::Result<()> {
        match self.chart.zones.change(self.said.by, change) {
            Err(source) => self.applied.refused.push(Reason::Zone { source }),
            Ok(None) => {}
            Ok(Some(id)) => {
                store::save_zone(self.tx, &self.chart.zones, &id, self.said.at)?;
                self.tell("ORCHESTRATOR_ZONE_CHANGED", json!({"zone": id.as_str(), "by": self.said.by.as_str()}));
                self.applied.zones.push(id);
            }
        }
        Ok(())
    }

    fn hear(&mut self, wire: &wire::Node, source: Source) -> rusqlite::Result<Heard> {
        let stamp = self.said.stamp.filter(|_| source == Source::Itself);
        self.keep(node(wire, source, stamp, self.said.at))
    }

    fn keep(&mut self, node: Node) -> rusqlite::Result<Heard> {
        let id = node.id.clone();
        let heard = self.chart.hierarchy.hear(node);
        match heard {
            Heard::Stale => self.applied.refused.push(Reason::Stale),
            Heard::Full => self.applied.refused.push(Reason::Full),
            Heard::New | Heard::Changed => self.tell("ORCHESTRATOR_NODE_CHANGED", json!({"node": id.as_str()})),
            Heard::Same => {}
        }
        if let (Heard::New | Heard::Changed | Heard::Same, Some(node)) = (heard, self.chart.hierarchy.get(&id)) {
            store::save_node(self.tx, node)?;
        }
        Ok(heard)
    }

    fn tell(&mut self, classification: &str, metadata: serde_json::Value) {
        self.applied.changed = true;
        let event = Event::system("ORCH", TraceId::random(), self.said.at, classification);
        self.applied.events.push(Event { metadata, ..event });
    }
}

fn node(wire: &wire::Node, source: Source, stamp: Option<Stamp>, heard_at: Timestamp) -> Node {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Node {
        id: PeerId::from(wire.agent_id.as_str()),
        name: wire.agent_name.clone(),
        role: wire.role.clone(),
        parent: filled(&wire.parent_id).map(PeerId::from),
        zone: filled(&wire.zone_id).map(ZoneId::from),
        endpoint: wire.endpoint.clone(),
        // Only its own good-bye makes a member leave.
        status: if wire.status == LEFT { String::new() } else { wire.status.clone() },
        stamp,
        source,
        heard_at,
    }
}

fn wire_node(node: &Node) -> wire::Node {
    wire::Node {
        agent_id: node.id.to_string(),
        agent_name: node.name.clone(),
        role: node.role.clone(),
        parent_id: node.parent.as_ref().map(PeerId::to_string).unwrap_or_default(),
        zone_id: node.zone.as_ref().map(ZoneId::to_string).unwrap_or_default(),
        endpoint: node.endpoint.clone(),
        status: node.status.clone(),
    }
}

fn wire_zone(zone: &Zone, zones: &Zones) -> wire::Zone {
    wire::Zone {
        zone_id: zone.id.to_string(),
        name: zone.name.clone(),
        visibility: zone.visibility.as_str().to_owned(),
        owner_id: zone.owner.as_ref().map(PeerId::to_string).unwrap_or_default(),
        parent_zone: zone.parent.as_ref().map(ZoneId::to_string).unwrap_or_default(),
        allowed_ids: zone.allowed.iter().map(PeerId::to_string).collect(),
        created_at: zone.created_at.into(),
        members: match zone.id.as_str() {
            PUBLIC => Vec::new(),
            _ => zones.members(&zone.id).iter().map(PeerId::to_string).collect(),
        },
    }
}

impl TryFrom<&wire::Zone> for Zone {
    type Error = Refusal;

    fn try_from(wire: &wire::Zone) -> Result<Self, Refusal> {
        let visibility =
            Visibility::parse(&wire.visibility).ok_or(Refusal::Meaningless { field: "zone.visibility" })?;
        let peers = |list: &[String]| list.iter().map(|id| PeerId::from(id.as_str())).collect();
        let created_at = GoTime::to_timestamp(wire.created_at);
        let owner = PeerId::from(wire.owner_id.as_str());
        let zone = Self::new(ZoneId::from(wire.zone_id.as_str()), visibility, owner, created_at);
        Ok(Self {
            name: wire.name.clone(),
            parent: Some(wire.parent_zone.as_str()).filter(|id| !id.is_empty()).map(ZoneId::from),
            allowed: peers(&wire.allowed_ids),
            members: peers(&wire.members),
            ..zone
        })
    }
}

impl wire::ZoneChange {
    /// `by` asks to become a member of `zone`.
    pub fn question(zone: &Zone, by: &PeerId) -> Self {
        let action = "join_request".to_owned();
        Self { action, zone: wire_zone(zone, &Zones::default()), agent_id: by.to_string() }
    }
}

impl TryFrom<&wire::ZoneChange> for Change {
    type Error = Refusal;

    fn try_from(wire: &wire::ZoneChange) -> Result<Self, Refusal> {
        let id = ZoneId::from(wire.zone.zone_id.as_str());
        let peer = || match wire.agent_id.as_str() {
            "" => Err(Refusal::Missing { field: "agent_id" }),
            name => Ok(PeerId::from(name)),
        };
        match wire.action.as_str() {
            "create" => Zone::try_from(&wire.zone).map(Self::Put),
            "delete" => Ok(Self::Delete(id)),
            "join_request" => Ok(Self::Ask(id)),
            "join_approve" => Ok(Self::LetIn(id, peer()?)),
            "join_deny" => Ok(Self::TurnAway(id, peer()?)),
            _ => Err(Refusal::UnknownAction { kind: "zone" }),
        }
    }
}
