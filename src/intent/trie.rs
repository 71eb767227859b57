//! All templates of a language in one tree, walked once per sentence.

use std::collections::HashMap;

use super::kind::Sense;
use super::normalize::Sentence;
use super::template::{Pattern, Piece, Slot};

/// Nodes visited per sentence; real sentences need a few hundred.
const VISITS_MAX: usize = 20_000;
/// Ways to read one sentence that are kept for judging.
const READINGS_MAX: usize = 64;
/// A name for a timer is this short.
const LABEL_TOKENS_MAX: usize = 4;

#[derive(Default)]
pub struct Trie {
    nodes: Vec<Node>,
    words: HashMap<Box<str>, u32>,
}

#[derive(Default)]
struct Node {
    /// Word and where it leads, by word; a word may lead to several nodes.
    words: Vec<(u32, u32)>,
    slots: Vec<(Slot, u32)>,
    senses: Vec<Sense>,
    /// Nodes that are reached without a word; gone after [`Trie::finish`].
    jumps: Vec<u32>,
}

/// The tokens that stand in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capture {
    pub slot: Slot,
    pub from: usize,
    pub to: usize,
}

/// One way to read the sentence.
#[derive(Clone, Debug)]
pub struct Reading {
    pub sense: Sense,
    pub captures: Vec<Capture>,
    pub literals: usize,
}

impl Trie {
    pub fn insert(&mut self, pattern: &Pattern, sense: Sense) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let end = self.add(pattern, 0);
        let senses = &mut self.nodes[end as usize].senses;
        if !senses.contains(&sense) {
            senses.push(sense);
        }
    }

    /// Adds the ways of `pattern` from node `at`; returns the node they all end in.
    fn add(&mut self, pattern: &Pattern, at: u32) -> u32 {
        match pattern {
            Pattern::Piece(_) => {
                let end = self.new_node();
                self.connect(pattern, at, end);
                end
            }
            Pattern::Chain(parts) => parts.iter().fold(at, |at, part| self.add(part, at)),
            Pattern::Choice(parts) => {
                let end = self.new_node();
                parts.iter().for_each(|part| self.connect(part, at, end));
                end
            }
        }
    }

    /// Adds the ways of `pattern` from `at` to `end`.
    fn connect(&mut self, pattern: &Pattern, at: u32, end: u32) {
        match pattern {
            Pattern::Piece(Piece::Word(word)) => {
                let new_word = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
                let word = *self.words.entry(word.as_str().into()).or_insert(new_word);
                self.nodes[at as usize].words.push((word, end));
            }
            Pattern::Piece(Piece::Slot(slot)) => self.nodes[at as usize].slots.push((*slot, end)),
            Pattern::Chain(parts) => match parts.split_last() {
                None => self.nodes[at as usize].jumps.push(end),
                Some((last, front)) => {
                    let at = front.iter().fold(at, |at, part| self.add(part, at));
                    self.connect(last, at, end);
                }
            },
            Pattern::Choice(parts) => parts.iter().for_each(|part| self.connect(part, at, end)),
        }
    }

    /// Resolves jumps, sorts and shrinks after the last insertion.
    pub fn finish(&mut self) {
        // Jumps lead to nodes that were made later, or to the end of a choice made before its parts: follow them all.
        let reached: Vec<Vec<u32>> = (0..self.nodes.len()).map(|at| self.jumped(at)).collect();
        for (at, reached) in reached.into_iter().enumerate() {
            for other in reached {
                let other = &self.nodes[other as usize];
                let (words, slots, senses) = (other.words.clone(), other.slots.clone(), other.senses.clone());
                let node = &mut self.nodes[at];
                node.words.extend(words);
                node.slots.extend(slots);
                node.senses.extend(senses);
            }
        }
        for node in &mut self.nodes {
            node.jumps = Vec::new();
            node.words.sort_unstable();
            node.words.dedup();
            node.words.shrink_to_fit();
            node.slots.sort_unstable_by_key(|(slot, next)| (*slot as u8, *next));
            node.slots.dedup();
            node.slots.shrink_to_fit();
            node.senses.sort_unstable();
            node.senses.dedup();
            node.senses.shrink_to_fit();
        }
        self.nodes.shrink_to_fit();
    }

    /// Every node that jumps lead to from `at`, itself left out.
    fn jumped(&self, at: usize) -> Vec<u32> {
        let mut reached: Vec<u32> = Vec::new();
        let mut open = self.nodes[at].jumps.clone();
        while let Some(next) = open.pop() {
            if !reached.contains(&next) {
                reached.push(next);
                open.extend(&self.nodes[next as usize].jumps);
            }
        }
        reached
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Every way to read `sentence`. `ends` names the ends of slots whose words decide where they end (numbers, times).
    pub fn read(&self, sentence: &Sentence<'_>, ends: &dyn Fn(Slot, usize) -> Option<usize>) -> Vec<Reading> {
        let mut walk = Walk {
            trie: self,
            sentence,
            ends,
            ids: (0..sentence.len()).map(|index| self.words.get(sentence.token(index)).copied()).collect(),
            captures: Vec::new(),
            readings: Vec::new(),
            visits: 0,
        };
        if !self.nodes.is_empty() && !sentence.is_empty() {
            walk.visit(0, 0, 0);
        }
        walk.readings
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn new_node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        u32::try_from(self.nodes.len() - 1).expect("invariant: templates are capped far below the range of an index")
    }
}

struct Walk<'a, 't> {
    trie: &'a Trie,
    sentence: &'a Sentence<'t>,
    ends: &'a dyn Fn(Slot, usize) -> Option<usize>,
    ids: Vec<Option<u32>>,
    captures: Vec<Capture>,
    readings: Vec<Reading>,
    visits: usize,
}

impl Walk<'_, '_> {
    fn visit(&mut self, node: u32, at: usize, literals: usize) {
        self.visits += 1;
        if self.visits > VISITS_MAX || self.readings.len() >= READINGS_MAX {
            return;
        }
        let trie = self.trie;
        let node = trie.node(node);
        if at == self.ids.len() {
            // A text that goes on is only understood where free text may go on.
            let open_end = self.captures.last().is_some_and(|capture| capture.slot == Slot::Text && capture.to == at);
            if !self.sentence.is_cut() || open_end {
                let captures = &self.captures;
                self.readings.extend(node.senses.iter().map(|sense| Reading {
                    sense: *sense,
                    captures: captures.clone(),
                    literals,
                }));
            }
            return;
        }
        if let Some(id) = self.ids[at] {
            let from = node.words.partition_point(|(word, _)| *word < id);
            for (_, next) in node.words[from..].iter().take_while(|(word, _)| *word == id) {
                self.visit(*next, at + 1, literals + 1);
            }
        }
        for (slot, next) in &node.slots {
            self.fill(*slot, *next, at, literals);
        }
    }

    fn fill(&mut self, slot: Slot, next: u32, at: usize, literals: usize) {
        let len = self.ids.len();
        match slot {
            Slot::Value | Slot::Color | Slot::Mode | Slot::Duration | Slot::When => {
                if let Some(end) = (self.ends)(slot, at) {
                    self.step(Capture { slot, from: at, to: end }, next, literals);
                }
            }
            Slot::Target | Slot::Place | Slot::Text | Slot::Label => {
                let longest = if slot == Slot::Label { (at + LABEL_TOKENS_MAX).min(len) } else { len };
                for end in (at + 1..=longest).rev().filter(|end| self.goes_on(next, *end)).collect::<Vec<_>>() {
                    self.step(Capture { slot, from: at, to: end }, next, literals);
                }
            }
        }
    }

    /// A look ahead that spares most steps: can anything follow at `at`?
    fn goes_on(&self, node: u32, at: usize) -> bool {
        let node = self.trie.node(node);
        match self.ids.get(at) {
            None => !node.senses.is_empty(),
            Some(id) => {
                !node.slots.is_empty()
                    || id.is_some_and(|id| node.words.binary_search_by_key(&id, |(word, _)| *word).is_ok())
            }
        }
    }

    fn step(&mut self, capture: Capture, next: u32, literals: usize) {
        self.captures.push(capture);
        self.visit(next, capture.to, literals);
        self.captures.pop();
    }
}
