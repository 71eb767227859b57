//! From a wish to what is published, and to the state that would show that it was granted.

use serde_json::{Value, json};

use crate::domain::household::{Action, EntityKind, Rgb, State};
use crate::home::binding::{abilities, color_modes, is_json_light, number};
use crate::home::discovery::{AnnouncedEntity, text};
use crate::home::state::speed_range;
use crate::home::template::Template;

/// One message of a command.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Publication {
    pub topic: String,
    pub payload: String,
}

/// How a command's success would be seen.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Wanted {
    Value(&'static [&'static str]),
    Brightness(f64),
    Color,
    ColorTemperature(u32),
    Position(f64),
    Target(f64),
    Mode(String),
    Text(String),
    /// There is no state to show it: taken by the broker is all there is.
    Nothing,
}

/// A wish in the device's own words.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Command {
    pub publications: Vec<Publication>,
    pub wanted: Wanted,
}

const MIREDS_PER_KELVIN: f64 = 1_000_000.0;

/// Words `action` for `entity`; the error names what it cannot do.
pub(super) fn encode(entity: &AnnouncedEntity, state: &State, action: &Action) -> Result<Command, String> {
    let able = abilities(entity);
    let unable = |what: &str| Err(what.to_owned());
    let is_on = state.value.as_deref() == Some("on");
    match action {
        Action::TurnOn if able.on_off => on_off(entity, true),
        Action::TurnOff if able.on_off => on_off(entity, false),
        Action::Toggle if able.on_off => on_off(entity, !is_on),
        Action::TurnOn if entity.kind == EntityKind::Scene => plain(entity, "payload_on", "ON", Wanted::Nothing),
        Action::TurnOn | Action::Press if entity.kind == EntityKind::Button => {
            plain(entity, "payload_press", "PRESS", Wanted::Nothing)
        }
        Action::TurnOn | Action::TurnOff if entity.kind == EntityKind::Climate => {
            let wanted = if *action == Action::TurnOff { "off" } else { first_mode(&able.options) };
            mode(entity, wanted)
        }
        Action::TurnOn | Action::Open if is_cover(entity) => cover(entity, true),
        Action::TurnOff | Action::Close if is_cover(entity) => cover(entity, false),
        Action::Toggle if is_cover(entity) => cover(entity, state.value.as_deref() != Some("open")),
        Action::Stop if is_cover(entity) => plain(entity, "payload_stop", "STOP", Wanted::Nothing),
        Action::SetPosition { percent } if is_cover(entity) && able.position => position(entity, *percent),
        Action::SetSpeed { percent } | Action::SetPosition { percent }
            if entity.kind == EntityKind::Fan && able.position =>
        {
            speed(entity, *percent)
        }
        Action::SetBrightness { percent } if able.brightness => brightness(entity, *percent),
        Action::ChangeBrightness { percent } if able.brightness => {
            let now = if is_on { state.brightness_percent.unwrap_or(50.0) } else { 0.0 };
            brightness(entity, (now + percent).clamp(1.0, 100.0))
        }
        Action::SetColor { color } if able.color => set_color(entity, *color),
        Action::SetColorTemperature { kelvin } => match able.color_temperature_k {
            Some((low, high)) => color_temperature(entity, (*kelvin).clamp(low, high)),
            None => unable("color temperature"),
        },
        Action::SetTemperature { degrees } if entity.kind == EntityKind::Climate => temperature(entity, *degrees),
        Action::ChangeTemperature { degrees } if entity.kind == EntityKind::Climate => {
            match state.target_temperature.or(state.current_temperature) {
                Some(now) => temperature(entity, now + degrees),
                None => unable("a change of a temperature that is not known"),
            }
        }
        Action::Lock if entity.kind == EntityKind::Lock => {
            plain(entity, "payload_lock", "LOCK", Wanted::Value(&["locked", "locking"]))
        }
        Action::Unlock if entity.kind == EntityKind::Lock => {
            plain(entity, "payload_unlock", "UNLOCK", Wanted::Value(&["unlocked", "unlocking"]))
        }
        Action::SetMode { mode: wanted } if entity.kind == EntityKind::Climate => mode(entity, wanted),
        Action::SetMode { mode: wanted } | Action::Select { option: wanted } if entity.kind == EntityKind::Select => {
            choose(entity, wanted, &able.options)
        }
        Action::SetMode { mode: wanted } if entity.kind == EntityKind::Fan => {
            let option = known(wanted, &able.options)?;
            sent(entity, "preset_mode_command_topic", None, &json!(option), Wanted::Nothing)
        }
        Action::SetNumber { value } if entity.kind == EntityKind::Number => {
            let range = able.range.map_or(*value, |range| value.clamp(range.min, range.max));
            sent(entity, "command_topic", Some("command_template"), &json!(range), Wanted::Text(plain_number(range)))
        }
        other => unable(&name_of(other)),
    }
}

/// Whether `state` shows what was wanted.
pub(super) fn is_granted(wanted: &Wanted, state: &State) -> bool {
    let near =
        |value: Option<f64>, goal: f64, tolerance: f64| value.is_some_and(|value| (value - goal).abs() <= tolerance);
    match wanted {
        Wanted::Value(words) => state.value.as_deref().is_some_and(|value| words.contains(&value)),
        Wanted::Brightness(percent) => {
            near(state.brightness_percent, *percent, 3.0) && state.value.as_deref() != Some("off")
        }
        Wanted::ColorTemperature(kelvin) => {
            near(state.color_temperature_k.map(f64::from), f64::from(*kelvin), f64::from(*kelvin) * 0.05)
        }
        // Devices report colors in spaces of their own; that it is on is what can be checked.
        Wanted::Color => state.value.as_deref() == Some("on"),
        Wanted::Position(percent) => {
            near(state.position_percent, *percent, 5.0) || matches!(state.value.as_deref(), Some("opening" | "closing"))
        }
        Wanted::Target(degrees) => near(state.target_temperature, *degrees, 0.6),
        Wanted::Mode(mode) => state.mode.as_deref() == Some(mode),
        Wanted::Text(text) => {
            let same_number = |value: &str| value.parse::<f64>().ok().zip(text.parse::<f64>().ok());
            state.value.as_deref().is_some_and(|value| {
                value == text || same_number(value).is_some_and(|(value, goal)| (value - goal).abs() < 0.01)
            })
        }
        Wanted::Nothing => true,
    }
}

fn is_cover(entity: &AnnouncedEntity) -> bool {
    matches!(entity.kind, EntityKind::Cover | EntityKind::Valve)
}

fn on_off(entity: &AnnouncedEntity, on: bool) -> Result<Command, String> {
    let wanted = Wanted::Value(if on { &["on"] } else { &["off"] });
    if is_json_light(entity) {
        return json_light(entity, json!({"state": if on { "ON" } else { "OFF" }}), wanted);
    }
    if on { plain(entity, "payload_on", "ON", wanted) } else { plain(entity, "payload_off", "OFF", wanted) }
}

fn json_light(entity: &AnnouncedEntity, payload: Value, wanted: Wanted) -> Result<Command, String> {
    let topic = topic(entity, "command_topic")?;
    Ok(Command { publications: vec![Publication { topic, payload: payload.to_string() }], wanted })
}

/// A fixed word on the command topic.
fn plain(entity: &AnnouncedEntity, key: &str, fallback: &str, wanted: Wanted) -> Result<Command, String> {
    let word = match entity.config.get(key) {
        Some(Value::String(word)) => word.clone(),
        Some(Value::Null) => return Err(key.trim_start_matches("payload_").to_owned()),
        Some(other) => other.to_string(),
        None => fallback.to_owned(),
    };
    sent(entity, "command_topic", Some("command_template"), &json!(word), wanted)
}

fn cover(entity: &AnnouncedEntity, open: bool) -> Result<Command, String> {
    if !entity.config.contains_key("command_topic") {
        return position(entity, if open { 100.0 } else { 0.0 });
    }
    if open {
        plain(entity, "payload_open", "OPEN", Wanted::Value(&["open", "opening"]))
    } else {
        plain(entity, "payload_close", "CLOSE", Wanted::Value(&["closed", "closing"]))
    }
}

fn position(entity: &AnnouncedEntity, percent: f64) -> Result<Command, String> {
    let closed = number(entity, "position_closed").unwrap_or(0.0);
    let open = number(entity, "position_open").unwrap_or(100.0);
    let value = (closed + (open - closed) * percent.clamp(0.0, 100.0) / 100.0).round() as i64;
    sent(entity, "set_position_topic", Some("set_position_template"), &json!(value), Wanted::Position(percent))
}

fn speed(entity: &AnnouncedEntity, percent: f64) -> Result<Command, String> {
    let (low, high) = speed_range(entity);
    let level = (low - 1.0 + (high - low + 1.0) * percent.clamp(0.0, 100.0) / 100.0).round() as i64;
    let wanted = Wanted::Position(percent);
    sent(entity, "percentage_command_topic", Some("percentage_command_template"), &json!(level), wanted)
}

fn brightness(entity: &AnnouncedEntity, percent: f64) -> Result<Command, String> {
    let percent = percent.clamp(0.0, 100.0);
    if percent == 0.0 {
        return on_off(entity, false);
    }
    let scale = number(entity, "brightness_scale").unwrap_or(255.0);
    let level = (percent / 100.0 * scale).round().max(1.0) as i64;
    let wanted = Wanted::Brightness(percent);
    if is_json_light(entity) {
        return json_light(entity, json!({"state": "ON", "brightness": level}), wanted);
    }
    let mut command =
        sent(entity, "brightness_command_topic", Some("brightness_command_template"), &json!(level), wanted)?;
    // By default a light is switched on by its own command, after the brightness.
    if text(&entity.config, "on_command_type") != Some("brightness") {
        command.publications.extend(on_off(entity, true)?.publications);
    }
    Ok(command)
}

fn set_color(entity: &AnnouncedEntity, color: Rgb) -> Result<Command, String> {
    let Rgb { r, g, b } = color;
    if !is_json_light(entity) {
        let value = json!(format!("{r},{g},{b}"));
        let mut command = sent(entity, "rgb_command_topic", None, &value, Wanted::Color)?;
        command.publications.extend(on_off(entity, true)?.publications);
        return Ok(command);
    }
    let modes = color_modes(entity);
    let has = |mode: &str| modes.iter().any(|known| known == mode);
    let worded = if has("xy") {
        let (x, y) = xy(color);
        json!({"x": x, "y": y})
    } else if has("hs") {
        let (h, s) = hs(color);
        json!({"h": h, "s": s})
    } else {
        json!({"r": r, "g": g, "b": b})
    };
    json_light(entity, json!({"state": "ON", "color": worded}), Wanted::Color)
}

fn color_temperature(entity: &AnnouncedEntity, kelvin: u32) -> Result<Command, String> {
    let is_kelvin = entity.config.get("color_temp_kelvin").and_then(Value::as_bool).unwrap_or(false);
    let value =
        if is_kelvin { i64::from(kelvin) } else { (MIREDS_PER_KELVIN / f64::from(kelvin.max(1))).round() as i64 };
    let wanted = Wanted::ColorTemperature(kelvin);
    if is_json_light(entity) {
        return json_light(entity, json!({"state": "ON", "color_temp": value}), wanted);
    }
    let mut command =
        sent(entity, "color_temp_command_topic", Some("color_temp_command_template"), &json!(value), wanted)?;
    command.publications.extend(on_off(entity, true)?.publications);
    Ok(command)
}

fn temperature(entity: &AnnouncedEntity, degrees: f64) -> Result<Command, String> {
    let range = abilities(entity).range;
    let degrees = range.map_or(degrees, |range| degrees.clamp(range.min, range.max.max(range.min)));
    let wanted = Wanted::Target(degrees);
    sent(entity, "temperature_command_topic", Some("temperature_command_template"), &json!(degrees), wanted)
}

fn mode(entity: &AnnouncedEntity, wanted: &str) -> Result<Command, String> {
    let mode = known(wanted, &abilities(entity).options)?;
    let granted = Wanted::Mode(mode.clone());
    sent(entity, "mode_command_topic", Some("mode_command_template"), &json!(mode), granted)
}

fn choose(entity: &AnnouncedEntity, wanted: &str, options: &[String]) -> Result<Command, String> {
    let option = known(wanted, options)?;
    let granted = Wanted::Text(option.clone());
    sent(entity, "command_topic", Some("command_template"), &json!(option), granted)
}

/// The option as the device writes it.
fn known(wanted: &str, options: &[String]) -> Result<String, String> {
    let folded = wanted.trim().to_lowercase().replace(['_', '-'], " ");
    let found = options.iter().find(|option| option.to_lowercase().replace(['_', '-'], " ") == folded);
    found.cloned().ok_or_else(|| format!("{wanted}; it knows {}", options.join(", ")))
}

fn first_mode(options: &[String]) -> &str {
    const PREFERRED: [&str; 4] = ["auto", "heat", "heat_cool", "cool"];
    PREFERRED
        .into_iter()
        .find(|mode| options.iter().any(|option| option == mode))
        .or_else(|| options.iter().map(String::as_str).find(|option| *option != "off"))
        .unwrap_or("auto")
}

fn sent(
    entity: &AnnouncedEntity,
    topic_key: &str,
    template_key: Option<&str>,
    value: &Value,
    wanted: Wanted,
) -> Result<Command, String> {
    let topic = topic(entity, topic_key)?;
    let template = template_key.and_then(|key| text(&entity.config, key)).and_then(Template::new);
    let payload = match template {
        Some(template) => template.write(value).ok_or("a command its own template refuses")?,
        None => match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => plain_number(number.as_f64().unwrap_or_default()),
            other => other.to_string(),
        },
    };
    Ok(Command { publications: vec![Publication { topic, payload }], wanted })
}

fn topic(entity: &AnnouncedEntity, key: &str) -> Result<String, String> {
    text(&entity.config, key).map(str::to_owned).ok_or_else(|| key.trim_end_matches("_topic").replace('_', " "))
}

fn plain_number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { value.to_string() }
}

fn name_of(action: &Action) -> String {
    let json = serde_json::to_value(action).unwrap_or_default();
    json.get("action").and_then(Value::as_str).unwrap_or("that").replace('_', " ")
}

/// CIE 1931 xy of an sRGB color, by the matrix of the Wide RGB D65 space that Philips publishes for its lamps.
fn xy(color: Rgb) -> (f64, f64) {
    let linear = |channel: u8| {
        let level = f64::from(channel) / 255.0;
        if level > 0.04045 { ((level + 0.055) / 1.055).powf(2.4) } else { level / 12.92 }
    };
    let (r, g, b) = (linear(color.r), linear(color.g), linear(color.b));
    let x = r * 0.664_511 + g * 0.154_324 + b * 0.162_028;
    let y = r * 0.283_881 + g * 0.668_433 + b * 0.047_685;
    let z = r * 0.000_088 + g * 0.072_310 + b * 0.986_039;
    let sum = x + y + z;
    if sum == 0.0 { (0.3127, 0.329) } else { (round4(x / sum), round4(y / sum)) }
}

/// Hue in degrees and saturation in percent.
fn hs(color: Rgb) -> (f64, f64) {
    let (r, g, b) = (f64::from(color.r), f64::from(color.g), f64::from(color.b));
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let span = high - low;
    if span == 0.0 {
        return (0.0, 0.0);
    }
    let hue = if high == r {
        ((g - b) / span).rem_euclid(6.0)
    } else if high == g {
        (b - r) / span + 2.0
    } else {
        (r - g) / span + 4.0
    };
    ((hue * 60.0).round(), (span / high * 100.0).round())
}

fn round4(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
