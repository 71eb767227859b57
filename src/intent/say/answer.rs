//! Answers to questions about the home, from its snapshot.

use super::Say;
use super::reply::{ReplyKey, begins_with_preposition, number};
use crate::base::id::EntityId;
use crate::domain::household::{Entity, EntityKind, Household};
use crate::intent::kind::{About, Condition, Described};

/// Readings that are read out one by one.
const READINGS_SAID_MAX: usize = 8;
/// A battery below this is low.
const BATTERY_LOW_PERCENT: f64 = 20.0;

impl Say<'_> {
    /// The answer to a query; `targets`, `about` and `what` are the query's.
    pub fn answer(&self, household: &Household, targets: &[EntityId], about: About, what: &Described) -> String {
        let entities: Vec<&Entity> =
            targets.iter().filter_map(|id| household.entity(id)).map(|(_, entity)| entity).collect();
        match about {
            About::Is(condition) => self.is(&entities, condition, what),
            About::Any(condition) => self.any(&entities, condition),
            About::Which(condition) => self.which(&entities, condition),
            About::State => self.states(&entities, what),
            About::Temperature => self.temperature(&entities, what),
            About::Humidity => self.readings(&entities, ReplyKey::NoHumidity, |entity| measured(entity, "%")),
            About::Brightness => self.readings(&entities, ReplyKey::NoBrightness, brightness),
            About::Battery => self.readings(&entities, ReplyKey::NoBattery, |entity| measured(entity, "%")),
            About::LowBattery => self.low_batteries(&entities),
        }
    }

    fn is(&self, entities: &[&Entity], condition: Condition, what: &Described) -> String {
        if entities.is_empty() {
            return self.not_found(&what.words);
        }
        let known: Vec<(&Entity, bool)> =
            entities.iter().filter_map(|entity| holds(entity, condition).map(|holds| (*entity, holds))).collect();
        if known.is_empty() {
            return self.numbered(ReplyKey::UnknownState, what.number, &[("what", &what.words)]);
        }
        let (yes, no): (Vec<_>, Vec<_>) = known.iter().partition(|(_, holds)| *holds);
        if yes.is_empty() || no.is_empty() {
            let key = if no.is_empty() { ReplyKey::YesIs } else { ReplyKey::NoIs };
            let state = self.word(if no.is_empty() { condition } else { opposite(condition) });
            return self.numbered(key, what.number, &[("what", &what.words), ("state", &state)]);
        }
        let part = |found: &[(&Entity, bool)], condition: Condition| {
            let names: Vec<&str> = found.iter().map(|(entity, _)| entity.name.as_str()).collect();
            self.are(&names, condition)
        };
        format!("{} {}", part(&yes, condition), part(&no, opposite(condition)))
    }

    fn any(&self, entities: &[&Entity], condition: Condition) -> String {
        let names = with(entities, condition);
        if names.is_empty() {
            self.one(ReplyKey::AnyNone, &[("state", &self.word(condition))])
        } else {
            self.yes(&self.are(&names, condition))
        }
    }

    fn which(&self, entities: &[&Entity], condition: Condition) -> String {
        let names = with(entities, condition);
        if names.is_empty() {
            self.one(ReplyKey::WhichNone, &[("state", &self.word(condition))])
        } else {
            self.are(&names, condition)
        }
    }

    fn yes(&self, rest: &str) -> String {
        let yes = self.one(ReplyKey::YesIs, &[]);
        let word = yes.split([',', ' ']).next().unwrap_or_default();
        format!("{word}: {rest}")
    }

    fn are(&self, names: &[&str], condition: Condition) -> String {
        let number = self.language.number_of(names);
        let words = self.language.replies.names(self.language, names);
        self.numbered(ReplyKey::IsState, number, &[("what", &words), ("state", &self.word(condition))])
    }

    fn states(&self, entities: &[&Entity], what: &Described) -> String {
        if entities.is_empty() {
            return self.not_found(&what.words);
        }
        let state = |entity: &&&Entity| {
            let name = self.language.replies.name(self.language, &entity.name);
            match self.state_of(entity) {
                Some(state) => self.one(ReplyKey::IsState, &[("what", &name), ("state", &state)]),
                None if !entity.available => self.one(ReplyKey::Unavailable, &[("what", &name)]),
                None => self.one(ReplyKey::UnknownState, &[("what", &name)]),
            }
        };
        entities.iter().take(READINGS_SAID_MAX).map(|entity| state(&entity)).collect::<Vec<_>>().join(" ")
    }

    /// The main state and what belongs to it: "on at 40 %", "heat, 21 °C, set to 22 °C".
    fn state_of(&self, entity: &Entity) -> Option<String> {
        let state = &entity.state;
        let main = [Condition::On, Condition::Open, Condition::Locked].into_iter().find_map(|condition| {
            let value = state.value.as_deref()?;
            let fits = conditions(entity).contains(&condition)
                && holds(entity, condition).is_some()
                && matches!(value, "on" | "off" | "open" | "closed" | "locked" | "unlocked");
            fits.then(|| {
                self.word(if holds(entity, condition) == Some(true) { condition } else { opposite(condition) })
            })
        });
        let plain = || {
            let value = state.value.as_ref().or(state.mode.as_ref())?;
            let unit = entity.unit.as_ref().map_or(String::new(), |unit| format!(" {unit}"));
            let word = self
                .language
                .states
                .get(&value.to_lowercase())
                .cloned()
                .unwrap_or_else(|| value.parse().map_or_else(|_| value.clone(), number));
            Some(format!("{word}{unit}"))
        };
        let mut parts: Vec<String> = main.or_else(plain).into_iter().collect();
        let is_on = state.value.as_deref() != Some("off");
        parts.extend(state.brightness_percent.filter(|_| is_on).map(|percent| format!("{} %", number(percent))));
        parts.extend(
            state
                .position_percent
                .filter(|percent| (1.0..100.0).contains(percent))
                .map(|percent| format!("{} %", number(percent))),
        );
        parts.extend(state.current_temperature.map(|degrees| degrees_of(entity, degrees)));
        parts.extend(
            state
                .target_temperature
                .map(|degrees| self.one(ReplyKey::TargetTemperature, &[("value", &degrees_of(entity, degrees))])),
        );
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    fn temperature(&self, entities: &[&Entity], what: &Described) -> String {
        // A thermostat repeats what its room's sensor says.
        let sensors: Vec<&Entity> =
            entities.iter().copied().filter(|entity| entity.kind == EntityKind::Sensor).collect();
        let entities = if sensors.is_empty() { entities.to_vec() } else { sensors };
        let known: Vec<(&Entity, String)> =
            entities.iter().filter_map(|entity| temperature(entity).map(|value| (*entity, value))).collect();
        match known.as_slice() {
            [] => self.one(ReplyKey::NoTemperature, &[]),
            [(_, value)] if begins_with_preposition(self.language, &what.words) => {
                self.one(ReplyKey::TemperatureIn, &[("value", value), ("place", &what.words)])
            }
            _ => self.readings(&entities, ReplyKey::NoTemperature, temperature),
        }
    }

    fn readings(&self, entities: &[&Entity], none: ReplyKey, read: fn(&Entity) -> Option<String>) -> String {
        let readings: Vec<String> = entities
            .iter()
            .filter_map(|entity| {
                read(entity).map(|value| self.one(ReplyKey::Reading, &[("name", &entity.name), ("value", &value)]))
            })
            .take(READINGS_SAID_MAX)
            .collect();
        if readings.is_empty() { self.one(none, &[]) } else { format!("{}.", readings.join(", ")) }
    }

    fn low_batteries(&self, entities: &[&Entity]) -> String {
        let is_low = |entity: &&&Entity| match entity.state.value.as_deref() {
            Some("on") if entity.kind == EntityKind::BinarySensor => true,
            Some(value) => value.parse::<f64>().is_ok_and(|percent| percent < BATTERY_LOW_PERCENT),
            None => false,
        };
        let low: Vec<&str> = entities.iter().filter(is_low).map(|entity| entity.name.as_str()).collect();
        if low.is_empty() {
            return self.one(ReplyKey::BatteriesFine, &[]);
        }
        self.one(ReplyKey::BatteriesLow, &[("names", &self.language.replies.names(self.language, &low))])
    }

    fn word(&self, condition: Condition) -> String {
        let key = match condition {
            Condition::On => "on",
            Condition::Off => "off",
            Condition::Open => "open",
            Condition::Closed => "closed",
            Condition::Locked => "locked",
            Condition::Unlocked => "unlocked",
        };
        self.language.states.get(key).map_or(key, String::as_str).to_owned()
    }
}

fn with<'a>(entities: &[&'a Entity], condition: Condition) -> Vec<&'a str> {
    entities.iter().filter(|entity| holds(entity, condition) == Some(true)).map(|entity| entity.name.as_str()).collect()
}

/// Whether the last known state means `condition`; `None` when nothing is known.
fn holds(entity: &Entity, condition: Condition) -> Option<bool> {
    let value = entity.state.value.as_deref()?;
    let affirmed = match value {
        "unavailable" | "unknown" | "" => return None,
        "off" | "closed" | "locked" | "idle" if entity.kind != EntityKind::Lock || value != "locked" => false,
        "locked" => return Some(matches!(condition, Condition::Locked | Condition::Closed)),
        "unlocked" => return Some(matches!(condition, Condition::Unlocked | Condition::Open)),
        _ => true,
    };
    Some(match condition {
        Condition::On | Condition::Open | Condition::Unlocked => affirmed,
        Condition::Off | Condition::Closed | Condition::Locked => !affirmed,
    })
}

/// The words in which people think of this entity's state.
fn conditions(entity: &Entity) -> &'static [Condition] {
    let opening = matches!(
        entity.device_class.as_deref(),
        Some("door" | "window" | "garage" | "garage_door" | "opening" | "gate")
    );
    match entity.kind {
        EntityKind::Lock => &[Condition::Locked],
        EntityKind::Cover | EntityKind::Valve => &[Condition::Open],
        EntityKind::BinarySensor if opening => &[Condition::Open],
        EntityKind::Light
        | EntityKind::Switch
        | EntityKind::Fan
        | EntityKind::Siren
        | EntityKind::Humidifier
        | EntityKind::BinarySensor => &[Condition::On],
        _ => &[],
    }
}

fn opposite(condition: Condition) -> Condition {
    match condition {
        Condition::On => Condition::Off,
        Condition::Off => Condition::On,
        Condition::Open => Condition::Closed,
        Condition::Closed => Condition::Open,
        Condition::Locked => Condition::Unlocked,
        Condition::Unlocked => Condition::Locked,
    }
}

fn measured(entity: &Entity, default_unit: &str) -> Option<String> {
    let value: f64 = entity.state.value.as_deref()?.parse().ok()?;
    Some(format!("{} {}", number(value), entity.unit.as_deref().unwrap_or(default_unit)))
}

fn temperature(entity: &Entity) -> Option<String> {
    entity.state.current_temperature.map(|degrees| degrees_of(entity, degrees)).or_else(|| measured(entity, "°C"))
}

fn brightness(entity: &Entity) -> Option<String> {
    match (&entity.state.value, entity.state.brightness_percent) {
        (Some(value), _) if value == "off" => Some("0 %".to_owned()),
        (_, Some(percent)) => Some(format!("{} %", number(percent))),
        _ => measured(entity, "lx"),
    }
}

fn degrees_of(entity: &Entity, degrees: f64) -> String {
    format!("{} {}", number(degrees), entity.unit.as_deref().unwrap_or("°C"))
}
