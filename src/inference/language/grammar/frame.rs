//! Where a machine is within one node.

use crate::inference::language::grammar::object::ObjectState;
use crate::inference::language::grammar::text::{TextState, TextStep};
use crate::inference::language::grammar::{
    ANY_ARRAY, ANY_NUMBER, ANY_OBJECT, ANY_TEXT, ANY_WORD, Grammar, Node, NodeId,
};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    Literal { node: NodeId, at: usize },
    OneOf { node: NodeId, typed: Vec<u8> },
    Text { node: NodeId, state: TextState, letters: u64 },
    Number { node: NodeId, typed: Vec<u8> },
    Object { node: NodeId, state: ObjectState },
    Array { node: NodeId, phase: ArrayPhase, count: u64 },
    Sequence { node: NodeId, at: usize },
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ArrayPhase {
    Before,
    First,
    Comma,
    Space,
    After,
}

/// What a frame does with a byte.
pub(super) enum Step {
    Take,
    /// Takes it and is done.
    TakeAndPop,
    /// Was done before it: the byte belongs to the frame below.
    Pop,
    /// A part begins with it.
    Enter(NodeId),
    /// The same, and this frame has no more to say.
    Become(NodeId),
    Refuse,
}

impl Frame {
    /// None for a node that is no place of its own ([`Node::Either`]).
    pub(super) fn of(grammar: &Grammar, node: NodeId) -> Option<Self> {
        Some(match &grammar.nodes[node] {
            Node::Literal(_) => Self::Literal { node, at: 0 },
            Node::OneOf(_) => Self::OneOf { node, typed: Vec::new() },
            Node::Text { .. } => Self::Text { node, state: TextState::Before, letters: 0 },
            Node::Number(_) => Self::Number { node, typed: Vec::new() },
            Node::Object(_) => Self::Object { node, state: ObjectState::new() },
            Node::Array { .. } => Self::Array { node, phase: ArrayPhase::Before, count: 0 },
            Node::Sequence(_) => Self::Sequence { node, at: 0 },
            Node::Any => Self::Any,
            Node::Either(_) => return None,
        })
    }

    pub(super) fn push(&mut self, grammar: &Grammar, byte: u8) -> Step {
        match self {
            Self::Any => match byte {
                b'{' => Step::Become(ANY_OBJECT),
                b'[' => Step::Become(ANY_ARRAY),
                b'"' => Step::Become(ANY_TEXT),
                b'-' | b'0'..=b'9' => Step::Become(ANY_NUMBER),
                _ => Step::Become(ANY_WORD),
            },
            Self::Literal { node, at } => {
                let Node::Literal(text) = &grammar.nodes[*node] else { return Step::Refuse };
                match text.get(*at) {
                    None => Step::Pop,
                    Some(wanted) if *wanted != byte => Step::Refuse,
                    Some(_) if *at + 1 == text.len() => Step::TakeAndPop,
                    Some(_) => {
                        *at += 1;
                        Step::Take
                    }
                }
            }
            Self::OneOf { node, typed } => {
                let Node::OneOf(texts) = &grammar.nodes[*node] else { return Step::Refuse };
                grow(
                    typed,
                    byte,
                    |typed| texts.iter().any(|text| text.starts_with(typed)),
                    |typed| texts.iter().any(|text| text == typed),
                )
            }
            Self::Number { node, typed } => {
                let Node::Number(rule) = &grammar.nodes[*node] else { return Step::Refuse };
                grow(typed, byte, |typed| rule.may_begin(typed), |typed| rule.is_whole(typed))
            }
            Self::Text { .. } => self.text(grammar, byte),
            Self::Array { .. } => self.array(grammar, byte),
            Self::Object { node, state } => {
                let Node::Object(rule) = &grammar.nodes[*node] else { return Step::Refuse };
                state.push(rule, byte)
            }
            Self::Sequence { node, at } => {
                let Node::Sequence(parts) = &grammar.nodes[*node] else { return Step::Refuse };
                let Some(part) = parts.get(*at) else { return Step::Pop };
                *at += 1;
                Step::Enter(*part)
            }
        }
    }

    /// Whether nothing more has to come.
    pub(super) fn may_end(&self, grammar: &Grammar) -> bool {
        match (self, self.node().map(|node| &grammar.nodes[node])) {
            (Self::Literal { at, .. }, Some(Node::Literal(text))) => *at == text.len(),
            (Self::OneOf { typed, .. }, Some(Node::OneOf(texts))) => texts.contains(typed),
            (Self::Number { typed, .. }, Some(Node::Number(rule))) => rule.is_whole(typed),
            (Self::Sequence { at, .. }, Some(Node::Sequence(parts))) => *at == parts.len(),
            _ => false,
        }
    }

    /// Whether nothing more can come.
    pub(super) fn is_done(&self, grammar: &Grammar) -> bool {
        matches!(self, Self::Sequence { .. }) && self.may_end(grammar)
    }

    fn node(&self) -> Option<NodeId> {
        match self {
            Self::Literal { node, .. }
            | Self::OneOf { node, .. }
            | Self::Text { node, .. }
            | Self::Number { node, .. }
            | Self::Object { node, .. }
            | Self::Array { node, .. }
            | Self::Sequence { node, .. } => Some(*node),
            Self::Any => None,
        }
    }

    fn text(&mut self, grammar: &Grammar, byte: u8) -> Step {
        let Self::Text { node, state, letters } = self else { return Step::Refuse };
        let Node::Text { letters_min, letters_max } = &grammar.nodes[*node] else { return Step::Refuse };
        // A character may only begin where there is room for it.
        let is_full = *state == TextState::Plain && *letters >= *letters_max && byte != b'"';
        match state.push(byte) {
            _ if is_full => Step::Refuse,
            TextStep::Next(next) => {
                *state = next;
                Step::Take
            }
            TextStep::Letter(next) => {
                *state = next;
                *letters += 1;
                Step::Take
            }
            TextStep::Close if *letters >= *letters_min => Step::TakeAndPop,
            TextStep::Close | TextStep::Refuse => Step::Refuse,
        }
    }

    fn array(&mut self, grammar: &Grammar, byte: u8) -> Step {
        let Self::Array { node, phase, count } = self else { return Step::Refuse };
        let Node::Array { item, count_min, count_max } = &grammar.nodes[*node] else { return Step::Refuse };
        match (*phase, byte) {
            (ArrayPhase::Before, b'[') => *phase = ArrayPhase::First,
            (ArrayPhase::First | ArrayPhase::After, b']') if *count >= *count_min => return Step::TakeAndPop,
            (ArrayPhase::After, b',') if *count < *count_max => *phase = ArrayPhase::Comma,
            (ArrayPhase::Comma, b' ') => *phase = ArrayPhase::Space,
            (ArrayPhase::First | ArrayPhase::Comma | ArrayPhase::Space, _) if *count < *count_max => {
                *phase = ArrayPhase::After;
                *count += 1;
                return Step::Enter(*item);
            }
            _ => return Step::Refuse,
        }
        Step::Take
    }
}

/// A text that ends where the next byte no longer belongs to it.
fn grow(typed: &mut Vec<u8>, byte: u8, may_begin: impl Fn(&[u8]) -> bool, is_whole: impl Fn(&[u8]) -> bool) -> Step {
    typed.push(byte);
    if may_begin(typed) {
        return Step::Take;
    }
    typed.pop();
    if is_whole(typed) { Step::Pop } else { Step::Refuse }
}
