//! Lights in their three schemas: topics of their own for each property, one JSON message, or templates.

use serde_json::{Map, Value, json};

use crate::domain::household::{Rgb, State};
use crate::home::ability::{is_true, names, number};
use crate::home::binding::{Schema, schema};
use crate::home::color::{self, MIREDS_PER_KELVIN};
use crate::home::command::{Command, fixed, known, publication, sent, topic};
use crate::home::discovery::{AnnouncedEntity, text};
use crate::home::state::brightness_scale;
use crate::home::template::Template;
use crate::home::wanted::Wanted;

/// What a light shall be, beside on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Look<'a> {
    Plain,
    Brightness(f64),
    Color(Rgb),
    Kelvin(u32),
    Effect(&'a str),
}

pub(super) fn turn_off(entity: &AnnouncedEntity) -> Result<Command, String> {
    let wanted = Wanted::Value(&["off"]);
    match schema(entity) {
        Schema::JsonLight => json_light(entity, &json!({"state": "OFF"}), wanted),
        Schema::TemplateLight => template_light(entity, "command_off_template", &json!({"state": "off"}), wanted),
        Schema::Plain => fixed(entity, "payload_off", "OFF", wanted),
    }
}

pub(super) fn turn_on(entity: &AnnouncedEntity, state: &State, look: Look<'_>) -> Result<Command, String> {
    let wanted = match look {
        Look::Plain => Wanted::Value(&["on"]),
        Look::Brightness(percent) => Wanted::Brightness(percent),
        Look::Color(_) => Wanted::Color,
        Look::Kelvin(kelvin) => Wanted::ColorTemperature(kelvin),
        Look::Effect(name) => Wanted::Mode(name.to_owned()),
    };
    match schema(entity) {
        Schema::JsonLight => {
            let mut message = json!({"state": "ON"});
            if let Value::Object(message) = &mut message {
                message.extend(json_look(entity, look));
            }
            json_light(entity, &message, wanted)
        }
        Schema::TemplateLight => {
            let mut variables = template_look(entity, look);
            variables.insert("state".to_owned(), json!("on"));
            template_light(entity, "command_on_template", &Value::Object(variables), wanted)
        }
        Schema::Plain => plain_light(entity, state, look, wanted),
    }
}

/// The effect as the light writes it.
pub(super) fn effect(entity: &AnnouncedEntity, state: &State, name: &str) -> Result<Command, String> {
    let name = known(name, &names(entity, "effect_list"))?;
    turn_on(entity, state, Look::Effect(&name))
}

fn json_light(entity: &AnnouncedEntity, message: &Value, wanted: Wanted) -> Result<Command, String> {
    let topic = topic(entity, "command_topic")?;
    Ok(Command { publications: vec![publication(entity, topic, message.to_string())], wanted })
}

fn json_look(entity: &AnnouncedEntity, look: Look<'_>) -> Map<String, Value> {
    let (key, value) = match look {
        Look::Plain => return Map::new(),
        Look::Brightness(percent) => ("brightness", json!(level(entity, percent))),
        Look::Kelvin(kelvin) => ("color_temp", json!(temperature(entity, kelvin))),
        Look::Effect(name) => ("effect", json!(name)),
        Look::Color(color) => ("color", json_color(entity, color)),
    };
    Map::from_iter([(key.to_owned(), value)])
}

fn json_color(entity: &AnnouncedEntity, color: Rgb) -> Value {
    let modes = names(entity, "supported_color_modes");
    let has = |mode: &str| modes.iter().any(|known| known == mode) || is_true(entity, mode);
    if has("xy") {
        let (x, y) = color::xy(color);
        json!({"x": x, "y": y})
    } else if has("hs") {
        let (h, s) = color::hs(color);
        json!({"h": h, "s": s})
    } else {
        json!({"r": color.r, "g": color.g, "b": color.b})
    }
}

fn template_light(entity: &AnnouncedEntity, key: &str, variables: &Value, wanted: Wanted) -> Result<Command, String> {
    let template = text(&entity.config, key).and_then(Template::new).ok_or("a command without its template")?;
    let payload = template.write_all(variables).ok_or("a command its own template refuses")?;
    Ok(Command { publications: vec![publication(entity, topic(entity, "command_topic")?, payload)], wanted })
}

fn template_look(entity: &AnnouncedEntity, look: Look<'_>) -> Map<String, Value> {
    let entries: Vec<(&str, Value)> = match look {
        Look::Plain => Vec::new(),
        Look::Brightness(percent) => vec![("brightness", json!(level(entity, percent)))],
        Look::Kelvin(kelvin) => vec![("color_temp", json!(temperature(entity, kelvin)))],
        Look::Effect(name) => vec![("effect", json!(name))],
        Look::Color(Rgb { r, g, b }) => vec![("red", json!(r)), ("green", json!(g)), ("blue", json!(b))],
    };
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Each property has a topic; when the light is switched on beside it is what `on_command_type` says.
fn plain_light(entity: &AnnouncedEntity, state: &State, look: Look<'_>, wanted: Wanted) -> Result<Command, String> {
    let style = match look {
        Look::Plain => None,
        Look::Brightness(percent) => Some(plain_brightness(entity, percent, wanted.clone())?),
        Look::Color(color) => Some(plain_color(entity, color)?),
        Look::Kelvin(kelvin) => Some(plain_temperature(entity, kelvin, wanted.clone())?),
        Look::Effect(name) => {
            Some(sent(entity, "effect_command_topic", Some("effect_command_template"), &json!(name), wanted.clone())?)
        }
    };
    let style: Vec<_> = style.into_iter().flat_map(|command| command.publications).collect();
    let switch = || Ok::<_, String>(fixed(entity, "payload_on", "ON", Wanted::Nothing)?.publications);
    let publications = match text(&entity.config, "on_command_type") {
        // The brightness is what switches this light on.
        Some("brightness") if matches!(look, Look::Plain) => {
            let percent = state.brightness_percent.filter(|percent| *percent > 0.0).unwrap_or(100.0);
            plain_brightness(entity, percent, Wanted::Nothing)?.publications
        }
        Some("brightness") if matches!(look, Look::Brightness(_)) => style,
        Some("first") => [switch()?, style].concat(),
        _ => [style, switch()?].concat(),
    };
    Ok(Command { publications, wanted })
}

fn plain_brightness(entity: &AnnouncedEntity, percent: f64, wanted: Wanted) -> Result<Command, String> {
    let level = json!(level(entity, percent));
    sent(entity, "brightness_command_topic", Some("brightness_command_template"), &level, wanted)
}

fn plain_color(entity: &AnnouncedEntity, color: Rgb) -> Result<Command, String> {
    let Rgb { r, g, b } = color;
    let (kind, value, variables) = if entity.config.contains_key("rgb_command_topic") {
        ("rgb", format!("{r},{g},{b}"), json!({"red": r, "green": g, "blue": b}))
    } else if entity.config.contains_key("hs_command_topic") {
        let (h, s) = color::hs(color);
        ("hs", format!("{h},{s}"), json!({"hue": h, "sat": s}))
    } else {
        let (x, y) = color::xy(color);
        ("xy", format!("{x},{y}"), json!({"x": x, "y": y}))
    };
    let topic = topic(entity, &format!("{kind}_command_topic"))?;
    let template = text(&entity.config, &format!("{kind}_command_template")).and_then(Template::new);
    let payload = match template {
        Some(template) => template.write_all(&variables).ok_or("a command its own template refuses")?,
        None => value,
    };
    Ok(Command { publications: vec![publication(entity, topic, payload)], wanted: Wanted::Color })
}

fn plain_temperature(entity: &AnnouncedEntity, kelvin: u32, wanted: Wanted) -> Result<Command, String> {
    let value = json!(temperature(entity, kelvin));
    sent(entity, "color_temp_command_topic", Some("color_temp_command_template"), &value, wanted)
}

fn level(entity: &AnnouncedEntity, percent: f64) -> i64 {
    (percent / 100.0 * brightness_scale(entity)).round().max(1.0) as i64
}

/// In the light's own unit, within what it can.
fn temperature(entity: &AnnouncedEntity, kelvin: u32) -> i64 {
    if is_true(entity, "color_temp_kelvin") {
        return i64::from(kelvin);
    }
    let mireds = (MIREDS_PER_KELVIN / f64::from(kelvin.max(1))).round();
    let low = number(entity, "min_mireds").unwrap_or(mireds);
    let high = number(entity, "max_mireds").unwrap_or(mireds).max(low);
    mireds.clamp(low, high) as i64
}
