//! The transactions that move jobs along: firing, adjusting to a clock that was set, cancelling.

use rusqlite::Connection;
use serde_json::json;

use super::due::{Due, LatePolicy, judge};
use super::job::{Fire, Job, Outcome, Run, Schedule};
use super::port::Firing;
use super::store;
use crate::base::clock::Timestamp;
use crate::base::fault;
use crate::base::id::{JobId, TraceId};
use crate::db::Tx;
use crate::domain::event::Event;
use crate::timeline;

/// Jobs fired before looking at the clock again.
const BATCH_LEN: u32 = 100;

/// What there is to do at `now`, and when there will be more.
pub(super) fn plan(conn: &Connection, now: Timestamp) -> rusqlite::Result<(Vec<JobId>, Option<Timestamp>)> {
    Ok((store::due(conn, now, BATCH_LEN)?, store::next_due(conn)?))
}

/// Fires `id` if it is due: the run's record, the job's next run and what the port writes are one transaction.
pub(super) fn fire_due(
    tx: &Tx<'_>,
    id: &JobId,
    now: Timestamp,
    policy: &LatePolicy,
    port: &dyn Firing,
) -> rusqlite::Result<Option<Outcome>> {
    let Some(job) = store::find(tx, id)? else {
        // A row that cannot be read any more (its cron text, say) must not come due for ever.
        tx.prepare_cached("UPDATE scheduled_jobs SET enabled = 0 WHERE job_id = ?1")?.execute([id])?;
        return Ok(None);
    };
    let Some(due) = judge(&job, now, policy) else { return Ok(None) };
    // A cron job without a next run stays listed, switched off; so does a one-shot that is over.
    store::set_next(tx, &job, due.next_run_at, due.next_run_at.is_some(), now)?;
    carry_out(tx, job, due, now, port)
}

/// Fires a job out of turn; its schedule stays as it is.
pub(super) fn fire_now(tx: &Tx<'_>, job: Job, now: Timestamp, port: &dyn Firing) -> rusqlite::Result<Option<Outcome>> {
    let due = Due { scheduled_for: now, outcome: Outcome::Manual, next_run_at: job.next_run_at };
    carry_out(tx, job, due, now, port)
}

fn carry_out(tx: &Tx<'_>, job: Job, due: Due, now: Timestamp, port: &dyn Firing) -> rusqlite::Result<Option<Outcome>> {
    let run = Run {
        job_id: job.id.clone(),
        label: job.label.clone(),
        scheduled_for: due.scheduled_for,
        fired_at: now,
        outcome: due.outcome,
        trace_id: TraceId::random(),
    };
    if !store::add_run(tx, &run)? {
        return Ok(None);
    }
    announce(tx, &job, &run)?;
    if due.runs() || due.outcome == Outcome::Manual {
        fault::point("job.before_fire");
        let trace_id = run.trace_id;
        port.fire(tx, &Fire { job, scheduled_for: due.scheduled_for, fired_at: now, outcome: due.outcome, trace_id })?;
    }
    Ok(Some(due.outcome))
}

/// Deletes a job and leaves a line in the history.
pub(super) fn cancel(tx: &Tx<'_>, job: &Job, now: Timestamp) -> rusqlite::Result<()> {
    let run = Run {
        job_id: job.id.clone(),
        label: job.label.clone(),
        scheduled_for: job.next_run_at.unwrap_or(now),
        fired_at: now,
        outcome: Outcome::Cancelled,
        trace_id: TraceId::random(),
    };
    store::add_run(tx, &run)?;
    store::delete(tx, &job.id)?;
    announce(tx, job, &run)
}

/// After the wall clock was set by `jump_ms`: what counts real time moves along, what follows the calendar is worked out anew.
pub(super) fn adjust(tx: &Tx<'_>, jump_ms: i64, now: Timestamp) -> rusqlite::Result<()> {
    for job in store::list(tx)? {
        let Some(stored) = job.next_run_at.filter(|_| job.enabled) else { continue };
        let moved = match job.schedule {
            Schedule::At => stored,
            Schedule::In => Timestamp::from_millis(stored.as_millis().saturating_add(jump_ms)),
            // What is already due is judged first; it is either late or was never meant to be.
            Schedule::Cron { .. } if stored <= now => stored,
            Schedule::Cron { .. } => job.next_cron_run(now).unwrap_or(stored),
        };
        if moved != stored {
            store::set_next(tx, &job, Some(moved), true, now)?;
        }
    }
    Ok(())
}

fn announce(tx: &Tx<'_>, job: &Job, run: &Run) -> rusqlite::Result<()> {
    let mut event = Event::system("JOB", run.trace_id.clone(), run.fired_at, "SCHEDULER_JOB");
    event.content = format!("job {}: {}", run.outcome.as_str(), job.label);
    event.sender_id.clone_from(&job.target.sender_id);
    event.metadata = json!({
        "job_id": job.id,
        "outcome": run.outcome,
        "scheduled_for": run.scheduled_for,
        "kind": job.kind,
        "category": job.category,
    });
    timeline::append(tx, &event).map(|_| ())
}
