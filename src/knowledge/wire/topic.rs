//! The seven topics of a knowledge group. Their names may be configured one by one.

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    Capabilities,
    Presence,
    Proposals,
    Votes,
    Decisions,
    Facts,
    /// Ours: replicas compare what they hold.
    Sync,
}

impl Kind {
    pub const ALL: [Self; 7] =
        [Self::Capabilities, Self::Presence, Self::Proposals, Self::Votes, Self::Decisions, Self::Facts, Self::Sync];

    /// Last part of the topic's usual name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Presence => "presence",
            Self::Proposals => "proposals",
            Self::Votes => "votes",
            Self::Decisions => "decisions",
            Self::Facts => "facts",
            Self::Sync => "sync",
        }
    }
}

/// Names of the topics, one for each [`Kind`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topics {
    names: [String; Kind::ALL.len()],
}

impl Topics {
    /// `group.<group>.knowledge.<kind>`.
    pub fn of_group(group: &str) -> Self {
        Self { names: Kind::ALL.map(|kind| format!("group.{group}.knowledge.{}", kind.as_str())) }
    }

    /// As these, but with `name` for `kind`; a blank name changes nothing.
    pub fn with(mut self, kind: Kind, name: &str) -> Self {
        if !name.trim().is_empty() {
            self.names[kind as usize] = name.trim().to_owned();
        }
        self
    }

    pub fn name(&self, kind: Kind) -> &str {
        &self.names[kind as usize]
    }

    pub fn parse(&self, topic: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.name(*kind) == topic)
    }

    /// All names, in the order of [`Kind::ALL`].
    pub fn all(&self) -> impl Iterator<Item = (Kind, &str)> {
        Kind::ALL.into_iter().map(|kind| (kind, self.name(kind)))
    }
}
