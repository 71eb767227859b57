//! The order in which models are asked, as a value without I/O: one that fails is passed over for a while, and comes back
//! by itself.

use std::time::Duration;

use crate::base::clock::Timestamp;

/// First time a model is passed over; doubles with each failure.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// Longest pause of one that cannot be reached: so soon after the cable is back it is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A wrong key or an unknown model does not mend itself soon.
const PAUSE_WRONG: Duration = Duration::from_secs(60);
/// The most that a busy server's own wish is heeded.
const PAUSE_WISHED_MAX: Duration = Duration::from_secs(600);
/// While one question finds out whether a model is back, others do not wait for it.
const TRIAL_MAX: Duration = Duration::from_secs(5);

/// What became of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Answered,
    /// Away, slow, or broken.
    Failed,
    /// It wants to be left alone for so long.
    Busy(Duration),
    /// Nobody but a person can change it.
    Wrong,
}

/// How to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Plainly,
    /// It failed last time and others wait to answer: first see whether it is there at all.
    KnockFirst,
}

/// How a model has been lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Health {
    failures: u32,
    paused_until: Option<Timestamp>,
}

impl Health {
    fn is_paused(&self, now: Timestamp) -> bool {
        // A clock that was set back must not keep a model away for longer than it would have been.
        self.paused_until.is_some_and(|until| until > now && until.since(now) <= PAUSE_WISHED_MAX)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    healths: Vec<Health>,
}

impl Order {
    pub(super) fn new(len: usize) -> Self {
        Self { healths: vec![Health::default(); len] }
    }

    /// Which model to ask next, after those `asked` already. Paused ones come last, but they come: somebody is waiting.
    pub(super) fn next(&mut self, now: Timestamp, asked: &[usize]) -> Option<(usize, Manner)> {
        let free: Vec<usize> = (0..self.healths.len()).filter(|index| !asked.contains(index)).collect();
        let is_well = |index: &usize| self.healths[*index].failures == 0;
        let next = free.iter().copied().find(|index| !self.healths[*index].is_paused(now)).or(free.first().copied())?;
        let other_waits = free.iter().any(|index| *index != next && is_well(index));
        let manner = if is_well(&next) || !other_waits { Manner::Plainly } else { Manner::KnockFirst };
        if !is_well(&next) {
            let health = &mut self.healths[next];
            health.paused_until = health.paused_until.max(Some(now.plus(TRIAL_MAX)));
        }
        Some((next, manner))
    }

    pub(super) fn note(&mut self, index: usize, verdict: Verdict, now: Timestamp) {
        let health = &mut self.healths[index];
        let doubled = 1_u32.checked_shl(health.failures).unwrap_or(u32::MAX);
        let pause = PAUSE_MIN.saturating_mul(doubled).min(PAUSE_MAX);
        let pause = match verdict {
            Verdict::Answered => {
                *health = Health::default();
                return;
            }
            Verdict::Failed => pause,
            Verdict::Busy(wish) => pause.max(wish.min(PAUSE_WISHED_MAX)),
            Verdict::Wrong => PAUSE_WRONG,
        };
        health.failures = health.failures.saturating_add(1);
        health.paused_until = Some(now.plus(pause));
    }

    pub(super) fn is_well(&self, index: usize) -> bool {
        self.healths[index].failures == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    fn after(secs: u64) -> Timestamp {
        START.plus(Duration::from_secs(secs))
    }

    #[test]
    fn a_model_is_passed_over_longer_each_time_and_forgiven_at_once() {
        let mut order = Order::new(2);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            order.note(0, Verdict::Failed, START);
            pauses.push(order.healths[0].paused_until.expect("paused").since(START).as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30]);
        assert_eq!(order.next(after(29), &[]), Some((1, Manner::Plainly)));
        assert_eq!(order.clone().next(after(30), &[]), Some((0, Manner::KnockFirst)));
        assert_eq!(
            order.clone().next(START.minus(Duration::from_secs(3600)), &[]),
            Some((0, Manner::KnockFirst)),
            "the clock was set back"
        );
        order.note(0, Verdict::Answered, after(30));
        assert_eq!(order.next(after(30), &[]), Some((0, Manner::Plainly)));
    }

    #[test]
    fn one_question_tries_the_returning_model_and_others_do_not_wait() {
        let mut order = Order::new(2);
        order.note(0, Verdict::Failed, START);
        assert_eq!(order.next(after(3), &[]), Some((0, Manner::KnockFirst)));
        assert_eq!(order.next(after(3), &[]), Some((1, Manner::Plainly)));
        assert_eq!(order.next(after(9), &[]), Some((0, Manner::KnockFirst)), "the trial was given up");
    }

    #[test]
    fn paused_models_are_the_last_resort() {
        let mut order = Order::new(2);
        order.note(1, Verdict::Wrong, START);
        assert_eq!(order.next(START, &[]), Some((0, Manner::Plainly)));
        assert_eq!(order.next(START, &[0]), Some((1, Manner::Plainly)));
        assert_eq!(order.next(START, &[0, 1]), None);
        assert_eq!(Order::new(0).next(START, &[]), None);
    }

    #[test]
    fn the_wish_of_a_busy_server_is_heeded_within_bounds() {
        let mut order = Order::new(1);
        for (wish_secs, pause_secs) in [(0, 2), (20, 20), (86_400, 600)] {
            order.note(0, Verdict::Answered, START);
            order.note(0, Verdict::Busy(Duration::from_secs(wish_secs)), START);
            assert_eq!(order.healths[0].paused_until, Some(after(pause_secs)));
        }
    }

    proptest! {
        /// Against models that are up or down by turns: every question asks each model at most once, stops at the first that is
        /// up, finds one whenever one is up, and once all are up for long enough the first one answers again.
        #[test]
        fn whoever_is_up_is_found_and_the_first_comes_back(
            turns in proptest::collection::vec((proptest::collection::vec(any::<bool>(), 3), 0_u64..40), 1..40)
        ) {
            let mut order = Order::new(3);
            let mut now = START;
            let question = |order: &mut Order, up: &[bool], now: Timestamp| {
                let mut asked = Vec::new();
                while let Some((index, _)) = order.next(now, &asked) {
                    assert!(!asked.contains(&index));
                    asked.push(index);
                    order.note(index, if up[index] { Verdict::Answered } else { Verdict::Failed }, now);
                    if up[index] {
                        return Some(index);
                    }
                }
                assert_eq!(asked.len(), up.len(), "all were asked");
                None
            };
            for (up, secs) in turns {
                let answered = question(&mut order, &up, now);
                prop_assert_eq!(answered.is_some(), up.contains(&true));
                now = now.plus(Duration::from_secs(secs));
            }
            now = now.plus(PAUSE_MAX);
            prop_assert_eq!(question(&mut order, &[true; 3], now), Some(0));
            prop_assert!(order.is_well(0));
        }
    }
}
