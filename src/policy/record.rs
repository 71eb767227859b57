//! Every judgment leaves a row in `policy_decisions`.

use rusqlite::Connection;
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::base::id::{TaskId, TraceId};
use crate::db::{Migration, Tx};
use crate::policy::{Judgment, Question, Verdict};

pub const MIGRATIONS: &[Migration] = &[Migration { number: 500, name: "policy decisions", apply: create }];

/// Rows read for one trace; a turn makes far fewer.
const ROWS_PER_TRACE_MAX: u32 = 1_000;
/// Rows deleted by one call of [`prune`], so that it never holds the writer for long.
const PRUNE_PIECE_LEN: u32 = 5_000;

fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS policy_decisions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            trace_id TEXT,
            task_id TEXT,
            tool TEXT NOT NULL,
            tier INTEGER NOT NULL,
            sender TEXT,
            channel TEXT,
            allowed BOOLEAN NOT NULL,
            reason TEXT,
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
        );
        CREATE INDEX IF NOT EXISTS idx_policy_decisions_trace_id ON policy_decisions(trace_id);
        CREATE INDEX IF NOT EXISTS idx_policy_decisions_task_id ON policy_decisions(task_id);",
    )
}

/// A judgment and what it was about, to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    pub question: &'a Question<'a>,
    pub judgment: &'a Judgment,
    pub trace_id: &'a TraceId,
    pub task_id: &'a TaskId,
    pub at: Timestamp,
}

/// A recorded judgment, with the fields of the HTTP API (specification §3.4).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Decided {
    pub id: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub task_id: String,
    pub tool: String,
    pub tier: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sender: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    pub allowed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub created_at: Timestamp,
}

/// Writes `decision`; a call that waits for a person counts as not (yet) allowed.
pub fn record(tx: &Tx<'_>, decision: &Decision<'_>) -> rusqlite::Result<()> {
    let question = decision.question;
    let session = question.session.as_str();
    let channel = session.split_once(':').map_or(session, |(channel, _)| channel);
    tx.prepare_cached(
        "INSERT INTO policy_decisions (trace_id, task_id, tool, tier, sender, channel, allowed, reason, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute((
        decision.trace_id,
        decision.task_id,
        question.tool,
        question.tier.as_u8(),
        question.sender,
        channel,
        decision.judgment.verdict == Verdict::Allowed,
        decision.judgment.reason.to_string(),
        decision.at,
    ))?;
    Ok(())
}

const COLUMNS: &str =
    "id, coalesce(trace_id, ''), coalesce(task_id, ''), tool, tier, coalesce(sender, ''), coalesce(channel, ''),
    allowed, coalesce(reason, ''), created_at";

/// The decisions of one trace, oldest first.
pub fn list(conn: &Connection, trace_id: &TraceId) -> rusqlite::Result<Vec<Decided>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM policy_decisions WHERE trace_id = ?1 ORDER BY id LIMIT ?2"))?
        .query_map((trace_id, ROWS_PER_TRACE_MAX), decided)?
        .collect()
}

/// Up to `limit` decisions after row `cursor`, oldest first.
pub fn after(conn: &Connection, cursor: i64, limit: u32) -> rusqlite::Result<Vec<Decided>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM policy_decisions WHERE id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map((cursor, limit), decided)?
        .collect()
}

/// The newest decisions, newest first; of one sender when `sender` is not empty, and of one outcome.
pub fn newest(conn: &Connection, sender: &str, allowed: Option<bool>, limit: u32) -> rusqlite::Result<Vec<Decided>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM policy_decisions WHERE (?1 = '' OR sender = ?1) AND (?2 IS NULL OR allowed = ?2)
         ORDER BY id DESC LIMIT ?3"
    ))?
    .query_map((sender, allowed, limit), decided)?
    .collect()
}

/// The newest row's number, zero where nothing was decided.
pub fn last_id(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT coalesce(max(id), 0) FROM policy_decisions")?.query_row([], |row| row.get(0))
}

fn decided(row: &rusqlite::Row<'_>) -> rusqlite::Result<Decided> {
    Ok(Decided {
        id: row.get(0)?,
        trace_id: row.get(1)?,
        task_id: row.get(2)?,
        tool: row.get(3)?,
        tier: row.get(4)?,
        sender: row.get(5)?,
        channel: row.get(6)?,
        allowed: row.get(7)?,
        reason: row.get(8)?,
        created_at: row.get(9)?,
    })
}

/// Deletes rows older than `before` and the oldest above `rows_max`, a piece at a time; returns how many went.
pub fn prune(tx: &Tx<'_>, before: Timestamp, rows_max: u32) -> rusqlite::Result<usize> {
    let old = tx.execute(
        "DELETE FROM policy_decisions WHERE id IN
            (SELECT id FROM policy_decisions WHERE created_at < ?1 ORDER BY id LIMIT ?2)",
        (before, PRUNE_PIECE_LEN),
    )?;
    let excess = tx.execute(
        "DELETE FROM policy_decisions WHERE id IN
            (SELECT id FROM policy_decisions WHERE id <= (SELECT max(id) FROM policy_decisions) - ?1 ORDER BY id LIMIT ?2)",
        (rows_max, PRUNE_PIECE_LEN),
    )?;
    Ok(old + excess)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::id::SessionKey;
    use crate::db::Db;
    use crate::domain::call::Tier;
    use crate::domain::message::Origin;
    use crate::policy::{Config, judge};

    const START: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    fn record_one(db: &Db, trace: &'static str, tier: Tier, at: Timestamp) {
        db.write_blocking(move |tx| {
            let session = SessionKey::from("mqtt:kitchen");
            let question = Question { tool: "exec", tier, origin: Origin::Internal, sender: "ann", session: &session };
            let judgment = judge(&Config::default(), &question);
            let (trace_id, task_id) = (TraceId::from(trace), TaskId::from("task"));
            record(
                tx,
                &Decision { question: &question, judgment: &judgment, trace_id: &trace_id, task_id: &task_id, at },
            )
        })
        .expect("recorded");
    }

    fn rows(db: &Db, trace: &'static str) -> Vec<Decided> {
        db.read_blocking(move |conn| list(conn, &TraceId::from(trace))).expect("listed")
    }

    #[test]
    fn a_recorded_decision_reads_back_as_the_api_shows_it() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        record_one(&db, "t1", Tier::Read, START);
        record_one(&db, "t1", Tier::HighRisk, START.plus(Duration::from_secs(1)));
        record_one(&db, "t2", Tier::Read, START);
        let found = rows(&db, "t1");
        assert_eq!(
            serde_json::to_value(&found[1]).expect("serializable"),
            serde_json::json!({"id": 2, "trace_id": "t1", "task_id": "task", "tool": "exec", "tier": 2, "sender": "ann",
                "channel": "mqtt", "allowed": false, "reason": "tier_2_requires_approval",
                "created_at": "2026-08-18T14:30:13.000Z"})
        );
        assert_eq!(found.len(), 2);
        assert!(found[0].allowed);
    }

    #[test]
    fn decisions_are_followed_and_listed_newest_first() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        assert_eq!(db.read_blocking(last_id).expect("read"), 0);
        record_one(&db, "t1", Tier::Read, START);
        record_one(&db, "t2", Tier::HighRisk, START);
        let ids = |rows: Vec<Decided>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
        db.read_blocking(move |conn| {
            assert_eq!(
                (last_id(conn)?, ids(after(conn, 1, 9)?), ids(newest(conn, "ann", None, 9)?)),
                (2, vec![2], vec![2, 1])
            );
            assert_eq!((ids(newest(conn, "", Some(true), 9)?), ids(newest(conn, "eve", None, 9)?)), (vec![1], vec![]));
            Ok(())
        })
        .expect("read");
    }

    #[test]
    fn pruning_goes_by_age_and_by_number() {
        let db = Db::memory_for_tests(&[MIGRATIONS]);
        for second in 0..10 {
            record_one(&db, "t", Tier::Read, START.plus(Duration::from_secs(second)));
        }
        let gone = db.write_blocking(|tx| prune(tx, START.plus(Duration::from_secs(2)), 5)).expect("pruned");
        assert_eq!(gone, 5);
        assert_eq!(rows(&db, "t").first().map(|row| row.id), Some(6));
    }
}
