//! One language: its file as written, and the same compiled for matching and speaking.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::IntentError;
use super::class::ClassId;
use super::kind::{GrammaticalNumber, LanguageId, Sense};
use super::normalize::Sentence;
use super::number::Numbers;
use super::phrases::Phrases;
use super::say::reply::{Replies, ReplyKey, ReplyText};
use super::template;
use super::trie::Trie;
use super::when::TimeWords;
use crate::domain::household::Rgb;

/// A language file as people write it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageFile {
    /// Short code; files with the same code add to each other.
    pub language: String,
    pub intents: BTreeMap<Sense, Vec<String>>,
    pub rules: BTreeMap<String, String>,
    pub words: WordLists,
    pub numbers: NumberWords,
    pub time: TimeLists,
    pub classes: BTreeMap<String, ClassWords>,
    /// Names of colors, as `#rrggbb` or as kelvin.
    pub colors: BTreeMap<String, ColorMeaning>,
    pub modes: BTreeMap<String, Vec<String>>,
    pub rooms: BTreeMap<String, Vec<String>>,
    pub floors: BTreeMap<String, Vec<String>>,
    pub states: BTreeMap<String, String>,
    pub replies: BTreeMap<ReplyKey, ReplyText>,
}

macro_rules! lists {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $(pub $field: Vec<String>),* }

        impl $name {
            fn extend(&mut self, more: Self) {
                $(self.$field.extend(more.$field);)*
            }
        }
    };
}

lists! {
    /// Small words of a sentence.
    WordLists {
        polite, fillers, articles, all, any, everything, and, except, prepositions, here, recent, plural_endings, linkers, definite,
        nominative, percent, degrees, kelvin, full, half, cancel, both, choice_fillers, first, second, third, last, common,
    }
}

lists! {
    /// Words of clocks and calendars.
    TimeLists {
        at, within, every, daily, half_past, half_to, quarter, three_quarters_to, past, to, oclock, am, pm, noon, midnight, today, tomorrow,
        after_tomorrow, morning, forenoon, afternoon, evening, night, tonight, this_morning, monday, tuesday, wednesday, thursday, friday, saturday, sunday,
        weekdays, weekends, on, second, minute, hour, day, week, joint, half_hour, quarter_hour, three_quarters_hour,
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NumberWords {
    pub words: BTreeMap<String, f64>,
    pub and_a_half: Vec<String>,
    /// Joins unit and ten into one word: "und" in "einundzwanzig".
    pub unit_joint: Option<String>,
    /// Ends a word with a half: "einhalb" in "zweieinhalb".
    pub half_ending: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassWords {
    pub one: Vec<String>,
    pub many: Vec<String>,
    /// Collective words: all of them where a place is known ("Licht").
    pub mass: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ColorMeaning {
    Kelvin(u32),
    Hex(String),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Color {
    Rgb(Rgb),
    Kelvin(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WordForm {
    One,
    Many,
    Mass,
}

/// The role of a small word inside a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Particle {
    Article,
    All,
    Any,
    Everything,
    Preposition,
    Here,
    Recent,
}

/// A language, compiled.
pub struct Language {
    pub id: LanguageId,
    pub trie: Trie,
    pub words: WordLists,
    pub polite: Phrases<()>,
    pub fillers: Phrases<()>,
    pub and: Phrases<()>,
    pub except: Phrases<()>,
    pub particles: Phrases<Particle>,
    pub classes: Phrases<(ClassId, WordForm)>,
    pub colors: Phrases<Color>,
    pub modes: Phrases<String>,
    pub amounts: Phrases<f64>,
    pub percent: Phrases<()>,
    pub degrees: Phrases<()>,
    pub kelvin: Phrases<()>,
    pub numbers: Numbers,
    pub time: TimeWords,
    /// Room and storey words with the key that unites them across languages.
    pub rooms: Phrases<String>,
    pub floors: Phrases<String>,
    pub states: BTreeMap<String, String>,
    pub replies: Replies,
    /// Names of the days, Monday first.
    pub weekdays: [String; 7],
}

impl Language {
    /// Whether names are one thing to the language: "kitchen lamp", but "bedroom blinds" and "lamp, fan".
    pub fn number_of(&self, names: &[&str]) -> GrammaticalNumber {
        let is_plural = |name: &str| {
            let words = Sentence::new(name);
            let last = words.len().checked_sub(1).map(|last| words.token(last));
            last.and_then(|last| self.classes.get(last)).is_some_and(|(_, form)| *form == WordForm::Many)
        };
        match names {
            [name] if !is_plural(name) => GrammaticalNumber::One,
            _ => GrammaticalNumber::Many,
        }
    }
}

impl LanguageFile {
    pub fn parse(file: &str, text: &str) -> Result<Self, IntentError> {
        let parsed: Self = toml::from_str(text)
            .map_err(|source| IntentError::Parse { file: file.to_owned(), source: Box::new(source) })?;
        if parsed.language.is_empty() {
            return Err(IntentError::Key {
                file: file.to_owned(),
                key: "language".into(),
                problem: "is missing".into(),
            });
        }
        Ok(parsed)
    }

    /// Adds what `more` says about the same language.
    pub fn merge(&mut self, more: Self) {
        for (sense, templates) in more.intents {
            self.intents.entry(sense).or_default().extend(templates);
        }
        self.rules.extend(more.rules);
        self.words.extend(more.words);
        self.time.extend(more.time);
        self.numbers.words.extend(more.numbers.words);
        self.numbers.and_a_half.extend(more.numbers.and_a_half);
        for (class, words) in more.classes {
            let mine = self.classes.entry(class).or_default();
            mine.one.extend(words.one);
            mine.many.extend(words.many);
            mine.mass.extend(words.mass);
        }
        self.colors.extend(more.colors);
        for (mine, theirs) in
            [(&mut self.modes, more.modes), (&mut self.rooms, more.rooms), (&mut self.floors, more.floors)]
        {
            for (key, words) in theirs {
                mine.entry(key).or_default().extend(words);
            }
        }
        self.states.extend(more.states);
        self.replies.extend(more.replies);
    }

    /// Finds mistakes while the file they are in is still known. A rule may come from another file of the language.
    pub fn check(&self, file: &str) -> Result<(), IntentError> {
        for (sense, templates) in &self.intents {
            for (index, text) in templates.iter().enumerate() {
                match template::parse(text, &self.rules) {
                    Ok(_) | Err(template::TemplateError::UnknownRule(_)) => {}
                    Err(source) => {
                        return Err(IntentError::Template {
                            file: file.to_owned(),
                            key: place_of(*sense, index),
                            source,
                        });
                    }
                }
            }
        }
        for class in self.classes.keys() {
            if ClassId::named(class).is_none() {
                let problem = format!("is not a class; known are {}", ClassId::names().join(", "));
                return Err(IntentError::Key { file: file.to_owned(), key: format!("classes.{class}"), problem });
            }
        }
        for (name, meaning) in &self.colors {
            if let ColorMeaning::Hex(hex) = meaning
                && rgb(hex).is_none()
            {
                return Err(IntentError::Key {
                    file: file.to_owned(),
                    key: format!("colors.{name}"),
                    problem: "is not #rrggbb".into(),
                });
            }
        }
        Ok(())
    }

    /// `file` names the language's own file in errors that concern the whole.
    pub fn compile(self, file: &str) -> Result<Language, IntentError> {
        let trie = self.trie(file)?;
        let replies = Replies::new(self.replies).map_err(|key| IntentError::Key {
            file: file.to_owned(),
            key: format!("replies.{key}"),
            problem: "is missing".into(),
        })?;
        let mut numbers = Numbers { words: Phrases::default(), and_a_half: Phrases::of(&self.numbers.and_a_half) };
        for (word, value) in &self.numbers.words {
            numbers.words.insert(word, *value);
        }
        numbers.add_compounds(self.numbers.unit_joint.as_deref(), self.numbers.half_ending.as_deref());
        let mut amounts = Phrases::default();
        self.words.full.iter().for_each(|word| amounts.insert(word, 100.0));
        self.words.half.iter().for_each(|word| amounts.insert(word, 50.0));
        Ok(Language {
            id: LanguageId::new(self.language),
            trie,
            polite: Phrases::of(&self.words.polite),
            fillers: Phrases::of(&self.words.fillers),
            and: Phrases::of(&self.words.and),
            except: Phrases::of(&self.words.except),
            particles: particles(&self.words),
            classes: classes(&self.classes),
            colors: colors(&self.colors),
            modes: keyed(&self.modes),
            amounts,
            percent: Phrases::of(&self.words.percent),
            degrees: Phrases::of(&self.words.degrees),
            kelvin: Phrases::of(&self.words.kelvin),
            time: TimeWords::new(&self.time, numbers.clone()),
            weekdays: weekdays(&self.time),
            numbers,
            rooms: keyed(&self.rooms),
            floors: keyed(&self.floors),
            words: self.words,
            states: self.states,
            replies,
        })
    }

    fn trie(&self, file: &str) -> Result<Trie, IntentError> {
        let mut trie = Trie::default();
        for (sense, templates) in &self.intents {
            for (index, text) in templates.iter().enumerate() {
                let pattern = template::parse(text, &self.rules).map_err(|source| IntentError::Template {
                    file: file.to_owned(),
                    key: place_of(*sense, index),
                    source,
                })?;
                trie.insert(&pattern, *sense);
            }
        }
        trie.finish();
        Ok(trie)
    }
}

fn place_of(sense: Sense, index: usize) -> String {
    format!("intents.{}[{index}]", snake_case(&format!("{sense:?}")))
}

/// A name of this code as the files write it.
pub fn snake_case(name: &str) -> String {
    let mut written = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !written.is_empty() {
            written.push('_');
        }
        written.push(character.to_ascii_lowercase());
    }
    written
}

/// The first word of each day's list is how the day is written.
fn weekdays(time: &TimeLists) -> [String; 7] {
    let lists =
        [&time.monday, &time.tuesday, &time.wednesday, &time.thursday, &time.friday, &time.saturday, &time.sunday];
    lists.map(|list| list.first().cloned().unwrap_or_default())
}

fn particles(words: &WordLists) -> Phrases<Particle> {
    let mut particles = Phrases::default();
    let lists = [
        (&words.prepositions, Particle::Preposition),
        (&words.articles, Particle::Article),
        (&words.all, Particle::All),
        (&words.any, Particle::Any),
        (&words.everything, Particle::Everything),
        (&words.here, Particle::Here),
        (&words.recent, Particle::Recent),
    ];
    for (list, particle) in lists {
        list.iter().for_each(|word| particles.insert(word, particle));
    }
    particles
}

fn classes(lists: &BTreeMap<String, ClassWords>) -> Phrases<(ClassId, WordForm)> {
    let mut classes = Phrases::default();
    for (name, words) in lists {
        let Some(class) = ClassId::named(name) else { continue };
        for (list, form) in [(&words.many, WordForm::Many), (&words.one, WordForm::One), (&words.mass, WordForm::Mass)]
        {
            list.iter().for_each(|word| classes.insert(word, (class, form)));
        }
    }
    classes
}

fn colors(names: &BTreeMap<String, ColorMeaning>) -> Phrases<Color> {
    let mut colors = Phrases::default();
    for (name, meaning) in names {
        match meaning {
            ColorMeaning::Kelvin(kelvin) => colors.insert(name, Color::Kelvin(*kelvin)),
            ColorMeaning::Hex(hex) => {
                if let Some(color) = rgb(hex) {
                    colors.insert(name, Color::Rgb(color));
                }
            }
        }
    }
    colors
}

fn keyed(lists: &BTreeMap<String, Vec<String>>) -> Phrases<String> {
    let mut phrases = Phrases::default();
    for (key, words) in lists {
        words.iter().for_each(|word| phrases.insert(word, key.clone()));
    }
    phrases
}

fn rgb(hex: &str) -> Option<Rgb> {
    let digits = hex.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    Some(Rgb { r: channel(0)?, g: channel(2)?, b: channel(4)? })
}
