//! From a wish to what is published.

use serde_json::{Value, json};

use crate::domain::household::{Abilities, Action, EntityKind, State};
use crate::home::ability::{abilities, is_positional_valve, is_true, names, number};
use crate::home::discovery::{AnnouncedEntity, text};
use crate::home::light::{self, Look};
use crate::home::state::{speed_range, word};
use crate::home::template::Template;
use crate::home::wanted::Wanted;
use crate::link::mqtt;

/// One message of a command.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Publication {
    pub topic: String,
    pub payload: String,
    /// As the document asks: some devices sleep and read it later.
    pub retain: bool,
}

/// A wish in the device's own words.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Command {
    pub publications: Vec<Publication>,
    pub wanted: Wanted,
}

/// Words `action` for `entity`; the error names what it cannot do.
pub(super) fn encode(entity: &AnnouncedEntity, state: &State, action: &Action) -> Result<Command, String> {
    let command = match entity.kind {
        EntityKind::Light => light_command(entity, state, action),
        EntityKind::Switch | EntityKind::Siren => switch_command(entity, state, action),
        EntityKind::Fan => fan_command(entity, state, action),
        EntityKind::Humidifier => humidifier_command(entity, state, action),
        EntityKind::Cover | EntityKind::Valve => cover_command(entity, state, action),
        EntityKind::Lock => lock_command(entity, action),
        EntityKind::Climate => climate_command(entity, state, action),
        EntityKind::Button | EntityKind::Scene | EntityKind::Number | EntityKind::Select | EntityKind::Text => {
            simple_command(entity, action)
        }
        EntityKind::Sensor | EntityKind::BinarySensor => None,
    };
    let command = command.unwrap_or_else(|| Err(name_of(action)))?;
    match command.publications.iter().find(|publication| !mqtt::topic::is_topic(&publication.topic)) {
        Some(_) => Err("a command without a proper topic".to_owned()),
        None => Ok(command),
    }
}

/// None for an action that such a thing does not have.
type Worded = Option<Result<Command, String>>;

fn light_command(entity: &AnnouncedEntity, state: &State, action: &Action) -> Worded {
    let able = abilities(entity);
    let is_on = state.value.as_deref() == Some("on");
    let brightness = |percent: f64| {
        if percent > 0.0 {
            light::turn_on(entity, state, Look::Brightness(percent.min(100.0)))
        } else {
            light::turn_off(entity)
        }
    };
    Some(match action {
        Action::TurnOn => light::turn_on(entity, state, Look::Plain),
        Action::TurnOff => light::turn_off(entity),
        Action::Toggle if is_on => light::turn_off(entity),
        Action::Toggle => light::turn_on(entity, state, Look::Plain),
        Action::SetBrightness { percent } if able.brightness => brightness(*percent),
        // What is off gets no darker.
        Action::ChangeBrightness { percent } if able.brightness && !is_on && *percent < 0.0 => light::turn_off(entity),
        Action::ChangeBrightness { percent } if able.brightness => {
            let now = if is_on { state.brightness_percent.unwrap_or(50.0) } else { 0.0 };
            brightness((now + percent).clamp(1.0, 100.0))
        }
        Action::SetColor { color } if able.color => light::turn_on(entity, state, Look::Color(*color)),
        Action::SetColorTemperature { kelvin } => match able.color_temperature_k {
            Some((low, high)) => light::turn_on(entity, state, Look::Kelvin((*kelvin).clamp(low, high))),
            None => Err("color temperature".to_owned()),
        },
        Action::SetMode { mode: name } | Action::Select { option: name } if !able.options.is_empty() => {
            light::effect(entity, state, name)
        }
        _ => return None,
    })
}

fn switch_command(entity: &AnnouncedEntity, state: &State, action: &Action) -> Worded {
    let is_on = state.value.as_deref() == Some("on");
    let switch = |on: bool| {
        let wanted = Wanted::Value(if on { &["on"] } else { &["off"] });
        let (key, fallback) = if on { ("payload_on", "ON") } else { ("payload_off", "OFF") };
        if entity.kind == EntityKind::Siren {
            siren(entity, key, fallback, wanted)
        } else {
            fixed(entity, key, fallback, wanted)
        }
    };
    match action {
        Action::TurnOn => Some(switch(true)),
        Action::TurnOff => Some(switch(false)),
        Action::Toggle => Some(switch(!is_on)),
        _ => None,
    }
}

/// Sirens take JSON unless they bring a template.
fn siren(entity: &AnnouncedEntity, key: &str, fallback: &str, wanted: Wanted) -> Result<Command, String> {
    if entity.config.contains_key("command_template") {
        return fixed(entity, key, fallback, wanted);
    }
    let payload = json!({"state": word(entity, key, fallback).ok_or("that")?}).to_string();
    Ok(Command { publications: vec![publication(entity, topic(entity, "command_topic")?, payload)], wanted })
}

fn fan_command(entity: &AnnouncedEntity, state: &State, action: &Action) -> Worded {
    match action {
        Action::SetSpeed { percent } | Action::SetPosition { percent } if abilities(entity).position => {
            Some(if *percent > 0.0 {
                speed(entity, *percent)
            } else {
                fixed(entity, "payload_off", "OFF", Wanted::Value(&["off"]))
            })
        }
        Action::SetMode { mode } | Action::Select { option: mode } => Some(preset(entity, mode)),
        _ => switch_command(entity, state, action),
    }
}

fn speed(entity: &AnnouncedEntity, percent: f64) -> Result<Command, String> {
    let (low, high) = speed_range(entity);
    let steps = high - low + 1.0;
    let level = (steps * percent.clamp(0.0, 100.0) / 100.0).round().max(1.0);
    // What the device will report is the step, not the wish.
    let wanted = Wanted::Position(level / steps * 100.0);
    let level = json!((low - 1.0 + level) as i64);
    sent(entity, "percentage_command_topic", Some("percentage_command_template"), &level, wanted)
}

fn preset(entity: &AnnouncedEntity, mode: &str) -> Result<Command, String> {
    let option = known(mode, &names(entity, "preset_modes"))?;
    let wanted = Wanted::Mode(option.clone());
    sent(entity, "preset_mode_command_topic", Some("preset_mode_command_template"), &json!(option), wanted)
}

fn humidifier_command(entity: &AnnouncedEntity, state: &State, action: &Action) -> Worded {
    let humidity = |percent: f64| {
        let range = abilities(entity).range;
        let percent = range.map_or(percent, |range| percent.clamp(range.min, range.max));
        let wanted = Wanted::Position(percent);
        sent(entity, "target_humidity_command_topic", Some("target_humidity_command_template"), &json!(percent), wanted)
    };
    match action {
        Action::SetPosition { percent } | Action::SetNumber { value: percent } => Some(humidity(*percent)),
        Action::SetMode { mode } | Action::Select { option: mode } => Some(own_mode(entity, mode)),
        _ => switch_command(entity, state, action),
    }
}

fn cover_command(entity: &AnnouncedEntity, state: &State, action: &Action) -> Worded {
    let is_open = matches!(state.value.as_deref(), Some("open" | "opening"));
    match action {
        Action::TurnOn | Action::Open => Some(cover(entity, true)),
        Action::TurnOff | Action::Close => Some(cover(entity, false)),
        Action::Toggle => Some(cover(entity, !is_open)),
        Action::Stop => Some(fixed(entity, "payload_stop", "STOP", Wanted::Nothing)),
        Action::SetPosition { percent } if abilities(entity).position => Some(position(entity, *percent)),
        _ => None,
    }
}

fn cover(entity: &AnnouncedEntity, open: bool) -> Result<Command, String> {
    if is_positional_valve(entity) || !entity.config.contains_key("command_topic") {
        return position(entity, if open { 100.0 } else { 0.0 });
    }
    if open {
        fixed(entity, "payload_open", "OPEN", Wanted::Value(&["open", "opening"]))
    } else {
        fixed(entity, "payload_close", "CLOSE", Wanted::Value(&["closed", "closing"]))
    }
}

fn position(entity: &AnnouncedEntity, percent: f64) -> Result<Command, String> {
    let closed = number(entity, "position_closed").unwrap_or(0.0);
    let open = number(entity, "position_open").unwrap_or(100.0);
    let value = (closed + (open - closed) * percent.clamp(0.0, 100.0) / 100.0).round() as i64;
    let keys = if is_positional_valve(entity) {
        ("command_topic", "command_template")
    } else {
        ("set_position_topic", "set_position_template")
    };
    sent(entity, keys.0, Some(keys.1), &json!(value), Wanted::Position(percent))
}

fn lock_command(entity: &AnnouncedEntity, action: &Action) -> Worded {
    match action {
        Action::Lock => Some(fixed(entity, "payload_lock", "LOCK", Wanted::Value(&["locked", "locking"]))),
        Action::Unlock => Some(fixed(entity, "payload_unlock", "UNLOCK", Wanted::Value(&["unlocked", "unlocking"]))),
        Action::Open if entity.config.contains_key("payload_open") => {
            Some(fixed(entity, "payload_open", "OPEN", Wanted::Value(&["open", "unlocked", "unlocking"])))
        }
        _ => None,
    }
}

fn climate_command(entity: &AnnouncedEntity, state: &State, action: &Action) -> Worded {
    let modes = names(entity, "modes");
    Some(match action {
        Action::TurnOff if !modes.iter().any(|mode| mode == "off") => power(entity, "payload_off", "OFF"),
        Action::TurnOff => own_mode(entity, "off"),
        Action::TurnOn if entity.config.contains_key("power_command_topic") => power(entity, "payload_on", "ON"),
        Action::TurnOn => own_mode(entity, first_mode(&modes)),
        Action::SetTemperature { degrees } => temperature(entity, *degrees),
        Action::ChangeTemperature { degrees } => match state.target_temperature.or(state.current_temperature) {
            Some(now) => temperature(entity, now + degrees),
            None => Err("a change of a temperature that is not known".to_owned()),
        },
        Action::SetMode { mode } | Action::Select { option: mode } => own_mode(entity, mode).or_else(|error| {
            let presets = names(entity, "preset_modes");
            if known(mode, &presets).is_ok() { preset(entity, mode) } else { Err(error) }
        }),
        _ => return None,
    })
}

fn power(entity: &AnnouncedEntity, key: &str, fallback: &str) -> Result<Command, String> {
    let payload = json!(word(entity, key, fallback).ok_or("that")?);
    sent(entity, "power_command_topic", Some("power_command_template"), &payload, Wanted::Nothing)
}

fn temperature(entity: &AnnouncedEntity, degrees: f64) -> Result<Command, String> {
    let range = abilities(entity).range;
    let degrees = range.map_or(degrees, |range| degrees.clamp(range.min, range.max));
    let wanted = Wanted::Target(degrees);
    sent(entity, "temperature_command_topic", Some("temperature_command_template"), &json!(degrees), wanted)
}

fn own_mode(entity: &AnnouncedEntity, wanted: &str) -> Result<Command, String> {
    let mode = known(wanted, &names(entity, "modes"))?;
    let granted = Wanted::Mode(mode.clone());
    sent(entity, "mode_command_topic", Some("mode_command_template"), &json!(mode), granted)
}

fn first_mode(options: &[String]) -> &str {
    const PREFERRED: [&str; 4] = ["auto", "heat", "heat_cool", "cool"];
    PREFERRED
        .into_iter()
        .find(|mode| options.iter().any(|option| option == mode))
        .or_else(|| options.iter().map(String::as_str).find(|option| *option != "off"))
        .unwrap_or("auto")
}

fn simple_command(entity: &AnnouncedEntity, action: &Action) -> Worded {
    let Abilities { range, options, .. } = abilities(entity);
    let send = |value: Value, wanted: Wanted| sent(entity, "command_topic", Some("command_template"), &value, wanted);
    match (entity.kind, action) {
        (EntityKind::Scene, Action::TurnOn | Action::Press) => Some(fixed(entity, "payload_on", "ON", Wanted::Nothing)),
        (EntityKind::Button, Action::TurnOn | Action::Press) => {
            Some(fixed(entity, "payload_press", "PRESS", Wanted::Nothing))
        }
        (EntityKind::Number, Action::SetNumber { value }) => {
            let value = range.map_or(*value, |range| value.clamp(range.min, range.max));
            Some(send(json!(value), Wanted::Text(plain_number(value))))
        }
        (EntityKind::Select, Action::SetMode { mode: wanted } | Action::Select { option: wanted }) => {
            Some(known(wanted, &options).and_then(|option| send(json!(option), Wanted::Text(option))))
        }
        (EntityKind::Text, Action::Select { option: text }) => {
            let len_max = number(entity, "max").unwrap_or(255.0);
            let fits = text.chars().count() as f64 <= len_max;
            Some(if fits { send(json!(text), Wanted::Text(text.clone())) } else { Err("so long a text".to_owned()) })
        }
        _ => None,
    }
}

/// The option as the device writes it.
pub(super) fn known(wanted: &str, options: &[String]) -> Result<String, String> {
    let fold = |text: &str| text.trim().to_lowercase().replace(['_', '-'], " ");
    let folded = fold(wanted);
    let found = options.iter().find(|option| fold(option) == folded);
    found.cloned().ok_or_else(|| format!("{wanted}; it knows {}", options.join(", ")))
}

/// A fixed word on the command topic.
pub(super) fn fixed(entity: &AnnouncedEntity, key: &str, fallback: &str, wanted: Wanted) -> Result<Command, String> {
    let word = word(entity, key, fallback).ok_or_else(|| key.trim_start_matches("payload_").to_owned())?;
    sent(entity, "command_topic", Some("command_template"), &json!(word), wanted)
}

pub(super) fn sent(
    entity: &AnnouncedEntity,
    topic_key: &str,
    template_key: Option<&str>,
    value: &Value,
    wanted: Wanted,
) -> Result<Command, String> {
    let topic = topic(entity, topic_key)?;
    let payload = match template_key.and_then(|key| text(&entity.config, key)) {
        Some(source) => {
            let template = Template::new(source);
            template.and_then(|template| template.write(value)).ok_or("a command its own template refuses")?
        }
        None => match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => plain_number(number.as_f64().unwrap_or_default()),
            other => other.to_string(),
        },
    };
    Ok(Command { publications: vec![publication(entity, topic, payload)], wanted })
}

pub(super) fn publication(entity: &AnnouncedEntity, topic: String, payload: String) -> Publication {
    Publication { topic, payload, retain: is_true(entity, "retain") }
}

pub(super) fn topic(entity: &AnnouncedEntity, key: &str) -> Result<String, String> {
    text(&entity.config, key).map(str::to_owned).ok_or_else(|| key.trim_end_matches("_topic").replace('_', " "))
}

fn plain_number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { value.to_string() }
}

fn name_of(action: &Action) -> String {
    let json = serde_json::to_value(action).unwrap_or_default();
    json.get("action").and_then(Value::as_str).unwrap_or("that").replace('_', " ")
}
