//! Walks a grammar byte by byte, along all ways that are still open.

use std::sync::Arc;

use crate::inference::language::grammar::frame::{Frame, Step};
use crate::inference::language::grammar::{Grammar, Node, NodeId};

/// Ways that are followed at once; a choice among more tools than this follows the first ones.
const WAYS_MAX: usize = 256;
/// Parts within one another.
const DEPTH_MAX: usize = 64;

/// The state after some bytes. Clones are cheap enough to try each candidate on one.
#[derive(Clone, Debug)]
pub struct Machine {
    grammar: Arc<Grammar>,
    /// Each way is a stack of frames; an empty one has arrived.
    ways: Vec<Vec<Frame>>,
    is_fresh: bool,
}

impl Machine {
    pub fn new(grammar: Arc<Grammar>) -> Self {
        let mut ways = Vec::new();
        enter(&grammar, Vec::new(), grammar.root, 0, &mut ways);
        Self { grammar, ways, is_fresh: true }
    }

    /// Whether the byte may come now. After a refusal the machine is of no more use.
    pub fn push(&mut self, byte: u8) -> bool {
        self.is_fresh = false;
        let mut open = std::mem::take(&mut self.ways);
        while let Some(mut way) = open.pop() {
            let Some(frame) = way.last_mut() else { continue };
            match frame.push(&self.grammar, byte) {
                Step::Take => self.ways.push(way),
                Step::TakeAndPop => {
                    way.pop();
                    // What was only waiting for this part is done as well.
                    while way.last().is_some_and(|frame| frame.is_done(&self.grammar)) {
                        way.pop();
                    }
                    self.ways.push(way);
                }
                Step::Pop => {
                    way.pop();
                    open.push(way);
                }
                Step::Enter(node) => enter(&self.grammar, way, node, 0, &mut open),
                Step::Become(node) => {
                    way.pop();
                    enter(&self.grammar, way, node, 0, &mut open);
                }
                Step::Refuse => {}
            }
            if self.ways.len() + open.len() > WAYS_MAX {
                open.truncate(WAYS_MAX.saturating_sub(self.ways.len()));
            }
        }
        self.ways.dedup();
        !self.ways.is_empty()
    }

    /// Whether nothing has come yet.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Whether the bytes so far are a whole sentence.
    pub fn may_end(&self) -> bool {
        self.ways.iter().any(|way| way.iter().all(|frame| frame.may_end(&self.grammar)))
    }

    /// Whether nothing can follow.
    pub fn is_over(&self) -> bool {
        self.ways.iter().all(Vec::is_empty)
    }
}

/// Puts a node on top of a way; a choice splits it.
fn enter(grammar: &Grammar, mut way: Vec<Frame>, node: NodeId, nested: usize, open: &mut Vec<Vec<Frame>>) {
    if way.len() >= DEPTH_MAX || nested >= DEPTH_MAX || open.len() >= WAYS_MAX {
        return;
    }
    match (&grammar.nodes[node], Frame::of(grammar, node)) {
        (_, Some(frame)) => {
            way.push(frame);
            open.push(way);
        }
        (Node::Either(choices), None) => {
            for choice in choices {
                enter(grammar, way.clone(), *choice, nested + 1, open);
            }
        }
        _ => {}
    }
}
