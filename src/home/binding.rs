//! Which topics tell what about an entity, and what it can do, as its discovery document says.

use serde_json::Value;

use crate::domain::household::{Abilities, EntityKind, Range};
use crate::home::discovery::{AnnouncedEntity, text};
use crate::home::template::Template;

/// What a topic tells about an entity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Field {
    State,
    Brightness,
    Rgb,
    ColorTemperature,
    Position,
    CurrentTemperature,
    TargetTemperature,
    Mode,
    Percentage,
    /// One of the entity's availability topics.
    Availability(usize),
}

/// A topic and how to read it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Binding {
    pub topic: String,
    pub field: Field,
    pub template: Option<Template>,
}

/// Topic and template keys by field.
const FIELDS: &[(Field, &str, &str)] = &[
    (Field::State, "state_topic", "value_template"),
    (Field::Brightness, "brightness_state_topic", "brightness_value_template"),
    (Field::Rgb, "rgb_state_topic", "rgb_value_template"),
    (Field::ColorTemperature, "color_temp_state_topic", "color_temp_value_template"),
    (Field::Position, "position_topic", "position_template"),
    (Field::CurrentTemperature, "current_temperature_topic", "current_temperature_template"),
    (Field::TargetTemperature, "temperature_state_topic", "temperature_state_template"),
    (Field::Mode, "mode_state_topic", "mode_state_template"),
    (Field::Percentage, "percentage_state_topic", "percentage_value_template"),
];

pub(super) fn bindings(entity: &AnnouncedEntity) -> Vec<Binding> {
    let config = &entity.config;
    let mut found: Vec<Binding> = Vec::new();
    for (field, topic_key, template_key) in FIELDS {
        let Some(topic) = text(config, topic_key) else { continue };
        let template = text(config, template_key)
            .or_else(|| (*field == Field::State).then(|| text(config, "state_value_template")).flatten())
            .and_then(Template::new);
        found.push(Binding { topic: topic.to_owned(), field: *field, template });
    }
    found.extend(availability(entity));
    found
}

fn availability(entity: &AnnouncedEntity) -> Vec<Binding> {
    let config = &entity.config;
    let own = text(config, "availability_topic").map(|topic| (topic, text(config, "availability_template")));
    let list: Vec<&Value> = match config.get("availability") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(single @ Value::Object(_)) => vec![single],
        _ => Vec::new(),
    };
    let listed = list.into_iter().filter_map(|entry| {
        let topic = entry.get("topic").and_then(Value::as_str)?;
        let template = entry.get("value_template").or_else(|| entry.get("availability_template"));
        Some((topic, template.and_then(Value::as_str)))
    });
    let binding = |(index, (topic, template)): (usize, (&str, Option<&str>))| Binding {
        topic: topic.to_owned(),
        field: Field::Availability(index),
        template: template.and_then(Template::new),
    };
    own.into_iter().chain(listed).enumerate().map(binding).collect()
}

/// The payloads that mean available and not, for availability topic number `index`.
pub(super) fn availability_payloads(entity: &AnnouncedEntity, index: usize) -> (String, String) {
    let has_own = entity.config.contains_key("availability_topic");
    let entry = match entity.config.get("availability") {
        Some(Value::Array(list)) => list.get(index - usize::from(has_own && index > 0)),
        Some(single @ Value::Object(_)) => Some(single),
        _ => None,
    };
    let payload = |key: &str, fallback: &str| {
        let listed = entry.filter(|_| !has_own || index > 0).and_then(|entry| entry.get(key)).and_then(Value::as_str);
        listed.or_else(|| text(&entity.config, key)).unwrap_or(fallback).to_owned()
    };
    (payload("payload_available", "online"), payload("payload_not_available", "offline"))
}

pub(super) fn is_json_light(entity: &AnnouncedEntity) -> bool {
    entity.kind == EntityKind::Light && text(&entity.config, "schema") == Some("json")
}

pub(super) fn number(entity: &AnnouncedEntity, key: &str) -> Option<f64> {
    entity.config.get(key).and_then(Value::as_f64)
}

/// Names in a list of the document.
fn names(entity: &AnnouncedEntity, key: &str) -> Vec<String> {
    let list = entity.config.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn color_modes(entity: &AnnouncedEntity) -> Vec<String> {
    names(entity, "supported_color_modes")
}

pub(super) fn abilities(entity: &AnnouncedEntity) -> Abilities {
    let config = &entity.config;
    let has = |key: &str| config.contains_key(key);
    let is_true = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
    let modes = color_modes(entity);
    let has_mode = |wanted: &[&str]| modes.iter().any(|mode| wanted.contains(&mode.as_str()));
    let has_color_temperature =
        has("color_temp_command_topic") || is_true("color_temp") || has_mode(&["color_temp", "rgbww", "white"]);
    let has_color = has("rgb_command_topic")
        || has("hs_command_topic")
        || has("xy_command_topic")
        || has_mode(&["rgb", "hs", "xy", "rgbw", "rgbww"]);
    let json_brightness = is_json_light(entity) && (is_true("brightness") || modes.iter().any(|mode| mode != "onoff"));
    Abilities {
        on_off: matches!(
            entity.kind,
            EntityKind::Light | EntityKind::Switch | EntityKind::Fan | EntityKind::Siren | EntityKind::Humidifier
        ),
        brightness: has("brightness_command_topic") || json_brightness,
        color: has_color,
        color_temperature_k: has_color_temperature.then(|| kelvin_range(entity)),
        position: has("set_position_topic") || has("percentage_command_topic"),
        range: range(entity),
        options: match entity.kind {
            EntityKind::Climate => names(entity, "modes"),
            EntityKind::Fan => names(entity, "preset_modes"),
            _ => names(entity, "options"),
        },
    }
}

fn kelvin_range(entity: &AnnouncedEntity) -> (u32, u32) {
    const MIREDS_PER_KELVIN: f64 = 1_000_000.0;
    let of_mireds = |key: &str, fallback: u32| {
        number(entity, key)
            .filter(|mireds| *mireds > 0.0)
            .map_or(fallback, |mireds| (MIREDS_PER_KELVIN / mireds) as u32)
    };
    let low = number(entity, "min_kelvin").map_or_else(|| of_mireds("max_mireds", 2000), |kelvin| kelvin as u32);
    let high = number(entity, "max_kelvin").map_or_else(|| of_mireds("min_mireds", 6535), |kelvin| kelvin as u32);
    (low.min(high), high.max(low))
}

fn range(entity: &AnnouncedEntity) -> Option<Range> {
    let read = |min: &str, max: &str, step: &str, fallback: Range| Range {
        min: number(entity, min).unwrap_or(fallback.min),
        max: number(entity, max).unwrap_or(fallback.max),
        step: number(entity, step).unwrap_or(fallback.step),
    };
    match entity.kind {
        EntityKind::Climate => {
            Some(read("min_temp", "max_temp", "temp_step", Range { min: 7.0, max: 35.0, step: 1.0 }))
        }
        EntityKind::Number => Some(read("min", "max", "step", Range { min: 1.0, max: 100.0, step: 1.0 })),
        _ => None,
    }
}
