//! Sentence templates: `[optional]`, `(one|other)`, `<rule>`, `{slot}` and words.

use std::collections::BTreeMap;

use super::normalize::Sentence;

/// Parts of one template with its rules.
const PARTS_MAX: usize = 1000;
const DEPTH_MAX: usize = 12;

/// A hole in a template and what may stand there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    Target,
    Place,
    Value,
    Color,
    Mode,
    Duration,
    When,
    /// Words that name a timer.
    Label,
    /// Anything.
    Text,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Piece {
    Word(String),
    Slot(Slot),
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("unknown slot {{{0}}}; known are target, place, value, color, mode, duration, when, label, text")]
    UnknownSlot(String),
    #[error("unknown rule <{0}>")]
    UnknownRule(String),
    #[error("`{0}` is never closed")]
    NotClosed(char),
    #[error("unexpected `{0}`")]
    Unexpected(char),
    #[error("it has too many parts, or its rules are nested too deeply")]
    TooLarge,
    #[error("it can be empty")]
    Empty,
}

impl Slot {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "target" => Self::Target,
            "place" => Self::Place,
            "value" => Self::Value,
            "color" => Self::Color,
            "mode" => Self::Mode,
            "duration" => Self::Duration,
            "when" => Self::When,
            "label" => Self::Label,
            "text" => Self::Text,
            _ => return None,
        })
    }
}

/// What a template is made of. An optional part is a choice with an empty [`Pattern::Chain`].
#[derive(Clone, PartialEq, Debug)]
pub enum Pattern {
    Piece(Piece),
    Chain(Vec<Pattern>),
    Choice(Vec<Pattern>),
}

impl Pattern {
    /// Whether it can stand for nothing at all.
    fn can_be_empty(&self) -> bool {
        match self {
            Self::Piece(_) => false,
            Self::Chain(parts) => parts.iter().all(Self::can_be_empty),
            Self::Choice(parts) => parts.iter().any(Self::can_be_empty),
        }
    }
}

/// Reads a template, with its rules filled in.
pub fn parse(template: &str, rules: &BTreeMap<String, String>) -> Result<Pattern, TemplateError> {
    let mut size = 0;
    let mut parser = Parser { rest: template, rules, depth: 0, size: &mut size };
    let pattern = parser.alternatives(None)?;
    if pattern.can_be_empty() {
        return Err(TemplateError::Empty);
    }
    Ok(pattern)
}

struct Parser<'a, 's> {
    rest: &'a str,
    rules: &'a BTreeMap<String, String>,
    depth: usize,
    /// Parts read so far, those of rules included.
    size: &'s mut usize,
}

impl Parser<'_, '_> {
    /// `a|b|c` up to `close`.
    fn alternatives(&mut self, close: Option<char>) -> Result<Pattern, TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(TemplateError::TooLarge);
        }
        let mut all = Vec::new();
        let mut current = Vec::new();
        loop {
            let Some(next) = self.rest.chars().next() else {
                if let Some(close) = close {
                    return Err(TemplateError::NotClosed(close));
                }
                break;
            };
            match next {
                '|' => {
                    self.rest = &self.rest[1..];
                    all.push(Pattern::Chain(std::mem::take(&mut current)));
                }
                ')' | ']' => {
                    if Some(next) != close {
                        return Err(TemplateError::Unexpected(next));
                    }
                    self.rest = &self.rest[1..];
                    break;
                }
                _ => current.push(self.part(next)?),
            }
        }
        all.push(Pattern::Chain(current));
        self.depth -= 1;
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Pattern::Choice(all) })
    }

    fn part(&mut self, next: char) -> Result<Pattern, TemplateError> {
        *self.size += 1;
        if *self.size > PARTS_MAX {
            return Err(TemplateError::TooLarge);
        }
        match next {
            '(' => {
                self.rest = &self.rest[1..];
                self.alternatives(Some(')'))
            }
            '[' => {
                self.rest = &self.rest[1..];
                let optional = self.alternatives(Some(']'))?;
                Ok(Pattern::Choice(vec![optional, Pattern::Chain(Vec::new())]))
            }
            '{' => {
                let name = self.enclosed('}')?;
                let slot = Slot::named(&name).ok_or(TemplateError::UnknownSlot(name))?;
                Ok(Pattern::Piece(Piece::Slot(slot)))
            }
            '<' => {
                let name = self.enclosed('>')?;
                let rule = self.rules.get(&name).ok_or(TemplateError::UnknownRule(name))?;
                let mut inner = Parser { rest: rule, rules: self.rules, depth: self.depth, size: self.size };
                inner.alternatives(None)
            }
            '}' | '>' => Err(TemplateError::Unexpected(next)),
            _ => Ok(self.words()),
        }
    }

    fn enclosed(&mut self, close: char) -> Result<String, TemplateError> {
        let end = self.rest.find(close).ok_or(TemplateError::NotClosed(close))?;
        let name = self.rest[1..end].to_owned();
        self.rest = &self.rest[end + 1..];
        Ok(name)
    }

    fn words(&mut self) -> Pattern {
        let end = self.rest.find(['(', '[', '{', '<', ')', ']', '}', '>', '|']).unwrap_or(self.rest.len());
        let words = Sentence::new(&self.rest[..end]);
        self.rest = &self.rest[end..];
        let pieces = (0..words.len()).map(|index| Pattern::Piece(Piece::Word(words.token(index).to_owned())));
        Pattern::Chain(pieces.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sequence it stands for.
    fn sequences(pattern: &Pattern) -> Vec<Vec<Piece>> {
        match pattern {
            Pattern::Piece(piece) => vec![vec![piece.clone()]],
            Pattern::Choice(parts) => parts.iter().flat_map(sequences).collect(),
            Pattern::Chain(parts) => parts.iter().fold(vec![Vec::new()], |all, part| {
                let endings = sequences(part);
                all.iter().flat_map(|start| endings.iter().map(|end| [&start[..], end].concat())).collect()
            }),
        }
    }

    fn spelled(template: &str) -> Result<Vec<String>, TemplateError> {
        let rules =
            BTreeMap::from([("turn".to_owned(), "(turn|switch)".to_owned()), ("loop".to_owned(), "<loop>".to_owned())]);
        let pattern = parse(template, &rules)?;
        Ok(sequences(&pattern)
            .iter()
            .map(|pieces| {
                let words: Vec<String> = pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Word(word) => word.clone(),
                        Piece::Slot(slot) => format!("{slot:?}"),
                    })
                    .collect();
                words.join(" ")
            })
            .collect())
    }

    #[test]
    fn a_template_stands_for_all_its_alternatives() {
        assert_eq!(
            spelled("<turn> [the] {target} (on|off)").unwrap(),
            [
                "turn the Target on",
                "turn the Target off",
                "turn Target on",
                "turn Target off",
                "switch the Target on",
                "switch the Target off",
                "switch Target on",
                "switch Target off",
            ]
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(spelled("turn {lamp}"), Err(TemplateError::UnknownSlot("lamp".into())));
        assert_eq!(spelled("<turm> on"), Err(TemplateError::UnknownRule("turm".into())));
        assert_eq!(spelled("turn (on|off"), Err(TemplateError::NotClosed(')')));
        assert_eq!(spelled("turn on)"), Err(TemplateError::Unexpected(')')));
        assert_eq!(spelled("<loop>"), Err(TemplateError::TooLarge));
        assert_eq!(spelled("[please]"), Err(TemplateError::Empty));
        assert_eq!(parse(&"a[b]".repeat(600), &BTreeMap::new()), Err(TemplateError::TooLarge));
    }

    proptest::proptest! {
        #[test]
        fn no_template_panics(template in "[a-z (){}<>|\\[\\]ü]{0,60}") {
            if let Ok(pattern) = parse(&template, &BTreeMap::new()) {
                proptest::prop_assert!(!pattern.can_be_empty());
            }
        }
    }
}
