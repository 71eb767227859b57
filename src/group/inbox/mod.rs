//! What comes from the group: judged, remembered, and only then believed.
//!
//! Who may do what: the loop decodes a message, asks [`Gate`] (a value without I/O: rate, age, deadline, depth, target) and
//! calls [`receive`] in the transaction that also applies the message and stores where the topic was read up to. After the
//! commit it tells the broker. So a crash leaves the message applied and remembered, or neither; the ledger knows it again
//! when the broker repeats it. Whatever is not believed is recorded with its reason.
//!
//! The ledger forgets after [`Keep::ledger`]; what comes again even later meets the state itself, which knows its task, item or
//! version. Owner of the tables `group_ledger`, `group_refusals`, `group_refusal_counts`, `group_offsets`, `group_pointers` and
//! `topic_message_log`.
//!
//! Absent on purpose: decoding, and what a message means.

mod away;
mod gate;
mod log;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod traffic;

pub use away::{Away, away, create_table as create_pointers, missed, settled, wait};
pub use gate::{Bounds, Gate};
pub use log::{LOGGED_MAX, Logged, messages};
pub use schema::create_tables;
pub use store::{Keep, RefusalCount, Refused, prune, receive, refusal_counts, refusals, refuse, resume_at};
pub use traffic::{Bucket, Density, Edge, Health, TopicStats, density, flow, health, topic_stats};

use crate::base::clock::Timestamp;
use crate::domain::record::{Class, Stamp};

/// A message from the group, as far as it matters whether it is believed. Decoded before; many fields because it is the whole
/// outside of a message.
#[derive(Clone, PartialEq, Debug)]
pub struct Received {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Bytes of the record's value.
    pub bytes: u64,
    /// SHA-256 of the record's value.
    pub hash: [u8; 32],
    pub class: Class,
    /// The envelope's `type`, as it was written.
    pub kind: String,
    pub sender_id: String,
    pub correlation_id: String,
    /// None from peers that do not number what they say.
    pub stamp: Option<Stamp>,
    /// By the sender's clock.
    pub sent_at: Option<Timestamp>,
    /// By the sender's clock.
    pub deadline_at: Option<Timestamp>,
    pub depth: u32,
    /// Whom it is for; none for everybody.
    pub target: Option<String>,
    /// Milliseconds that the sender's clock is behind ours; see [`crate::group::roster`].
    pub behind_ms: i64,
}

/// What became of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// New: apply it in this transaction.
    Accepted,
    /// We said it ourselves.
    Own,
    /// It was applied before.
    Duplicate,
    /// It is for somebody else.
    NotForUs,
    /// It is not believed; recorded.
    Refused(Objection),
}

/// Why a message that could be decoded is not believed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Objection {
    /// It does not say who sent it.
    Nameless,
    TooLarge,
    /// A pointer to a large object that could not be fetched.
    Unresolved,
    /// Older than its kind may be.
    TooOld,
    DeadlinePassed,
    /// Handed on too often.
    TooDeep,
    RateLimited,
    /// Not signed although the policy wants it.
    Unsigned,
    /// Its signature does not fit the key that the sender is known by.
    BadSignature,
    /// Somebody else uses the same name.
    Collision,
    /// An answer to nothing that we asked.
    UnknownTask,
    /// The sender may not say this here.
    Forbidden,
}

impl Objection {
    pub const ALL: [Self; 12] = [
        Self::Nameless,
        Self::TooLarge,
        Self::Unresolved,
        Self::TooOld,
        Self::DeadlinePassed,
        Self::TooDeep,
        Self::RateLimited,
        Self::Unsigned,
        Self::BadSignature,
        Self::Collision,
        Self::UnknownTask,
        Self::Forbidden,
    ];

    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nameless => "nameless",
            Self::TooLarge => "too_large",
            Self::Unresolved => "unresolved",
            Self::TooOld => "too_old",
            Self::DeadlinePassed => "deadline_passed",
            Self::TooDeep => "too_deep",
            Self::RateLimited => "rate_limited",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::Collision => "collision",
            Self::UnknownTask => "unknown_task",
            Self::Forbidden => "forbidden",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|objection| objection.as_str() == text)
    }
}
