//! Whether a message is worth looking at: pure, before anything is stored.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::domain::message::Origin;
use crate::domain::record::Class;
use crate::group::inbox::{Objection, Received, Verdict};
use crate::policy::{Admission, Rate, RateLimits, Rates};

#[derive(Clone, PartialEq, Debug)]
pub struct Bounds {
    /// Requests older than this are not worked on: whoever asked has gone.
    pub request_age_max: Duration,
    /// Requests that were handed on more often are refused (group specification §4: 3).
    pub depth_max: u32,
    /// Values that are larger are not read.
    pub bytes_max: u64,
    /// What each peer may ask and tell of itself; see [`Gate::judge`].
    pub rate: Rate,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            request_age_max: Duration::from_secs(15 * 60),
            depth_max: 3,
            bytes_max: 1024 * 1024,
            rate: Rate { per_minute: 1_200, burst: 300 },
        }
    }
}

/// Judges messages for one member.
#[derive(Debug)]
pub struct Gate {
    agent_id: String,
    bounds: Bounds,
    peers: RateLimits,
}

impl Gate {
    pub fn new(agent_id: impl Into<String>, bounds: Bounds) -> Self {
        let rates = Rates { peer: Some(bounds.rate), ..Rates::default() };
        let peers = RateLimits::new(rates);
        Self { agent_id: agent_id.into(), bounds, peers }
    }

    /// [`Verdict::Accepted`] when nothing speaks against it; whether it is new is for [`crate::group::inbox::receive`].
    pub fn judge(&mut self, received: &Received, now: Timestamp) -> Verdict {
        if received.sender_id == self.agent_id {
            return Verdict::Own;
        }
        match self.objection(received, now) {
            Some(objection) => Verdict::Refused(objection),
            None if received.target.as_ref().is_some_and(|target| *target != self.agent_id) => Verdict::NotForUs,
            None => Verdict::Accepted,
        }
    }

    fn objection(&mut self, received: &Received, now: Timestamp) -> Option<Objection> {
        if received.sender_id.trim().is_empty() {
            return Some(Objection::Nameless);
        }
        if received.bytes > self.bounds.bytes_max {
            return Some(Objection::TooLarge);
        }
        if is_rated(received.class) && self.peers.admit(&received.sender_id, Origin::Peer, now) != Admission::Admitted {
            return Some(Objection::RateLimited);
        }
        if received.class != Class::Request {
            return None;
        }
        let here = |theirs: Timestamp| Timestamp::from_millis(theirs.as_millis().saturating_add(received.behind_ms));
        if received.deadline_at.is_some_and(|deadline| here(deadline) <= now) {
            return Some(Objection::DeadlinePassed);
        }
        if received.sent_at.is_some_and(|sent| now.since(here(sent)) > self.bounds.request_age_max) {
            return Some(Objection::TooOld);
        }
        (received.depth > self.bounds.depth_max).then_some(Objection::TooDeep)
    }
}

/// Answers, knowledge and shared items come in thousands when a member was away for a week, and whoever sent them keeps
/// nothing of them: they are read at the pace of this hub instead, and are bounded where they are stored.
const fn is_rated(class: Class) -> bool {
    !matches!(class, Class::Answer | Class::Knowledge | Class::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::inbox::tests::received;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);
    const HOUR_MS: i64 = 3_600_000;

    fn judge(change: impl FnOnce(&mut Received)) -> Verdict {
        let mut message = received("peer", 1);
        message.class = Class::Request;
        message.sent_at = Some(NOW);
        change(&mut message);
        Gate::new("me", Bounds::default()).judge(&message, NOW)
    }

    #[test]
    fn requests_are_refused_for_their_reasons() {
        let refused = |objection| Verdict::Refused(objection);
        assert_eq!(judge(|_| ()), Verdict::Accepted);
        assert_eq!(judge(|message| message.sender_id = "me".to_owned()), Verdict::Own);
        assert_eq!(judge(|message| message.sender_id = " ".to_owned()), refused(Objection::Nameless));
        assert_eq!(judge(|message| message.target = Some("other".to_owned())), Verdict::NotForUs);
        assert_eq!(judge(|message| message.target = Some("me".to_owned())), Verdict::Accepted);
        assert_eq!(judge(|message| message.bytes = 2_000_000), refused(Objection::TooLarge));
        assert_eq!(judge(|message| message.deadline_at = Some(NOW)), refused(Objection::DeadlinePassed));
        assert_eq!(judge(|message| message.depth = 3), Verdict::Accepted);
        assert_eq!(judge(|message| message.depth = 4), refused(Objection::TooDeep));
        let old = Some(NOW.minus(Duration::from_secs(3_600)));
        assert_eq!(judge(|message| message.sent_at = old), refused(Objection::TooOld));
    }

    #[test]
    fn an_answer_is_never_too_old() {
        let old = Some(NOW.minus(Duration::from_secs(30 * 24 * 3_600)));
        let verdict =
            judge(|message| (message.class, message.sent_at, message.deadline_at) = (Class::Answer, old, old));
        assert_eq!(verdict, Verdict::Accepted);
    }

    #[test]
    fn a_clock_that_is_hours_off_is_no_reason() {
        let slow = Timestamp::from_millis(NOW.as_millis() - 5 * HOUR_MS);
        let soon = slow.plus(Duration::from_secs(10));
        let late = slow.minus(Duration::from_secs(10));
        let set = |deadline| {
            move |message: &mut Received| {
                (message.sent_at, message.deadline_at, message.behind_ms) = (Some(slow), Some(deadline), 5 * HOUR_MS);
            }
        };
        assert_eq!(judge(set(soon)), Verdict::Accepted);
        assert_eq!(judge(set(late)), Verdict::Refused(Objection::DeadlinePassed));
    }

    #[test]
    fn one_loud_peer_leaves_the_others_their_say() {
        let rate = Rate { per_minute: 60, burst: 2 };
        let mut gate = Gate::new("me", Bounds { rate, ..Bounds::default() });
        let asked = |sender, seq| Received { class: Class::Request, ..received(sender, seq) };
        let verdicts: Vec<Verdict> = (0..3).map(|seq| gate.judge(&asked("loud", seq), NOW)).collect();
        assert_eq!(verdicts[1..], [Verdict::Accepted, Verdict::Refused(Objection::RateLimited)]);
        assert_eq!(gate.judge(&asked("quiet", 1), NOW), Verdict::Accepted);
    }

    #[test]
    fn what_was_kept_for_a_week_is_not_refused_because_it_comes_at_once() {
        let mut gate = Gate::new("me", Bounds { rate: Rate { per_minute: 60, burst: 2 }, ..Bounds::default() });
        for class in [Class::Answer, Class::Knowledge, Class::Memory] {
            let verdicts = (0..1_000).map(|seq| gate.judge(&Received { class, ..received("back", seq) }, NOW));
            assert!(verdicts.into_iter().all(|verdict| verdict == Verdict::Accepted), "{class:?}");
        }
    }
}
