//! The record of the owner as a state machine without I/O: a house that waits for its owner, or one that has one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::owner::code::SetupCode;
use crate::owner::password::Hash;

/// Wrong tries that kill a setup code.
pub const TRIES: u32 = 5;
/// How long the code that replaces a dead one is not taken: a try for every six seconds is all that a whole network of guessers gets.
const PAUSE: Duration = Duration::from_secs(30);
/// The layout that is written.
pub(super) const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub version: u32,
    /// Random; sessions are signed with it, so a new one ends them.
    pub epoch: String,
    #[serde(flatten)]
    pub standing: Standing,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Standing {
    Waits {
        code: SetupCode,
        tries_left: u32,
        /// When the code before this one died, in milliseconds since the epoch; none for the first one, which is taken at once.
        paused_at: Option<i64>,
    },
    Owned {
        password: Hash,
    },
}

/// What became of a code that somebody typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// It is the code; [`Record::own`] is next.
    Right,
    Wrong {
        tries_left: u32,
    },
    /// It was wrong once too often: another code has taken its place.
    Replaced,
    /// Nothing was looked at.
    Wait(Duration),
    /// The house has an owner.
    Owned,
}

impl Record {
    pub fn new(code: SetupCode, epoch: String) -> Self {
        let standing = Standing::Waits { code, tries_left: TRIES, paused_at: None };
        Self { version: VERSION, epoch, standing }
    }

    /// Somebody offers a code; `fresh` takes the place of one that dies of it.
    pub fn offer(&mut self, typed: &str, now: Timestamp, fresh: SetupCode) -> Offer {
        let Standing::Waits { code, tries_left, paused_at } = &mut self.standing else { return Offer::Owned };
        // Boards without a clock of their own jump; a pause that lies in the future or far back is over.
        let pause_ms = i64::try_from(PAUSE.as_millis()).unwrap_or(i64::MAX);
        let since = paused_at.map(|paused_at| now.as_millis().saturating_sub(paused_at));
        if let Some(since) = since.filter(|since| (0..pause_ms).contains(since)) {
            return Offer::Wait(Duration::from_millis(u64::try_from(pause_ms - since).unwrap_or(0)));
        }
        if code.matches(typed) {
            return Offer::Right;
        }
        *tries_left = tries_left.saturating_sub(1);
        if *tries_left > 0 {
            return Offer::Wrong { tries_left: *tries_left };
        }
        self.standing = Standing::Waits { code: fresh, tries_left: TRIES, paused_at: Some(now.as_millis()) };
        Offer::Replaced
    }

    /// The house has an owner with this password; sessions of before end.
    pub fn own(&mut self, password: Hash, epoch: String) {
        self.epoch = epoch;
        self.standing = Standing::Owned { password };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> SetupCode {
        serde_json::from_value(text.into()).expect("a code")
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_code_dies_of_the_fifth_wrong_try_and_the_next_one_waits() {
        let mut record = Record::new(code("AAAA-AAAA"), "e".to_owned());
        for left in (1..TRIES).rev() {
            assert_eq!(record.offer("CCCC-CCCC", at(1_000), code("DDDD-DDDD")), Offer::Wrong { tries_left: left });
        }
        assert_eq!(record.offer("CCCC-CCCC", at(1_000), code("DDDD-DDDD")), Offer::Replaced);
        let wait = record.offer("DDDD-DDDD", at(11_000), code("EEEE-EEEE"));
        assert_eq!(wait, Offer::Wait(Duration::from_secs(20)));
        assert_eq!(record.offer("AAAA-AAAA", at(31_000), code("EEEE-EEEE")), Offer::Wrong { tries_left: TRIES - 1 });
        assert_eq!(record.offer("dddd dddd", at(31_000), code("EEEE-EEEE")), Offer::Right);
    }

    #[test]
    fn a_clock_that_is_set_right_does_not_keep_the_owner_waiting() {
        let mut record = Record::new(code("AAAA-AAAA"), "e".to_owned());
        let now = at(2_000_000_000_000);
        (0..TRIES).for_each(|_| {
            record.offer("CCCC-CCCC", now, code("DDDD-DDDD"));
        });
        assert!(matches!(record.offer("DDDD-DDDD", now, code("EEEE-EEEE")), Offer::Wait(_)));
        assert_eq!(record.offer("DDDD-DDDD", at(1_000_000_000_000), code("EEEE-EEEE")), Offer::Right);
    }

    /// What anybody may do to a record, and a model of what must come of it.
    #[derive(Clone, Debug)]
    enum Step {
        Right,
        Wrong,
        Later(i64),
        Own,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Right),
            8 => Just(Step::Wrong),
            3 => (0..40_000_i64).prop_map(Step::Later),
            1 => Just(Step::Own),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn only_the_code_of_the_moment_opens_and_never_more_often_than_agreed(steps in steps()) {
            let codes = ["AAAA-AAAA", "DDDD-DDDD"];
            let mut record = Record::new(code(codes[0]), "0".to_owned());
            let (mut now, mut dead, mut wrong, mut quiet_until, mut owned) = (1_i64 << 40, 0, 0, 0, false);
            for step in steps {
                let fresh = code(codes[(dead + 1) % 2]);
                match step {
                    Step::Later(millis) => now += millis,
                    Step::Own if record.offer(codes[dead % 2], at(now), fresh.clone()) == Offer::Right => {
                        let password = serde_json::json!({"memory_kib": 8, "passes": 1, "lanes": 1, "salt": "", "argon2id": ""});
                        record.own(serde_json::from_value(password).expect("a hash"), "1".to_owned());
                        owned = true;
                    }
                    Step::Own => {}
                    Step::Right => {
                        let offer = record.offer(codes[dead % 2], at(now), fresh);
                        let expected = match (owned, now < quiet_until) {
                            (true, _) => Offer::Owned,
                            (false, true) => Offer::Wait(Duration::from_millis((quiet_until - now) as u64)),
                            (false, false) => Offer::Right,
                        };
                        prop_assert_eq!(offer, expected);
                    }
                    Step::Wrong => {
                        let offer = record.offer("CCCC-CCCC", at(now), fresh);
                        if owned || now < quiet_until {
                            prop_assert!(matches!(offer, Offer::Owned | Offer::Wait(_)));
                            continue;
                        }
                        wrong += 1;
                        if wrong == TRIES {
                            prop_assert_eq!(offer, Offer::Replaced);
                            (wrong, dead, quiet_until) = (0, dead + 1, now + 30_000);
                        } else {
                            prop_assert_eq!(offer, Offer::Wrong { tries_left: TRIES - wrong });
                        }
                    }
                }
                let kept: Record = serde_json::from_str(&serde_json::to_string(&record).expect("text")).expect("a record");
                prop_assert_eq!(&kept, &record);
            }
        }

        #[test]
        fn whatever_stands_in_the_file_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = serde_json::from_str::<Record>(&text);
        }
    }
}
