//! How often one sender may speak: a token bucket each, in a table that cannot grow without end.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::domain::message::Origin;

/// Senders remembered at the same time; the longest silent one is forgotten for a new one.
const SENDERS_MAX: usize = 1_024;

/// What one message costs. A bucket holds `burst` times this and regains `per_minute` of it every millisecond, which makes
/// `per_minute` messages a minute in whole numbers.
const MESSAGE_COST: u64 = 60_000;

/// A bucket's size and refill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub per_minute: u32,
    /// Messages that may come at once; at least one.
    pub burst: u32,
}

/// The rates of both kinds of people; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    pub internal: Option<Rate>,
    pub external: Option<Rate>,
    pub peer: Option<Rate>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            internal: None,
            external: Some(Rate { per_minute: 30, burst: 10 }),
            peer: Some(Rate { per_minute: 60, burst: 30 }),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    Admitted,
    Refused {
        /// When the next message would be admitted.
        retry_after: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    filled_at: Timestamp,
}

/// All buckets. A value without a lock: its owner decides how to share it.
#[derive(Debug)]
pub struct RateLimits {
    rates: Rates,
    buckets: HashMap<String, Bucket>,
}

impl RateLimits {
    pub fn new(rates: Rates) -> Self {
        Self { rates, buckets: HashMap::new() }
    }

    /// Whether `sender` may speak at `now`; taken from the bucket if so.
    pub fn admit(&mut self, sender: &str, origin: Origin, now: Timestamp) -> Admission {
        let rate = match origin {
            Origin::Internal => self.rates.internal,
            Origin::External => self.rates.external,
            Origin::Peer => self.rates.peer,
        };
        let Some(rate) = rate else { return Admission::Admitted };
        if !self.buckets.contains_key(sender) {
            self.make_room();
        }
        let full = Bucket { level: rate.capacity(), filled_at: now };
        // Looked up again by an owned key only for a sender who is new.
        let bucket = match self.buckets.get_mut(sender) {
            Some(bucket) => bucket,
            None => self.buckets.entry(sender.to_owned()).or_insert(full),
        };
        bucket.take(rate, now)
    }

    /// Forgetting a silent sender only gives that sender a full bucket again, which silence would have done as well.
    fn make_room(&mut self) {
        if self.buckets.len() < SENDERS_MAX {
            return;
        }
        let silent = self.buckets.iter().min_by_key(|(_, bucket)| bucket.filled_at).map(|(sender, _)| sender.clone());
        if let Some(silent) = silent {
            self.buckets.remove(&silent);
        }
    }
}

impl Rate {
    fn capacity(self) -> u64 {
        u64::from(self.burst.max(1)) * MESSAGE_COST
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: Timestamp) -> Admission {
        let waited_ms = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let gained = waited_ms.saturating_mul(u64::from(rate.per_minute));
        self.level = self.level.saturating_add(gained).min(rate.capacity());
        // Also when the clock was set back: waiting for the old future would lock the sender out.
        self.filled_at = now;
        if let Some(rest) = self.level.checked_sub(MESSAGE_COST) {
            self.level = rest;
            return Admission::Admitted;
        }
        let missing = MESSAGE_COST - self.level;
        let retry_after = match rate.per_minute {
            0 => Duration::MAX,
            per_minute => Duration::from_millis(missing.div_ceil(u64::from(per_minute))),
        };
        Admission::Refused { retry_after }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::Clock;

    fn limits(per_minute: u32, burst: u32) -> RateLimits {
        RateLimits::new(Rates { external: Some(Rate { per_minute, burst }), ..Rates::default() })
    }

    #[test]
    fn a_burst_is_admitted_and_then_the_rate_holds() {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        let mut limits = limits(6, 2);
        let mut ask = |now| limits.admit("eve", Origin::External, now);
        assert_eq!(ask(clock.now()), Admission::Admitted);
        assert_eq!(ask(clock.now()), Admission::Admitted);
        assert_eq!(ask(clock.now()), Admission::Refused { retry_after: Duration::from_secs(10) });
        clock.advance(Duration::from_millis(9_999));
        assert_eq!(ask(clock.now()), Admission::Refused { retry_after: Duration::from_millis(1) });
        clock.advance(Duration::from_millis(1));
        assert_eq!(ask(clock.now()), Admission::Admitted);
        assert!(matches!(ask(clock.now()), Admission::Refused { .. }));
    }

    #[test]
    fn the_household_is_not_limited_by_default() {
        let mut limits = RateLimits::new(Rates::default());
        for _ in 0..10_000 {
            assert_eq!(limits.admit("ann", Origin::Internal, Timestamp::from_millis(0)), Admission::Admitted);
        }
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let mut limits = limits(60, 1);
        assert_eq!(limits.admit("eve", Origin::External, Timestamp::from_millis(9_000_000)), Admission::Admitted);
        assert!(matches!(
            limits.admit("eve", Origin::External, Timestamp::from_millis(1_000)),
            Admission::Refused { .. }
        ));
        assert_eq!(limits.admit("eve", Origin::External, Timestamp::from_millis(2_000)), Admission::Admitted);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_busy_ones() {
        let mut limits = limits(1, 1);
        for n in 0..SENDERS_MAX * 2 {
            let now = Timestamp::from_millis(i64::try_from(n).expect("small"));
            limits.admit(&format!("sender {n}"), Origin::External, now);
            limits.admit("eve", Origin::External, now);
        }
        assert!(limits.buckets.len() <= SENDERS_MAX);
        let now = Timestamp::from_millis(3_000);
        assert!(matches!(limits.admit("eve", Origin::External, now), Admission::Refused { .. }));
    }

    proptest! {
        /// Over any stretch of time, at most the burst and what was refilled is admitted; and the wait it names suffices.
        #[test]
        fn no_sequence_beats_the_bucket(per_minute in 1_u32..120, burst in 1_u32..20, waits_ms in prop::collection::vec(0_u64..5_000, 1..200)) {
            let clock = Clock::manual(Timestamp::from_millis(0));
            let mut limits = limits(per_minute, burst);
            let mut admitted = 0_u64;
            for wait_ms in waits_ms {
                clock.advance(Duration::from_millis(wait_ms));
                match limits.admit("eve", Origin::External, clock.now()) {
                    Admission::Admitted => admitted += 1,
                    Admission::Refused { retry_after } => {
                        clock.advance(retry_after);
                        prop_assert_eq!(limits.admit("eve", Origin::External, clock.now()), Admission::Admitted);
                        admitted += 1;
                    }
                }
                let elapsed_ms = u64::try_from(clock.now().as_millis()).expect("not negative");
                prop_assert!(admitted * MESSAGE_COST <= u64::from(burst) * MESSAGE_COST + elapsed_ms * u64::from(per_minute));
            }
        }
    }
}
