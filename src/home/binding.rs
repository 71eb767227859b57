//! Which topics tell what about an entity, as its discovery document says.

use serde_json::{Map, Value};

use crate::domain::household::EntityKind;
use crate::home::discovery::{AnnouncedEntity, text};
use crate::home::template::Template;
use crate::link::mqtt::topic;

/// Availability topics of one entity that are listened to.
const AVAILABILITY_MAX: usize = 16;

/// What a topic tells about an entity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Field {
    State,
    Brightness,
    Rgb,
    Hs,
    Xy,
    /// Red, green or blue of a template light.
    Channel(Channel),
    ColorTemperature,
    Position,
    CurrentTemperature,
    TargetTemperature,
    TargetHumidity,
    Power,
    Mode,
    Preset,
    Percentage,
    /// One of the entity's availability topics.
    Availability(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Channel {
    Red,
    Green,
    Blue,
}

/// A topic and how to read it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Binding {
    pub topic: String,
    pub field: Field,
    pub template: Option<Template>,
}

/// What an availability topic says when the entity is there, and when not.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Presence {
    pub available: String,
    pub unavailable: String,
}

/// Topic and template keys by field.
const FIELDS: &[(Field, &str, &str)] = &[
    (Field::State, "state_topic", "value_template"),
    (Field::Brightness, "brightness_state_topic", "brightness_value_template"),
    (Field::Rgb, "rgb_state_topic", "rgb_value_template"),
    (Field::Hs, "hs_state_topic", "hs_value_template"),
    (Field::Xy, "xy_state_topic", "xy_value_template"),
    (Field::ColorTemperature, "color_temp_state_topic", "color_temp_value_template"),
    (Field::Mode, "effect_state_topic", "effect_value_template"),
    (Field::Position, "position_topic", "position_template"),
    (Field::CurrentTemperature, "current_temperature_topic", "current_temperature_template"),
    (Field::TargetTemperature, "temperature_state_topic", "temperature_state_template"),
    (Field::TargetHumidity, "target_humidity_state_topic", "target_humidity_state_template"),
    (Field::Power, "power_state_topic", "power_state_template"),
    (Field::Mode, "mode_state_topic", "mode_state_template"),
    (Field::Preset, "preset_mode_state_topic", "preset_mode_value_template"),
    (Field::Percentage, "percentage_state_topic", "percentage_value_template"),
];

/// What a light of the template schema reads from its one state topic.
const TEMPLATE_LIGHT: &[(Field, &str)] = &[
    (Field::State, "state_template"),
    (Field::Brightness, "brightness_template"),
    (Field::Channel(Channel::Red), "red_template"),
    (Field::Channel(Channel::Green), "green_template"),
    (Field::Channel(Channel::Blue), "blue_template"),
    (Field::ColorTemperature, "color_temp_template"),
    (Field::Mode, "effect_template"),
];

/// All topics of an entity; what is no topic is left out, so that one bad document spoils nothing else.
pub(super) fn bindings(entity: &AnnouncedEntity) -> Vec<Binding> {
    let config = &entity.config;
    let mut found = if schema(entity) == Schema::TemplateLight { template_light(config) } else { fields(config) };
    found.extend(availability(config).into_iter().enumerate().map(|(index, (topic, template, _))| Binding {
        topic: topic.to_owned(),
        field: Field::Availability(index),
        template,
    }));
    found.retain(|binding| topic::is_topic(&binding.topic));
    found
}

/// The words of each availability topic, by its number.
pub(super) fn presences(entity: &AnnouncedEntity) -> Vec<Presence> {
    availability(&entity.config).into_iter().map(|(_, _, presence)| presence).collect()
}

fn fields(config: &Map<String, Value>) -> Vec<Binding> {
    let mut found = Vec::new();
    for (field, topic_key, template_key) in FIELDS {
        let Some(topic) = text(config, topic_key) else { continue };
        let template = text(config, template_key)
            .or_else(|| (*field == Field::State).then(|| text(config, "state_value_template")).flatten());
        let Ok(template) = template.map(readable).transpose() else { continue };
        found.push(Binding { topic: topic.to_owned(), field: *field, template });
    }
    found
}

fn template_light(config: &Map<String, Value>) -> Vec<Binding> {
    let Some(topic) = text(config, "state_topic") else { return Vec::new() };
    let bind = |(field, key): &(Field, &str)| {
        let template = Template::new(text(config, key)?)?;
        Some(Binding { topic: topic.to_owned(), field: *field, template: Some(template) })
    };
    TEMPLATE_LIGHT.iter().filter_map(bind).collect()
}

/// Raw payloads must not be taken for values because their template was refused.
fn readable(source: &str) -> Result<Template, ()> {
    Template::new(source).ok_or(())
}

type Availability<'a> = (&'a str, Option<Template>, Presence);

fn availability(config: &Map<String, Value>) -> Vec<Availability<'_>> {
    let presence = |entry: &Map<String, Value>| {
        let word =
            |key: &str, fallback: &str| text(entry, key).or_else(|| text(config, key)).unwrap_or(fallback).to_owned();
        Presence {
            available: word("payload_available", "online"),
            unavailable: word("payload_not_available", "offline"),
        }
    };
    let own = text(config, "availability_topic")
        .map(|topic| (topic, text(config, "availability_template").and_then(Template::new), presence(config)));
    let list: Vec<&Value> = match config.get("availability") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(single @ Value::Object(_)) => vec![single],
        _ => Vec::new(),
    };
    let listed = list.into_iter().filter_map(|entry| {
        let entry = entry.as_object()?;
        let template = text(entry, "value_template").or_else(|| text(entry, "availability_template"));
        Some((text(entry, "topic")?, template.and_then(Template::new), presence(entry)))
    });
    own.into_iter().chain(listed).take(AVAILABILITY_MAX).collect()
}

/// How the document words its entity's messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Schema {
    Plain,
    JsonLight,
    TemplateLight,
}

pub(super) fn schema(entity: &AnnouncedEntity) -> Schema {
    match (entity.kind, text(&entity.config, "schema")) {
        (EntityKind::Light, Some("json")) => Schema::JsonLight,
        (EntityKind::Light, Some("template")) => Schema::TemplateLight,
        _ => Schema::Plain,
    }
}
