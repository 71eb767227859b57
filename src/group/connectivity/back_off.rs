//! Waits that double up to a bound and are spread, so that the hubs of a village do not all ask a returning broker at once.

use std::time::Duration;

/// Doubling further changes nothing any more.
const DOUBLINGS_MAX: u32 = 20;

/// A small generator for spreading waits; its seed comes from outside (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self { state: seed | 1 }
    }

    fn roll(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Between half of `wait` and all of it.
    pub fn spread(&mut self, wait: Duration) -> Duration {
        let half = wait / 2;
        // The upper 16 bits are the best ones.
        let share = u32::try_from(self.roll() >> 48).unwrap_or(0);
        half + half * share / 0xFFFF
    }
}

/// The wait after `failures` failures in a row (at least one), before it is spread.
pub fn wait(failures: u32, min: Duration, max: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    min.saturating_mul(1 << doublings).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let seconds = |failures| wait(failures, Duration::from_secs(1), Duration::from_secs(20)).as_secs();
        assert_eq!([1, 2, 3, 5, 6, 100].map(seconds), [1, 2, 4, 16, 20, 20]);
    }

    proptest::proptest! {
        #[test]
        fn a_spread_wait_is_between_half_and_all(seed: u64, millis in 0_u64..10_000_000, rolls in 1_usize..20) {
            let (mut dice, wait) = (Dice::new(seed), Duration::from_millis(millis));
            for _ in 0..rolls {
                let spread = dice.spread(wait);
                proptest::prop_assert!(wait / 2 <= spread && spread <= wait);
            }
        }
    }
}
