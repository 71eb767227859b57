//! Who belongs to the group, and who is there.
//!
//! Who may do what: the loop gives every announcement to [`Roster::next`], a value without I/O, and writes what comes of it in
//! the transaction in which the message is received. Whether a member is there is judged by our own clock that only runs
//! forward: what its wall clock or ours says does not matter. What is read again from the past of a topic tells who belonged,
//! not who is there. Owner of the tables `group_members`, `group_membership_history` and `group_skill_channels`.
//!
//! Absent on purpose: the answer to a join (the loop sends a heartbeat), and trust: keys are [`crate::group::onboarding`]'s.

mod schema;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod view;

pub use schema::create_tables;
pub use state::{Config, Fact, Happening, Roster, Step};
pub use store::{OwnEntry, apply, load, note_own, part_from_others, prune, register_skill};
pub use view::{
    HistoryFilter, HistoryRow, MemberRow, Restored, SkillRow, history, members, previous_members, restore, skills,
};

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::domain::peer::Identity;

/// Both clocks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// For what is stored and shown; may jump.
    pub wall: Timestamp,
    /// Since some moment of this process; only runs forward.
    pub run: Duration,
}

/// What a member announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    Join,
    Heartbeat,
    Leave,
}

/// Whether a record was written before or after we began to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Now.
    Live,
    /// It lay in the topic already.
    Replayed,
}

/// One life of a member: between two starts of it. Later lives have greater numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Life {
    /// The time of joining that agents in Go repeat with every heartbeat, in milliseconds.
    JoinedAt(i64),
    /// The epoch of a hub like this one.
    Epoch(u64),
}

/// How a member stands to the group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    Active,
    /// Not heard of for too long, or not since we started.
    Stale,
    Left,
}

impl Standing {
    pub const ALL: [Self; 3] = [Self::Active, Self::Stale, Self::Left];

    /// KafClaw's word, as stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stale => "stale",
            Self::Left => "left",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text)
    }
}

/// What is known of a member.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    pub identity: Identity,
    pub standing: Standing,
    pub life: Option<Life>,
    /// Number of its last announcement in this life; zero from those who do not count.
    pub seq: u64,
    /// The key that its announcements are signed with.
    pub key: Option<String>,
    /// By our wall clock.
    pub last_seen: Timestamp,
    pub left_at: Option<Timestamp>,
    /// Milliseconds that its clock is behind ours, delays included; zero while unknown.
    pub behind_ms: i64,
}

impl Member {
    pub fn id(&self) -> &PeerId {
        &self.identity.id
    }
}
