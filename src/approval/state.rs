//! A request's life without I/O: pending until a person or time decides it, and never undecided again.

use crate::base::clock::Timestamp;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    Pending,
    Approved,
    Denied,
    Timeout,
}

impl Status {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Denied, Self::Timeout];

    /// KafClaw's word, as stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Approve,
    Deny,
}

/// What happened, at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    Answered(Decision),
    TimePassed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Becomes(Status),
    /// Nothing changes; the status is the one that an answer meets, so an overdue request counts as timed out.
    Stays(Status),
}

impl Status {
    /// The next step of a request that is in this state and expires at `expires_at`.
    ///
    /// An answer to an overdue request does not time it out: that is left to [`Fact::TimePassed`], so that timeouts are
    /// announced in one place.
    pub fn next(self, fact: Fact, expires_at: Timestamp, now: Timestamp) -> Step {
        let overdue = now >= expires_at;
        match (self, fact) {
            (Self::Pending, Fact::Answered(_)) if overdue => Step::Stays(Self::Timeout),
            (Self::Pending, Fact::Answered(Decision::Approve)) => Step::Becomes(Self::Approved),
            (Self::Pending, Fact::Answered(Decision::Deny)) => Step::Becomes(Self::Denied),
            (Self::Pending, Fact::TimePassed) if overdue => Step::Becomes(Self::Timeout),
            (status, _) => Step::Stays(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_fact_has_its_step() {
        use Decision::{Approve, Deny};
        use Fact::{Answered, TimePassed};
        use Status::{Approved, Denied, Pending, Timeout};
        let expires_at = Timestamp::from_millis(100);
        let (early, late) = (Timestamp::from_millis(99), expires_at);
        for (status, fact, now, step) in [
            (Pending, Answered(Approve), early, Step::Becomes(Approved)),
            (Pending, Answered(Deny), early, Step::Becomes(Denied)),
            (Pending, TimePassed, early, Step::Stays(Pending)),
            (Pending, Answered(Approve), late, Step::Stays(Timeout)),
            (Pending, Answered(Deny), late, Step::Stays(Timeout)),
            (Pending, TimePassed, late, Step::Becomes(Timeout)),
        ] {
            assert_eq!(status.next(fact, expires_at, now), step, "{status:?} {fact:?}");
        }
        for status in [Approved, Denied, Timeout] {
            for fact in [Answered(Approve), Answered(Deny), TimePassed] {
                for now in [early, late] {
                    assert_eq!(status.next(fact, expires_at, now), Step::Stays(status));
                }
            }
        }
    }

    #[test]
    fn names_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
    }
}
