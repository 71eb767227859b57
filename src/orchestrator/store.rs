//! The chart in the database.

use rusqlite::{Connection, Row};

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};
use crate::db::Tx;
use crate::domain::peer::Visibility;
use crate::domain::record::Stamp;
use crate::orchestrator::Chart;
use crate::orchestrator::hierarchy::{Hierarchy, LEFT, Node, Source};
use crate::orchestrator::zone::{Zone, Zones};

/// `role` of a row of `orchestrator_zone_members`.
const MEMBER: &str = "member";
const WAITING: &str = "waiting";
const ALLOWED: &str = "allowed";

/// Zones and hierarchy as they were last saved.
pub fn load(conn: &Connection) -> rusqlite::Result<Chart> {
    let nodes = nodes(conn)?;
    let mut zones = Zones::new(zones(conn)?);
    for node in nodes.iter().filter(|node| node.status != LEFT) {
        if let Some(zone) = &node.zone {
            zones.claim(zone.clone(), node.id.clone());
        }
    }
    Ok(Chart { zones, hierarchy: Hierarchy::new(nodes) })
}

pub(super) fn save_node(tx: &Tx<'_>, node: &Node) -> rusqlite::Result<()> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    tx.prepare_cached(
        "INSERT OR REPLACE INTO orchestrator_hierarchy
            (agent_id, parent_id, role, endpoint, zone_id, updated_at, agent_name, status, epoch, seq, is_hearsay)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(rusqlite::params![
        node.id,
        node.parent,
        node.role,
        node.endpoint,
        node.zone,
        node.heard_at,
        node.name,
        node.status,
        node.stamp.map(|stamp| number(stamp.epoch)),
        node.stamp.map(|stamp| number(stamp.seq)),
        node.source == Source::Another,
    ])?;
    Ok(())
}

/// Writes the zone as `zones` has it, or removes it when it has not.
pub(super) fn save_zone(tx: &Tx<'_>, zones: &Zones, id: &ZoneId, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM orchestrator_zone_members WHERE zone_id = ?1")?.execute([id])?;
    let Some(zone) = zones.get(id) else {
        tx.prepare_cached("DELETE FROM orchestrator_zones WHERE zone_id = ?1")?.execute([id])?;
        return Ok(());
    };
    tx.prepare_cached(
        "INSERT OR REPLACE INTO orchestrator_zones (zone_id, name, visibility, owner_id, parent_zone, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((id, &zone.name, zone.visibility.as_str(), &zone.owner, &zone.parent, zone.created_at))?;
    // Whoever is a member needs no other row: the key is zone and member.
    let mut insert = tx.prepare_cached(
        "INSERT OR IGNORE INTO orchestrator_zone_members (zone_id, agent_id, role, joined_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (role, list) in [(MEMBER, &zone.members), (ALLOWED, &zone.allowed), (WAITING, &zone.waiting)] {
        for peer in list {
            insert.execute((id, peer, role, now))?;
        }
    }
    Ok(())
}

fn nodes(conn: &Connection) -> rusqlite::Result<Vec<Node>> {
    conn.prepare_cached(
        "SELECT agent_id, parent_id, role, endpoint, zone_id, updated_at, agent_name, status, epoch, seq, is_hearsay
         FROM orchestrator_hierarchy",
    )?
    .query_map([], node)?
    .collect()
}

fn node(row: &Row<'_>) -> rusqlite::Result<Node> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let stamp = number(row.get(8)?).zip(number(row.get(9)?));
    Ok(Node {
        id: row.get(0)?,
        parent: filled(row.get(1)?).map(PeerId::from),
        role: row.get(2)?,
        endpoint: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        zone: filled(row.get(4)?).map(ZoneId::from),
        heard_at: time(row.get(5)?),
        name: row.get(6)?,
        status: row.get(7)?,
        stamp: stamp.map(|(epoch, seq)| Stamp { epoch, seq }),
        source: if row.get(10)? { Source::Another } else { Source::Itself },
    })
}

fn zones(conn: &Connection) -> rusqlite::Result<Vec<Zone>> {
    let mut zones: Vec<Zone> = conn
        .prepare_cached("SELECT zone_id, name, visibility, owner_id, parent_zone, created_at FROM orchestrator_zones")?
        .query_map([], |row| {
            let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
            let visibility: String = row.get(2)?;
            let owner = filled(row.get(3)?).map_or_else(|| PeerId::from(""), PeerId::from);
            // What cannot be read keeps everybody out but the owner.
            let visibility = Visibility::parse(&visibility).unwrap_or(Visibility::Private);
            let zone = Zone::new(row.get(0)?, visibility, owner, time(row.get(5)?));
            Ok(Zone { name: row.get(1)?, parent: filled(row.get(4)?).map(ZoneId::from), ..zone })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut members = conn.prepare_cached("SELECT agent_id, role FROM orchestrator_zone_members WHERE zone_id = ?1")?;
    for zone in &mut zones {
        let rows = members.query_map([&zone.id], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        for row in rows {
            let (peer, role): (PeerId, String) = row?;
            let list = match role.as_str() {
                WAITING => &mut zone.waiting,
                ALLOWED => &mut zone.allowed,
                _ => &mut zone.members,
            };
            list.insert(peer);
        }
    }
    Ok(zones)
}

fn time(text: Option<String>) -> Timestamp {
    text.and_then(|text| Timestamp::parse(&text)).unwrap_or_default()
}
