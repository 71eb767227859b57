//! Questions about the home: which entities answer them.

use super::command::Hearing;
use super::kind::{About, Condition, IntentKind, Sense};
use super::resolve::{Phrase, Quantity, Scope};
use super::suit::{main_rows, narrowed};
use super::template::Slot;
use super::trie::Reading;
use super::vocabulary::{EntityRow, Row};
use crate::domain::household::EntityKind;

/// Entities that one question may be about.
const TARGETS_MAX: usize = 200;

/// The query that a reading asks; `None` when it is no question.
pub fn query(hearing: &Hearing<'_>, reading: &Reading, phrase: &Phrase) -> Option<IntentKind> {
    let about = about(reading.sense, phrase.quantity)?;
    let vocabulary = hearing.vocabulary;
    let fits: Vec<Row> =
        phrase.rows.iter().copied().filter(|row| answers(about, vocabulary.row(*row), phrase)).collect();
    let has_target = hearing.capture(reading, Slot::Target).is_some();
    // "Is the lamp locked?" has an answer too: it has no lock. A class without members has none.
    let rows = if fits.is_empty() && has_target && phrase.scope == Scope::Named { phrase.rows.clone() } else { fits };
    if rows.is_empty() && has_target && phrase.rows.is_empty() {
        return hearing.said(reading).map(|what| IntentKind::NotFound { what });
    }
    let everywhere = phrase.located || phrase.quantity != Quantity::One && has_target;
    let room = hearing.context.room.as_ref().filter(|_| !everywhere);
    let mut rows = narrowed(vocabulary, &rows, room);
    if about == About::State {
        rows = main_rows(vocabulary, rows);
    }
    rows.truncate(TARGETS_MAX);
    let what = hearing.described(reading, phrase, &rows);
    let targets = rows.iter().map(|row| vocabulary.row(*row).id.clone()).collect();
    Some(IntentKind::Query { targets, about, what })
}

fn about(sense: Sense, quantity: Quantity) -> Option<About> {
    let is = |condition| if quantity == Quantity::Any { About::Any(condition) } else { About::Is(condition) };
    Some(match sense {
        Sense::IsOn => is(Condition::On),
        Sense::IsOff => is(Condition::Off),
        Sense::IsOpen => is(Condition::Open),
        Sense::IsClosed => is(Condition::Closed),
        Sense::IsLocked => is(Condition::Locked),
        Sense::IsUnlocked => is(Condition::Unlocked),
        Sense::AnyOn => About::Any(Condition::On),
        Sense::AnyOpen => About::Any(Condition::Open),
        Sense::AnyUnlocked => About::Any(Condition::Unlocked),
        Sense::WhichOn => About::Which(Condition::On),
        Sense::WhichOff => About::Which(Condition::Off),
        Sense::WhichOpen => About::Which(Condition::Open),
        Sense::WhichClosed => About::Which(Condition::Closed),
        Sense::WhichLocked => About::Which(Condition::Locked),
        Sense::WhichUnlocked => About::Which(Condition::Unlocked),
        Sense::Temperature => About::Temperature,
        Sense::Humidity => About::Humidity,
        Sense::Brightness => About::Brightness,
        Sense::Battery => About::Battery,
        Sense::LowBattery => About::LowBattery,
        Sense::State => About::State,
        _ => return None,
    })
}

fn answers(about: About, row: &EntityRow, phrase: &Phrase) -> bool {
    use EntityKind as K;
    let device_class = row.device_class.as_deref().unwrap_or("");
    match about {
        About::Is(condition) | About::Any(condition) | About::Which(condition) => match condition {
            Condition::On | Condition::Off => {
                let switchable =
                    matches!(row.kind, K::Light | K::Switch | K::Fan | K::Siren | K::Humidifier | K::Climate);
                // A question about everything is about what people switch.
                let plain = phrase.scope == Scope::Named || phrase.scope == Scope::Class;
                switchable || plain && row.kind == K::BinarySensor
            }
            Condition::Open | Condition::Closed => {
                let opening = matches!(device_class, "door" | "window" | "garage" | "garage_door" | "opening" | "gate");
                matches!(row.kind, K::Cover | K::Valve) || row.kind == K::BinarySensor && opening
            }
            Condition::Locked | Condition::Unlocked => row.kind == K::Lock,
        },
        About::Temperature => row.kind == K::Sensor && device_class == "temperature" || row.kind == K::Climate,
        About::Humidity => row.kind == K::Sensor && device_class == "humidity",
        About::Brightness => row.kind == K::Light || row.kind == K::Sensor && device_class == "illuminance",
        About::Battery | About::LowBattery => {
            matches!(row.kind, K::Sensor | K::BinarySensor) && device_class == "battery"
        }
        About::State => true,
    }
}
