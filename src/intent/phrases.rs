//! A word list: folded phrases of one or more words, each with a meaning.

use std::collections::HashMap;

use super::normalize::Sentence;

#[derive(Clone, Debug)]
pub struct Phrases<T> {
    meanings: HashMap<Box<str>, T>,
    bytes_max: usize,
}

impl<T> Default for Phrases<T> {
    fn default() -> Self {
        Self { meanings: HashMap::new(), bytes_max: 0 }
    }
}

impl<T> Phrases<T> {
    pub fn insert(&mut self, phrase: &str, meaning: T) {
        let folded = Sentence::new(phrase);
        if !folded.is_empty() {
            self.insert_folded(folded.joined(), meaning);
        }
    }

    pub fn insert_folded(&mut self, folded: &str, meaning: T) {
        self.bytes_max = self.bytes_max.max(folded.len());
        self.meanings.insert(folded.into(), meaning);
    }

    pub fn get(&self, folded: &str) -> Option<&T> {
        if folded.len() > self.bytes_max {
            return None;
        }
        self.meanings.get(folded)
    }

    /// The meaning already there, or a new one.
    pub fn entry(&mut self, folded: &str) -> &mut T
    where
        T: Default,
    {
        self.bytes_max = self.bytes_max.max(folded.len());
        self.meanings.entry(folded.into()).or_default()
    }

    /// The longest phrase that begins at token `from` and ends at or before `to`, and the token after it.
    pub fn longest(&self, sentence: &Sentence<'_>, from: usize, to: usize) -> Option<(&T, usize)> {
        let mut found = None;
        for end in from + 1..=to {
            let span = sentence.span(from, end);
            if span.len() > self.bytes_max {
                break;
            }
            if let Some(meaning) = self.meanings.get(span) {
                found = Some((meaning, end));
            }
        }
        found
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.meanings.iter().map(|(phrase, meaning)| (&**phrase, meaning))
    }
}

impl Phrases<()> {
    pub fn of(words: &[String]) -> Self {
        let mut phrases = Self::default();
        for word in words {
            phrases.insert(word, ());
        }
        phrases
    }

    /// The token after the longest phrase at `from`, or `from` when there is none.
    pub fn skip(&self, sentence: &Sentence<'_>, from: usize, to: usize) -> usize {
        self.longest(sentence, from, to).map_or(from, |(_, end)| end)
    }

    pub fn has(&self, folded: &str) -> bool {
        self.get(folded).is_some()
    }
}
