//! The household's names, folded once per revision so that a sentence finds them without looking at the household.

use std::collections::{BTreeMap, HashMap};

use super::class::ClassId;
use super::language::Language;
use super::normalize::Sentence;
use super::phrases::Phrases;
use crate::base::id::{EntityId, RoomId};
use crate::domain::household::{EntityKind, Household};

/// A room's word begins a compound only when it is this long ("Küche" in "Küchenlampe").
const COMPOUND_BYTES_MIN: usize = 3;
const STEM_BYTES_MIN: usize = 3;

/// An entity by its index in the vocabulary.
pub type Row = u32;

pub struct Vocabulary {
    /// The household's revision that this was made from.
    pub revision: u64,
    pub rows: Vec<EntityRow>,
    pub names: Phrases<Named>,
    /// Single words of names, and their stems.
    words: HashMap<Box<str>, Vec<Row>>,
    pub places: Vec<Vec<Row>>,
    pub options: Phrases<String>,
    by_id: HashMap<EntityId, Row>,
    rooms: HashMap<RoomId, usize>,
}

pub struct EntityRow {
    pub id: EntityId,
    pub name: String,
    pub kind: EntityKind,
    pub device_class: Option<String>,
    pub device: u32,
    /// Its name is the device's: what the device is for.
    pub is_main: bool,
    pub room: Option<RoomId>,
    pub room_name: Option<String>,
    pub classes: u32,
    pub has_position: bool,
}

/// Everything one name may mean.
#[derive(Default, Debug)]
pub struct Named {
    pub entities: Vec<Row>,
    /// Entities of the devices with this name.
    pub devices: Vec<Row>,
    pub groups: Vec<Row>,
    pub places: Vec<usize>,
}

impl Named {
    pub fn has_things(&self) -> bool {
        !self.entities.is_empty() || !self.devices.is_empty() || !self.groups.is_empty()
    }
}

impl Vocabulary {
    pub fn new(languages: &[Language], household: &Household) -> Self {
        let mut vocabulary = Self {
            revision: household.revision,
            rows: Vec::new(),
            names: Phrases::default(),
            words: HashMap::new(),
            places: Vec::new(),
            options: Phrases::default(),
            by_id: HashMap::new(),
            rooms: HashMap::new(),
        };
        vocabulary.add_devices(household);
        vocabulary.add_groups(household);
        let keys = vocabulary.add_rooms(languages, household);
        vocabulary.add_implied_rooms(languages, keys);
        vocabulary.add_floors(languages, household);
        vocabulary.add_class_names(languages);
        for rows in vocabulary.words.values_mut() {
            rows.sort_unstable();
            rows.dedup();
        }
        vocabulary
    }

    pub fn row(&self, row: Row) -> &EntityRow {
        &self.rows[row as usize]
    }

    pub fn row_of(&self, id: &EntityId) -> Option<Row> {
        self.by_id.get(id).copied()
    }

    pub fn all(&self) -> Vec<Row> {
        (0..).take(self.rows.len()).collect()
    }

    pub fn in_room(&self, room: &RoomId) -> &[Row] {
        self.rooms.get(room).map_or(&[], |place| &self.places[*place])
    }

    pub fn with_word(&self, word: &str) -> Option<&[Row]> {
        self.words.get(word).map(Vec::as_slice)
    }

    pub fn of_class(&self, class: ClassId) -> Vec<Row> {
        self.all().into_iter().filter(|row| self.row(*row).classes & class.bit() != 0).collect()
    }

    fn add_devices(&mut self, household: &Household) {
        for (index, device) in household.devices.iter().enumerate() {
            let first = self.next_row();
            for entity in &device.entities {
                let row = self.next_row();
                self.by_id.insert(entity.id.clone(), row);
                let room = device.room.as_ref().and_then(|room| household.room(room));
                self.rows.push(EntityRow {
                    id: entity.id.clone(),
                    name: entity.name.clone(),
                    kind: entity.kind,
                    device_class: entity.device_class.clone(),
                    device: u32::try_from(index).unwrap_or(u32::MAX),
                    is_main: Sentence::new(&entity.name).joined() == Sentence::new(&device.name).joined(),
                    room: room.map(|room| room.id.clone()),
                    room_name: room.map(|room| room.name.clone()),
                    classes: ClassId::bits_of(entity),
                    has_position: entity.abilities.position,
                });
                self.name(&entity.name, |named| named.entities.push(row));
                self.add_words(&entity.name, &[row]);
                entity.abilities.options.iter().for_each(|option| self.options.insert(option, option.clone()));
            }
            let rows: Vec<Row> = (first..self.next_row()).collect();
            for name in std::iter::once(&device.name).chain(&device.aliases) {
                self.name(name, |named| named.devices.extend(&rows));
                self.add_words(name, &rows);
            }
        }
    }

    fn add_groups(&mut self, household: &Household) {
        for group in &household.groups {
            let rows: Vec<Row> = group.entities.iter().filter_map(|id| self.row_of(id)).collect();
            for name in std::iter::once(&group.name).chain(&group.aliases) {
                self.name(name, |named| named.groups.extend(&rows));
            }
        }
    }

    /// Rooms by their names and, where a name is a common room word, by that word in every language. Returns the places by word key.
    fn add_rooms(&mut self, languages: &[Language], household: &Household) -> BTreeMap<String, usize> {
        let mut keys: BTreeMap<String, usize> = BTreeMap::new();
        for room in &household.rooms {
            let rows: Vec<Row> =
                self.all().into_iter().filter(|row| self.row(*row).room.as_ref() == Some(&room.id)).collect();
            let place = self.add_place(rows.clone());
            self.rooms.insert(room.id.clone(), place);
            for name in std::iter::once(&room.name).chain(&room.aliases) {
                self.name(name, |named| named.places.push(place));
                self.add_words(name, &rows);
                let folded = Sentence::new(name);
                for key in languages.iter().filter_map(|language| language.rooms.get(folded.joined())) {
                    keys.entry(key.clone()).or_insert(place);
                }
            }
        }
        for (word, key) in languages.iter().flat_map(|language| language.rooms.iter()) {
            if let Some(place) = keys.get(key)
                && self.names.get(word).is_none_or(|named| named.places.is_empty())
            {
                self.names.entry(word).places.push(*place);
            }
        }
        keys
    }

    /// Entities without a room whose name says one: "Kitchen Lamp", "Küchenlampe".
    fn add_implied_rooms(&mut self, languages: &[Language], mut keys: BTreeMap<String, usize>) {
        let mut words: Vec<(String, Option<String>, Option<usize>)> = Vec::new();
        for (word, key) in languages.iter().flat_map(|language| language.rooms.iter()) {
            words.push((word.to_owned(), Some(key.clone()), None));
        }
        let own = self
            .names
            .iter()
            .flat_map(|(name, named)| named.places.first().map(|place| (name.to_owned(), None, Some(*place))));
        words.extend(own.collect::<Vec<_>>());
        words.sort_by_key(|(word, _, _)| std::cmp::Reverse(word.len()));
        for row in self.all() {
            if self.row(row).room.is_some() {
                continue;
            }
            let name = Sentence::new(&self.row(row).name).joined().to_owned();
            let Some((word, key, place)) = words.iter().find(|(word, _, _)| says_room(&name, word)) else { continue };
            let known = place.or_else(|| self.names.get(word).and_then(|named| named.places.first().copied()));
            let place =
                known.or_else(|| keys.get(key.as_deref()?).copied()).unwrap_or_else(|| self.add_place(Vec::new()));
            if let Some(key) = key
                && keys.insert(key.clone(), place).is_none()
            {
                for (other, _) in
                    languages.iter().flat_map(|language| language.rooms.iter()).filter(|(_, other)| *other == key)
                {
                    self.names.entry(other).places.push(place);
                }
            }
            self.places[place].push(row);
        }
        for place in &mut self.places {
            place.sort_unstable();
            place.dedup();
        }
    }

    fn add_floors(&mut self, languages: &[Language], household: &Household) {
        let mut floors: BTreeMap<String, (Vec<Row>, Vec<String>)> = BTreeMap::new();
        for room in &household.rooms {
            let Some(floor) = &room.floor else { continue };
            let folded = Sentence::new(floor).joined().to_owned();
            let key = languages.iter().find_map(|language| language.floors.get(&folded)).unwrap_or(&folded).clone();
            let (rows, names) = floors.entry(key).or_default();
            rows.extend(self.in_room(&room.id));
            names.push(folded);
        }
        for (key, (mut rows, mut names)) in floors {
            let words = languages.iter().flat_map(|language| language.floors.iter());
            names.extend(words.filter(|(_, other)| **other == key).map(|(word, _)| word.to_owned()));
            rows.sort_unstable();
            rows.dedup();
            names.sort_unstable();
            names.dedup();
            let place = self.add_place(rows);
            for name in names.iter().filter(|name| !name.is_empty()) {
                self.names.entry(name).places.push(place);
            }
        }
    }

    /// A switch called "Hall Light" or "Stehlampe" is a lamp to people.
    fn add_class_names(&mut self, languages: &[Language]) {
        for row in &mut self.rows {
            let name = Sentence::new(&row.name);
            for (word, (class, _)) in languages.iter().flat_map(|language| language.classes.iter()) {
                let says =
                    |index: usize| name.token(index) == word || (word.len() >= 5 && name.token(index).ends_with(word));
                if (0..name.len()).any(says) || (word.len() >= 8 && name.joined().ends_with(word)) {
                    row.classes |= class.bit();
                }
            }
        }
    }

    fn next_row(&self) -> Row {
        Row::try_from(self.rows.len()).unwrap_or(Row::MAX)
    }

    fn add_place(&mut self, rows: Vec<Row>) -> usize {
        self.places.push(rows);
        self.places.len() - 1
    }

    fn name(&mut self, name: &str, add: impl FnOnce(&mut Named)) {
        let folded = Sentence::new(name);
        if !folded.is_empty() && !folded.is_cut() {
            add(self.names.entry(folded.joined()));
        }
    }

    fn add_words(&mut self, name: &str, rows: &[Row]) {
        let folded = Sentence::new(name);
        for index in 0..folded.len() {
            let word = folded.token(index);
            self.words.entry(word.into()).or_default().extend(rows);
            if stem(word) != word {
                self.words.entry(stem(word).into()).or_default().extend(rows);
            }
        }
    }
}

/// A word without its usual plural or case ending; light on purpose, and the same for every language.
pub fn stem(word: &str) -> &str {
    let shorter = ["en", "es", "er", "n", "s", "e"].iter().filter_map(|ending| word.strip_suffix(ending));
    shorter.filter(|stem| stem.len() >= STEM_BYTES_MIN).min_by_key(|stem| stem.len()).unwrap_or(word)
}

/// True when the folded `name` contains `word` where a word may stand.
fn says_room(name: &str, word: &str) -> bool {
    word.len() >= COMPOUND_BYTES_MIN
        && (name.starts_with(word) || (word.len() > COMPOUND_BYTES_MIN && name.contains(word)))
}
