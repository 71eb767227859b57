//! What an entity can do, as its discovery document says.

use serde_json::Value;

use crate::domain::household::{Abilities, EntityKind, Range};
use crate::home::binding::{Schema, schema};
use crate::home::color::kelvin_of_mireds;
use crate::home::discovery::AnnouncedEntity;

/// Options of one entity that are kept.
const OPTIONS_MAX: usize = 200;

pub(super) fn abilities(entity: &AnnouncedEntity) -> Abilities {
    let has = |key: &str| entity.config.contains_key(key);
    let modes = names(entity, "supported_color_modes");
    let has_mode = |wanted: &[&str]| modes.iter().any(|mode| wanted.contains(&mode.as_str()));
    let can_turn_on_and_off = matches!(
        entity.kind,
        EntityKind::Light | EntityKind::Switch | EntityKind::Fan | EntityKind::Siren | EntityKind::Humidifier
    );
    let (brightness, color, temperature) = match schema(entity) {
        Schema::JsonLight => (
            is_true(entity, "brightness") || modes.iter().any(|mode| mode != "onoff"),
            has_mode(&["rgb", "hs", "xy", "rgbw", "rgbww"])
                || is_true(entity, "rgb")
                || is_true(entity, "hs")
                || is_true(entity, "xy"),
            has_mode(&["color_temp"]) || is_true(entity, "color_temp"),
        ),
        Schema::TemplateLight => {
            (has("brightness_template"), has("red_template") && has("green_template"), has("color_temp_template"))
        }
        Schema::Plain => (
            has("brightness_command_topic"),
            has("rgb_command_topic") || has("hs_command_topic") || has("xy_command_topic"),
            has("color_temp_command_topic"),
        ),
    };
    Abilities {
        on_off: can_turn_on_and_off,
        brightness,
        color,
        color_temperature_k: temperature.then(|| kelvin_range(entity)),
        position: has("set_position_topic")
            || has("percentage_command_topic")
            || has("target_humidity_command_topic")
            || is_positional_valve(entity),
        range: range(entity),
        options: options(entity),
    }
}

/// A valve that speaks in positions instead of words.
pub(super) fn is_positional_valve(entity: &AnnouncedEntity) -> bool {
    entity.kind == EntityKind::Valve && is_true(entity, "reports_position")
}

/// A number of the document; Zigbee2MQTT writes some as text.
pub(super) fn number(entity: &AnnouncedEntity, key: &str) -> Option<f64> {
    let number = match entity.config.get(key)? {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    number.filter(|number: &f64| number.is_finite())
}

pub(super) fn is_true(entity: &AnnouncedEntity, key: &str) -> bool {
    entity.config.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Names in a list of the document.
pub(super) fn names(entity: &AnnouncedEntity, key: &str) -> Vec<String> {
    let list = entity.config.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).take(OPTIONS_MAX).map(str::to_owned).collect()
}

fn options(entity: &AnnouncedEntity) -> Vec<String> {
    let keys: &[&str] = match entity.kind {
        EntityKind::Climate => &["modes", "preset_modes"],
        EntityKind::Fan => &["preset_modes"],
        EntityKind::Humidifier => &["modes"],
        EntityKind::Light => &["effect_list"],
        EntityKind::Siren => &["available_tones"],
        _ => &["options"],
    };
    let mut options: Vec<String> = Vec::new();
    for name in keys.iter().flat_map(|key| names(entity, key)) {
        if !options.contains(&name) {
            options.push(name);
        }
    }
    options
}

fn kelvin_range(entity: &AnnouncedEntity) -> (u32, u32) {
    let of = |kelvin_key: &str, mireds_key: &str, fallback: u32| {
        let kelvin = number(entity, kelvin_key).map(|kelvin| kelvin.max(1.0) as u32);
        kelvin.or_else(|| number(entity, mireds_key).and_then(kelvin_of_mireds)).unwrap_or(fallback)
    };
    let low = of("min_kelvin", "max_mireds", 2000);
    let high = of("max_kelvin", "min_mireds", 6535);
    (low.min(high), high.max(low))
}

fn range(entity: &AnnouncedEntity) -> Option<Range> {
    let read = |keys: [&str; 3], fallback: [f64; 3]| {
        let [min, max, step] = [0, 1, 2].map(|index| number(entity, keys[index]).unwrap_or(fallback[index]));
        Range { min: min.min(max), max: max.max(min), step }
    };
    match entity.kind {
        EntityKind::Climate => Some(read(["min_temp", "max_temp", "temp_step"], [7.0, 35.0, 1.0])),
        EntityKind::Number => Some(read(["min", "max", "step"], [1.0, 100.0, 1.0])),
        EntityKind::Humidifier => Some(read(["min_humidity", "max_humidity", "humidity_step"], [0.0, 100.0, 1.0])),
        _ => None,
    }
}
