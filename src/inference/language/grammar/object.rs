//! The inside of a JSON object: which keys may come, and when it may end.

use crate::inference::language::grammar::ObjectRule;
use crate::inference::language::grammar::frame::Step;

/// Longest key that the rule does not list, in bytes.
const KEY_BYTES_MAX: usize = 64;
/// Keys in one object that the rule does not list: a model that cannot stop has to come back to those that are needed.
const OTHERS_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ObjectState {
    /// Bits of the fields that are there.
    seen: u128,
    /// Keys that the rule does not list.
    others: usize,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Before,
    FirstKey,
    /// After a comma, and after the space behind it.
    Comma,
    Space,
    Key(Vec<u8>),
    /// The key is said: the field, or none for one that is not listed.
    Colon(Option<usize>),
    ColonSpace(Option<usize>),
    ValueSpace(Option<usize>),
    After,
}

impl ObjectState {
    pub(super) fn new() -> Self {
        Self { seen: 0, others: 0, phase: Phase::Before }
    }

    pub(super) fn push(&mut self, rule: &ObjectRule, byte: u8) -> Step {
        match (&self.phase, byte) {
            (Phase::Before, b'{') => self.go(Phase::FirstKey),
            (Phase::FirstKey | Phase::After, b'}') if self.may_end(rule) => Step::TakeAndPop,
            (Phase::FirstKey | Phase::Comma | Phase::Space, b'"') if self.may_go_on(rule) => {
                self.go(Phase::Key(Vec::new()))
            }
            (Phase::Comma, b' ') => self.go(Phase::Space),
            (Phase::After, b',') if self.may_go_on(rule) => self.go(Phase::Comma),
            (Phase::Key(_), _) => self.key(rule, byte),
            (Phase::Colon(field), b':') => self.go(Phase::ColonSpace(*field)),
            (Phase::ColonSpace(field), b' ') => self.go(Phase::ValueSpace(*field)),
            (Phase::ColonSpace(field) | Phase::ValueSpace(field), _) => {
                let node = field.map_or(rule.others, |field| Some(rule.fields[field].value));
                self.phase = Phase::After;
                node.map_or(Step::Refuse, Step::Enter)
            }
            _ => Step::Refuse,
        }
    }

    fn go(&mut self, phase: Phase) -> Step {
        self.phase = phase;
        Step::Take
    }

    fn is_seen(&self, field: usize) -> bool {
        self.seen >> field & 1 == 1
    }

    fn may_end(&self, rule: &ObjectRule) -> bool {
        rule.fields.iter().enumerate().all(|(field, known)| !known.is_required || self.is_seen(field))
    }

    fn may_go_on(&self, rule: &ObjectRule) -> bool {
        self.may_go_beyond(rule) || (0..rule.fields.len()).any(|field| !self.is_seen(field))
    }

    fn may_go_beyond(&self, rule: &ObjectRule) -> bool {
        rule.others.is_some() && self.others < OTHERS_MAX
    }

    fn key(&mut self, rule: &ObjectRule, byte: u8) -> Step {
        let Phase::Key(typed) = &mut self.phase else { return Step::Refuse };
        let escapes = typed.iter().rev().take_while(|byte| **byte == b'\\').count();
        if byte == b'"' && escapes.is_multiple_of(2) {
            let known = rule.fields.iter().position(|field| field.key == *typed);
            return match known {
                Some(field) if self.is_seen(field) => Step::Refuse,
                Some(field) => {
                    self.seen |= 1 << field;
                    self.go(Phase::Colon(Some(field)))
                }
                None if rule.others.is_some() && self.others < OTHERS_MAX => {
                    self.others += 1;
                    self.go(Phase::Colon(None))
                }
                None => Step::Refuse,
            };
        }
        typed.push(byte);
        let begins = |(field, known): (usize, &crate::inference::language::grammar::Field)| {
            self.seen >> field & 1 == 0 && known.key.starts_with(typed)
        };
        let is_known = rule.fields.iter().enumerate().any(begins);
        // Keys that are not listed are plain, so that none is a listed one in disguise.
        let is_plain = typed.iter().all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\'));
        let is_other = rule.others.is_some() && self.others < OTHERS_MAX && is_plain && typed.len() <= KEY_BYTES_MAX;
        if is_known || is_other { Step::Take } else { Step::Refuse }
    }
}
