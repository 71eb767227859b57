//! What a message on one of an entity's topics does to its state.

use serde_json::Value;

use crate::domain::household::{EntityKind, Rgb, State};
use crate::home::binding::{Binding, Field, is_json_light, number};
use crate::home::discovery::{AnnouncedEntity, text};

/// Longest state that is kept, in bytes.
const VALUE_BYTES_MAX: usize = 255;
const MIREDS_PER_KELVIN: f64 = 1_000_000.0;

/// Changes `state` by what `payload` says. A payload that cannot be read changes nothing.
pub(super) fn apply(entity: &AnnouncedEntity, binding: &Binding, payload: &str, state: &mut State) {
    if binding.field == Field::State && is_json_light(entity) {
        return apply_json_light(entity, payload, state);
    }
    let read = match &binding.template {
        Some(template) => template.read(payload),
        None => Some(payload.trim().to_owned()),
    };
    let Some(value) = read.filter(|value| !value.is_empty() && value.len() <= VALUE_BYTES_MAX) else { return };
    let as_number = || value.parse::<f64>().ok().filter(|number| number.is_finite());
    match binding.field {
        Field::State => apply_main(entity, &value, state),
        Field::Brightness => {
            let scale = number(entity, "brightness_scale").unwrap_or(255.0);
            state.brightness_percent = as_number().map(|level| percent(level, scale)).or(state.brightness_percent);
        }
        Field::Rgb => state.color = rgb(&value).or(state.color),
        Field::ColorTemperature => {
            let is_kelvin = entity.config.get("color_temp_kelvin").and_then(Value::as_bool).unwrap_or(false);
            state.color_temperature_k = as_number()
                .filter(|level| *level >= 1.0)
                .map(|level| if is_kelvin { level as u32 } else { (MIREDS_PER_KELVIN / level) as u32 })
                .or(state.color_temperature_k);
        }
        Field::Position => {
            if let Some(position) = as_number() {
                state.position_percent = Some(scaled_position(entity, position));
                if !entity.config.contains_key("state_topic") {
                    let is_open = state.position_percent.is_some_and(|percent| percent > 0.0);
                    state.value = Some(if is_open { "open" } else { "closed" }.to_owned());
                }
            }
        }
        Field::CurrentTemperature => state.current_temperature = as_number().or(state.current_temperature),
        Field::TargetTemperature => state.target_temperature = as_number().or(state.target_temperature),
        Field::Mode => {
            if entity.kind == EntityKind::Climate {
                state.value = Some(value.clone());
            }
            state.mode = Some(value);
        }
        Field::Percentage => {
            let (low, high) = speed_range(entity);
            let share = |level: f64| ((level - low + 1.0) / (high - low + 1.0) * 100.0).clamp(0.0, 100.0);
            state.position_percent = as_number().map(share).or(state.position_percent);
        }
        Field::Availability(_) => {}
    }
}

/// The entity's main state in Home Assistant's words.
fn apply_main(entity: &AnnouncedEntity, value: &str, state: &mut State) {
    let config = &entity.config;
    let says = |key: &str, fallback: &str| text(config, key).unwrap_or(fallback) == value;
    let word = match entity.kind {
        EntityKind::Light | EntityKind::Switch | EntityKind::Fan | EntityKind::Siren | EntityKind::Humidifier => {
            let on = payload(config, "state_on").or_else(|| payload(config, "payload_on"));
            let off = payload(config, "state_off").or_else(|| payload(config, "payload_off"));
            on_or_off(value, on, off)
        }
        EntityKind::BinarySensor => on_or_off(value, payload(config, "payload_on"), payload(config, "payload_off")),
        EntityKind::Cover | EntityKind::Valve => [
            ("state_open", "open"),
            ("state_closed", "closed"),
            ("state_opening", "opening"),
            ("state_closing", "closing"),
            ("state_stopped", "stopped"),
        ]
        .into_iter()
        .find(|(key, word)| says(key, word) || value.eq_ignore_ascii_case(word))
        .map(|(_, word)| word),
        EntityKind::Lock => [
            ("state_locked", "LOCKED", "locked"),
            ("state_unlocked", "UNLOCKED", "unlocked"),
            ("state_locking", "LOCKING", "locking"),
            ("state_unlocking", "UNLOCKING", "unlocking"),
            ("state_jammed", "JAMMED", "jammed"),
        ]
        .into_iter()
        .find(|(key, said, _)| says(key, said))
        .map(|(_, _, word)| word),
        _ => {
            state.value = Some(value.to_owned());
            return;
        }
    };
    if let Some(word) = word {
        state.value = Some(word.to_owned());
    }
}

/// Compared without case, because templates write booleans with a capital.
fn on_or_off(value: &str, on: Option<String>, off: Option<String>) -> Option<&'static str> {
    let says =
        |payload: &Option<String>, fallback: &str| value.eq_ignore_ascii_case(payload.as_deref().unwrap_or(fallback));
    if says(&on, "ON") {
        Some("on")
    } else if says(&off, "OFF") {
        Some("off")
    } else {
        None
    }
}

/// A payload of the document as text; Zigbee2MQTT writes booleans.
fn payload(config: &serde_json::Map<String, Value>, key: &str) -> Option<String> {
    match config.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// Zigbee2MQTT's and ESPHome's form of a light.
fn apply_json_light(entity: &AnnouncedEntity, payload: &str, state: &mut State) {
    let Ok(Value::Object(said)) = serde_json::from_str(payload) else { return };
    match said.get("state").and_then(Value::as_str) {
        Some(word) if word.eq_ignore_ascii_case("on") => state.value = Some("on".to_owned()),
        Some(word) if word.eq_ignore_ascii_case("off") => state.value = Some("off".to_owned()),
        _ => {}
    }
    let level = |key: &str| said.get(key).and_then(Value::as_f64).filter(|level| level.is_finite());
    let scale = number(entity, "brightness_scale").unwrap_or(255.0);
    state.brightness_percent = level("brightness").map(|level| percent(level, scale)).or(state.brightness_percent);
    let is_kelvin = entity.config.get("color_temp_kelvin").and_then(Value::as_bool).unwrap_or(false);
    if let Some(temperature) = level("color_temp").filter(|level| *level >= 1.0) {
        state.color_temperature_k =
            Some(if is_kelvin { temperature as u32 } else { (MIREDS_PER_KELVIN / temperature) as u32 });
    }
    if let Some(color) = said.get("color") {
        let part = |key: &str| color.get(key).and_then(Value::as_f64);
        let byte = |level: f64| level.clamp(0.0, 255.0) as u8;
        if let (Some(r), Some(g), Some(b)) = (part("r"), part("g"), part("b")) {
            state.color = Some(Rgb { r: byte(r), g: byte(g), b: byte(b) });
        }
    }
}

fn percent(level: f64, scale: f64) -> f64 {
    (level / scale.max(1.0) * 100.0).clamp(0.0, 100.0)
}

/// 0 closed to 100 open, whatever the device counts.
fn scaled_position(entity: &AnnouncedEntity, position: f64) -> f64 {
    let closed = number(entity, "position_closed").unwrap_or(0.0);
    let open = number(entity, "position_open").unwrap_or(100.0);
    if open == closed { position } else { ((position - closed) / (open - closed) * 100.0).clamp(0.0, 100.0) }
}

pub(super) fn speed_range(entity: &AnnouncedEntity) -> (f64, f64) {
    let low = number(entity, "speed_range_min").unwrap_or(1.0);
    let high = number(entity, "speed_range_max").unwrap_or(100.0);
    (low, high.max(low))
}

fn rgb(text: &str) -> Option<Rgb> {
    let mut parts = text.split(',').map(|part| part.trim().parse::<u8>().ok());
    Some(Rgb { r: parts.next()??, g: parts.next()??, b: parts.next()?? })
}
