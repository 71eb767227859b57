//! Wording of answers: everything the assistant says without a model, in the person's language, from the language's file.

pub mod answer;
pub mod moment;
pub mod outcome;
pub mod reply;
pub mod situation;

use super::kind::GrammaticalNumber;
use super::language::Language;
use crate::base::clock::Timestamp;
use reply::ReplyKey;

/// Speaks one language.
#[derive(Clone, Copy)]
pub struct Say<'a> {
    language: &'a Language,
}

/// A text from memory, when it was said, and how it came there.
#[derive(Clone, PartialEq, Debug)]
pub struct Noted {
    pub text: String,
    pub at: Timestamp,
    pub origin: NoteOrigin,
}

/// How a text came into the memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoteOrigin {
    /// Somebody said it, to be remembered.
    Told,
    /// It is from a conversation.
    Talk,
    /// It is from a file of this name.
    File(String),
    /// A hub of this name shared it.
    Peer(String),
}

impl<'a> Say<'a> {
    pub(super) fn new(language: &'a Language) -> Self {
        Self { language }
    }

    fn one(&self, key: ReplyKey, values: &[(&str, &str)]) -> String {
        self.language.replies.say(key, GrammaticalNumber::One, values)
    }

    fn numbered(&self, key: ReplyKey, number: GrammaticalNumber, values: &[(&str, &str)]) -> String {
        self.language.replies.say(key, number, values)
    }

    fn counted(&self, key: ReplyKey, count: u64, values: &[(&str, &str)]) -> String {
        self.numbered(key, if count == 1 { GrammaticalNumber::One } else { GrammaticalNumber::Many }, values)
    }
}
