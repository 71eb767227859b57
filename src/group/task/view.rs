//! Tasks as the API shows them, in KafClaw's shapes (group specification §7).

use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::db::time;

/// KafClaw's fields, with those of delegation that it never selected, then ours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TaskRow {
    pub id: i64,
    pub task_id: String,
    pub description: String,
    pub content: String,
    pub direction: String,
    pub requester_id: String,
    pub responder_id: String,
    pub response_content: String,
    pub status: String,
    pub created_at: Option<Timestamp>,
    pub responded_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_task_id: String,
    pub delegation_depth: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub original_requester_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_percent: Option<i64>,
}

/// Which tasks; empty texts for all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskFilter {
    pub direction: String,
    pub status: String,
    pub limit: u32,
    pub offset: u32,
}

/// Something that was done or decided; the API merges it from several rooms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuditRow {
    pub id: i64,
    /// `delegation`, `policy`, `approval` or `mode_change`.
    pub source: &'static str,
    pub event_type: String,
    pub tier: i64,
    pub agent_id: String,
    pub target_id: String,
    pub details: String,
    pub created_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditFilter {
    pub event_type: String,
    pub agent_id: String,
    pub limit: u32,
    pub offset: u32,
}

const COLUMNS: &str = "id, task_id, coalesce(description, ''), coalesce(content, ''), direction, requester_id,
    coalesce(responder_id, ''), coalesce(response_content, ''), status, created_at, responded_at,
    coalesce(parent_task_id, ''), coalesce(delegation_depth, 0), coalesce(original_requester_id, ''), deadline_at,
    accepted_at, coalesce(target_id, ''), progress_percent";

/// Newest first.
pub fn list(connection: &Connection, filter: &TaskFilter) -> rusqlite::Result<Vec<TaskRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM group_tasks
         WHERE (?1 = '' OR direction = ?1) AND (?2 = '' OR status = ?2) ORDER BY id DESC LIMIT ?3 OFFSET ?4"
    );
    connection
        .prepare_cached(&sql)?
        .query_map((&filter.direction, &filter.status, filter.limit, filter.offset), row)?
        .collect()
}

/// A task and those that it was handed on as, however deep, the first one first.
pub fn chain(connection: &Connection, task_id: &str) -> rusqlite::Result<Vec<TaskRow>> {
    const LINKS_MAX: u32 = 64;
    let sql = format!(
        "WITH RECURSIVE links (link) AS (
            SELECT ?1 UNION SELECT task_id FROM group_tasks JOIN links ON parent_task_id = link LIMIT ?2)
         SELECT {COLUMNS} FROM group_tasks WHERE task_id IN (SELECT link FROM links) ORDER BY id LIMIT ?2"
    );
    connection.prepare_cached(&sql)?.query_map((task_id, LINKS_MAX), row)?.collect()
}

/// What happened to tasks, newest first.
pub fn delegation_audit(connection: &Connection, filter: &AuditFilter) -> rusqlite::Result<Vec<AuditRow>> {
    connection
        .prepare_cached(
            "SELECT id, event_type, sender_id, coalesce(receiver_id, ''), coalesce(summary, ''), created_at, task_id
             FROM delegation_events
             WHERE (?1 = '' OR event_type = ?1) AND (?2 = '' OR sender_id = ?2 OR receiver_id = ?2)
             ORDER BY id DESC LIMIT ?3 OFFSET ?4",
        )?
        .query_map((&filter.event_type, &filter.agent_id, filter.limit, filter.offset), |row| {
            let (summary, task): (String, String) = (row.get(4)?, row.get(6)?);
            Ok(AuditRow {
                id: row.get(0)?,
                source: "delegation",
                event_type: row.get(1)?,
                tier: 0,
                agent_id: row.get(2)?,
                target_id: row.get(3)?,
                details: if summary.is_empty() { task } else { summary },
                created_at: time(row, 5)?,
            })
        })?
        .collect()
}

fn row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        id: row.get(0)?,
        task_id: row.get(1)?,
        description: row.get(2)?,
        content: row.get(3)?,
        direction: row.get(4)?,
        requester_id: row.get(5)?,
        responder_id: row.get(6)?,
        response_content: row.get(7)?,
        status: row.get(8)?,
        created_at: time(row, 9)?,
        responded_at: time(row, 10)?,
        parent_task_id: row.get(11)?,
        delegation_depth: row.get(12)?,
        original_requester_id: row.get(13)?,
        deadline_at: time(row, 14)?,
        accepted_at: time(row, 15)?,
        target_id: row.get(16)?,
        progress_percent: row.get(17)?,
    })
}
