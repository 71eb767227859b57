//! A token bucket: so much at once, so much per second. A value; time comes in.

use std::time::Duration;

use crate::base::clock::Timestamp;

/// A thousandth of a token per millisecond is a token per second, in whole numbers.
const PARTS: u64 = 1_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub per_second: u64,
    /// How much may go at once after a pause.
    pub burst: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    rate: Rate,
    /// In thousandths; below zero after something larger than what was there.
    level: i64,
    filled_at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now: Timestamp) -> Self {
        Self { rate, level: full(rate), filled_at: now }
    }

    /// Tokens that are there at `now`. A clock that was set back refills nothing and locks nobody out.
    pub fn available(&mut self, now: Timestamp) -> u64 {
        let waited_ms = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let gained = i64::try_from(waited_ms.saturating_mul(self.rate.per_second)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(gained).min(full(self.rate));
        self.filled_at = now;
        u64::try_from(self.level).unwrap_or(0) / PARTS
    }

    /// Takes `count`, if need be from the future: one large thing must not wait for ever for a small bucket.
    pub fn take(&mut self, count: u64) {
        let cost = i64::try_from(count.saturating_mul(PARTS)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_sub(cost);
    }

    /// How long until one token is there; zero when it is.
    pub fn wait(&self) -> Duration {
        let parts = i64::try_from(PARTS).unwrap_or(i64::MAX);
        let missing = u64::try_from(parts.saturating_sub(self.level)).unwrap_or(0);
        match self.rate.per_second {
            _ if missing == 0 => Duration::ZERO,
            0 => Duration::MAX,
            per_second => Duration::from_millis(missing.div_ceil(per_second)),
        }
    }
}

fn full(rate: Rate) -> i64 {
    i64::try_from(rate.burst.max(1).saturating_mul(PARTS)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 5 }, START);
        assert_eq!(bucket.available(START), 5);
        bucket.take(5);
        assert_eq!(bucket.available(START), 0);
        assert_eq!(bucket.wait(), Duration::from_millis(100));
        assert_eq!(bucket.available(START.plus(Duration::from_millis(100))), 1);
        assert_eq!(bucket.available(START.plus(Duration::from_secs(60))), 5);
    }

    #[test]
    fn a_debt_is_paid_back() {
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 5 }, START);
        bucket.take(25);
        assert_eq!(bucket.available(START.plus(Duration::from_secs(2))), 0);
        assert_eq!(bucket.available(START.plus(Duration::from_millis(2_100))), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 5 }, START);
        bucket.take(5);
        let early = START.minus(Duration::from_secs(3_600));
        assert_eq!(bucket.available(early), 0);
        assert_eq!(bucket.available(early.plus(Duration::from_secs(1))), 5);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_burst_and_rate(
            rate in 1_u64..1_000, burst in 1_u64..100, steps in proptest::collection::vec((0_u64..500, 0_u64..50), 1..50),
        ) {
            let mut bucket = Bucket::new(Rate { per_second: rate, burst }, START);
            let (mut now, mut taken) = (START, 0);
            for (wait_ms, wanted) in steps {
                now = now.plus(Duration::from_millis(wait_ms));
                let got = wanted.min(bucket.available(now));
                bucket.take(got);
                taken += got;
                let passed_ms = u64::try_from(now.since(START).as_millis()).expect("small");
                prop_assert!(taken * PARTS <= burst * PARTS + rate * passed_ms);
            }
        }
    }
}
