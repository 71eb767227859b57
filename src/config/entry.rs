//! Values together with the place they were written in, so that a complaint can point there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A value as somebody wrote it.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub content: Content,
    pub origin: Origin,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    Null,
    Flag(bool),
    Number(serde_json::Number),
    Text(String),
    /// Text from a variable, or with a variable put in: read as whatever the key accepts.
    Filled(String),
    List(Vec<Entry>),
    Object(BTreeMap<String, Entry>),
}

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    File {
        path: Arc<PathBuf>,
        line: usize,
        column: usize,
    },
    Variable(String),
    /// No place of its own: something is missing, or values contradict each other.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

impl Entry {
    pub fn empty_object() -> Self {
        Self { content: Content::Object(BTreeMap::new()), origin: Origin::Nowhere }
    }

    /// Lays `upper` over this: objects are united, anything else is replaced.
    pub fn overlay(&mut self, upper: Self) {
        match (&mut self.content, upper.content) {
            (Content::Object(below), Content::Object(above)) => {
                self.origin = upper.origin;
                for (name, entry) in above {
                    match below.get_mut(&name) {
                        Some(known) => known.overlay(entry),
                        None => {
                            below.insert(name, entry);
                        }
                    }
                }
            }
            (content, above) => {
                *content = above;
                self.origin = upper.origin;
            }
        }
    }

    /// The entry at a dotted path without lists.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |entry, step| match &entry.content {
            Content::Object(entries) => entries.get(step),
            _ => None,
        })
    }

    /// Where the value at a path was written, if anywhere.
    pub fn origin_of(&self, path: &str) -> Origin {
        self.at(path).map_or(Origin::Nowhere, |entry| entry.origin.clone())
    }

    /// Puts `entry` at a dotted path without lists. What is in the way and is not an object is left for the checks to report.
    pub fn put(&mut self, path: &str, entry: Self) {
        let mut place = self;
        for step in path.split('.') {
            if place.content == Content::Null {
                place.content = Content::Object(BTreeMap::new());
            }
            let Content::Object(entries) = &mut place.content else { return };
            place = entries
                .entry(step.to_owned())
                .or_insert_with(|| Self { content: Content::Null, origin: entry.origin.clone() });
        }
        *place = entry;
    }

    /// What was found, for a message; never the text of a secret.
    pub fn describe(&self, secret: bool) -> String {
        match &self.content {
            Content::Null => "null".to_owned(),
            Content::Flag(flag) => flag.to_string(),
            Content::Number(_) | Content::Text(_) | Content::Filled(_) if secret => "a hidden value".to_owned(),
            Content::Number(number) => number.to_string(),
            Content::Text(text) | Content::Filled(text) => quote(text),
            Content::List(_) => "a list".to_owned(),
            Content::Object(_) => "an object".to_owned(),
        }
    }
}

/// Text in quotes, cut where it would flood a terminal.
pub fn quote(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start:?}...")
}
