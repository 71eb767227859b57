//! The front door: loads the languages and recognizes sentences.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDateTime;

use super::choose::Question;
use super::command::Hearing;
use super::join::Joined;
use super::kind::{Intent, LanguageId};
use super::language::{Language, LanguageFile};
use super::normalize::Sentence;
use super::say::Say;
use super::vocabulary::{Row, Vocabulary};
use super::{Config, IntentError};
use crate::base::id::{EntityId, RoomId};
use crate::domain::household::Household;

const BUILT_IN: &[(&str, &str)] =
    &[("en.toml", include_str!("data/en.toml")), ("de.toml", include_str!("data/de.toml"))];

/// All languages, compiled. Made once; shared by reference.
pub struct Matcher {
    languages: Vec<Language>,
    enabled: bool,
}

/// What is around a sentence.
#[derive(Clone, Debug)]
pub struct Context {
    /// Local wall-clock time of the home.
    pub now: NaiveDateTime,
    /// Where the person is, when the channel knows.
    pub room: Option<RoomId>,
    /// The language of the conversation so far.
    pub language: Option<LanguageId>,
    /// What the last command was about: "it", "them".
    pub recent: Vec<EntityId>,
}

impl Context {
    pub fn at(now: NaiveDateTime) -> Self {
        Self { now, room: None, language: None, recent: Vec::new() }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Recognition {
    Nothing,
    Intent(Intent),
    /// Say its text, keep it, and pass it along with the next message.
    Ask(Question),
}

impl Matcher {
    /// Reads the built-in files and those of `config.extra_dir`.
    pub fn load(config: &Config) -> Result<Self, IntentError> {
        let mut files: BTreeMap<String, (String, LanguageFile)> = BTreeMap::new();
        for (name, text) in BUILT_IN {
            add(&mut files, name, LanguageFile::parse(name, text)?);
        }
        if let Some(dir) = &config.extra_dir {
            for (name, text) in extra_files(dir)? {
                let file = LanguageFile::parse(&name, &text)?;
                file.check(&name)?;
                add(&mut files, &name, file);
            }
        }
        let mut languages = Vec::new();
        for code in &config.languages {
            let known = files.keys().cloned().collect::<Vec<_>>().join(", ");
            let Some((name, file)) = files.remove(code) else {
                return Err(IntentError::UnknownLanguage { code: code.clone(), known });
            };
            languages.push(file.compile(&name)?);
        }
        if languages.is_empty() {
            return Err(IntentError::NoLanguage);
        }
        Ok(Self { languages, enabled: config.enabled })
    }

    /// The names of a household, to be kept until its `revision` changes.
    pub fn vocabulary(&self, household: &Household) -> Vocabulary {
        Vocabulary::new(&self.languages, household)
    }

    /// What `text` means here. `pending` is the question asked in the turn before.
    pub fn recognize(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        pending: Option<&Question>,
        context: &Context,
    ) -> Recognition {
        if !self.enabled {
            return Recognition::Nothing;
        }
        if let Some(question) = pending {
            let own = self.languages.iter().filter(|language| language.id == question.language);
            let others = self.languages.iter().filter(|language| language.id != question.language);
            if let Some(answer) = own.chain(others).find_map(|language| question.answer(language, text)) {
                return answer;
            }
        }
        let sentence = Sentence::new(text);
        let recent: Vec<Row> = context.recent.iter().filter_map(|id| vocabulary.row_of(id)).collect();
        let mut best: Option<(i32, Recognition)> = None;
        for language in self.in_order(context) {
            if let Some((score, recognition)) = hear(language, vocabulary, &sentence, context, &recent)
                && best.as_ref().is_none_or(|(other, _)| score > *other)
            {
                best = Some((score, recognition));
            }
        }
        if best.as_ref().is_none_or(|(score, _)| *score < 0) {
            let joined = |language| Joined { language, vocabulary, sentence: &sentence, context }.recognize(&recent);
            if let Some(several) = self.in_order(context).find_map(joined) {
                return several;
            }
        }
        best.map_or(Recognition::Nothing, |(_, recognition)| recognition)
    }

    /// Words answers in `language`, or in the first one when it is not loaded.
    ///
    /// # Panics
    /// When no language is loaded, which the configuration refuses.
    pub fn say(&self, language: Option<&LanguageId>) -> Say<'_> {
        let found = self.languages.iter().find(|candidate| Some(&candidate.id) == language);
        Say::new(found.or(self.languages.first()).expect("invariant: at least one language is configured"))
    }

    pub fn languages(&self) -> impl Iterator<Item = &LanguageId> {
        self.languages.iter().map(|language| &language.id)
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.languages.iter().map(|language| language.trie.len()).sum()
    }

    fn in_order(&self, context: &Context) -> impl Iterator<Item = &Language> {
        let is_current = |language: &&Language| Some(&language.id) == context.language.as_ref();
        self.languages
            .iter()
            .filter(is_current)
            .chain(self.languages.iter().filter(move |language| !is_current(language)))
    }
}

/// What a sentence means in one language, and how well that fits.
pub(super) fn hear(
    language: &Language,
    vocabulary: &Vocabulary,
    sentence: &Sentence<'_>,
    context: &Context,
    recent: &[Row],
) -> Option<(i32, Recognition)> {
    // The sentence as it is comes first: "please" may be somebody's lamp.
    let best =
        Hearing { language, vocabulary, sentence, context, recent }.best().map(|(score, found)| (score + 1, found));
    let polite = without_politeness(language, sentence)
        .and_then(|sentence| Hearing { language, vocabulary, sentence: &sentence, context, recent }.best());
    match (best, polite) {
        (Some(best), Some(polite)) => Some(if polite.0 > best.0 { polite } else { best }),
        (best, polite) => best.or(polite),
    }
}

/// The sentence without "could you please": polite phrases at its ends, small words anywhere.
fn without_politeness<'t>(language: &Language, sentence: &Sentence<'t>) -> Option<Sentence<'t>> {
    let mut from = 0;
    let mut to = sentence.len();
    loop {
        let next = language.polite.skip(sentence, from, to);
        if next == from {
            break;
        }
        from = next;
    }
    while let Some(shorter) = (from + 1..to).find(|at| language.polite.has(sentence.span(*at, to))) {
        to = shorter;
    }
    let is_kept = |index: usize| (from..to).contains(&index) && !language.fillers.has(sentence.token(index));
    let kept = (0..sentence.len()).filter(|index| is_kept(*index)).count();
    (kept > 0 && kept < sentence.len()).then(|| sentence.filtered(is_kept))
}

fn add(files: &mut BTreeMap<String, (String, LanguageFile)>, name: &str, more: LanguageFile) {
    match files.get_mut(&more.language) {
        Some((_, file)) => file.merge(more),
        None => {
            files.insert(more.language.clone(), (name.to_owned(), more));
        }
    }
}

/// Name and text of every `*.toml` in `dir`, by name.
fn extra_files(dir: &Path) -> Result<Vec<(String, String)>, IntentError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|source| IntentError::Read { path: dir.to_owned(), source })? {
        let path = entry.map_err(|source| IntentError::Read { path: dir.to_owned(), source })?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        files.push((name, std::fs::read_to_string(&path).map_err(|source| IntentError::Read { path, source })?));
    }
    Ok(files)
}
