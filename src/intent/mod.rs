//! Offline intents: from a sentence to what is meant, and from what happened to a sentence, without a model or a network.
//!
//! Pure: files are read once, at load; afterwards nothing here waits, stores or sends. `agent` recognizes, acts through a tool or a port,
//! and lets [`Say`] word the answer. A language is one file in `data/`, more come from `Config::extra_dir`.
//!
//! Absent on purpose: approving and denying (they belong to `approval`), the household itself, and any guess: what no template
//! covers is [`Recognition::Nothing`], and a model may try.

mod choose;
mod class;
mod command;
mod described;
mod due;
mod join;
mod kind;
mod language;
mod matcher;
mod normalize;
mod number;
mod phrases;
mod query;
mod resolve;
mod say;
mod suit;
mod template;
#[cfg(test)]
mod tests;
mod trie;
mod vocabulary;
mod when;

use std::path::PathBuf;

pub use choose::{Choice, Question};
pub use kind::{
    About, CancelWhich, Condition, Described, GrammaticalNumber, Intent, IntentKind, LanguageId, LocalTime, Order,
    TimerKind, When,
};
pub use matcher::{Context, Matcher, Recognition};
pub use say::moment::Pending;
pub use say::situation::StatusFacts;
pub use say::{NoteOrigin, Noted, Say};
pub use vocabulary::Vocabulary;

#[derive(Clone, Debug)]
pub struct Config {
    pub enabled: bool,
    /// Short codes in order of preference.
    pub languages: Vec<String>,
    /// `*.toml` files here add languages, or sentences to the built-in ones.
    pub extra_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, languages: vec!["en".to_owned(), "de".to_owned()], extra_dir: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    #[error("could not read the intent file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("could not understand the intent file {file}")]
    Parse { file: String, source: Box<toml::de::Error> },
    #[error("could not compile the sentence {key} of {file}")]
    Template { file: String, key: String, source: template::TemplateError },
    #[error("could not use the intent file {file}: {key} {problem}")]
    Key { file: String, key: String, problem: String },
    #[error("could not load intents: no language is configured")]
    NoLanguage,
    #[error("could not find the language {code}: known are {known}")]
    UnknownLanguage { code: String, known: String },
}
