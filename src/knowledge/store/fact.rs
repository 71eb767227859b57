//! Facts, and facts that wait for earlier versions.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::knowledge::fact::Fact;
use crate::knowledge::store::{tags_from, tags_text, time_from};

const COLUMNS: &str =
    "fact_id, group_name, subject, predicate, object, version, source, proposal_id, decision_id, tags, published_at";

pub fn fact(conn: &Connection, id: &str) -> rusqlite::Result<Option<Fact>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM knowledge_facts WHERE fact_id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// The newest first; of every group when none is named.
pub fn facts(conn: &Connection, group: Option<&str>, limit: u32) -> rusqlite::Result<Vec<Fact>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM knowledge_facts WHERE ?1 IS NULL OR group_name = ?1 ORDER BY id DESC LIMIT ?2"
    ))?
    .query_map((group, limit), read)?
    .collect()
}

/// In the order of their ids, those behind `after`.
pub fn facts_after(conn: &Connection, group: &str, after: &str, limit: u32) -> rusqlite::Result<Vec<Fact>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM knowledge_facts WHERE group_name = ?1 AND fact_id > ?2 ORDER BY fact_id LIMIT ?3"
    ))?
    .query_map((group, after, limit), read)?
    .collect()
}

pub(in crate::knowledge) fn save_fact(tx: &Tx<'_>, fact: &Fact, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO knowledge_facts (fact_id, group_name, subject, predicate, object, version, source, proposal_id,
            decision_id, tags, published_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (fact_id) DO UPDATE SET group_name = excluded.group_name, subject = excluded.subject,
            predicate = excluded.predicate, object = excluded.object, version = excluded.version,
            source = excluded.source, proposal_id = excluded.proposal_id, decision_id = excluded.decision_id,
            tags = excluded.tags, published_at = excluded.published_at, updated_at = excluded.updated_at",
    )?
    .execute(rusqlite::params![
        fact.id,
        fact.group,
        fact.subject,
        fact.predicate,
        fact.object,
        fact.version,
        fact.source,
        fact.proposal_id,
        fact.decision_id,
        tags_text(&fact.tags),
        fact.published_at,
        now,
    ])?;
    Ok(())
}

/// Keeps `fact` until the versions before it have come; of one version only the winner.
pub(in crate::knowledge) fn put_gap(tx: &Tx<'_>, fact: &Fact, now: Timestamp) -> rusqlite::Result<()> {
    let record = serde_json::to_string(&fact.to_wire(crate::knowledge::fact::Passing::Author)).unwrap_or_default();
    tx.prepare_cached(
        "INSERT INTO knowledge_gaps (fact_id, version, record, arrived_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (fact_id, version) DO UPDATE SET record = excluded.record",
    )?
    .execute((&fact.id, fact.version, record, now))?;
    Ok(())
}

pub(in crate::knowledge) fn gap(tx: &Tx<'_>, id: &str, version: i64) -> rusqlite::Result<Option<Fact>> {
    let mut select = tx.prepare_cached("SELECT record FROM knowledge_gaps WHERE fact_id = ?1 AND version = ?2")?;
    let record: Option<String> = select.query_row((id, version), |row| row.get(0)).optional()?;
    Ok(record.and_then(|record| parse(&record)))
}

/// Waiting versions of one fact.
pub(in crate::knowledge) fn gaps_of(tx: &Tx<'_>, id: &str) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM knowledge_gaps WHERE fact_id = ?1")?.query_row([id], |row| row.get(0))
}

pub(in crate::knowledge) fn gap_count(tx: &Tx<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM knowledge_gaps")?.query_row([], |row| row.get(0))
}

/// Forgets what waits of the fact up to and with `version`.
pub(in crate::knowledge) fn drop_gaps(tx: &Tx<'_>, id: &str, version: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM knowledge_gaps WHERE fact_id = ?1 AND version <= ?2")?.execute((id, version))?;
    Ok(())
}

/// The lowest waiting version of every fact that has waited since before `before`.
pub(in crate::knowledge) fn old_gaps(tx: &Tx<'_>, before: Timestamp, limit: u32) -> rusqlite::Result<Vec<Fact>> {
    let records: Vec<String> = tx
        .prepare_cached(
            "SELECT record FROM knowledge_gaps AS gap WHERE arrived_at < ?1
                AND version = (SELECT min(version) FROM knowledge_gaps WHERE fact_id = gap.fact_id) LIMIT ?2",
        )?
        .query_map((before, limit), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(records.iter().filter_map(|record| parse(record)).collect())
}

fn parse(record: &str) -> Option<Fact> {
    let wire: crate::knowledge::wire::Fact = serde_json::from_str(record).ok()?;
    Some(Fact::from(wire))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Fact> {
    let text = |at: usize| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
    Ok(Fact {
        id: row.get(0)?,
        group: row.get(1)?,
        subject: row.get(2)?,
        predicate: row.get(3)?,
        object: row.get(4)?,
        version: row.get(5)?,
        source: row.get(6)?,
        proposal_id: text(7)?,
        decision_id: text(8)?,
        tags: tags_from(row.get(9)?),
        published_at: time_from(row.get(10)?),
    })
}
