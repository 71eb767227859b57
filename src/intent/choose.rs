//! The question back ("Which one: desk or ceiling?") and the answer to it.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::kind::{Described, GrammaticalNumber, Intent, IntentKind, LanguageId, Order};
use super::language::{Language, Particle};
use super::matcher::Recognition;
use super::normalize::Sentence;
use super::phrases::Phrases;
use super::say::reply::ReplyKey;
use super::suit::main_rows;
use super::vocabulary::{Row, Vocabulary, stem};
use crate::base::id::EntityId;

/// Choices that are read out; more can still be answered by name.
const CHOICES_SAID_MAX: usize = 6;
/// Choices that are kept until the answer; of more, nobody asks for one by a part of its name.
const CHOICES_MAX: usize = 40;
/// A longer answer is not a choice.
const ANSWER_TOKENS_MAX: usize = 12;

/// A question that waits for the person; stored in the session between turns.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Question {
    pub language: LanguageId,
    pub text: String,
    pub choices: Vec<Choice>,
    /// What will be done with the chosen ones.
    pub waiting: IntentKind,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// What tells it from the others.
    pub label: String,
    pub name: String,
    pub room: Option<String>,
    pub targets: Vec<EntityId>,
}

/// Asks which of `rows` is meant, one choice per device.
pub fn question(language: &Language, vocabulary: &Vocabulary, rows: &[Row], waiting: IntentKind) -> Question {
    let mut devices: Vec<(u32, Vec<Row>)> = Vec::new();
    for row in rows {
        let device = vocabulary.row(*row).device;
        match devices.iter_mut().find(|(other, _)| *other == device) {
            Some((_, rows)) => rows.push(*row),
            None => devices.push((device, vec![*row])),
        }
    }
    let mut choices: Vec<Choice> = devices
        .into_iter()
        .take(CHOICES_MAX)
        .map(|(_, rows)| {
            let rows = main_rows(vocabulary, rows);
            let first = vocabulary.row(rows[0]);
            let targets = rows.iter().map(|row| vocabulary.row(*row).id.clone()).collect();
            Choice { label: String::new(), name: first.name.clone(), room: first.room_name.clone(), targets }
        })
        .collect();
    let labels = labels(language, &choices);
    for (choice, label) in choices.iter_mut().zip(labels) {
        choice.label = label;
    }
    ask(language, choices, waiting)
}

fn ask(language: &Language, choices: Vec<Choice>, waiting: IntentKind) -> Question {
    let labels: Vec<&str> = choices.iter().take(CHOICES_SAID_MAX).map(|choice| choice.label.as_str()).collect();
    let list = language.replies.list(&labels, ReplyKey::Or);
    let text = language.replies.say(ReplyKey::Which, GrammaticalNumber::One, &[("choices", &list)]);
    Question { language: language.id.clone(), text, choices, waiting }
}

impl Question {
    /// The meaning of `text` as an answer; `None` when it is something else.
    pub(super) fn answer(&self, language: &Language, text: &str) -> Option<Recognition> {
        let words = &language.words;
        let sentence = Sentence::new(text);
        if sentence.is_empty() || sentence.is_cut() || sentence.len() > ANSWER_TOKENS_MAX {
            return None;
        }
        let is = |list: &[String], sentence: &Sentence<'_>| {
            list.iter().any(|word| Sentence::new(word).joined() == sentence.joined())
        };
        if is(&words.cancel, &sentence) {
            return Some(Recognition::Intent(Intent { language: language.id.clone(), kind: IntentKind::NeverMind }));
        }
        let fillers = Phrases::of(&words.choice_fillers);
        let small = |index: usize| {
            let token = sentence.token(index);
            fillers.has(token)
                || language.fillers.has(token)
                || matches!(language.particles.get(token), Some(Particle::Article | Particle::Preposition))
        };
        let bare = sentence.filtered(|index| !small(index));
        if is(&words.both, &sentence) || is(&words.both, &bare) {
            return Some(self.chosen(language, self.choices.iter().collect()));
        }
        if let Some(index) = self.ordinal(language, &sentence).or_else(|| self.ordinal(language, &bare)) {
            return self.choices.get(index).map(|choice| self.chosen(language, vec![choice]));
        }
        let mut picked: Vec<&Choice> = Vec::new();
        let mut from = 0;
        for at in 0..=bare.len() {
            let after = if at < bare.len() { language.and.skip(&bare, at, bare.len()) } else { at };
            if at < bare.len() && after == at {
                continue;
            }
            let matching: Vec<&Choice> =
                self.choices.iter().filter(|choice| choice.is_called(&bare, from, at)).collect();
            match matching.as_slice() {
                [choice] => picked.push(choice),
                [] => return None,
                // Not enough to decide, but the person is answering.
                several if several.len() < self.choices.len() => {
                    return Some(Recognition::Ask(ask(
                        language,
                        several.iter().copied().cloned().collect(),
                        self.waiting.clone(),
                    )));
                }
                _ => return None,
            }
            from = after;
        }
        Some(self.chosen(language, picked))
    }

    fn ordinal(&self, language: &Language, sentence: &Sentence<'_>) -> Option<usize> {
        let words = &language.words;
        let ordinals =
            [(&words.first, 0), (&words.second, 1), (&words.third, 2), (&words.last, self.choices.len() - 1)];
        let is = |word: &String| Sentence::new(word).joined() == sentence.joined();
        let found = ordinals.iter().find(|(list, _)| list.iter().any(is)).map(|(_, index)| *index);
        // A digit that is part of a name names it.
        let in_a_name = sentence.len() == 1 && self.choices.iter().any(|choice| choice.is_called(sentence, 0, 1));
        found.filter(|_| !in_a_name)
    }

    fn chosen(&self, language: &Language, choices: Vec<&Choice>) -> Recognition {
        let names: Vec<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
        let number = language.number_of(&names);
        let what = Described { words: language.replies.names(language, &names), number };
        let targets: Vec<EntityId> = choices.iter().flat_map(|choice| choice.targets.iter().cloned()).collect();
        let kind = match self.waiting.clone() {
            IntentKind::Command(order) => IntentKind::Command(Order { targets, what, ..order }),
            IntentKind::Query { about, .. } => IntentKind::Query { targets, about, what },
            other => other,
        };
        Recognition::Intent(Intent { language: self.language.clone(), kind })
    }
}

impl Choice {
    /// Every token of the answer occurs in the name, the room or, as a beginning, in one of their compounds.
    fn is_called(&self, answer: &Sentence<'_>, from: usize, to: usize) -> bool {
        let known = format!("{} {} {}", self.label, self.name, self.room.as_deref().unwrap_or(""));
        let known = Sentence::new(&known);
        let matches = |token: &str| {
            (0..known.len()).any(|index| {
                let word = known.token(index);
                word == token
                    || stem(word) == stem(token)
                    || token.len() >= 4 && (word.starts_with(token) || word.starts_with(stem(token)))
            })
        };
        from < to && (from..to).all(|index| matches(answer.token(index)))
    }
}

/// The shortest words that tell the choices apart: what their names do not share, else their rooms.
fn labels(language: &Language, choices: &[Choice]) -> Vec<String> {
    let names: Vec<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
    let mut bearers: HashMap<String, usize> = HashMap::new();
    for name in &names {
        let words: HashSet<String> = name.split_whitespace().map(str::to_lowercase).collect();
        words.into_iter().for_each(|word| *bearers.entry(word).or_default() += 1);
    }
    let shared = |word: &str| bearers.get(&word.to_lowercase()) == Some(&names.len());
    let short = |name: &&str| {
        let words: Vec<&str> = name.split_whitespace().filter(|word| !shared(word)).collect();
        language.replies.plain_name(language, &words.join(" "))
    };
    let rooms = || {
        choices
            .iter()
            .map(|choice| language.replies.plain_name(language, choice.room.as_deref().unwrap_or("")))
            .collect()
    };
    let full = || names.iter().map(|name| language.replies.plain_name(language, name)).collect();
    let both = || {
        choices.iter().map(|choice| format!("{} ({})", choice.name, choice.room.as_deref().unwrap_or("–"))).collect()
    };
    let candidates: [Vec<String>; 4] = [names.iter().map(short).collect(), rooms(), full(), both()];
    let distinct = |labels: &Vec<String>| {
        let mut seen = HashSet::new();
        labels.iter().all(|label| !label.is_empty() && seen.insert(label.as_str()))
    };
    candidates.iter().find(|labels| distinct(labels)).unwrap_or(&candidates[3]).clone()
}
