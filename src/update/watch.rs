//! How a system proves itself after a start, without I/O: looks at its health go in, and what to do comes out. Each start, not only
//! those after an update: a slot that has not proved itself is one that the boot loader counts against.

use std::time::Duration;

/// How long anything may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Health without a break that counts as proof.
    pub steady: Duration,
    /// Time to get there.
    pub patience: Duration,
}

/// What a look at the health showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    /// Since the machine or the watch was started; never goes back.
    pub at: Duration,
    pub troubles: Vec<String>,
    /// Asked at every look: the other slot may be given up meanwhile.
    pub other_may_do_better: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Look again in a while.
    LookAgain,
    /// As [`Verdict::LookAgain`]; these are new and worth writing down.
    Troubled(String),
    Proved,
    /// Not well, and there is another one to go to. Whoever stays all the same goes on as if just started.
    Despaired(String),
    /// Not well, and there is nowhere else to go: go on as if just started.
    NowhereToGo(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    limits: Limits,
    /// Since when patience runs.
    from: Duration,
    well_since: Option<Duration>,
    told: String,
}

impl Watch {
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self { limits, from: now, well_since: None, told: String::new() }
    }

    pub fn next(&mut self, look: &Look) -> Verdict {
        if look.troubles.is_empty() {
            let since = *self.well_since.get_or_insert(look.at);
            let is_proved = look.at.saturating_sub(since) >= self.limits.steady;
            return if is_proved { Verdict::Proved } else { Verdict::LookAgain };
        }
        self.well_since = None;
        let troubles = look.troubles.join("; ");
        if look.at.saturating_sub(self.from) >= self.limits.patience {
            let why = format!("not well within {} s: {troubles}", self.limits.patience.as_secs());
            self.from = look.at;
            return if look.other_may_do_better { Verdict::Despaired(why) } else { Verdict::NowhereToGo(why) };
        }
        if self.told == troubles {
            return Verdict::LookAgain;
        }
        self.told.clone_from(&troubles);
        Verdict::Troubled(troubles)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { steady: Duration::from_secs(60), patience: Duration::from_secs(600) };

    fn look(at_s: u64, is_well: bool, other_may_do_better: bool) -> Look {
        let troubles = if is_well { Vec::new() } else { vec!["the doors are shut".to_owned()] };
        Look { at: Duration::from_secs(at_s), troubles, other_may_do_better }
    }

    #[test]
    fn health_must_last() {
        let mut watch = Watch::new(LIMITS, Duration::ZERO);
        for (at_s, is_well, expected) in [
            (5, true, Verdict::LookAgain),
            (60, false, Verdict::Troubled("the doors are shut".to_owned())),
            (61, false, Verdict::LookAgain),
            (62, true, Verdict::LookAgain),
            (121, true, Verdict::LookAgain),
            (122, true, Verdict::Proved),
        ] {
            assert_eq!(watch.next(&look(at_s, is_well, true)), expected, "{at_s}");
        }
    }

    #[test]
    fn a_deadline_ends_in_the_other_slot_or_in_another_round() {
        let mut watch = Watch::new(LIMITS, Duration::ZERO);
        watch.next(&look(1, false, true));
        assert!(matches!(watch.next(&look(600, false, false)), Verdict::NowhereToGo(why) if why.contains("doors")));
        assert_eq!(watch.next(&look(601, false, true)), Verdict::LookAgain);
        for at_s in [1200, 1800] {
            assert!(matches!(watch.next(&look(at_s, false, true)), Verdict::Despaired(why) if why.contains("600 s")));
            assert_eq!(watch.next(&look(at_s + 1, false, true)), Verdict::LookAgain);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_proved_in_less_time_and_nobody_despairs_early(looks in proptest::collection::vec((1..40_u64, any::<bool>(), any::<bool>()), 1..80)) {
            let mut watch = Watch::new(LIMITS, Duration::ZERO);
            let (mut at, mut well_since) = (0, None);
            for (step, is_well, other) in looks {
                at += step;
                well_since = if is_well { well_since.or(Some(at)) } else { None };
                match watch.next(&look(at, is_well, other)) {
                    Verdict::Proved => prop_assert!(well_since.is_some_and(|since| at - since >= 60)),
                    Verdict::Despaired(_) => prop_assert!(!is_well && other && at >= 600),
                    Verdict::NowhereToGo(_) => prop_assert!(!is_well && !other && at >= 600),
                    Verdict::Troubled(_) => prop_assert!(!is_well),
                    Verdict::LookAgain => {}
                }
            }
        }
    }
}
