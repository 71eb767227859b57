//! Jobs as programs write and read them: the JSON of the API and of the command line.

use serde::{Deserialize, Serialize};

use super::job::{Category, Job, Kind, MissedPolicy, NewJob, Outcome, Schedule, Target};
use super::when::{When, WhenError, WhenSpec};
use crate::base::clock::Timestamp;
use crate::base::id::{JobId, SessionKey};

/// A job somebody asks for: `{"text": "tea", "in": "10m"}` is enough.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobSpec {
    pub at: Option<String>,
    #[serde(rename = "in")]
    pub after: Option<String>,
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    /// `say` unless given.
    pub kind: Option<Kind>,
    /// What suits the time unless given: a timer for `in`, a reminder otherwise.
    pub category: Option<Category>,
    pub label: String,
    pub text: String,
    pub missed_policy: Option<MissedPolicy>,
}

impl JobSpec {
    /// The job for `target`, asked for through `created_by`.
    pub fn read(self, target: Target, created_by: &str, now: Timestamp) -> Result<NewJob, WhenError> {
        let when = WhenSpec { at: self.at, after: self.after, cron: self.cron, time_zone: self.time_zone };
        let when = When::read(&when, now)?;
        let category = match when {
            When::In(_) => Category::Timer,
            When::At(_) | When::Cron { .. } => Category::Reminder,
        };
        Ok(NewJob {
            kind: self.kind.unwrap_or(Kind::Say),
            category: self.category.unwrap_or(category),
            label: self.label,
            text: self.text,
            target,
            when,
            missed: self.missed_policy,
            created_by: created_by.to_owned(),
        })
    }
}

/// A job as it is shown. One field per fact, flat, because it is a row of a table on every screen.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct JobView {
    pub id: JobId,
    pub kind: Kind,
    pub category: Category,
    pub label: String,
    pub text: String,
    pub channel: String,
    pub chat_id: String,
    pub session: SessionKey,
    /// `at`, `in` or `cron`.
    pub schedule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    pub next_run_at: Option<Timestamp>,
    /// Whole seconds, rounded up, so that a timer that still runs never shows zero.
    pub remaining_seconds: Option<u64>,
    pub enabled: bool,
    pub missed_policy: MissedPolicy,
    pub created_by: String,
    pub created_at: Timestamp,
    pub last_run_at: Option<Timestamp>,
    pub last_outcome: Option<Outcome>,
    pub run_count: u32,
}

impl JobView {
    pub fn new(job: &Job, now: Timestamp) -> Self {
        let (schedule, cron, time_zone) = match &job.schedule {
            Schedule::At => ("at", None, None),
            Schedule::In => ("in", None, None),
            Schedule::Cron { cron, zone } => ("cron", Some(cron.as_str().to_owned()), Some(zone.to_string())),
        };
        Self {
            id: job.id.clone(),
            kind: job.kind,
            category: job.category,
            label: job.label.clone(),
            text: job.text.clone(),
            channel: job.target.channel.as_str().to_owned(),
            chat_id: job.target.chat_id.clone(),
            session: job.target.session.clone(),
            schedule,
            cron,
            time_zone,
            next_run_at: job.next_run_at,
            remaining_seconds: job.remaining(now).map(|left| left.as_secs() + u64::from(left.subsec_nanos() > 0)),
            enabled: job.enabled,
            missed_policy: job.missed,
            created_by: job.created_by.clone(),
            created_at: job.created_at,
            last_run_at: job.last_run_at,
            last_outcome: job.last_outcome,
            run_count: job.run_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scheduler::tests::{at, cron_job, target};

    fn view(json: &str) -> serde_json::Value {
        let now = at("2026-08-18 06:00:00");
        let spec: JobSpec = serde_json::from_str(json).expect("a specification");
        let job = Job::plan(spec.read(target(), "api", now).expect("a time"), now).expect("a job");
        serde_json::to_value(JobView::new(&job, now)).expect("JSON")
    }

    #[test]
    fn a_short_specification_becomes_a_whole_job() {
        let timer = view(r#"{"text": "tea", "in": "90s"}"#);
        assert_eq!(timer["kind"], "say");
        assert_eq!(timer["category"], "timer");
        assert_eq!(timer["schedule"], "in");
        assert_eq!(timer["remaining_seconds"], 90);
        assert_eq!(timer["missed_policy"], "run_once");
        assert_eq!(timer["next_run_at"], "2026-08-18T06:01:30.000Z");
        let routine = view(r#"{"text": "lights off", "cron": "0 23 * * *", "time_zone": "UTC", "kind": "ask"}"#);
        assert_eq!(routine["missed_policy"], "skip");
        assert_eq!(routine["cron"], "0 23 * * *");
        assert_eq!(routine["time_zone"], "+00:00");
    }

    #[test]
    fn a_running_timer_never_shows_zero() {
        let job = cron_job("0 7 * * *", "2026-08-18 07:00:00");
        let view = JobView::new(&job, at("2026-08-18 06:59:59.999"));
        assert_eq!(view.remaining_seconds, Some(1));
    }

    #[test]
    fn a_misspelled_field_is_refused() {
        let refused = serde_json::from_str::<JobSpec>(r#"{"text": "tea", "In": "10m"}"#);
        assert!(refused.is_err_and(|error| error.to_string().contains("unknown field `In`")));
    }

    proptest! {
        #[test]
        fn any_json_is_a_specification_or_refused(text in r#"\{("(at|in|cron|text|kind|x)":("[a-z0-9*: ]{0,9}"|null|1),?){0,4}\}"#) {
            if let Ok(spec) = serde_json::from_str::<JobSpec>(&text) {
                let now = at("2026-08-18 06:00:00");
                let _ = spec.read(target(), "api", now).map(|new| Job::plan(new, now));
            }
        }
    }
}
