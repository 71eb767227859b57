//! A job: what to do, for whom, when next. Values only.

use std::time::Duration;

use super::cron::{CronText, Zone};
use super::when::{When, WhenError};
use crate::base::clock::Timestamp;
use crate::base::id::{JobId, SessionKey, TraceId};
use crate::domain::message::{Channel, Origin};

/// Longest text of a job, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Longest label of a job, in bytes.
pub const LABEL_BYTES_MAX: usize = 200;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stored word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

words! {
    /// What happens when a job comes due.
    Kind {
        /// Its text is said to the person.
        Say = "say",
        /// Its text is taken as if the person had just said it.
        Ask = "ask",
    }
}

words! {
    /// What people call it.
    Category { Timer = "timer", Alarm = "alarm", Reminder = "reminder", Task = "task" }
}

words! {
    /// What becomes of a run that was due while the house had no power.
    MissedPolicy {
        /// Once, late, when it is not older than [`super::Config::missed_within`].
        RunOnce = "run_once",
        Skip = "skip",
    }
}

words! {
    /// How one run ended.
    Outcome {
        Fired = "fired",
        /// Fired after a power cut, with a note.
        Late = "late",
        /// Too old to be of use.
        Missed = "missed",
        /// Its policy said not to make up for it.
        Skipped = "skipped",
        /// Somebody asked for it out of turn.
        Manual = "manual",
        Cancelled = "cancelled",
    }
}

/// Where a job speaks and for whom.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    pub channel: Channel,
    pub chat_id: String,
    pub thread_id: Option<String>,
    pub session: SessionKey,
    pub sender_id: String,
    /// A job may do what its creator may do, no more.
    pub origin: Origin,
    /// As [`crate::domain::message::Inbound::reply_hint`].
    pub reply_hint: Option<String>,
}

/// How a job comes due again, if it does.
#[derive(Clone, PartialEq, Debug)]
pub enum Schedule {
    /// Once, at a moment of the wall clock.
    At,
    /// Once, after some time; moves along when the wall clock is set.
    In,
    Cron {
        cron: CronText,
        zone: Zone,
    },
}

/// What somebody wants done.
#[derive(Clone, PartialEq, Debug)]
pub struct NewJob {
    pub kind: Kind,
    pub category: Category,
    pub label: String,
    pub text: String,
    pub target: Target,
    pub when: When,
    /// None for what suits the kind: one-shots and spoken cron jobs are made up for once, asked cron jobs are not.
    pub missed: Option<MissedPolicy>,
    /// `api`, `cli`, or the channel it was asked through.
    pub created_by: String,
}

/// A stored job. Its fields are the columns of its row.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    pub id: JobId,
    pub kind: Kind,
    pub category: Category,
    pub label: String,
    pub text: String,
    pub target: Target,
    pub schedule: Schedule,
    /// None when it is over or switched off.
    pub next_run_at: Option<Timestamp>,
    pub enabled: bool,
    pub missed: MissedPolicy,
    pub created_by: String,
    pub created_at: Timestamp,
    pub last_run_at: Option<Timestamp>,
    pub last_outcome: Option<Outcome>,
    pub run_count: u32,
}

impl Job {
    /// Checks what somebody wants and works out its first run.
    pub fn plan(new: NewJob, now: Timestamp) -> Result<Self, JobError> {
        if new.text.len() > TEXT_BYTES_MAX {
            return Err(JobError::TextTooLong);
        }
        if new.label.len() > LABEL_BYTES_MAX {
            return Err(JobError::LabelTooLong);
        }
        if new.text.trim().is_empty() && new.kind == Kind::Ask {
            return Err(JobError::TextMissing);
        }
        let first = new.when.first_run(now)?;
        let missed = match (&new.when, new.kind) {
            (When::Cron { .. }, Kind::Ask) => MissedPolicy::Skip,
            _ => MissedPolicy::RunOnce,
        };
        Ok(Self {
            id: JobId::random(),
            kind: new.kind,
            category: new.category,
            label: new.label,
            text: new.text,
            target: new.target,
            schedule: match new.when {
                When::At(_) => Schedule::At,
                When::In(_) => Schedule::In,
                When::Cron { cron, zone } => Schedule::Cron { cron, zone },
            },
            next_run_at: Some(first),
            enabled: true,
            missed: new.missed.unwrap_or(missed),
            created_by: new.created_by,
            created_at: now,
            last_run_at: None,
            last_outcome: None,
            run_count: 0,
        })
    }

    /// How long until it comes due; zero when that is now.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        self.next_run_at.map(|next| next.since(now))
    }

    /// Nothing is to be expected of it any more.
    pub fn is_over(&self) -> bool {
        self.next_run_at.is_none() && !matches!(self.schedule, Schedule::Cron { .. })
    }

    /// When a cron job comes due after `now`; none for one-shots.
    pub fn next_cron_run(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.schedule {
            Schedule::Cron { cron, zone } => zone.next_run(cron, now),
            Schedule::At | Schedule::In => None,
        }
    }
}

/// Why a job was refused. The text is meant for the person who asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JobError {
    #[error(transparent)]
    When(#[from] WhenError),
    #[error("the text of a job may have {TEXT_BYTES_MAX} bytes")]
    TextTooLong,
    #[error("the label of a job may have {LABEL_BYTES_MAX} bytes")]
    LabelTooLong,
    #[error("a job that asks something needs a text")]
    TextMissing,
}

/// A job that runs now. The port writes what follows from it in the same transaction.
#[derive(Clone, PartialEq, Debug)]
pub struct Fire {
    pub job: Job,
    pub scheduled_for: Timestamp,
    pub fired_at: Timestamp,
    pub outcome: Outcome,
    pub trace_id: TraceId,
}

impl Fire {
    /// How long after its time it runs, when that is long enough to be worth a word.
    pub fn late_by(&self) -> Option<Duration> {
        (self.outcome == Outcome::Late).then(|| self.fired_at.since(self.scheduled_for))
    }

    /// A key under which the bus can tell this run from every other one.
    pub fn idempotency_key(&self) -> String {
        format!("job:{}:{}", self.job.id, self.scheduled_for.as_millis())
    }
}

/// One line of the history.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Run {
    pub job_id: JobId,
    pub label: String,
    pub scheduled_for: Timestamp,
    pub fired_at: Timestamp,
    pub outcome: Outcome,
    pub trace_id: TraceId,
}
