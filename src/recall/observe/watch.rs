//! Which conversation is condensed next, and when one whose condensing failed is tried again. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::clock::Timestamp;

/// First wait after a failure; doubles each time.
const BACKOFF: Duration = Duration::from_secs(60);
const BACKOFF_MAX: Duration = Duration::from_secs(6 * 3600);
/// Conversations whose failures are remembered.
const FAILED_MAX: usize = 1_000;

/// What a conversation has gathered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    pub session: String,
    pub unobserved: u32,
    pub observations: u32,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Job {
    Observe { session: String },
    Reflect { session: String },
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    again_at: Timestamp,
}

#[derive(Debug)]
pub struct Watch {
    message_threshold: u32,
    observations_max: u32,
    failed: HashMap<Job, Failed>,
}

impl Watch {
    pub fn new(message_threshold: u32, observations_max: u32) -> Self {
        Self {
            message_threshold: message_threshold.max(1),
            // Fewer than two cannot become fewer.
            observations_max: observations_max.max(2),
            failed: HashMap::new(),
        }
    }

    /// The next job that is due: what is fullest first. None while everything is below its threshold or waits after a failure.
    pub fn next(&self, counts: &[Count], now: Timestamp) -> Option<Job> {
        let observe = counts.iter().filter(|count| count.unobserved >= self.message_threshold).map(|count| {
            (
                f64::from(count.unobserved) / f64::from(self.message_threshold),
                Job::Observe { session: count.session.clone() },
            )
        });
        let reflect = counts.iter().filter(|count| count.observations >= self.observations_max).map(|count| {
            (
                f64::from(count.observations) / f64::from(self.observations_max),
                Job::Reflect { session: count.session.clone() },
            )
        });
        let is_due = |job: &Job| self.failed.get(job).is_none_or(|failed| failed.again_at <= now);
        let due = observe.chain(reflect).filter(|(_, job)| is_due(job));
        due.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, job)| job)
    }

    /// A job ended; `done` when it changed what is stored.
    pub fn ended(&mut self, job: &Job, done: bool, now: Timestamp) {
        if done {
            self.failed.remove(job);
            return;
        }
        if self.failed.len() >= FAILED_MAX {
            self.failed.retain(|_, failed| failed.again_at > now);
        }
        let times = self.failed.get(job).map_or(0, |failed| failed.times).saturating_add(1);
        let wait = BACKOFF.saturating_mul(2_u32.saturating_pow(times - 1)).min(BACKOFF_MAX);
        self.failed.insert(job.clone(), Failed { times, again_at: now.plus(wait) });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

    fn count(session: &str, unobserved: u32, observations: u32) -> Count {
        Count { session: session.to_owned(), unobserved, observations }
    }

    #[test]
    fn the_fullest_goes_first_and_below_the_threshold_nothing_happens() {
        let watch = Watch::new(50, 200);
        assert_eq!(watch.next(&[count("a", 49, 199)], NOW), None);
        let counts = [count("a", 60, 0), count("b", 0, 500)];
        assert_eq!(watch.next(&counts, NOW), Some(Job::Reflect { session: "b".to_owned() }));
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_lets_others_go_first() {
        let mut watch = Watch::new(1, 10);
        let (a, b) = (Job::Observe { session: "a".to_owned() }, Job::Observe { session: "b".to_owned() });
        let counts = [count("a", 9, 0), count("b", 2, 0)];
        assert_eq!(watch.next(&counts, NOW), Some(a.clone()));
        watch.ended(&a, false, NOW);
        assert_eq!(watch.next(&counts, NOW), Some(b.clone()));
        watch.ended(&b, false, NOW);
        assert_eq!(watch.next(&counts, NOW), None);
        let later = NOW.plus(BACKOFF);
        assert_eq!(watch.next(&counts, later), Some(a.clone()));
        watch.ended(&a, false, later);
        assert_eq!(watch.next(&counts, later.plus(BACKOFF)), Some(b));
        watch.ended(&a, true, later);
        assert_eq!(watch.next(&counts, later), Some(a));
    }

    proptest! {
        #[test]
        fn however_it_goes_the_wait_is_bounded(outcomes in proptest::collection::vec(any::<bool>(), 0..80)) {
            let mut watch = Watch::new(1, 2);
            let job = Job::Observe { session: "a".to_owned() };
            for done in outcomes {
                watch.ended(&job, done, NOW);
            }
            prop_assert_eq!(watch.next(&[count("a", 1, 0)], NOW.plus(BACKOFF_MAX)), Some(job));
        }
    }
}
