//! What leaves for the group: an encoded message, the order it keeps, and what may happen to it while there is no network.

use crate::base::clock::Timestamp;

/// Names one message of one member for ever, however often it is sent: receivers know it again by this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp {
    /// Grows with every life of the member's memory, so that an older one is recognized.
    pub epoch: u64,
    /// Grows by one with every message, over all epochs.
    pub seq: u64,
}

/// A message for a topic. Records of one topic and key arrive in the order in which they were queued; records without a key
/// have no order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub topic: String,
    /// The task, the fact or the member it is about.
    pub key: Option<String>,
    /// As it goes onto the wire.
    pub value: Vec<u8>,
    pub class: Class,
    /// Worthless afterwards; only requests have one.
    pub deadline_at: Option<Timestamp>,
    /// Also inside `value`. None for what is passed on for somebody else.
    pub stamp: Option<Stamp>,
}

/// Kinds of traffic that are treated differently while they wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Who is there: join, leave, onboarding, manifest, discovery. Heartbeats are of this class but are never queued.
    Control,
    /// Work asked of others.
    Request,
    /// Answers, claims, progress, cancellations.
    Answer,
    /// Proposals, votes, decisions, facts.
    Knowledge,
    /// Shared memory items.
    Memory,
    /// Spans of traces.
    Trace,
    /// What policy decided.
    Audit,
}

/// What happens to a record when its class has no room left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// Whoever wants to say it is told that it cannot be kept.
    Refuse,
    /// The oldest of the class makes room; counted, and told once per burst.
    DropOldest,
    /// From half full on only some are kept, and none when full; counted, and told once per burst.
    Sample,
}

impl Class {
    pub const ALL: [Self; 7] =
        [Self::Control, Self::Request, Self::Answer, Self::Knowledge, Self::Memory, Self::Trace, Self::Audit];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Knowledge => "knowledge",
            Self::Memory => "memory",
            Self::Trace => "trace",
            Self::Audit => "audit",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }

    pub const fn when_full(self) -> WhenFull {
        match self {
            Self::Request | Self::Answer | Self::Knowledge | Self::Memory => WhenFull::Refuse,
            Self::Control | Self::Audit => WhenFull::DropOldest,
            Self::Trace => WhenFull::Sample,
        }
    }

    /// Whether it makes room for the classes that may not be lost.
    pub const fn gives_way(self) -> bool {
        matches!(self, Self::Trace | Self::Audit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for class in Class::ALL {
            assert_eq!(Class::parse(class.as_str()), Some(class));
        }
        assert_eq!(Class::parse("gossip"), None);
    }

    #[test]
    fn what_may_not_be_lost_is_refused_rather_than_dropped() {
        for class in [Class::Request, Class::Answer, Class::Knowledge, Class::Memory] {
            assert_eq!(class.when_full(), WhenFull::Refuse, "{class:?}");
            assert!(!class.gives_way());
        }
    }
}
