//! Members of a group: what they are, what they can do, what they ask of each other.

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};

/// Who may see and use a zone (specification of the group §6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Its owner and its members; whoever asks becomes one.
    Shared,
    /// Its owner, and members whom the owner has let in.
    Private,
}

impl Visibility {
    pub const ALL: [Self; 3] = [Self::Public, Self::Shared, Self::Private];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Shared => "shared",
            Self::Private => "private",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|visibility| visibility.as_str() == text)
    }
}

/// What a member says about itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Identity {
    pub id: PeerId,
    pub name: String,
    /// One paragraph about its character.
    pub soul: String,
    /// Names of its tools.
    pub capabilities: Vec<String>,
    /// Skills it offers to others.
    pub skills: Vec<String>,
    pub channels: Vec<String>,
    pub model: String,
    /// `active`, or its own word; free text from elsewhere.
    pub status: String,
    pub role: String,
    pub parent: Option<PeerId>,
    pub zone: Option<ZoneId>,
    pub endpoint: Option<String>,
    pub joined_at: Option<Timestamp>,
    /// Public key its messages are signed with, as text; not trusted before somebody has pinned it.
    pub public_key: Option<String>,
    /// Tasks it is busy with; none when it does not say.
    pub load: Option<u32>,
    /// Whether a model answers there at the moment; none when it does not say.
    pub can_think: Option<bool>,
}

/// Work that one member asks of another.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The requester's own id of the task, repeated in the answer; never empty.
    pub task_id: String,
    pub requester: PeerId,
    pub description: String,
    pub content: String,
    pub parent_task_id: Option<String>,
    /// How often the work has been handed on.
    pub depth: u32,
    pub original_requester: Option<PeerId>,
    pub deadline_at: Option<Timestamp>,
    /// Who is meant; everybody when none.
    pub target: Option<PeerId>,
    /// The zone it is asked in; the public one when none.
    pub zone: Option<ZoneId>,
    pub skill: Option<String>,
}

/// How work ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// As the requester called it; an agent in Go puts an id of its own here.
    pub task_id: String,
    pub responder: PeerId,
    pub content: String,
    pub outcome: AnswerStatus,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AnswerStatus {
    Completed,
    Failed,
    /// The responder will not or may not do it.
    Rejected,
}

impl AnswerStatus {
    pub const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Rejected];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// News about work that is not finished yet.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    pub task_id: String,
    /// Who says so.
    pub peer: PeerId,
    pub status: WorkStatus,
    pub summary: String,
    /// Until when the one who claimed it may be silent.
    pub lease_until: Option<Timestamp>,
    pub progress_percent: Option<u8>,
}

/// The first four words are Go's; the others are ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WorkStatus {
    Accepted,
    InProgress,
    Completed,
    Failed,
    /// I do it; nobody else needs to.
    Claimed,
    /// I go on; the lease is longer now.
    Renewed,
    /// I give it back; somebody else may claim it.
    Released,
    /// Asked by the requester: stop.
    Cancel,
    /// Said by the one who did it: stopped.
    Canceled,
}

impl WorkStatus {
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Claimed,
        Self::Renewed,
        Self::Released,
        Self::Cancel,
        Self::Canceled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Claimed => "claimed",
            Self::Renewed => "renewed",
            Self::Released => "released",
            Self::Cancel => "cancel",
            Self::Canceled => "canceled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        assert!(Visibility::ALL.into_iter().all(|word| Visibility::parse(word.as_str()) == Some(word)));
        assert!(AnswerStatus::ALL.into_iter().all(|word| AnswerStatus::parse(word.as_str()) == Some(word)));
        assert!(WorkStatus::ALL.into_iter().all(|word| WorkStatus::parse(word.as_str()) == Some(word)));
    }
}
