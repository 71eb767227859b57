//! Members in the database, each change with the event that tells of it.

use rusqlite::{Connection, Row, params};
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, TraceId, ZoneId};
use crate::db::{Tx, time};
use crate::domain::event::Event;
use crate::domain::peer::Identity;
use crate::group::roster::{Happening, Life, Member, Standing, Step};
use crate::timeline;

/// Entries of the history that are kept.
const HISTORY_MAX: i64 = 5_000;

/// Writes what [`crate::group::roster::Roster::next`] decided; `group` is the group's name.
pub fn apply(tx: &Tx<'_>, steps: &[Step], group: &str, now: Timestamp) -> rusqlite::Result<()> {
    let mut stored: Option<&Member> = None;
    for step in steps {
        match step {
            Step::Store(member) => {
                store(tx, member)?;
                stored = Some(member);
            }
            Step::Happened(happening) => {
                tell(tx, happening, now)?;
                let action = match happening {
                    Happening::Joined(_) => "joined",
                    Happening::Left(_) => "left",
                    _ => continue,
                };
                if let Some(member) = stored {
                    remember(tx, member, group, action, now)?;
                }
            }
            Step::Greet => {}
        }
    }
    Ok(())
}

/// All members, those who left too.
pub fn load(connection: &Connection) -> rusqlite::Result<Vec<Member>> {
    connection
        .prepare_cached(
            "SELECT agent_id, coalesce(agent_name, ''), coalesce(soul_summary, ''), capabilities, channels,
                coalesce(model, ''), coalesce(status, ''), last_seen, left_at, coalesce(role, ''), parent_id, zone_id,
                endpoint, skills, joined_at, epoch, seq, signed_with, public_key, behind_ms
             FROM group_members ORDER BY last_seen DESC",
        )?
        .query_map([], member)?
        .collect()
}

/// Notes that somebody offers a skill on topics of its own; false when that was known.
pub fn register_skill(tx: &Tx<'_>, group: &str, skill: &str, by: &PeerId, now: Timestamp) -> rusqlite::Result<bool> {
    let added = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO group_skill_channels
                (skill_name, group_name, requests_topic, responses_topic, registered_by, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            skill,
            group,
            format!("group.{group}.skill.{skill}.requests"),
            format!("group.{group}.skill.{skill}.responses"),
            by,
            now,
        ])?;
    Ok(added > 0)
}

/// Forgets members that left, or were not heard of, before `before`; returns how many.
pub fn prune(tx: &Tx<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    tx.execute("DELETE FROM group_members WHERE status <> 'active' AND last_seen < ?1", [before])
}

/// This hub's own coming and going, with the way it took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnEntry {
    pub agent_id: String,
    pub group: String,
    pub lfs_proxy_url: String,
    pub kafka_brokers: String,
    pub consumer_group: String,
}

/// Writes it into the history; `action` is `joined` or `left`.
pub fn note_own(tx: &Tx<'_>, entry: &OwnEntry, action: &str, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO group_membership_history
            (agent_id, group_name, action, lfs_proxy_url, kafka_brokers, consumer_group, happened_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        entry.agent_id,
        entry.group,
        action,
        entry.lfs_proxy_url,
        entry.kafka_brokers,
        entry.consumer_group,
        now,
    ])
    .map(drop)
}

/// Members of other groups than `group` are none of it, whatever was known of them.
pub fn part_from_others(tx: &Tx<'_>, group: &str, now: Timestamp) -> rusqlite::Result<usize> {
    tx.execute(
        "UPDATE group_members SET status = 'left', left_at = ?2
         WHERE left_at IS NULL AND ?1 <> (SELECT group_name FROM group_membership_history AS history
            WHERE history.agent_id = group_members.agent_id AND history.action = 'joined' ORDER BY history.id DESC LIMIT 1)",
        (group, now),
    )
}

fn store(tx: &Tx<'_>, member: &Member) -> rusqlite::Result<()> {
    let identity = &member.identity;
    let epoch = match member.life {
        Some(Life::Epoch(epoch)) => i64::try_from(epoch).ok(),
        _ => None,
    };
    tx.prepare_cached(
        "INSERT INTO group_members (agent_id, agent_name, soul_summary, capabilities, channels, model, status, last_seen,
            left_at, role, parent_id, zone_id, endpoint, skills, joined_at, epoch, seq, signed_with, public_key, behind_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT (agent_id) DO UPDATE SET agent_name = ?2, soul_summary = ?3, capabilities = ?4, channels = ?5,
            model = ?6, status = ?7, last_seen = ?8, left_at = ?9, role = ?10, parent_id = ?11, zone_id = ?12,
            endpoint = ?13, skills = ?14, joined_at = ?15, epoch = ?16, seq = ?17, signed_with = ?18, public_key = ?19,
            behind_ms = ?20",
    )?
    .execute(params![
        identity.id,
        identity.name,
        identity.soul,
        list_text(&identity.capabilities),
        list_text(&identity.channels),
        identity.model,
        member.standing.as_str(),
        member.last_seen,
        member.left_at,
        identity.role,
        identity.parent,
        identity.zone,
        identity.endpoint,
        list_text(&identity.skills),
        identity.joined_at,
        epoch,
        i64::try_from(member.seq).unwrap_or(i64::MAX),
        member.key,
        identity.public_key,
        member.behind_ms,
    ])
    .map(drop)
}

fn remember(tx: &Tx<'_>, member: &Member, group: &str, action: &str, now: Timestamp) -> rusqlite::Result<()> {
    let identity = &member.identity;
    let id = tx
        .prepare_cached(
            "INSERT INTO group_membership_history
                (agent_id, group_name, role, action, agent_name, capabilities, channels, model, happened_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .insert(params![
            identity.id,
            group,
            identity.role,
            action,
            identity.name,
            list_text(&identity.capabilities),
            list_text(&identity.channels),
            identity.model,
            now,
        ])?;
    tx.prepare_cached("DELETE FROM group_membership_history WHERE id <= ?1")?.execute([id - HISTORY_MAX])?;
    Ok(())
}

fn tell(tx: &Tx<'_>, happening: &Happening, now: Timestamp) -> rusqlite::Result<()> {
    let (classification, who, text) = match happening {
        Happening::Joined(id) => ("GROUP_MEMBER_JOINED", Some(id), "A member joined the group."),
        Happening::Left(id) => ("GROUP_MEMBER_LEFT", Some(id), "A member left the group."),
        Happening::WentStale(id) => ("GROUP_MEMBER_STALE", Some(id), "A member has not been heard of for too long."),
        Happening::CameBack(id) => ("GROUP_MEMBER_BACK", Some(id), "A member is heard of again."),
        Happening::Collided(id) => ("GROUP_NAME_COLLISION", Some(id), "Two members use one name."),
        Happening::CollidedWithUs => ("GROUP_NAME_COLLISION", None, "Somebody else uses the name of this house."),
        Happening::Full => ("GROUP_ROSTER_FULL", None, "There is no room for one more member."),
        // The past of a topic is full of them.
        Happening::Outdated(_) => return Ok(()),
    };
    let event = Event {
        content: text.to_owned(),
        metadata: json!({"agent_id": who}),
        ..Event::system("GROUP", TraceId::random(), now, classification)
    };
    timeline::append(tx, &event).map(drop)
}

fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    let joined_at = time(row, 14)?;
    let epoch: Option<i64> = row.get(15)?;
    let life = epoch
        .and_then(|epoch| u64::try_from(epoch).ok().map(Life::Epoch))
        .or(joined_at.map(|at| Life::JoinedAt(at.as_millis())));
    let left_at = time(row, 8)?;
    let standing = Standing::parse(&row.get::<_, String>(6)?).unwrap_or(Standing::Stale);
    Ok(Member {
        identity: Identity {
            id: row.get(0)?,
            name: row.get(1)?,
            soul: row.get(2)?,
            capabilities: list(row, 3)?,
            skills: list(row, 13)?,
            channels: list(row, 4)?,
            model: row.get(5)?,
            status: "active".to_owned(),
            role: row.get(9)?,
            parent: row.get::<_, Option<PeerId>>(10)?,
            zone: row.get::<_, Option<ZoneId>>(11)?,
            endpoint: row.get(12)?,
            joined_at,
            public_key: row.get(18)?,
            load: None,
            can_think: None,
        },
        standing: if left_at.is_some() { Standing::Left } else { standing },
        life,
        seq: row.get::<_, Option<i64>>(16)?.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0),
        key: row.get(17)?,
        last_seen: time(row, 7)?.unwrap_or_default(),
        left_at,
        behind_ms: row.get::<_, Option<i64>>(19)?.unwrap_or(0),
    })
}

/// A list as KafClaw stores it: JSON text.
fn list_text(list: &[String]) -> String {
    json!(list).to_string()
}

fn list(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    let text: Option<String> = row.get(column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}
