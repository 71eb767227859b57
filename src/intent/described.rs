//! How an answer calls what was meant: the person's own words, put so that they can begin a sentence.

use super::command::Hearing;
use super::kind::{Described, GrammaticalNumber};
use super::normalize::Sentence;
use super::resolve::{Phrase, Quantity, Scope};
use super::template::Slot;
use super::trie::Reading;
use super::vocabulary::Row;

/// A phrase this good is a name of its own.
const NAME_QUALITY_MIN: i32 = 8;

impl Hearing<'_> {
    /// The person's own words for target and place.
    pub fn said(&self, reading: &Reading) -> Option<String> {
        let words = |slot| self.capture(reading, slot).map(|capture| self.sentence.written(capture.from, capture.to));
        match (words(Slot::Target), words(Slot::Place)) {
            (Some(target), Some(place)) => Some(format!("{target} {place}")),
            (target, place) => target.or(place).map(str::to_owned),
        }
    }

    /// How the answer names what was chosen: the person's words in the nominative, or the names where there were no words.
    pub fn described(&self, reading: &Reading, phrase: &Phrase, rows: &[Row]) -> Described {
        let said =
            self.said(reading).filter(|said| !phrase.recent && said.chars().any(char::is_lowercase) | !said.is_ascii());
        let Some(said) = said else {
            let names: Vec<&str> = rows.iter().map(|row| self.vocabulary.row(*row).name.as_str()).collect();
            let number = self.language.number_of(&names);
            return Described { words: self.language.replies.names(self.language, &names), number };
        };
        let several = rows.len() > 1 && matches!(phrase.quantity, Quantity::Many | Quantity::All | Quantity::Any);
        let everything = phrase.scope == Scope::Everything && phrase.classes == 0;
        let number = match phrase.number {
            Some(number) => number,
            None if everything => GrammaticalNumber::One,
            None if several => GrammaticalNumber::Many,
            None => self.language.number_of(&[&said]),
        };
        Described { words: self.nominative(&said, phrase), number }
    }

    /// "den Ventilator" becomes "der Ventilator", "kitchen lamp" becomes "the kitchen lamp".
    fn nominative(&self, said: &str, phrase: &Phrase) -> String {
        let words = &self.language.words;
        let mut fixed: Vec<&str> = said.split_whitespace().collect();
        for pair in words.nominative.chunks_exact(2) {
            if let Some(first) = fixed.first_mut()
                && first.to_lowercase() == pair[0]
            {
                *first = &pair[1];
            }
        }
        let joined = fixed.join(" ");
        let sentence = Sentence::new(&joined);
        let bare = self.language.particles.longest(&sentence, 0, sentence.len()).is_none();
        let own_name = phrase.quality >= NAME_QUALITY_MIN
            && !words
                .common
                .iter()
                .any(|word| Sentence::new(word).joined() == sentence.token(sentence.len().saturating_sub(1)));
        match words.definite.first() {
            Some(definite) if bare && !own_name && !joined.contains(['\'', '’']) => format!("{definite} {joined}"),
            _ => joined,
        }
    }
}
