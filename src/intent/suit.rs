//! Which of the entities that a phrase may mean are meant by a command, and when it takes a question to know.

use super::kind::Sense;
use super::resolve::{Phrase, Quantity, Scope};
use super::vocabulary::{EntityRow, Row, Vocabulary};
use crate::base::id::RoomId;
use crate::domain::household::EntityKind;

/// The outcome of choosing.
pub enum Chosen {
    These(Vec<Row>),
    /// Several stand for one word; a person has to say which.
    OneOf(Vec<Row>),
    None,
}

/// What a command with this sense can be meant for.
pub fn suits(sense: Sense, row: &EntityRow) -> bool {
    use EntityKind as K;
    match sense {
        Sense::TurnOn => row.kind == K::Scene || suits(Sense::TurnOff, row),
        Sense::TurnOff => row.kind == K::Valve || suits(Sense::Toggle, row),
        Sense::Toggle => {
            matches!(row.kind, K::Light | K::Switch | K::Fan | K::Climate | K::Siren | K::Humidifier)
        }
        Sense::SetValue => {
            matches!(row.kind, K::Light | K::Cover | K::Valve | K::Fan | K::Climate | K::Number | K::Humidifier)
        }
        Sense::Raise | Sense::Lower => matches!(row.kind, K::Light | K::Cover | K::Climate),
        Sense::SetBrightness
        | Sense::Brighten
        | Sense::Darken
        | Sense::FullBrightness
        | Sense::HalfBrightness
        | Sense::SetColor => row.kind == K::Light,
        Sense::SetTemperature | Sense::Warmer | Sense::Colder => row.kind == K::Climate,
        Sense::Open | Sense::Close | Sense::HalfOpen | Sense::Stop => matches!(row.kind, K::Cover | K::Valve),
        Sense::Lock | Sense::Unlock => row.kind == K::Lock,
        Sense::SetMode => matches!(row.kind, K::Climate | K::Fan | K::Humidifier | K::Select),
        Sense::Activate => matches!(row.kind, K::Scene | K::Button),
        Sense::Press => row.kind == K::Button,
        _ => false,
    }
}

/// Narrows `phrase` to what `sense` is meant for; plural takes all, singular takes one or asks, the person's room decides first.
pub fn choose(vocabulary: &Vocabulary, phrase: &Phrase, sense: Sense, room: Option<&RoomId>) -> Chosen {
    let rows = suited(vocabulary, phrase, sense);
    if rows.is_empty() {
        return Chosen::None;
    }
    let near = || narrowed(vocabulary, &rows, room.filter(|_| !phrase.located));
    match phrase.quantity {
        _ if phrase.scope == Scope::Place => Chosen::These(rows),
        Quantity::All | Quantity::Any => Chosen::These(rows),
        Quantity::Many => Chosen::These(near()),
        Quantity::Mass if phrase.located || near().len() < rows.len() => Chosen::These(near()),
        Quantity::One | Quantity::Mass => one(vocabulary, phrase, near()),
    }
}

fn one(vocabulary: &Vocabulary, phrase: &Phrase, rows: Vec<Row>) -> Chosen {
    let preferred: Vec<Row> = rows.iter().copied().filter(|row| phrase.preferred.contains(row)).collect();
    let rows = if preferred.is_empty() { rows } else { preferred };
    let device = vocabulary.row(rows[0]).device;
    if rows.iter().any(|row| vocabulary.row(*row).device != device) {
        return Chosen::OneOf(rows);
    }
    Chosen::These(main_rows(vocabulary, rows))
}

/// Of one device's entities, those it is for.
pub fn main_rows(vocabulary: &Vocabulary, rows: Vec<Row>) -> Vec<Row> {
    let main: Vec<Row> = rows.iter().copied().filter(|row| vocabulary.row(*row).is_main).collect();
    if main.is_empty() { rows } else { main }
}

fn suited(vocabulary: &Vocabulary, phrase: &Phrase, sense: Sense) -> Vec<Row> {
    let kind = |row: &Row| vocabulary.row(*row).kind;
    let rows = &phrase.rows;
    match phrase.scope {
        // "Turn off the kitchen" means its lamps, not its refrigerator.
        Scope::Place if matches!(sense, Sense::TurnOn | Sense::TurnOff | Sense::Toggle) => {
            let lights: Vec<Row> = rows.iter().copied().filter(|row| kind(row) == EntityKind::Light).collect();
            let switchable = |row: &Row| matches!(kind(row), EntityKind::Switch | EntityKind::Fan);
            if lights.is_empty() { rows.iter().copied().filter(switchable).collect() } else { lights }
        }
        Scope::Everything if matches!(sense, Sense::TurnOn | Sense::TurnOff | Sense::Toggle) => rows
            .iter()
            .copied()
            .filter(|row| matches!(kind(row), EntityKind::Light | EntityKind::Switch | EntityKind::Fan))
            .collect(),
        _ => {
            let suited: Vec<Row> = rows.iter().copied().filter(|row| suits(sense, vocabulary.row(*row))).collect();
            if !suited.is_empty() || phrase.scope != Scope::Named && phrase.scope != Scope::Class {
                return suited;
            }
            // It cannot do that, and the executor says so; readings are named only when there is nothing else.
            let is_reading = |row: &Row| matches!(kind(row), EntityKind::Sensor | EntityKind::BinarySensor);
            let things: Vec<Row> = rows.iter().copied().filter(|row| !is_reading(row)).collect();
            if things.is_empty() && phrase.scope == Scope::Named { rows.clone() } else { things }
        }
    }
}

/// Those in the person's room, or all when there are none.
pub fn narrowed(vocabulary: &Vocabulary, rows: &[Row], room: Option<&RoomId>) -> Vec<Row> {
    let near: Vec<Row> = room.map_or(Vec::new(), |room| {
        let place = vocabulary.in_room(room);
        rows.iter().copied().filter(|row| place.contains(row)).collect()
    });
    if near.is_empty() { rows.to_vec() } else { near }
}
