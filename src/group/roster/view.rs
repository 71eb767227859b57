//! Members as the API shows them, in KafClaw's shapes (group specification §7).

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::db::{Tx, time};

/// Lists are JSON texts inside, as KafClaw sends them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MemberRow {
    pub agent_id: String,
    pub agent_name: String,
    pub capabilities: String,
    pub channels: String,
    pub last_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    pub model: String,
    pub role: String,
    pub soul_summary: String,
    pub status: String,
    /// Ours: JSON text of the skills it offers.
    pub skills: String,
    /// Ours: the zone it says it is in.
    pub zone_id: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HistoryRow {
    pub id: i64,
    pub agent_id: String,
    pub group_name: String,
    pub role: String,
    /// `joined` or `left`.
    pub action: String,
    pub lfs_proxy_url: String,
    pub kafka_brokers: String,
    pub consumer_group: String,
    pub agent_name: String,
    pub capabilities: String,
    pub channels: String,
    pub model: String,
    pub happened_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SkillRow {
    pub id: i64,
    pub skill_name: String,
    pub group_name: String,
    pub requests_topic: String,
    pub responses_topic: String,
    pub registered_by: String,
    pub created_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Restored {
    pub agent_id: String,
    pub restored_config: HistoryRow,
    /// `rejoined`.
    pub status: &'static str,
}

/// Which entries of the history; empty texts for all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryFilter {
    pub agent_id: String,
    pub group_name: String,
    pub limit: u32,
    pub offset: u32,
}

const MEMBER_COLUMNS: &str =
    "agent_id, coalesce(agent_name, ''), coalesce(capabilities, '[]'), coalesce(channels, '[]'),
    last_seen, left_at, coalesce(model, ''), coalesce(role, ''), coalesce(soul_summary, ''), coalesce(status, ''),
    coalesce(skills, '[]'), coalesce(zone_id, '')";

const HISTORY_COLUMNS: &str =
    "id, agent_id, group_name, coalesce(role, ''), action, coalesce(lfs_proxy_url, ''), coalesce(kafka_brokers, ''),
    coalesce(consumer_group, ''), coalesce(agent_name, ''), coalesce(capabilities, '[]'), coalesce(channels, '[]'),
    coalesce(model, ''), happened_at";

/// Who belongs to the group.
pub fn members(connection: &Connection) -> rusqlite::Result<Vec<MemberRow>> {
    let sql = format!("SELECT {MEMBER_COLUMNS} FROM group_members WHERE left_at IS NULL ORDER BY agent_id");
    connection.prepare_cached(&sql)?.query_map([], member_row)?.collect()
}

/// Who left, the last one first.
pub fn previous_members(connection: &Connection) -> rusqlite::Result<Vec<MemberRow>> {
    let sql = format!("SELECT {MEMBER_COLUMNS} FROM group_members WHERE left_at IS NOT NULL ORDER BY left_at DESC");
    connection.prepare_cached(&sql)?.query_map([], member_row)?.collect()
}

/// Newest first.
pub fn history(connection: &Connection, filter: &HistoryFilter) -> rusqlite::Result<Vec<HistoryRow>> {
    let sql = format!(
        "SELECT {HISTORY_COLUMNS} FROM group_membership_history
         WHERE (?1 = '' OR agent_id = ?1) AND (?2 = '' OR group_name = ?2) ORDER BY id DESC LIMIT ?3 OFFSET ?4"
    );
    connection
        .prepare_cached(&sql)?
        .query_map((&filter.agent_id, &filter.group_name, filter.limit, filter.offset), history_row)?
        .collect()
}

/// Lets a member that left count as one again, and returns how it was configured when it joined last; none if it never did.
pub fn restore(tx: &Tx<'_>, agent_id: &str, group_name: &str) -> rusqlite::Result<Option<Restored>> {
    let sql = format!(
        "SELECT {HISTORY_COLUMNS} FROM group_membership_history
         WHERE agent_id = ?1 AND (?2 = '' OR group_name = ?2) AND action = 'joined' ORDER BY id DESC LIMIT 1"
    );
    let found = tx.prepare_cached(&sql)?.query_row((agent_id, group_name), history_row).optional()?;
    let Some(restored_config) = found else { return Ok(None) };
    tx.prepare_cached("UPDATE group_members SET left_at = NULL, status = 'stale' WHERE agent_id = ?1")?
        .execute([agent_id])?;
    Ok(Some(Restored { agent_id: agent_id.to_owned(), restored_config, status: "rejoined" }))
}

/// Skills that have topics; of all groups when `group` is empty.
pub fn skills(connection: &Connection, group: &str) -> rusqlite::Result<Vec<SkillRow>> {
    connection
        .prepare_cached(
            "SELECT id, skill_name, group_name, requests_topic, responses_topic, registered_by, created_at
             FROM group_skill_channels WHERE ?1 = '' OR group_name = ?1 ORDER BY skill_name",
        )?
        .query_map([group], |row| {
            Ok(SkillRow {
                id: row.get(0)?,
                skill_name: row.get(1)?,
                group_name: row.get(2)?,
                requests_topic: row.get(3)?,
                responses_topic: row.get(4)?,
                registered_by: row.get(5)?,
                created_at: time(row, 6)?,
            })
        })?
        .collect()
}

fn member_row(row: &Row<'_>) -> rusqlite::Result<MemberRow> {
    Ok(MemberRow {
        agent_id: row.get(0)?,
        agent_name: row.get(1)?,
        capabilities: row.get(2)?,
        channels: row.get(3)?,
        last_seen: time(row, 4)?,
        left_at: time(row, 5)?,
        model: row.get(6)?,
        role: row.get(7)?,
        soul_summary: row.get(8)?,
        status: row.get(9)?,
        skills: row.get(10)?,
        zone_id: row.get(11)?,
    })
}

fn history_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    Ok(HistoryRow {
        id: row.get(0)?,
        agent_id: row.get(1)?,
        group_name: row.get(2)?,
        role: row.get(3)?,
        action: row.get(4)?,
        lfs_proxy_url: row.get(5)?,
        kafka_brokers: row.get(6)?,
        consumer_group: row.get(7)?,
        agent_name: row.get(8)?,
        capabilities: row.get(9)?,
        channels: row.get(10)?,
        model: row.get(11)?,
        happened_at: time(row, 12)?,
    })
}
