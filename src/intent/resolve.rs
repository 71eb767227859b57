//! From the words of a target ("the lamps in the kitchen and the fan") to entities of the home.

use super::class::ClassId;
use super::kind::GrammaticalNumber;
use super::language::{Language, Particle, WordForm};
use super::normalize::Sentence;
use super::vocabulary::{Row, Vocabulary, stem};
use crate::base::id::RoomId;

/// Parts of an "and" list; more is not a sentence to a home.
const LIST_PARTS_MAX: usize = 6;

/// What a target phrase means before anybody knows what shall be done with it.
#[derive(Clone, Debug, Default)]
pub struct Phrase {
    pub rows: Vec<Row>,
    pub quantity: Quantity,
    pub number: Option<GrammaticalNumber>,
    pub scope: Scope,
    /// A place was said.
    pub located: bool,
    /// "It" and "them" need another name in the answer.
    pub recent: bool,
    /// Among several, these bear exactly the name that was said.
    pub preferred: Vec<Row>,
    pub classes: u32,
    /// The parts of a list.
    pub parts: Vec<Vec<Row>>,
    /// Higher is a better reading of the words.
    pub quality: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Quantity {
    #[default]
    One,
    /// A plural, or a list.
    Many,
    /// "Light" as a substance: all of it where a place is known.
    Mass,
    All,
    Any,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    #[default]
    Named,
    Class,
    /// Only a place was said: what is meant depends on the command.
    Place,
    Everything,
}

pub struct Targets<'a> {
    pub language: &'a Language,
    pub vocabulary: &'a Vocabulary,
    pub sentence: &'a Sentence<'a>,
    pub room: Option<&'a RoomId>,
    pub recent: &'a [Row],
}

#[derive(Default)]
struct Draft {
    phrase: Phrase,
    sets: Vec<Vec<Row>>,
    /// Something was said besides small words.
    has_content: bool,
    has_things: bool,
    /// The last word was a preposition: something is missing.
    is_open: bool,
}

impl Targets<'_> {
    /// The meaning of tokens `from..to`; `None` when a word is not known here. No rows means: known words, but no such thing.
    pub fn parse(&self, from: usize, to: usize) -> Option<Phrase> {
        if let Some(phrase) = self.exact(from, to) {
            return Some(phrase);
        }
        for at in from + 1..to {
            let after = self.language.except.skip(self.sentence, at, to);
            if after > at && after < to {
                let (whole, exception) = (self.list(from, at)?, self.list(after, to)?);
                let rows = whole.rows.iter().copied().filter(|row| !exception.rows.contains(row)).collect();
                return Some(Phrase { rows, quantity: Quantity::All, ..whole });
            }
        }
        self.list(from, to)
    }

    /// Only entities of the place that tokens `from..to` name.
    pub fn within(&self, mut phrase: Phrase, from: usize, to: usize) -> Option<Phrase> {
        let place = self.single(from, to).filter(|place| place.scope == Scope::Place)?;
        phrase.rows.retain(|row| place.rows.contains(row));
        phrase.located = true;
        phrase.quality += 1;
        Some(phrase)
    }

    /// A place by itself: "in the kitchen", "downstairs".
    pub fn place(&self, from: usize, to: usize) -> Option<Phrase> {
        self.single(from, to).filter(|place| place.scope == Scope::Place)
    }

    /// A full name, after articles.
    fn exact(&self, from: usize, to: usize) -> Option<Phrase> {
        let mut start = from;
        loop {
            if let Some(named) =
                self.vocabulary.names.get(self.sentence.span(start, to)).filter(|named| named.has_things())
            {
                let (rows, quantity) = match (&named.groups, &named.entities, &named.devices) {
                    (groups, _, _) if !groups.is_empty() => (groups.clone(), Quantity::Many),
                    (_, entities, devices) => {
                        let devices = devices.iter().filter(|row| !entities.contains(row));
                        (entities.iter().chain(devices).copied().collect(), Quantity::One)
                    }
                };
                return Some(Phrase {
                    rows,
                    quantity,
                    preferred: named.entities.clone(),
                    quality: 8,
                    ..Phrase::default()
                });
            }
            match self.language.particles.longest(self.sentence, start, to) {
                Some((Particle::Article, end)) if end < to => start = end,
                _ => return None,
            }
        }
    }

    fn list(&self, from: usize, to: usize) -> Option<Phrase> {
        let breaks: Vec<(usize, usize)> = (from + 1..to)
            .map(|at| (at, self.language.and.skip(self.sentence, at, to)))
            .filter(|(at, after)| (after > at || self.sentence.after_comma(*at)) && *after < to)
            .collect();
        if breaks.len() >= LIST_PARTS_MAX {
            return None;
        }
        for (at, after) in breaks.iter().rev() {
            let right = self.exact(*after, to).or_else(|| self.single(*after, to));
            if let Some(right) = right
                && let Some(left) = self.exact(from, *at).or_else(|| self.list(from, *at))
            {
                return Some(self.both(left, right));
            }
        }
        self.single(from, to)
    }

    /// "Kitchen and bedroom lights": a bare place takes the class of its neighbor.
    fn both(&self, left: Phrase, right: Phrase) -> Phrase {
        let of_class = |place: &Phrase, class: &Phrase| -> Vec<Row> {
            let inherits = place.scope == Scope::Place && class.scope == Scope::Class;
            let fits = |row: &Row| !inherits || self.vocabulary.row(*row).classes & class.classes == class.classes;
            place.rows.iter().copied().filter(fits).collect()
        };
        let (first, last) = (of_class(&left, &right), of_class(&right, &left));
        let mut rows: Vec<Row> = first.iter().chain(&last).copied().collect();
        let mut parts = if left.parts.is_empty() { vec![first] } else { left.parts };
        parts.push(last);
        rows.sort_unstable();
        rows.dedup();
        Phrase {
            rows,
            quantity: Quantity::All,
            number: Some(GrammaticalNumber::Many),
            scope: if left.scope == right.scope { left.scope } else { Scope::Named },
            located: true,
            parts,
            quality: left.quality.min(right.quality),
            ..Phrase::default()
        }
    }

    fn single(&self, from: usize, to: usize) -> Option<Phrase> {
        let mut draft = Draft::default();
        let mut at = from;
        while at < to {
            at = self.part(&mut draft, at, to)?;
        }
        self.finished(draft)
    }

    /// Reads one part of a phrase at `at` and says where it ends.
    fn part(&self, draft: &mut Draft, at: usize, to: usize) -> Option<usize> {
        let names = self.vocabulary.names.longest(self.sentence, at, to);
        let class = self.language.classes.longest(self.sentence, at, to);
        let particle = self.language.particles.longest(self.sentence, at, to);
        let end = [names.map(|(_, end)| end), class.map(|(_, end)| end), particle.map(|(_, end)| end)]
            .into_iter()
            .flatten()
            .max();
        let Some(end) = end else {
            return self.word(draft, at, to);
        };
        let named = names.filter(|(_, name_end)| *name_end == end).map(|(named, _)| named);
        draft.is_open = false;
        if let Some(named) = named
            && !named.places.is_empty()
        {
            draft.place(named.places.iter().flat_map(|place| self.vocabulary.places[*place].iter().copied()).collect());
        } else if let Some((class, form)) = class.filter(|(_, class_end)| *class_end == end).map(|(class, _)| *class) {
            draft.class(self.vocabulary, class, form, self.sentence.span(at, end));
            if let Some(named) = named {
                draft.phrase.preferred.extend(named.entities.iter().chain(&named.devices));
            }
        } else if let Some(named) = named {
            let rows = named.entities.iter().chain(&named.devices).chain(&named.groups).copied().collect();
            draft.things(rows, 4);
            if !named.groups.is_empty() {
                draft.phrase.quantity = Quantity::Many;
            }
        } else if let Some(particle) =
            particle.filter(|(_, particle_end)| *particle_end == end).map(|(particle, _)| *particle)
        {
            self.particle(draft, particle)?;
        }
        Some(end)
    }

    fn particle(&self, draft: &mut Draft, particle: Particle) -> Option<()> {
        match particle {
            Particle::Article => {}
            Particle::Preposition => draft.is_open = true,
            Particle::All => draft.phrase.quantity = Quantity::All,
            Particle::Any => draft.phrase.quantity = Quantity::Any,
            Particle::Everything => {
                draft.phrase.quantity = Quantity::All;
                draft.phrase.scope = Scope::Everything;
                draft.has_content = true;
                draft.has_things = true;
            }
            Particle::Here => draft.place(self.vocabulary.in_room(self.room?).to_vec()),
            Particle::Recent => {
                if self.recent.is_empty() {
                    return None;
                }
                draft.things(self.recent.to_vec(), 3);
                draft.phrase.quantity = Quantity::Many;
                draft.phrase.recent = true;
            }
        }
        Some(())
    }

    /// A word that is only part of names, a plural, or a compound.
    fn word(&self, draft: &mut Draft, at: usize, to: usize) -> Option<usize> {
        draft.is_open = false;
        let token = self.sentence.token(at);
        if let Some(rows) = self.vocabulary.with_word(token) {
            draft.things(rows.to_vec(), 1);
        } else if let Some((_, end)) = self
            .language
            .rooms
            .longest(self.sentence, at, to)
            .or_else(|| self.language.floors.longest(self.sentence, at, to))
        {
            // A room everybody has a word for, but not this home.
            draft.place(Vec::new());
            return Some(end);
        } else if let Some(rows) = self.vocabulary.with_word(stem(token)) {
            draft.things(rows.to_vec(), 0);
            if self.language.words.plural_endings.iter().any(|ending| token.ends_with(ending.as_str()))
                && draft.phrase.quantity == Quantity::One
            {
                draft.phrase.quantity = Quantity::Many;
            }
        } else {
            self.compound(draft, token)?;
        }
        Some(at + 1)
    }

    /// "Küchenlampe": a place or a name, a linking sound, and a class or a name.
    fn compound(&self, draft: &mut Draft, token: &str) -> Option<()> {
        let splits = token.char_indices().map(|(index, _)| index).filter(|index| *index >= 2);
        for index in splits {
            let (front, back) = token.split_at(index);
            let class = self.language.classes.get(back);
            let things = self.vocabulary.with_word(back).or_else(|| self.vocabulary.with_word(stem(back)));
            if class.is_none() && (things.is_none() || back.len() < 4) {
                continue;
            }
            if !self.front(draft, front) {
                continue;
            }
            match (class, things) {
                (Some((class, form)), _) => draft.class(self.vocabulary, *class, *form, back),
                (None, Some(rows)) => draft.things(rows.to_vec(), 0),
                (None, None) => {}
            }
            return Some(());
        }
        None
    }

    /// The first half of a compound, with or without its linking sound.
    fn front(&self, draft: &mut Draft, front: &str) -> bool {
        let linkers = std::iter::once("").chain(self.language.words.linkers.iter().map(String::as_str));
        let bare: Vec<&str> =
            linkers.filter_map(|linker| front.strip_suffix(linker)).filter(|bare| bare.len() >= 3).collect();
        for bare in &bare {
            if let Some(named) = self.vocabulary.names.get(bare).filter(|named| !named.places.is_empty()) {
                draft.place(
                    named.places.iter().flat_map(|place| self.vocabulary.places[*place].iter().copied()).collect(),
                );
                return true;
            }
        }
        for bare in &bare {
            if let Some(rows) = self.vocabulary.with_word(bare) {
                draft.things(rows.to_vec(), 0);
                return true;
            }
        }
        let known_room = bare.iter().any(|bare| self.language.rooms.get(bare).is_some());
        if known_room {
            draft.place(Vec::new());
        }
        known_room
    }

    fn finished(&self, draft: Draft) -> Option<Phrase> {
        if !draft.has_content || draft.is_open {
            return None;
        }
        let mut phrase = draft.phrase;
        let sorted = |mut set: Vec<Row>| {
            set.sort_unstable();
            set.dedup();
            set
        };
        let mut sets = draft.sets.into_iter().map(sorted);
        let mut rows = sets.next().unwrap_or_else(|| self.vocabulary.all());
        sets.for_each(|set| rows.retain(|row| set.binary_search(row).is_ok()));
        phrase.rows = rows;
        if !draft.has_things {
            phrase.scope = Scope::Place;
        }
        if phrase.quantity == Quantity::Mass {
            phrase.number = Some(GrammaticalNumber::One);
        }
        Some(phrase)
    }
}

impl Draft {
    fn place(&mut self, rows: Vec<Row>) {
        self.sets.push(rows);
        self.phrase.located = true;
        self.phrase.quality += 2;
        self.has_content = true;
    }

    fn things(&mut self, rows: Vec<Row>, quality: i32) {
        self.sets.push(rows);
        self.phrase.quality += quality;
        self.has_content = true;
        self.has_things = true;
        if self.phrase.scope != Scope::Everything {
            self.phrase.scope = Scope::Named;
        }
    }

    fn class(&mut self, vocabulary: &Vocabulary, class: ClassId, form: WordForm, word: &str) {
        let named = vocabulary.with_word(word).unwrap_or_default();
        let mut rows = vocabulary.of_class(class);
        rows.extend(named);
        if !self.has_things {
            self.phrase.scope = Scope::Class;
        }
        self.sets.push(rows);
        self.phrase.classes |= class.bit();
        self.phrase.quality += 2;
        self.has_content = true;
        self.has_things = true;
        if self.phrase.quantity == Quantity::One {
            self.phrase.quantity = match form {
                WordForm::One => Quantity::One,
                WordForm::Many => Quantity::Many,
                WordForm::Mass => Quantity::Mass,
            };
        }
    }
}
