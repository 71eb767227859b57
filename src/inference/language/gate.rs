//! Which bytes an answer may go on with: free text until a call begins, then a call that follows its schema.

use crate::inference::language::grammar::Machine;

/// How a family of models marks calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `<tool_call>`, a line with JSON, `</tool_call>`: Qwen, Hermes, and whoever is told so.
    Tagged,
    /// The answer is nothing but JSON: Llama 3.
    Bare,
}

pub const OPEN: &str = "<tool_call>";
const CLOSE: &[u8] = b"</tool_call>";
/// Calls in one answer.
pub const CALLS_MAX: usize = 16;

/// The state after some bytes of an answer; cheap to clone, so that candidates can be tried.
#[derive(Clone, Debug)]
pub struct Gate {
    marks: Marks,
    /// A fresh one for every call.
    call: Option<Machine>,
    phase: Phase,
    calls: usize,
    calls_max: usize,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Text in which a call may begin: bytes of the mark that were matched, and whether anything was said.
    Free {
        matched: usize,
        said: bool,
    },
    Call(Machine),
    Close {
        at: usize,
    },
    Between {
        at: usize,
    },
    Json(Machine),
    Over,
}

/// Where a byte belonged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Text,
    /// It may be part of a mark; what was held is text when the next byte says so.
    Mark,
    /// The mark is complete.
    Opened,
    Call,
    /// The last byte of a call.
    CallEnd,
    /// Between calls.
    Nowhere,
}

impl Gate {
    /// Anything may be said.
    pub fn free() -> Self {
        Self::new(Marks::Tagged, None, 0, Phase::Free { matched: 0, said: false })
    }

    /// Anything, and calls.
    pub fn with_calls(marks: Marks, call: Machine) -> Self {
        Self::new(marks, Some(call), CALLS_MAX, Phase::Free { matched: 0, said: false })
    }

    /// The first call has begun already.
    pub fn in_call(marks: Marks, call: Machine, calls_max: usize) -> Self {
        let phase = Phase::Call(call.clone());
        Self::new(marks, Some(call), calls_max, phase)
    }

    /// Nothing but this JSON.
    pub fn json(machine: Machine) -> Self {
        Self::new(Marks::Bare, None, 0, Phase::Json(machine))
    }

    fn new(marks: Marks, call: Option<Machine>, calls_max: usize, phase: Phase) -> Self {
        Self { marks, call, phase, calls: 0, calls_max }
    }

    /// Whether bytes are refused at all in this phase.
    pub fn is_strict(&self) -> bool {
        !matches!(self.phase, Phase::Free { .. })
    }

    /// Whether a token with these bytes has to be tried before it is taken.
    pub fn cares_about(&self, bytes: &[u8]) -> bool {
        match self.phase {
            Phase::Free { .. } if self.call.is_none() => false,
            Phase::Free { matched, said } => match self.marks {
                Marks::Tagged => matched > 0 || bytes.contains(&b'<'),
                Marks::Bare => !said,
            },
            _ => true,
        }
    }

    /// Whether the answer may end here.
    pub fn may_end(&self) -> bool {
        match &self.phase {
            Phase::Free { .. } | Phase::Over => true,
            Phase::Between { at } => *at == 0,
            Phase::Json(machine) => machine.may_end(),
            Phase::Call(_) | Phase::Close { .. } => false,
        }
    }

    /// Whether nothing can follow.
    pub fn is_over(&self) -> bool {
        match &self.phase {
            Phase::Over => true,
            Phase::Json(machine) => machine.is_over(),
            _ => false,
        }
    }

    /// Where the byte belongs; nothing when it may not come now.
    pub fn push(&mut self, byte: u8) -> Option<Place> {
        match &mut self.phase {
            Phase::Free { .. } => self.free_text(byte),
            Phase::Call(machine) => {
                if byte == b'\n' && machine.is_fresh() {
                    return Some(Place::Nowhere);
                }
                if !machine.push(byte) {
                    return None;
                }
                if !machine.is_over() {
                    return Some(Place::Call);
                }
                self.calls += 1;
                self.phase = if self.marks == Marks::Bare { Phase::Over } else { Phase::Close { at: 0 } };
                Some(Place::CallEnd)
            }
            Phase::Close { at } => {
                if *at == 0 && byte == b'\n' {
                    return Some(Place::Nowhere);
                }
                let is_wanted = CLOSE.get(*at) == Some(&byte);
                *at += 1;
                if is_wanted && *at == CLOSE.len() {
                    self.phase = if self.calls < self.calls_max { Phase::Between { at: 0 } } else { Phase::Over };
                }
                is_wanted.then_some(Place::Nowhere)
            }
            Phase::Between { at } => {
                if *at == 0 && byte == b'\n' {
                    return Some(Place::Nowhere);
                }
                let is_wanted = OPEN.as_bytes().get(*at) == Some(&byte);
                *at += 1;
                if is_wanted && *at == OPEN.len() {
                    self.begin_call()?;
                }
                is_wanted.then_some(Place::Nowhere)
            }
            Phase::Json(machine) => machine.push(byte).then_some(Place::Text),
            Phase::Over => None,
        }
    }

    fn begin_call(&mut self) -> Option<()> {
        self.phase = Phase::Call(self.call.clone()?);
        Some(())
    }

    fn free_text(&mut self, byte: u8) -> Option<Place> {
        let Phase::Free { matched, said } = &mut self.phase else { return None };
        if self.call.is_none() {
            return Some(Place::Text);
        }
        if self.marks == Marks::Bare {
            if !*said && byte == b'{' {
                self.begin_call()?;
                let Phase::Call(machine) = &mut self.phase else { return None };
                return machine.push(byte).then_some(Place::Call);
            }
            *said |= !byte.is_ascii_whitespace();
            return Some(Place::Text);
        }
        // No part of the mark begins like the mark, save its first byte.
        *matched = match OPEN.as_bytes().get(*matched) {
            Some(wanted) if *wanted == byte => *matched + 1,
            _ => usize::from(byte == OPEN.as_bytes()[0]),
        };
        match *matched {
            0 => Some(Place::Text),
            all if all == OPEN.len() => {
                self.begin_call()?;
                Some(Place::Opened)
            }
            _ => Some(Place::Mark),
        }
    }
}
