//! Shared knowledge in the database.

mod fact;
mod proposal;

pub use fact::{fact, facts, facts_after};
pub use proposal::{Proposal, ballots, proposal, proposals};

pub(super) use fact::{drop_gaps, gap, gap_count, gaps_of, old_gaps, put_gap, save_fact};
pub(super) use proposal::{
    decide, drop_unproven, insert_proposal, old_unproven, pending_count, prune_ballots, put_ballot, put_unproven,
    stray_ballots, unproven, unproven_count, versions,
};

use rusqlite::{Connection, OptionalExtension};

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::knowledge::wire;

/// How much of everything there is, for the status page and the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Counts {
    pub approved: u32,
    pub expired: u32,
    pub facts: u32,
    pub pending: u32,
    pub rejected: u32,
    /// Facts whose earlier versions have not come.
    pub gaps: u32,
    /// Decisions whose votes have not come.
    pub unproven: u32,
}

pub fn counts(conn: &Connection) -> rusqlite::Result<Counts> {
    let status = |status: &str| -> rusqlite::Result<u32> {
        conn.prepare_cached("SELECT count(*) FROM knowledge_proposals WHERE status = ?1")?
            .query_row([status], |row| row.get(0))
    };
    let rows = |sql: &str| -> rusqlite::Result<u32> { conn.prepare_cached(sql)?.query_row([], |row| row.get(0)) };
    Ok(Counts {
        approved: status("approved")?,
        expired: status("expired")?,
        pending: status("pending")?,
        rejected: status("rejected")?,
        facts: rows("SELECT count(*) FROM knowledge_facts")?,
        gaps: rows("SELECT count(*) FROM knowledge_gaps")?,
        unproven: rows("SELECT count(*) FROM knowledge_unproven")?,
    })
}

/// Name of a message in the ledger: the same key of two members is two names.
fn ledger_key(head: &wire::Head) -> String {
    format!("{}/{}", head.claw_id, head.idempotency_key)
}

/// Whether this very message has had its effect. A message with the same key and another content is another message: agents in Go
/// use one key for every vote that they change.
pub(super) fn is_done(tx: &Tx<'_>, head: &wire::Head, hash: &str) -> rusqlite::Result<bool> {
    let mut select = tx.prepare_cached("SELECT content_hash FROM knowledge_idempotency WHERE idempotency_key = ?1")?;
    let known: Option<String> = select.query_row([ledger_key(head)], |row| row.get(0)).optional()?;
    Ok(known.as_deref() == Some(hash))
}

/// Notes that the message has had its effect, in the transaction of the effect.
pub(super) fn set_done(
    tx: &Tx<'_>,
    message: &wire::Message,
    hash: &str,
    topic: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let head = &message.head;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO knowledge_idempotency
            (idempotency_key, claw_id, instance_id, message_type, topic_name, trace_id, processed_at, content_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        ledger_key(head),
        &head.claw_id,
        &head.instance_id,
        message.body.type_name(),
        topic,
        &head.trace_id,
        now,
        hash,
    ))?;
    Ok(())
}

/// Forgets what was done before `before`, a bounded piece at a time.
pub(super) fn prune_done(tx: &Tx<'_>, before: Timestamp, len_max: u32) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM knowledge_idempotency WHERE id IN
            (SELECT id FROM knowledge_idempotency WHERE processed_at < ?1 ORDER BY processed_at LIMIT ?2)",
    )?
    .execute((before, len_max))
}

/// A member that shares knowledge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claw {
    pub claw_id: String,
    pub instance_id: String,
    pub display_name: String,
    pub status: String,
    pub seen_at: Timestamp,
    /// When what it holds was last compared with what is held here.
    pub compared_at: Option<Timestamp>,
}

pub fn claws(conn: &Connection) -> rusqlite::Result<Vec<Claw>> {
    conn.prepare_cached(
        "SELECT claw_id, instance_id, display_name, status, seen_at, compared_at FROM knowledge_claws ORDER BY claw_id",
    )?
    .query_map([], |row| {
        Ok(Claw {
            claw_id: row.get(0)?,
            instance_id: row.get(1)?,
            display_name: row.get(2)?,
            status: row.get(3)?,
            seen_at: row.get(4)?,
            compared_at: row.get(5)?,
        })
    })?
    .collect()
}

pub(super) fn see_claw(
    tx: &Tx<'_>,
    head: &wire::Head,
    presence: &wire::Presence,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO knowledge_claws (claw_id, instance_id, display_name, status, seen_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (claw_id) DO UPDATE SET instance_id = excluded.instance_id, display_name = excluded.display_name,
            status = excluded.status, seen_at = excluded.seen_at",
    )?
    .execute((&head.claw_id, &head.instance_id, &presence.display_name, &presence.status, now))?;
    Ok(())
}

pub(super) fn compared_at(tx: &Tx<'_>, claw: &str) -> rusqlite::Result<Option<Timestamp>> {
    let mut select = tx.prepare_cached("SELECT compared_at FROM knowledge_claws WHERE claw_id = ?1")?;
    Ok(select.query_row([claw], |row| row.get(0)).optional()?.flatten())
}

pub(super) fn set_compared(tx: &Tx<'_>, claw: &str, at: Option<Timestamp>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE knowledge_claws SET compared_at = ?2 WHERE claw_id = ?1")?.execute((claw, at))?;
    Ok(())
}

pub(super) fn forget_comparisons(tx: &Tx<'_>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE knowledge_claws SET compared_at = NULL")?.execute([])?;
    Ok(())
}

fn tags_text(tags: &[String]) -> String {
    serde_json::to_string(tags).unwrap_or_default()
}

/// Tags as they are stored: a JSON list, or nothing.
fn tags_from(text: Option<String>) -> Vec<String> {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn time_from(text: Option<String>) -> Option<Timestamp> {
    text.and_then(|text| Timestamp::parse(&text))
}
