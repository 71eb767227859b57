//! Proposals, votes in all their versions, and decisions that wait for votes.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::knowledge::ballot::{Ballot, Question, Tally};
use crate::knowledge::store::{tags_from, tags_text, time_from};
use crate::knowledge::wire::{self, Outcome, VoteWord};

/// A proposal as this replica holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    pub id: String,
    pub group: String,
    pub title: String,
    pub statement: String,
    pub tags: Vec<String>,
    pub proposer: String,
    pub proposer_instance: String,
    /// None while it is open.
    pub outcome: Option<Outcome>,
    pub tally: Tally,
    pub reason: String,
    /// By the proposer's clock.
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Of the decision that counts, by the decider's clock.
    pub decided_at: Option<Timestamp>,
    pub decided_by: String,
}

impl Proposal {
    /// What is voted on; a proposal that says nothing else is open for `open_max`.
    pub fn question(&self, open_max: std::time::Duration) -> Question {
        let expires_at = self.expires_at.unwrap_or_else(|| self.created_at.plus(open_max));
        Question { proposer: self.proposer.clone(), expires_at }
    }
}

const COLUMNS: &str = "proposal_id, group_name, title, statement, tags, proposer_claw_id, proposer_instance_id, status,
    yes_votes, no_votes, reason, created_at, expires_at, decided_at, decided_by";

pub fn proposal(conn: &Connection, id: &str) -> rusqlite::Result<Option<Proposal>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM knowledge_proposals WHERE proposal_id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// The newest first. `status` is `pending`, `approved`, `rejected` or `expired`; none for all.
pub fn proposals(conn: &Connection, status: Option<&str>, limit: u32) -> rusqlite::Result<Vec<Proposal>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM knowledge_proposals WHERE ?1 IS NULL OR status = ?1 ORDER BY id DESC LIMIT ?2"
    ))?
    .query_map((status, limit), read)?
    .collect()
}

/// False when it was known; then nothing changes: what a proposal says is said once.
pub(in crate::knowledge) fn insert_proposal(
    tx: &Tx<'_>,
    proposal: &Proposal,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let inserted = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO knowledge_proposals (proposal_id, group_name, title, statement, tags,
                proposer_claw_id, proposer_instance_id, status, created_at, updated_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?8, ?9, ?10)",
        )?
        .execute(rusqlite::params![
            proposal.id,
            proposal.group,
            proposal.title,
            proposal.statement,
            tags_text(&proposal.tags),
            proposal.proposer,
            proposal.proposer_instance,
            proposal.created_at,
            now,
            proposal.expires_at,
        ])?;
    Ok(inserted > 0)
}

/// Writes the decision that counts.
pub(in crate::knowledge) fn decide(
    tx: &Tx<'_>,
    decision: &wire::Decision,
    by: &str,
    decided_at: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE knowledge_proposals SET status = ?2, yes_votes = ?3, no_votes = ?4, reason = ?5, decided_at = ?6,
            decided_by = ?7, updated_at = ?8 WHERE proposal_id = ?1",
    )?
    .execute((
        &decision.proposal_id,
        &decision.outcome,
        decision.yes,
        decision.no,
        &decision.reason,
        decided_at,
        by,
        now,
    ))?;
    Ok(())
}

/// Every version of every vote on a proposal.
pub fn ballots(conn: &Connection, proposal: &str) -> rusqlite::Result<Vec<Ballot>> {
    conn.prepare_cached("SELECT claw_id, version, vote, voted_at FROM knowledge_ballots WHERE proposal_id = ?1")?
        .query_map([proposal], |row| {
            let vote: String = row.get(2)?;
            let word = VoteWord::parse(&vote).unwrap_or(VoteWord::No);
            Ok(Ballot {
                claw_id: row.get(0)?,
                version: row.get(1)?,
                word,
                voted_at: time_from(row.get(3)?).unwrap_or_default(),
            })
        })?
        .collect()
}

/// Keeps one version of a vote, and the newest one where KafClaw looks. Who says two things in one version says no.
pub(in crate::knowledge) fn put_ballot(
    tx: &Tx<'_>,
    ballot: &Ballot,
    (head, vote): (&wire::Head, &wire::Vote),
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO knowledge_ballots (proposal_id, claw_id, version, vote, voted_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (proposal_id, claw_id, version) DO UPDATE SET vote = min(vote, excluded.vote),
            voted_at = min(voted_at, excluded.voted_at)",
    )?
    .execute((&vote.proposal_id, &ballot.claw_id, ballot.version, ballot.word.as_str(), ballot.voted_at))?;
    let newest: i64 = tx
        .prepare_cached("SELECT max(version) FROM knowledge_ballots WHERE proposal_id = ?1 AND claw_id = ?2")?
        .query_row((&vote.proposal_id, &ballot.claw_id), |row| row.get(0))?;
    if newest > ballot.version {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO knowledge_votes (proposal_id, claw_id, instance_id, vote, reason, trace_id, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (proposal_id, claw_id) DO UPDATE SET instance_id = excluded.instance_id, vote = excluded.vote,
            reason = excluded.reason, trace_id = excluded.trace_id, updated_at = excluded.updated_at",
    )?
    .execute((
        &vote.proposal_id,
        &ballot.claw_id,
        &head.instance_id,
        ballot.word.as_str(),
        &vote.reason,
        &head.trace_id,
        now,
    ))?;
    Ok(())
}

/// Votes on proposals that are not known.
pub(in crate::knowledge) fn stray_ballots(tx: &Tx<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached(
        "SELECT count(*) FROM knowledge_ballots WHERE proposal_id NOT IN (SELECT proposal_id FROM knowledge_proposals)",
    )?
    .query_row([], |row| row.get(0))
}

/// How many versions of its vote on a proposal a member has sent.
pub(in crate::knowledge) fn versions(tx: &Tx<'_>, proposal: &str, claw: &str) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM knowledge_ballots WHERE proposal_id = ?1 AND claw_id = ?2")?
        .query_row((proposal, claw), |row| row.get(0))
}

/// Forgets votes cast before `before`, on proposals that are decided or never came, a bounded piece at a time.
pub(in crate::knowledge) fn prune_ballots(tx: &Tx<'_>, before: Timestamp, len_max: u32) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM knowledge_ballots WHERE (proposal_id, claw_id, version) IN
            (SELECT proposal_id, claw_id, version FROM knowledge_ballots WHERE voted_at < ?1 AND proposal_id NOT IN
                (SELECT proposal_id FROM knowledge_proposals WHERE status = 'pending') LIMIT ?2)",
    )?
    .execute((before, len_max))
}

pub(in crate::knowledge) fn pending_count(tx: &Tx<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM knowledge_proposals WHERE status = 'pending'")?
        .query_row([], |row| row.get(0))
}

pub(in crate::knowledge) fn unproven_count(tx: &Tx<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM knowledge_unproven")?.query_row([], |row| row.get(0))
}

/// Keeps a decision until its votes have come; one of each decider.
pub(in crate::knowledge) fn put_unproven(
    tx: &Tx<'_>,
    message: &wire::Message,
    proposal: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let record = String::from_utf8(wire::encode(message)).unwrap_or_default();
    tx.prepare_cached(
        "INSERT OR REPLACE INTO knowledge_unproven (proposal_id, claw_id, record, arrived_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((proposal, &message.head.claw_id, record, now))?;
    Ok(())
}

/// Decisions on the proposal that wait.
pub(in crate::knowledge) fn unproven(tx: &Tx<'_>, proposal: &str) -> rusqlite::Result<Vec<wire::Message>> {
    let records: Vec<String> = tx
        .prepare_cached("SELECT record FROM knowledge_unproven WHERE proposal_id = ?1 ORDER BY claw_id")?
        .query_map([proposal], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(records.iter().filter_map(|record| wire::decode(record.as_bytes()).ok()).collect())
}

pub(in crate::knowledge) fn drop_unproven(tx: &Tx<'_>, proposal: &str, claw: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM knowledge_unproven WHERE proposal_id = ?1 AND claw_id = ?2")?
        .execute((proposal, claw))?;
    Ok(())
}

/// Proposals and deciders of decisions that have waited since before `before`.
pub(in crate::knowledge) fn old_unproven(
    tx: &Tx<'_>,
    before: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<(String, String)>> {
    tx.prepare_cached("SELECT proposal_id, claw_id FROM knowledge_unproven WHERE arrived_at < ?1 LIMIT ?2")?
        .query_map((before, limit), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Proposal> {
    let text = |at: usize| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
    let count = |at: usize| row.get::<_, i64>(at).map(|count| usize::try_from(count).unwrap_or(0));
    Ok(Proposal {
        id: row.get(0)?,
        group: row.get(1)?,
        title: text(2)?,
        statement: row.get(3)?,
        tags: tags_from(row.get(4)?),
        proposer: row.get(5)?,
        proposer_instance: row.get(6)?,
        outcome: Outcome::parse(&row.get::<_, String>(7)?),
        tally: Tally { yes: count(8)?, no: count(9)? },
        reason: text(10)?,
        created_at: time_from(row.get(11)?).unwrap_or_default(),
        expires_at: time_from(row.get(12)?),
        decided_at: time_from(row.get(13)?),
        decided_by: text(14)?,
    })
}
