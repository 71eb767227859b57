//! Tables `scheduled_jobs` (KafClaw's, with our columns added) and `scheduled_runs`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cron::Zone;
use super::job::{Category, Job, Kind, MissedPolicy, Outcome, Run, Schedule, Target};
use crate::base::clock::Timestamp;
use crate::base::id::JobId;
use crate::base::limits;
use crate::db::{Migration, Tx, add_column};
use crate::domain::message::{Channel, Origin};

/// Runs kept in the history.
pub const RUNS_MAX: i64 = 5_000;
/// One-shots kept after they ran.
const OVER_MAX: i64 = 200;

pub const MIGRATIONS: &[Migration] = &[Migration { number: 800, name: "scheduler", apply: create_tables }];

fn create_tables(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS scheduled_jobs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            job_name TEXT UNIQUE NOT NULL,
            last_status TEXT DEFAULT '',
            last_run_at DATETIME,
            run_count INTEGER NOT NULL DEFAULT 0,
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    )?;
    for column in [
        "job_id TEXT NOT NULL DEFAULT ''",
        "kind TEXT NOT NULL DEFAULT 'say'",
        "category TEXT NOT NULL DEFAULT 'task'",
        "label TEXT NOT NULL DEFAULT ''",
        "text TEXT NOT NULL DEFAULT ''",
        "channel TEXT NOT NULL DEFAULT ''",
        "chat_id TEXT NOT NULL DEFAULT ''",
        "thread_id TEXT",
        "session_key TEXT NOT NULL DEFAULT ''",
        "sender_id TEXT NOT NULL DEFAULT ''",
        "origin TEXT NOT NULL DEFAULT 'external'",
        "reply_hint TEXT",
        "schedule TEXT NOT NULL DEFAULT 'at'",
        "cron TEXT NOT NULL DEFAULT ''",
        "time_zone TEXT NOT NULL DEFAULT 'local'",
        "next_run_at DATETIME",
        "enabled BOOLEAN NOT NULL DEFAULT 0",
        "missed_policy TEXT NOT NULL DEFAULT 'run_once'",
        "created_by TEXT NOT NULL DEFAULT ''",
    ] {
        add_column(conn, "scheduled_jobs", column)?;
    }
    // Rows that KafClaw wrote have no job_id and are left alone: they were counters of jobs built into the program.
    conn.execute_batch(
        "CREATE UNIQUE INDEX IF NOT EXISTS idx_scheduled_jobs_job ON scheduled_jobs (job_id) WHERE job_id <> '';
         CREATE INDEX IF NOT EXISTS idx_scheduled_jobs_next ON scheduled_jobs (next_run_at) WHERE next_run_at IS NOT NULL;
         CREATE TABLE IF NOT EXISTS scheduled_runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            job_id TEXT NOT NULL,
            label TEXT NOT NULL DEFAULT '',
            scheduled_for DATETIME NOT NULL,
            fired_at DATETIME NOT NULL,
            outcome TEXT NOT NULL,
            trace_id TEXT NOT NULL,
            UNIQUE (job_id, scheduled_for))",
    )
}

const COLUMNS: &str =
    "job_id, kind, category, label, text, channel, chat_id, thread_id, session_key, sender_id, origin,
    reply_hint, schedule, cron, time_zone, next_run_at, enabled, missed_policy, created_by, created_at, last_run_at,
    last_status, run_count";

/// Stores a new job; false when there are already as many as there may be.
pub fn insert(tx: &Tx<'_>, job: &Job) -> rusqlite::Result<bool> {
    drop_over(tx)?;
    let open: u32 =
        tx.prepare_cached("SELECT count(*) FROM scheduled_jobs WHERE job_id <> ''")?.query_row([], |row| row.get(0))?;
    if open as usize >= limits::JOBS_MAX {
        return Ok(false);
    }
    let (schedule, cron, zone) = schedule_columns(&job.schedule);
    tx.prepare_cached(
        "INSERT INTO scheduled_jobs (job_name, job_id, kind, category, label, text, channel, chat_id, thread_id, session_key,
            sender_id, origin, reply_hint, schedule, cron, time_zone, next_run_at, enabled, missed_policy, created_by,
            created_at, updated_at)
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?20)",
    )?
    .execute(params![
        job.id,
        job.kind.as_str(),
        job.category.as_str(),
        job.label,
        job.text,
        job.target.channel.as_str(),
        job.target.chat_id,
        job.target.thread_id,
        job.target.session,
        job.target.sender_id,
        job.target.origin.as_str(),
        job.target.reply_hint,
        schedule,
        cron,
        zone,
        job.next_run_at,
        job.enabled,
        job.missed.as_str(),
        job.created_by,
        job.created_at,
    ])?;
    Ok(true)
}

/// Every job, those that come due next first, those that are over last. Rows that cannot be understood are left out.
pub fn list(conn: &Connection) -> rusqlite::Result<Vec<Job>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM scheduled_jobs WHERE job_id <> '' ORDER BY next_run_at IS NULL, next_run_at, id"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([], read_job)?;
    rows.filter_map(Result::transpose).collect()
}

pub fn find(conn: &Connection, id: &JobId) -> rusqlite::Result<Option<Job>> {
    let sql = format!("SELECT {COLUMNS} FROM scheduled_jobs WHERE job_id = ?1 AND job_id <> ''");
    conn.prepare_cached(&sql)?.query_row([id], read_job).optional().map(Option::flatten)
}

pub fn delete(tx: &Tx<'_>, id: &JobId) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM scheduled_jobs WHERE job_id = ?1 AND job_id <> ''")?.execute([id]).map(|_| ())
}

/// Ids of at most `count_max` jobs that are due, earliest first.
pub fn due(conn: &Connection, now: Timestamp, count_max: u32) -> rusqlite::Result<Vec<JobId>> {
    conn.prepare_cached(
        "SELECT job_id FROM scheduled_jobs WHERE next_run_at IS NOT NULL AND next_run_at <= ?1 AND enabled = 1 AND job_id <> ''
         ORDER BY next_run_at LIMIT ?2",
    )?
    .query_map((now, count_max), |row| row.get(0))?
    .collect()
}

/// When the next job comes due.
pub fn next_due(conn: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    conn.prepare_cached(
        "SELECT min(next_run_at) FROM scheduled_jobs WHERE next_run_at IS NOT NULL AND enabled = 1 AND job_id <> ''",
    )?
    .query_row([], |row| row.get(0))
}

/// Where a job stands in time; the rest of it never changes.
pub fn set_next(
    tx: &Tx<'_>,
    job: &Job,
    next_run_at: Option<Timestamp>,
    enabled: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE scheduled_jobs SET next_run_at = ?2, enabled = ?3, updated_at = ?4 WHERE job_id = ?1")?
        .execute(params![job.id, next_run_at, enabled, now])
        .map(|_| ())
}

/// Writes a run down and counts it; false when there already is one of that job for that moment.
pub fn add_run(tx: &Tx<'_>, run: &Run) -> rusqlite::Result<bool> {
    let added = tx
        .prepare_cached(
            "INSERT INTO scheduled_runs (job_id, label, scheduled_for, fired_at, outcome, trace_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (job_id, scheduled_for) DO NOTHING",
        )?
        .execute(params![run.job_id, run.label, run.scheduled_for, run.fired_at, run.outcome.as_str(), run.trace_id])?;
    if added == 0 {
        return Ok(false);
    }
    tx.prepare_cached("DELETE FROM scheduled_runs WHERE id <= ?1")?.execute([tx.last_insert_rowid() - RUNS_MAX])?;
    let ran = i64::from(matches!(run.outcome, Outcome::Fired | Outcome::Late | Outcome::Manual));
    tx.prepare_cached(
        "UPDATE scheduled_jobs SET last_status = ?2, last_run_at = ?3, run_count = run_count + ?4, updated_at = ?3 WHERE job_id = ?1",
    )?
    .execute(params![run.job_id, run.outcome.as_str(), run.fired_at, ran])?;
    Ok(true)
}

/// The newest `count_max` runs, of one job or of all.
pub fn history(conn: &Connection, job: Option<&JobId>, count_max: u32) -> rusqlite::Result<Vec<Run>> {
    conn.prepare_cached(
        "SELECT job_id, label, scheduled_for, fired_at, outcome, trace_id FROM scheduled_runs
         WHERE ?1 IS NULL OR job_id = ?1 ORDER BY id DESC LIMIT ?2",
    )?
    .query_map(params![job, count_max], |row| {
        Ok(Run {
            job_id: row.get(0)?,
            label: row.get(1)?,
            scheduled_for: row.get(2)?,
            fired_at: row.get(3)?,
            outcome: Outcome::parse(&row.get::<_, String>(4)?).unwrap_or(Outcome::Missed),
            trace_id: row.get(5)?,
        })
    })?
    .collect()
}

fn drop_over(tx: &Tx<'_>) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "DELETE FROM scheduled_jobs WHERE id IN (
            SELECT id FROM scheduled_jobs WHERE job_id <> '' AND next_run_at IS NULL AND schedule <> 'cron'
            ORDER BY updated_at DESC, id DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([OVER_MAX])
    .map(|_| ())
}

fn schedule_columns(schedule: &Schedule) -> (&'static str, &str, String) {
    match schedule {
        Schedule::At => ("at", "", Zone::Local.to_string()),
        Schedule::In => ("in", "", Zone::Local.to_string()),
        Schedule::Cron { cron, zone } => ("cron", cron.as_str(), zone.to_string()),
    }
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<Option<Job>> {
    let word = |column: &str| row.get::<_, String>(column);
    let (schedule, cron, zone) = (word("schedule")?, word("cron")?, word("time_zone")?);
    let schedule = match schedule.as_str() {
        "at" => Schedule::At,
        "in" => Schedule::In,
        _ => match (cron.parse(), Zone::parse(&zone)) {
            (Ok(cron), Some(zone)) => Schedule::Cron { cron, zone },
            _ => return Ok(None),
        },
    };
    let kind = Kind::parse(&word("kind")?);
    let (Some(kind), Some(category)) = (kind, Category::parse(&word("category")?)) else { return Ok(None) };
    Ok(Some(Job {
        id: row.get("job_id")?,
        kind,
        category,
        label: row.get("label")?,
        text: row.get("text")?,
        target: read_target(row)?,
        schedule,
        next_run_at: row.get("next_run_at")?,
        enabled: row.get("enabled")?,
        missed: MissedPolicy::parse(&word("missed_policy")?).unwrap_or(MissedPolicy::Skip),
        created_by: row.get("created_by")?,
        created_at: row.get("created_at")?,
        last_run_at: row.get("last_run_at")?,
        last_outcome: row.get::<_, Option<String>>("last_status")?.and_then(|word| Outcome::parse(&word)),
        run_count: row.get("run_count")?,
    }))
}

fn read_target(row: &Row<'_>) -> rusqlite::Result<Target> {
    Ok(Target {
        channel: Channel::new(row.get::<_, String>("channel")?),
        chat_id: row.get("chat_id")?,
        thread_id: row.get("thread_id")?,
        session: row.get("session_key")?,
        sender_id: row.get("sender_id")?,
        origin: Origin::parse(&row.get::<_, String>("origin")?),
        reply_hint: row.get("reply_hint")?,
    })
}
