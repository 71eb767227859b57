//! Who reports to whom. Pure.
//!
//! Each member says who is above it; nobody can say it for another, and nobody asks anybody first. So claims may contradict each
//! other: two members may each call the other its parent. The rule that makes a tree of any claims needs no agreement, because it
//! depends on nothing but the claims: whoever has left is passed over, and where claims run in a circle, the member with the
//! smallest name in it has no parent.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};
use crate::domain::record::Stamp;

pub const NODES_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub id: PeerId,
    pub name: String,
    /// `orchestrator`, `worker`, `observer` or a word of its own.
    pub role: String,
    /// Who is above it, as it says.
    pub parent: Option<PeerId>,
    pub zone: Option<ZoneId>,
    pub endpoint: String,
    /// `active`, or a word of its own; [`LEFT`] when it has gone.
    pub status: String,
    /// Of the message that said so; none when the sender does not count or another member said it.
    pub stamp: Option<Stamp>,
    pub source: Source,
    /// By our own clock.
    pub heard_at: Timestamp,
}

/// `status` of a member that has left.
pub const LEFT: &str = "left";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Itself,
    Another,
}

impl Node {
    pub fn has_left(&self) -> bool {
        self.status == LEFT
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hierarchy {
    nodes: BTreeMap<PeerId, Node>,
}

/// What became of a word about a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    New,
    Changed,
    Same,
    /// A newer one is known, or the node's own word.
    Stale,
    Full,
}

impl Hierarchy {
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self { nodes: nodes.into_iter().map(|node| (node.id.clone(), node)).collect() }
    }

    pub fn get(&self, id: &PeerId) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Takes what is said about a node, unless something better is known.
    pub fn hear(&mut self, node: Node) -> Heard {
        match self.nodes.get(&node.id) {
            None if self.nodes.len() >= NODES_MAX => Heard::Full,
            None => {
                self.nodes.insert(node.id.clone(), node);
                Heard::New
            }
            Some(known) if known.source == Source::Itself && node.source == Source::Another => Heard::Stale,
            Some(known) if known.source == node.source && node.stamp < known.stamp => Heard::Stale,
            Some(known) => {
                let same = Node { stamp: known.stamp, heard_at: known.heard_at, ..node.clone() } == *known;
                self.nodes.insert(node.id.clone(), node);
                if same { Heard::Same } else { Heard::Changed }
            }
        }
    }

    /// The node has gone; whoever was below it is now below the one above.
    pub fn leave(&mut self, id: &PeerId) -> bool {
        let gone = self.nodes.get_mut(id).filter(|node| node.status != LEFT);
        gone.map(|node| LEFT.clone_into(&mut node.status)).is_some()
    }

    /// Who is above `id` once circles are cut and those who left are passed over.
    pub fn parent(&self, id: &PeerId) -> Option<&PeerId> {
        let circle = self.circle(id);
        if circle.as_ref().is_some_and(|circle| circle.first() == Some(&id)) {
            return None;
        }
        self.claimed(id)
    }

    /// From the parent up to the root.
    pub fn ancestors(&self, id: &PeerId) -> Vec<&PeerId> {
        let mut above = Vec::new();
        let mut at = self.parent(id);
        while let Some(parent) = at {
            above.push(parent);
            at = self.parent(parent);
        }
        above
    }

    pub fn is_below(&self, id: &PeerId, above: &PeerId) -> bool {
        self.ancestors(id).contains(&above)
    }

    pub fn children(&self, id: &PeerId) -> Vec<&PeerId> {
        let present = self.nodes.values().filter(|node| node.status != LEFT);
        present.map(|node| &node.id).filter(|child| self.parent(child) == Some(id)).collect()
    }

    /// Whether `id` may call `parent` its parent without running in a circle; what this member asks itself before it says so.
    pub fn may_be_below(&self, id: &PeerId, parent: &PeerId) -> bool {
        id != parent && !self.is_below(parent, id)
    }

    /// The first present node above, as the claims stand.
    fn claimed(&self, id: &PeerId) -> Option<&PeerId> {
        let mut at = self.nodes.get(id)?.parent.as_ref()?;
        let mut passed = BTreeSet::new();
        loop {
            let node = self.nodes.get(at)?;
            if node.status != LEFT {
                return (at != id).then_some(at);
            }
            if !passed.insert(at) {
                return None;
            }
            at = node.parent.as_ref()?;
        }
    }

    /// The circle of claims that `id` is part of, sorted.
    fn circle(&self, id: &PeerId) -> Option<Vec<&PeerId>> {
        let mut path = Vec::new();
        let mut seen = BTreeSet::new();
        let mut at = self.claimed(id)?;
        while at != id {
            if !seen.insert(at) {
                // It leads into a circle that `id` is not part of.
                return None;
            }
            path.push(at);
            at = self.claimed(at)?;
        }
        path.push(at);
        path.sort();
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(id: &str, parent: &str) -> Node {
        Node {
            id: PeerId::from(id),
            name: String::new(),
            role: "worker".to_owned(),
            parent: (!parent.is_empty()).then(|| PeerId::from(parent)),
            zone: None,
            endpoint: String::new(),
            status: "active".to_owned(),
            stamp: None,
            source: Source::Itself,
            heard_at: Timestamp::default(),
        }
    }

    fn hierarchy(claims: &[(&str, &str)]) -> Hierarchy {
        Hierarchy::new(claims.iter().map(|(id, parent)| node(id, parent)))
    }

    fn parent(hierarchy: &Hierarchy, id: &str) -> Option<String> {
        hierarchy.parent(&PeerId::from(id)).map(PeerId::to_string)
    }

    #[test]
    fn whoever_was_below_one_that_leaves_is_below_the_one_above_and_goes_back_when_it_returns() {
        let mut hierarchy = hierarchy(&[("root", ""), ("mid", "root"), ("leaf", "mid")]);
        assert_eq!(parent(&hierarchy, "leaf").as_deref(), Some("mid"));
        assert!(hierarchy.leave(&PeerId::from("mid")) && !hierarchy.leave(&PeerId::from("mid")));
        assert_eq!(parent(&hierarchy, "leaf").as_deref(), Some("root"));
        assert_eq!(hierarchy.children(&PeerId::from("root")), [&PeerId::from("leaf")]);
        assert_eq!(hierarchy.hear(node("mid", "root")), Heard::Changed);
        assert_eq!(parent(&hierarchy, "leaf").as_deref(), Some("mid"));
        assert_eq!(hierarchy.ancestors(&PeerId::from("leaf")), [&PeerId::from("mid"), &PeerId::from("root")]);
    }

    #[test]
    fn a_circle_is_cut_at_its_smallest_name() {
        let hierarchy = hierarchy(&[("b", "a"), ("a", "c"), ("c", "b"), ("leaf", "c"), ("self", "self")]);
        assert_eq!(parent(&hierarchy, "a"), None);
        assert_eq!(parent(&hierarchy, "b").as_deref(), Some("a"));
        assert_eq!(parent(&hierarchy, "c").as_deref(), Some("b"));
        assert_eq!(hierarchy.ancestors(&PeerId::from("leaf")).len(), 3);
        assert_eq!(parent(&hierarchy, "self"), None);
        assert!(!hierarchy.may_be_below(&PeerId::from("a"), &PeerId::from("leaf")));
        assert!(hierarchy.may_be_below(&PeerId::from("leaf"), &PeerId::from("a")));
    }

    #[test]
    fn a_members_own_and_newer_word_counts() {
        let mut hierarchy = Hierarchy::default();
        let stamped = |parent, seq| Node { stamp: Some(Stamp { epoch: 1, seq }), ..node("a", parent) };
        assert_eq!(hierarchy.hear(Node { source: Source::Another, ..node("a", "x") }), Heard::New);
        assert_eq!(hierarchy.hear(stamped("y", 5)), Heard::Changed);
        assert_eq!(hierarchy.hear(Node { source: Source::Another, ..node("a", "x") }), Heard::Stale);
        assert_eq!(hierarchy.hear(stamped("z", 4)), Heard::Stale);
        assert_eq!(hierarchy.hear(stamped("y", 6)), Heard::Same);
        let later = Node { stamp: Some(Stamp { epoch: 2, seq: 0 }), ..node("a", "") };
        assert_eq!(hierarchy.hear(later), Heard::Changed);
    }

    proptest! {
        #[test]
        fn any_claims_make_a_forest_whatever_their_order(
            claims in proptest::collection::vec((0_u8..8, 0_u8..9, any::<bool>()), 0..20), seed in any::<u64>(),
        ) {
            let mut by_id = BTreeMap::new();
            for (id, parent, has_left) in claims {
                let mut node = node(&format!("n{id}"), &format!("n{parent}"));
                if has_left {
                    node.status = LEFT.to_owned();
                }
                by_id.insert(id, node);
            }
            let mut nodes: Vec<Node> = by_id.into_values().collect();
            let one = Hierarchy::new(nodes.clone());
            let turn = (seed as usize) % nodes.len().max(1);
            nodes.rotate_left(turn);
            let mut other = Hierarchy::default();
            for node in nodes {
                other.hear(node);
            }
            for node in one.iter() {
                prop_assert_eq!(one.parent(&node.id), other.parent(&node.id));
                let above = one.ancestors(&node.id);
                prop_assert!(!above.contains(&&node.id));
                prop_assert!(above.iter().all(|id| one.get(id).is_some_and(|node| node.status != LEFT)));
            }
        }
    }
}
