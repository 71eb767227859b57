//! What was done and decided, from all rooms that know (group specification §7): delegated tasks, judgments of the policy, questions
//! for permission, and comings and goings. Newest first.

use std::sync::Arc;

use rusqlite::Connection;

use crate::approval;
use crate::base::clock::Timestamp;
use crate::dashboard::{Dashboard, limit, offset, route, unstored};
use crate::group::task::{AuditFilter, AuditRow, delegation_audit};
use crate::http::{Access, Method, Request, Response, Route};
use crate::policy;
use crate::timeline;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;
/// Rows that may be skipped: every source is read up to the end of the page.
const OFFSET_MAX: u32 = 5_000;
/// How comings and goings are classified, the hub's own and others'.
const MODE_CHANGES: &[&str] = &[
    "GROUP_JOINED",
    "GROUP_LEFT",
    "GROUP_MEMBER_JOINED",
    "GROUP_MEMBER_LEFT",
    "GROUP_MEMBER_STALE",
    "GROUP_MEMBER_BACK",
];

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    vec![
        route(Method::Get, "/api/v1/group/audit", Access::Token, "What was done and decided: ?source=delegation|policy|approval|mode_change&event_type&agent_id&limit&offset.", |it, request| Box::pin(audit(it, request))),
    ]
}

/// Which rows; empty texts for all.
struct Wanted {
    source: String,
    event_type: String,
    agent_id: String,
    /// Rows of each source that can be on the page or before it.
    rows_max: u32,
}

async fn audit(it: Arc<Dashboard>, request: Request) -> Response {
    let asked = |name: &str| request.query(name).unwrap_or_default().to_owned();
    let (limit, offset) = (limit(&request, LIMIT_DEFAULT, LIMIT_MAX), offset(&request).min(OFFSET_MAX));
    let wanted = Wanted {
        source: asked("source"),
        event_type: asked("event_type"),
        agent_id: asked("agent_id"),
        rows_max: limit + offset,
    };
    let (skipped, taken) = (offset as usize, limit as usize);
    match it.db.read(move |conn| merged(conn, &wanted)).await {
        Ok(rows) => Response::json(&rows.into_iter().skip(skipped).take(taken).collect::<Vec<_>>()),
        Err(problem) => unstored(&problem),
    }
}

/// Reads the newest rows of one source.
type Read = fn(&Connection, &Wanted) -> rusqlite::Result<Vec<AuditRow>>;

fn merged(conn: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<AuditRow>> {
    let sources: [(&str, Read); 4] =
        [("delegation", delegations), ("policy", decisions), ("approval", approvals), ("mode_change", mode_changes)];
    let mut rows = Vec::new();
    for (source, read) in sources {
        if wanted.source.is_empty() || wanted.source == source {
            rows.extend(read(conn, wanted)?);
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.created_at.map_or(0, Timestamp::as_millis)));
    Ok(rows)
}

fn delegations(conn: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<AuditRow>> {
    let filter = AuditFilter {
        event_type: wanted.event_type.clone(),
        agent_id: wanted.agent_id.clone(),
        limit: wanted.rows_max,
        offset: 0,
    };
    delegation_audit(conn, &filter)
}

fn decisions(conn: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<AuditRow>> {
    let verdict = match wanted.event_type.as_str() {
        "" => None,
        "allowed" => Some(true),
        "denied" => Some(false),
        _ => return Ok(Vec::new()),
    };
    let found = policy::newest(conn, &wanted.agent_id, verdict, wanted.rows_max)?;
    let row = |decided: policy::Decided| AuditRow {
        id: decided.id,
        source: "policy",
        event_type: if decided.allowed { "allowed" } else { "denied" }.to_owned(),
        tier: decided.tier,
        agent_id: decided.sender,
        target_id: decided.tool,
        details: decided.reason,
        created_at: Some(decided.created_at),
    };
    Ok(found.into_iter().map(row).collect())
}

fn approvals(conn: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<AuditRow>> {
    let found = approval::newest(conn, (&wanted.event_type, &wanted.agent_id), wanted.rows_max)?;
    let row = |request: approval::Request| AuditRow {
        id: request.row_id,
        source: "approval",
        event_type: request.status.as_str().to_owned(),
        tier: i64::from(request.tier.as_u8()),
        details: request.title(),
        target_id: request.tool,
        created_at: Some(request.responded_at.unwrap_or(request.created_at)),
        agent_id: request.asker.sender_id,
    };
    Ok(found.into_iter().map(row).collect())
}

fn mode_changes(conn: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<AuditRow>> {
    let found = timeline::classified(conn, MODE_CHANGES, wanted.rows_max)?;
    let row = |event: timeline::Row| AuditRow {
        id: event.id,
        source: "mode_change",
        event_type: event.classification.to_lowercase(),
        tier: 0,
        agent_id: agent_of(&event),
        target_id: String::new(),
        details: event.content_text,
        created_at: Some(event.timestamp),
    };
    let is_wanted = |row: &AuditRow| {
        (wanted.event_type.is_empty() || row.event_type == wanted.event_type)
            && (wanted.agent_id.is_empty() || row.agent_id == wanted.agent_id)
    };
    Ok(found.into_iter().map(row).filter(is_wanted).collect())
}

/// Who came or went; the house itself where nobody is named.
fn agent_of(event: &timeline::Row) -> String {
    let metadata: serde_json::Value = serde_json::from_str(&event.metadata).unwrap_or_default();
    metadata["agent_id"].as_str().unwrap_or(&event.sender_id).to_owned()
}
