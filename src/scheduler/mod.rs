//! Floor 6: time as an edge. Jobs come due and become messages like any other.
//!
//! Who may do what: anybody may plan a job ([`Job::plan`]) and add it, alone ([`Scheduler::create`]) or inside a
//! transaction of their own ([`Scheduler::add_in`]); only the loop fires them, each in one transaction with its record and
//! with whatever the [`Firing`] port writes. Owner of tables `scheduled_jobs` and `scheduled_runs`.
//!
//! Absent on purpose: shell jobs (KafClaw's category `shell`; an asked job goes through the turn and its policy), seconds in
//! cron, time zone names (the house has one zone, set in the operating system).

mod cron;
mod due;
mod fire;
mod job;
mod port;
mod spec;
mod store;
mod when;

pub use cron::{CronText, CronTextError, Zone};
pub use due::{Drift, Due, LatePolicy, judge};
pub use job::{Category, Fire, Job, JobError, Kind, MissedPolicy, NewJob, Outcome, Run, Schedule, Target};
pub use port::Firing;
pub use spec::{JobSpec, JobView};
pub use store::{MIGRATIONS, find, history, list};
pub use when::{HORIZON_MAX, When, WhenError, WhenSpec, parse_duration};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::clock::{Clock, Timestamp};
use crate::base::error::chain;
use crate::base::fault;
use crate::base::id::JobId;
use crate::base::limits;
use crate::base::shutdown::Shutdown;
use crate::db::{Db, DbError, Tx};

/// Longest sleep: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Pause after a job that could not be fired.
const RETRY_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default)]
pub struct Config {
    pub late: LatePolicy,
}

#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    #[error(transparent)]
    Job(#[from] JobError),
    #[error("there are already {} jobs; cancel one first", limits::JOBS_MAX)]
    Full,
    #[error("there is no job {0}")]
    Unknown(JobId),
    #[error("the time of job {0} has passed")]
    Past(JobId),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Handle to the scheduler; clones share it.
#[derive(Clone)]
pub struct Scheduler {
    db: Db,
    clock: Clock,
    port: Arc<dyn Firing>,
    late: LatePolicy,
    wake: Arc<Notify>,
}

impl Scheduler {
    pub fn new(db: Db, clock: Clock, port: Arc<dyn Firing>, config: Config) -> Self {
        Self { db, clock, port, late: config.late, wake: Arc::default() }
    }

    /// Plans and stores a job.
    pub async fn create(&self, new: NewJob) -> Result<Job, SchedulerError> {
        let job = Job::plan(new, self.clock.now())?;
        let (this, stored) = (self.clone(), job.clone());
        if self.db.write(move |tx| this.add_in(tx, &stored)).await? { Ok(job) } else { Err(SchedulerError::Full) }
    }

    /// Stores a planned job in the caller's transaction; false when there are too many.
    pub fn add_in(&self, tx: &Tx<'_>, job: &Job) -> rusqlite::Result<bool> {
        let added = store::insert(tx, job)?;
        // The loop looks through the writer's queue, that is, after this transaction.
        self.wake.notify_one();
        Ok(added)
    }

    /// Every job, next first. [`Job::remaining`] tells how long a timer still has.
    pub async fn list(&self) -> Result<Vec<Job>, SchedulerError> {
        Ok(self.db.read(store::list).await?)
    }

    pub async fn find(&self, id: JobId) -> Result<Job, SchedulerError> {
        let found = self
            .db
            .read({
                let id = id.clone();
                move |conn| store::find(conn, &id)
            })
            .await?;
        found.ok_or(SchedulerError::Unknown(id))
    }

    /// The newest `count_max` runs, of one job or of all.
    pub async fn history(&self, job: Option<JobId>, count_max: u32) -> Result<Vec<Run>, SchedulerError> {
        Ok(self.db.read(move |conn| store::history(conn, job.as_ref(), count_max)).await?)
    }

    /// Deletes a job and returns what it was.
    pub async fn cancel(&self, id: JobId) -> Result<Job, SchedulerError> {
        let (this, wanted) = (self.clone(), id.clone());
        let cancelled = self.db.write(move |tx| this.cancel_in(tx, &wanted)).await?;
        cancelled.ok_or(SchedulerError::Unknown(id))
    }

    /// As [`Scheduler::cancel`], in the caller's transaction.
    pub fn cancel_in(&self, tx: &Tx<'_>, id: &JobId) -> rusqlite::Result<Option<Job>> {
        let Some(job) = store::find(tx, id)? else { return Ok(None) };
        fire::cancel(tx, &job, self.clock.now())?;
        Ok(Some(job))
    }

    /// Switches a job on or off. A one-shot whose time has passed cannot be switched on again.
    pub async fn set_enabled(&self, id: JobId, enabled: bool) -> Result<Job, SchedulerError> {
        let now = self.clock.now();
        let wanted = id.clone();
        let job = self.db.write(move |tx| {
            let Some(mut job) = store::find(tx, &wanted)? else { return Ok(None) };
            job.next_run_at = match job.schedule {
                Schedule::Cron { .. } => job.next_cron_run(now).filter(|_| enabled),
                Schedule::At | Schedule::In => job.next_run_at,
            };
            job.enabled = enabled && job.next_run_at.is_some_and(|next| next > now);
            store::set_next(tx, &job, job.next_run_at, job.enabled, now)?;
            Ok(Some(job))
        });
        let job = job.await?.ok_or_else(|| SchedulerError::Unknown(id.clone()))?;
        self.wake.notify_one();
        if enabled && !job.enabled { Err(SchedulerError::Past(id)) } else { Ok(job) }
    }

    /// Fires a job out of turn; its schedule stays as it is.
    pub async fn run_now(&self, id: JobId) -> Result<(), SchedulerError> {
        let (now, port, wanted) = (self.clock.now(), self.port.clone(), id.clone());
        let fired = self.db.write(move |tx| match store::find(tx, &wanted)? {
            Some(job) => fire::fire_now(tx, job, now, port.as_ref()).map(Some),
            None => Ok(None),
        });
        fired.await?.map(|_| ()).ok_or(SchedulerError::Unknown(id))
    }

    /// Fires jobs until `shutdown`. A second loop beside it would do no harm and no good.
    pub async fn run(self, shutdown: Shutdown) {
        let begun = Instant::now();
        let mut drift = Drift::default();
        while !shutdown.is_triggered() {
            let wait = match self.pass(&mut drift, begun).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "Scheduled jobs could not be looked up; trying again.");
                    RETRY_WAIT
                }
            };
            tokio::select! {
                () = shutdown.triggered() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Fires what is due and tells how long to sleep.
    async fn pass(&self, drift: &mut Drift, begun: Instant) -> Result<Duration, DbError> {
        let now = self.clock.now();
        if let Some(jump_ms) = drift.observe(now, self.steady(begun, now)) {
            let adjusted = self.db.write(move |tx| fire::adjust(tx, jump_ms, now)).await;
            adjusted.inspect_err(|_| drift.put_back(jump_ms))?;
        }
        // Through the writer, so that it sees a job whose wake-up came from inside a transaction not yet committed.
        let (due, _) = self.db.write(move |tx| fire::plan(tx, now)).await?;
        let mut failed = false;
        for id in due {
            failed |= self.fire(id, now).await.is_err();
        }
        let next = self.db.read(store::next_due).await?;
        let wait = next.map_or(SLEEP_MAX, |next| next.since(self.clock.now()).min(SLEEP_MAX));
        Ok(if failed { wait.max(RETRY_WAIT) } else { wait })
    }

    async fn fire(&self, id: JobId, now: Timestamp) -> Result<(), DbError> {
        let (late, port) = (self.late, self.port.clone());
        match self.db.write(move |tx| fire::fire_due(tx, &id, now, &late, port.as_ref())).await {
            Ok(outcome) => {
                if outcome.is_some() {
                    fault::point("job.after_fire");
                }
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "A scheduled job could not be fired; trying again.");
                Err(error)
            }
        }
    }

    /// A clock nobody sets. A manual clock is never set: it is moved, which stands for time passing.
    fn steady(&self, begun: Instant, now: Timestamp) -> Duration {
        match self.clock {
            Clock::System => begun.elapsed(),
            Clock::Manual(_) => now.since(Timestamp::default()),
        }
    }
}

#[cfg(test)]
mod tests;
