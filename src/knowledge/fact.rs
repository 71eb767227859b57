//! Facts with versions (group specification §2.15, "Fact version policy"). Pure.
//!
//! What a replica holds of a fact depends on nothing but the set of messages it has seen, so any order and any repetition end the
//! same: of one version the later published one wins, then the smaller hash; versions are taken in sequence, beginning with 1 or
//! with what another replica holds (a snapshot); what comes too early waits.

use std::cmp::Reverse;

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::gojson::GoTime;
use crate::base::id::to_hex;
use crate::knowledge::wire;

/// A fact as this replica holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    pub id: String,
    pub group: String,
    pub subject: String,
    pub predicate: String,
    pub object: String,
    pub version: i64,
    pub source: String,
    pub proposal_id: String,
    pub decision_id: String,
    pub tags: Vec<String>,
    pub published_at: Option<Timestamp>,
}

impl From<wire::Fact> for Fact {
    fn from(wire: wire::Fact) -> Self {
        Self {
            id: wire.fact_id,
            group: wire.group,
            subject: wire.subject,
            predicate: wire.predicate,
            object: wire.object,
            version: wire.version,
            source: wire.source,
            proposal_id: wire.proposal_id,
            decision_id: wire.decision_id,
            tags: wire.tags,
            published_at: wire.published_at.filter(|time| !time.is_zero()).map(GoTime::to_timestamp),
        }
    }
}

impl Fact {
    /// On the wire: as its author says it, or as a replica passes it on.
    pub fn to_wire(&self, passing: Passing) -> wire::Fact {
        wire::Fact {
            fact_id: self.id.clone(),
            group: self.group.clone(),
            subject: self.subject.clone(),
            predicate: self.predicate.clone(),
            object: self.object.clone(),
            version: self.version,
            source: self.source.clone(),
            proposal_id: self.proposal_id.clone(),
            decision_id: self.decision_id.clone(),
            tags: self.tags.clone(),
            published_at: self.published_at.map(GoTime::from),
            snapshot: passing == Passing::Snapshot,
        }
    }

    /// 32 hexadecimal digits over everything but id and version; equal exactly when two replicas hold the same.
    pub fn hash(&self) -> String {
        let published = self.published_at.map_or(i64::MIN, Timestamp::as_millis).to_be_bytes();
        let mut hash = Sha256::new();
        let texts = [&self.group, &self.subject, &self.predicate, &self.object, &self.source];
        let more = [&self.proposal_id, &self.decision_id];
        for text in texts.into_iter().chain(more).chain(&self.tags) {
            // Lengths keep neighbors apart.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(published);
        let mut text = to_hex(&hash.finalize());
        text.truncate(32);
        text
    }

    /// The greater one wins among facts of one version.
    fn rank(&self) -> (Option<Timestamp>, Reverse<String>) {
        (self.published_at, Reverse(self.hash()))
    }

    /// Whether it wins against `other`, which has the same version.
    pub fn beats(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passing {
    Author,
    Snapshot,
}

/// What becomes of a fact that arrives. The reasons are Go's where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reception {
    Take(&'static str),
    /// Known, or older than what is known.
    Stale,
    /// The same version says something else, and what is held wins.
    Lost,
    /// Versions in between are missing.
    Wait,
}

/// Decides what becomes of `incoming`.
pub fn receive(held: Option<&Fact>, incoming: &Fact, passing: Passing) -> Reception {
    let Some(held) = held else {
        return match (incoming.version, passing) {
            (1, _) => Reception::Take("new_fact"),
            (_, Passing::Snapshot) => Reception::Take("snapshot"),
            (_, Passing::Author) => Reception::Wait,
        };
    };
    if incoming.version < held.version {
        return Reception::Stale;
    }
    if incoming.version == held.version {
        return match (incoming.hash() == held.hash(), incoming.beats(held)) {
            (true, _) => Reception::Stale,
            (false, true) => Reception::Take("conflict_won"),
            (false, false) => Reception::Lost,
        };
    }
    match passing {
        _ if incoming.version == held.version.saturating_add(1) => Reception::Take("sequential_update"),
        Passing::Snapshot => Reception::Take("snapshot"),
        Passing::Author => Reception::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn fact(version: i64, object: &str, published: i64) -> Fact {
        Fact {
            id: "f".to_owned(),
            group: "g".to_owned(),
            subject: "s".to_owned(),
            predicate: "p".to_owned(),
            object: object.to_owned(),
            version,
            source: "claw".to_owned(),
            proposal_id: String::new(),
            decision_id: String::new(),
            tags: Vec::new(),
            published_at: Some(Timestamp::from_millis(published)),
        }
    }

    #[test]
    fn facts_are_received_in_sequence() {
        use Passing::{Author, Snapshot};
        let held = fact(3, "x", 10);
        let mut other = [fact(3, "y", 10), fact(3, "z", 10)];
        other.sort_by_key(Fact::hash);
        for (held, incoming, passing, expected) in [
            (None, fact(1, "x", 0), Author, Reception::Take("new_fact")),
            (None, fact(2, "x", 0), Author, Reception::Wait),
            (None, fact(2, "x", 0), Snapshot, Reception::Take("snapshot")),
            (Some(&held), fact(4, "x", 0), Author, Reception::Take("sequential_update")),
            (Some(&held), fact(5, "x", 0), Author, Reception::Wait),
            (Some(&held), fact(5, "x", 0), Snapshot, Reception::Take("snapshot")),
            (Some(&held), fact(2, "q", 99), Snapshot, Reception::Stale),
            (Some(&held), fact(3, "x", 10), Author, Reception::Stale),
            (Some(&held), fact(3, "y", 11), Author, Reception::Take("conflict_won")),
            (Some(&held), fact(3, "y", 9), Author, Reception::Lost),
            (Some(&other[1]), other[0].clone(), Author, Reception::Take("conflict_won")),
            (Some(&other[0]), other[1].clone(), Author, Reception::Lost),
        ] {
            assert_eq!(receive(held, &incoming, passing), expected, "{incoming:?} {passing:?}");
        }
    }

    #[test]
    fn the_hash_tells_every_difference_but_the_version() {
        let one = fact(1, "x", 5);
        assert_eq!(one.hash(), Fact { version: 2, ..one.clone() }.hash());
        let moved = Fact { subject: "sp".to_owned(), predicate: String::new(), ..one.clone() };
        for other in [fact(1, "y", 5), fact(1, "x", 6), moved, Fact { tags: vec!["t".to_owned()], ..one.clone() }] {
            assert_ne!(one.hash(), other.hash());
        }
        assert_eq!(Fact::from(one.to_wire(Passing::Snapshot)), one);
    }
}
