//! What is to be done with a job at a given moment: a pure judgment, so that power cuts are unit tests.
//!
//! The stated policy: a run that is at most `grace` old is on time. After a power cut a one-shot runs once, late, when it is
//! not older than `missed_within`, and is marked missed otherwise. Of all the runs of a cron job that fell into the cut only
//! the last one counts; it is treated the same way, or skipped when the job says so.

use std::time::Duration;

use super::job::{Job, MissedPolicy, Outcome, Schedule};
use crate::base::clock::Timestamp;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LatePolicy {
    pub grace: Duration,
    pub missed_within: Duration,
}

impl Default for LatePolicy {
    fn default() -> Self {
        Self { grace: Duration::from_secs(120), missed_within: Duration::from_secs(24 * 3600) }
    }
}

/// A run that has come due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// Identifies the run: no job runs twice for the same moment, however the clock jumps.
    pub scheduled_for: Timestamp,
    pub outcome: Outcome,
    pub next_run_at: Option<Timestamp>,
}

impl Due {
    pub fn runs(&self) -> bool {
        matches!(self.outcome, Outcome::Fired | Outcome::Late)
    }
}

/// `None` when there is nothing to do for `job` now.
pub fn judge(job: &Job, now: Timestamp, policy: &LatePolicy) -> Option<Due> {
    let stored = job.next_run_at.filter(|next| job.enabled && *next <= now)?;
    let (scheduled_for, next_run_at) = match &job.schedule {
        Schedule::At | Schedule::In => (stored, None),
        Schedule::Cron { cron, zone } => {
            let last = zone.last_run(cron, now).filter(|last| *last >= stored);
            (last.unwrap_or(stored), zone.next_run(cron, now))
        }
    };
    let late_by = now.since(scheduled_for);
    let outcome = match job.missed {
        _ if late_by <= policy.grace => Outcome::Fired,
        MissedPolicy::Skip => Outcome::Skipped,
        MissedPolicy::RunOnce if late_by <= policy.missed_within => Outcome::Late,
        MissedPolicy::RunOnce => Outcome::Missed,
    };
    Some(Due { scheduled_for, outcome, next_run_at })
}

/// Tells a wall clock that was set from one that ran on, by comparing it with a clock nobody sets.
#[derive(Debug, Default)]
pub struct Drift {
    /// Wall clock minus steady clock, in milliseconds, when last looked at.
    last_ms: Option<i64>,
}

impl Drift {
    /// Ordinary corrections by NTP are smaller than this.
    const JUMP_MIN_MS: i64 = 2_000;

    /// By how many milliseconds the wall clock was set since the last call; none when it was not. The first call gives zero:
    /// whatever happened while nobody looked has happened.
    pub fn observe(&mut self, wall: Timestamp, steady: Duration) -> Option<i64> {
        let steady_ms = i64::try_from(steady.as_millis()).unwrap_or(i64::MAX);
        let offset_ms = wall.as_millis().saturating_sub(steady_ms);
        let Some(last_ms) = self.last_ms else {
            self.last_ms = Some(offset_ms);
            return Some(0);
        };
        let jump_ms = offset_ms.saturating_sub(last_ms);
        // Small corrections add up here on purpose: they are the clock running right, not somebody setting it.
        self.last_ms = Some(offset_ms);
        (jump_ms.abs() >= Self::JUMP_MIN_MS).then_some(jump_ms)
    }

    /// Nothing could be done about a jump: the next call tells of it again.
    pub fn put_back(&mut self, jump_ms: i64) {
        self.last_ms = self.last_ms.filter(|_| jump_ms != 0).map(|last_ms| last_ms.saturating_sub(jump_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::{at, cron_job, one_shot};

    #[test]
    fn lateness_decides_what_becomes_of_a_one_shot() {
        let policy = LatePolicy::default();
        for (now, expected) in [
            ("2026-08-18 06:59:59", None),
            ("2026-08-18 07:00:00", Some(Outcome::Fired)),
            ("2026-08-18 07:02:00", Some(Outcome::Fired)),
            ("2026-08-18 07:02:01", Some(Outcome::Late)),
            ("2026-08-19 07:00:00", Some(Outcome::Late)),
            ("2026-08-19 07:00:01", Some(Outcome::Missed)),
        ] {
            let due = judge(&one_shot("2026-08-18 07:00:00"), at(now), &policy);
            assert_eq!(due.map(|due| due.outcome), expected, "{now}");
            assert_eq!(due.and_then(|due| due.next_run_at), None);
        }
    }

    #[test]
    fn of_many_missed_cron_runs_only_the_last_counts() {
        let policy = LatePolicy::default();
        let mut job = cron_job("0 7 * * *", "2026-08-15 07:00:00");
        job.missed = MissedPolicy::RunOnce;
        let due = judge(&job, at("2026-08-18 08:00:00"), &policy).expect("due");
        assert_eq!(due.scheduled_for, at("2026-08-18 07:00:00"));
        assert_eq!(due.outcome, Outcome::Late);
        assert_eq!(due.next_run_at, Some(at("2026-08-19 07:00:00")));

        job.missed = MissedPolicy::Skip;
        let due = judge(&job, at("2026-08-18 08:00:00"), &policy).expect("due");
        assert_eq!(due.outcome, Outcome::Skipped);
        let due = judge(&job, at("2026-08-18 07:00:30"), &policy).expect("due");
        assert_eq!(due.outcome, Outcome::Fired, "the last one is on time");
    }

    #[test]
    fn a_job_that_is_switched_off_is_never_due() {
        let mut job = one_shot("2026-08-18 07:00:00");
        job.enabled = false;
        assert_eq!(judge(&job, at("2026-08-18 07:00:00"), &LatePolicy::default()), None);
    }

    #[test]
    fn a_clock_that_is_set_is_told_from_one_that_runs() {
        let mut drift = Drift::default();
        let start = at("2026-08-18 07:00:00");
        let second = Duration::from_secs(1);
        assert_eq!(drift.observe(start, second), Some(0));
        assert_eq!(drift.observe(start.plus(60 * second), 61 * second), None);
        assert_eq!(drift.observe(start.plus(61 * second), 61 * second), None, "a small correction");
        assert_eq!(drift.observe(start.plus(3661 * second), 61 * second), Some(3_600_000));
        drift.put_back(3_600_000);
        assert_eq!(drift.observe(start.plus(3661 * second), 61 * second), Some(3_600_000), "told again");
        assert_eq!(drift.observe(start.plus(61 * second), 61 * second), Some(-3_600_000));
        let mut fresh = Drift::default();
        assert_eq!(fresh.observe(start, second), Some(0));
        fresh.put_back(0);
        assert_eq!(fresh.observe(start, second), Some(0), "the first look was in vain");
    }
}
