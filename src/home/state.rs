//! What a message on one of an entity's topics does to its state.

use serde_json::{Map, Value};

use crate::domain::household::{EntityKind, Rgb, State};
use crate::home::ability::{is_positional_valve, is_true, number};
use crate::home::binding::{Binding, Channel, Field, Schema, schema};
use crate::home::color;
use crate::home::discovery::AnnouncedEntity;
use crate::home::template::Payload;

/// Longest state that is kept, in bytes.
const VALUE_BYTES_MAX: usize = 255;

/// Changes `state` by what `payload` says. A payload that cannot be read changes nothing.
pub(super) fn apply(entity: &AnnouncedEntity, binding: &Binding, payload: &Payload<'_>, state: &mut State) {
    if binding.field == Field::State && schema(entity) == Schema::JsonLight {
        if let Some(Value::Object(said)) = payload.json() {
            apply_json_light(entity, said, state);
        }
        return;
    }
    let read = match &binding.template {
        Some(template) => template.read(payload),
        None => Some(payload.text.trim().to_owned()),
    };
    if let Some(value) = read.filter(|value| !value.is_empty() && value.len() <= VALUE_BYTES_MAX) {
        apply_value(entity, binding.field, &value, state);
    }
}

fn apply_value(entity: &AnnouncedEntity, field: Field, value: &str, state: &mut State) {
    // Home Assistant's word for "not known any more".
    let is_unknown = value.eq_ignore_ascii_case("none");
    let number_said = value.parse::<f64>().ok().filter(|number| number.is_finite());
    match field {
        Field::State if is_unknown => state.value = None,
        Field::State => apply_main(entity, value, state),
        Field::Brightness => {
            state.brightness_percent = number_said.map(|level| brightness(entity, level)).or(state.brightness_percent);
        }
        Field::Rgb => state.color = triple(value).or(state.color),
        Field::Hs => state.color = pair(value).and_then(|(h, s)| color::of_hs(h, s)).or(state.color),
        Field::Xy => state.color = pair(value).and_then(|(x, y)| color::of_xy(x, y)).or(state.color),
        Field::Channel(channel) => apply_channel(channel, number_said, state),
        Field::ColorTemperature => {
            let kelvin = number_said.and_then(|level| kelvin(entity, level));
            state.color_temperature_k = kelvin.or(state.color_temperature_k);
        }
        Field::Position => number_said.into_iter().for_each(|position| apply_position(entity, position, state)),
        Field::CurrentTemperature => state.current_temperature = number_said.or(state.current_temperature),
        Field::TargetTemperature => state.target_temperature = number_said.or(state.target_temperature),
        // The percentage that was set, as with covers and fans.
        Field::TargetHumidity => state.position_percent = number_said.or(state.position_percent),
        Field::Power => {
            let is_off =
                on_or_off(value, payload(&entity.config, "payload_on"), payload(&entity.config, "payload_off"))
                    == Some("off");
            if is_off {
                state.value = Some("off".to_owned());
            }
        }
        Field::Mode => {
            state.mode = (!is_unknown).then(|| value.to_owned());
            if entity.kind == EntityKind::Climate {
                state.value = state.mode.clone();
            }
        }
        Field::Preset => {
            // A thermostat's mode outweighs its preset.
            if entity.kind != EntityKind::Climate {
                state.mode = (!is_unknown).then(|| value.to_owned());
            }
        }
        Field::Percentage => {
            let (low, high) = speed_range(entity);
            let share = |level: f64| ((level - low + 1.0) / (high - low + 1.0) * 100.0).clamp(0.0, 100.0);
            state.position_percent = number_said.map(share).or(state.position_percent);
        }
        Field::Availability(_) => {}
    }
}

/// The entity's main state in Home Assistant's words.
fn apply_main(entity: &AnnouncedEntity, value: &str, state: &mut State) {
    let config = &entity.config;
    let word = match entity.kind {
        EntityKind::Light | EntityKind::Switch | EntityKind::Fan | EntityKind::Siren | EntityKind::Humidifier => {
            let value = json_state(entity, value);
            let on = payload(config, "state_on").or_else(|| payload(config, "payload_on"));
            let off = payload(config, "state_off").or_else(|| payload(config, "payload_off"));
            on_or_off(&value, on, off)
        }
        EntityKind::BinarySensor => on_or_off(value, payload(config, "payload_on"), payload(config, "payload_off")),
        EntityKind::Valve if is_positional_valve(entity) => return apply_valve(entity, value, state),
        EntityKind::Cover | EntityKind::Valve => said_in(
            config,
            value,
            &[
                ("state_open", "open"),
                ("state_closed", "closed"),
                ("state_opening", "opening"),
                ("state_closing", "closing"),
                ("state_stopped", "stopped"),
            ],
        ),
        EntityKind::Lock => said_in(
            config,
            value,
            &[
                ("state_locked", "locked"),
                ("state_unlocked", "unlocked"),
                ("state_locking", "locking"),
                ("state_unlocking", "unlocking"),
                ("state_jammed", "jammed"),
            ],
        ),
        _ => Some(value),
    };
    if let Some(word) = word {
        state.value = Some(word.to_owned());
    }
}

/// The word whose payload, or which itself, is said.
fn said_in(config: &Map<String, Value>, value: &str, words: &[(&str, &'static str)]) -> Option<&'static str> {
    let exact = words.iter().find(|(key, _)| payload(config, key).is_some_and(|said| said == value));
    let folded = || words.iter().find(|(_, word)| value.eq_ignore_ascii_case(word));
    exact.or_else(folded).map(|(_, word)| *word)
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

/// Sirens may say their state as JSON.
fn json_state(entity: &AnnouncedEntity, value: &str) -> String {
    let said: Option<Value> = (entity.kind == EntityKind::Siren).then(|| serde_json::from_str(value).ok()).flatten();
    let state = said.as_ref().and_then(|said| said.get("state")).and_then(Value::as_str);
    state.unwrap_or(value).to_owned()
}

/// A payload of the document as text; Zigbee2MQTT writes booleans.
fn payload(config: &Map<String, Value>, key: &str) -> Option<String> {
    match config.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// Zigbee2MQTT's and ESPHome's form of a light.
fn apply_json_light(entity: &AnnouncedEntity, said: &Map<String, Value>, state: &mut State) {
    match said.get("state").and_then(Value::as_str) {
        Some(word) if word.eq_ignore_ascii_case("on") => state.value = Some("on".to_owned()),
        Some(word) if word.eq_ignore_ascii_case("off") => state.value = Some("off".to_owned()),
        _ => {}
    }
    let level = |key: &str| said.get(key).and_then(Value::as_f64).filter(|level| level.is_finite());
    state.brightness_percent = level("brightness").map(|level| brightness(entity, level)).or(state.brightness_percent);
    state.color_temperature_k =
        level("color_temp").and_then(|level| kelvin(entity, level)).or(state.color_temperature_k);
    if let Some(effect) = said.get("effect").and_then(Value::as_str) {
        state.mode = Some(effect.chars().take(VALUE_BYTES_MAX / 4).collect());
    }
    let Some(color) = said.get("color") else { return };
    let part = |key: &str| color.get(key).and_then(Value::as_f64);
    let byte = |level: f64| level.clamp(0.0, 255.0) as u8;
    let rgb = part("r").zip(part("g")).zip(part("b")).map(|((r, g), b)| Rgb { r: byte(r), g: byte(g), b: byte(b) });
    let hue_saturation = || part("h").zip(part("s")).and_then(|(h, s)| color::of_hs(h, s));
    let xy = || part("x").zip(part("y")).and_then(|(x, y)| color::of_xy(x, y));
    state.color = rgb.or_else(hue_saturation).or_else(xy).or(state.color);
}

fn apply_channel(channel: Channel, level: Option<f64>, state: &mut State) {
    let Some(level) = level else { return };
    let color = state.color.get_or_insert(Rgb { r: 0, g: 0, b: 0 });
    let level = level.clamp(0.0, 255.0) as u8;
    match channel {
        Channel::Red => color.r = level,
        Channel::Green => color.g = level,
        Channel::Blue => color.b = level,
    }
}

/// 0 closed to 100 open, whatever the device counts.
fn apply_position(entity: &AnnouncedEntity, position: f64, state: &mut State) {
    let closed = number(entity, "position_closed").unwrap_or(0.0);
    let open = number(entity, "position_open").unwrap_or(100.0);
    let percent = if open == closed { position } else { (position - closed) / (open - closed) * 100.0 };
    let percent = percent.clamp(0.0, 100.0);
    state.position_percent = Some(percent);
    if is_positional_valve(entity) || !entity.config.contains_key("state_topic") {
        state.value = Some(if percent > 0.0 { "open" } else { "closed" }.to_owned());
    }
}

/// A number, or JSON with a position and a word for the movement.
fn apply_valve(entity: &AnnouncedEntity, value: &str, state: &mut State) {
    let said: Option<Value> = serde_json::from_str(value).ok();
    let position = match &said {
        Some(Value::Object(said)) => said.get("position").and_then(Value::as_f64),
        other => other.as_ref().and_then(Value::as_f64),
    };
    position.into_iter().for_each(|position| apply_position(entity, position, state));
    let word = said.as_ref().and_then(|said| said.get("state")).and_then(Value::as_str).unwrap_or(value);
    if let Some(word) = said_in(&entity.config, word, &[("state_opening", "opening"), ("state_closing", "closing")]) {
        state.value = Some(word.to_owned());
    }
}

fn brightness(entity: &AnnouncedEntity, level: f64) -> f64 {
    (level / brightness_scale(entity) * 100.0).clamp(0.0, 100.0)
}

pub(super) fn brightness_scale(entity: &AnnouncedEntity) -> f64 {
    number(entity, "brightness_scale").filter(|scale| *scale >= 1.0).unwrap_or(255.0)
}

fn kelvin(entity: &AnnouncedEntity, level: f64) -> Option<u32> {
    if is_true(entity, "color_temp_kelvin") {
        (level >= 1.0).then_some(level as u32)
    } else {
        color::kelvin_of_mireds(level)
    }
}

pub(super) fn speed_range(entity: &AnnouncedEntity) -> (f64, f64) {
    let low = number(entity, "speed_range_min").unwrap_or(1.0);
    let high = number(entity, "speed_range_max").unwrap_or(100.0);
    (low, high.max(low))
}

/// Whether the word that turns something on is the one that is written in the document.
pub(super) fn word(entity: &AnnouncedEntity, key: &str, fallback: &str) -> Option<String> {
    match entity.config.get(key) {
        None => Some(fallback.to_owned()),
        Some(_) => payload(&entity.config, key),
    }
}

fn triple(value: &str) -> Option<Rgb> {
    let mut parts = value.split(',').map(|part| part.trim().parse::<u8>().ok());
    Some(Rgb { r: parts.next()??, g: parts.next()??, b: parts.next()?? })
}

fn pair(value: &str) -> Option<(f64, f64)> {
    let (first, second) = value.split_once(',')?;
    Some((first.trim().parse().ok()?, second.trim().parse().ok()?))
}
