//! Discovery documents: `<prefix>/<component>/[<node>/]<object>/config`, one entity each or a whole device.

use serde_json::{Map, Value};

use crate::base::id::{DeviceId, EntityId};
use crate::domain::household::EntityKind;
use crate::home::keys;

/// Largest document that is read, in bytes.
const DOCUMENT_BYTES_MAX: usize = 128 * 1024;
/// Entities of one document.
const ENTITIES_MAX: usize = 200;
/// Longest name that is kept, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// What a document announces.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Announcement {
    pub device: AnnouncedDevice,
    pub entities: Vec<AnnouncedEntity>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct AnnouncedDevice {
    pub id: DeviceId,
    pub name: String,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    pub suggested_area: Option<String>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct AnnouncedEntity {
    pub id: EntityId,
    pub kind: EntityKind,
    /// The entity's own name, where the device has several.
    pub name: Option<String>,
    pub config: Map<String, Value>,
}

/// The parts of a discovery topic; none when it is not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place<'a> {
    pub component: &'a str,
    pub node: Option<&'a str>,
    pub object: &'a str,
}

pub(super) fn place<'a>(prefix: &str, topic: &'a str) -> Option<Place<'a>> {
    let rest = topic.strip_prefix(prefix)?.strip_prefix('/')?.strip_suffix("/config")?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts[..] {
        [component, object] => Some(Place { component, node: None, object }),
        [component, node, object] => Some(Place { component, node: Some(node), object }),
        _ => None,
    }
}

/// Reads a document; the error says what is wrong with it. A document that announces nothing of use has no entities.
pub(super) fn read(place: Place<'_>, payload: &[u8]) -> Result<Announcement, &'static str> {
    if payload.len() > DOCUMENT_BYTES_MAX {
        return Err("it is too long");
    }
    let Ok(Value::Object(object)) = serde_json::from_slice(payload) else { return Err("it is no JSON object") };
    let mut config = keys::expanded(object);
    let device_config = match config.get("device") {
        Some(Value::Object(device)) => device.clone(),
        _ => Map::new(),
    };
    let fallback = place.node.map_or_else(|| place.object.to_owned(), |node| format!("{node}_{}", place.object));
    let device = device(&device_config, &config, &fallback);
    let entities = if place.component == "device" {
        let Some(Value::Object(components)) = config.remove("components") else { return Err("it has no components") };
        let shared: Map<String, Value> = config.into_iter().filter(|(key, _)| is_shared(key)).collect();
        let list = components.into_iter().take(ENTITIES_MAX).filter_map(|(key, component)| {
            let Value::Object(component) = component else { return None };
            let mut merged = shared.clone();
            merged.extend(component);
            let platform = text(&merged, "platform")?.to_owned();
            merged.insert("device".to_owned(), Value::Object(device_config.clone()));
            entity(&platform, &format!("{}_{key}", device.id), merged)
        });
        list.collect()
    } else {
        entity(place.component, &fallback, config).into_iter().collect()
    };
    Ok(Announcement { device, entities })
}

/// What a device-based document says once for all its components.
fn is_shared(key: &str) -> bool {
    matches!(key, "state_topic" | "command_topic" | "qos" | "encoding")
        || key.starts_with("availability")
        || key.starts_with("payload_")
}

fn device(device: &Map<String, Value>, entity: &Map<String, Value>, fallback: &str) -> AnnouncedDevice {
    let identifier = match device.get("identifiers") {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Array(ids)) => ids.first().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)),
        _ => None,
    };
    let connection = device.get("connections").and_then(|list| list.get(0)).and_then(|pair| pair.get(1));
    let id = identifier
        .or_else(|| connection.and_then(Value::as_str).map(str::to_owned))
        .or_else(|| text(entity, "unique_id").map(str::to_owned))
        .unwrap_or_else(|| fallback.to_owned());
    let name = text(device, "name").or_else(|| text(entity, "name")).unwrap_or(fallback);
    let owned = |key: &str| text(device, key).map(|text| shortened(text).to_owned());
    AnnouncedDevice {
        id: DeviceId::from(shortened(&id)),
        name: spoken(name),
        manufacturer: owned("manufacturer"),
        model: owned("model"),
        suggested_area: owned("suggested_area").filter(|area| !area.trim().is_empty()),
    }
}

fn entity(component: &str, fallback: &str, mut config: Map<String, Value>) -> Option<AnnouncedEntity> {
    let kind = kind(component)?;
    let category = text(&config, "entity_category");
    let is_battery = text(&config, "device_class") == Some("battery");
    // Settings and diagnostics of a device are for its own tools; a battery concerns people.
    if category == Some("config") || (category == Some("diagnostic") && !is_battery) {
        return None;
    }
    // In a whole device's document, a component with nothing but its platform is one that was removed.
    if !config.keys().any(|key| key.ends_with("topic") && key != "availability_topic") {
        return None;
    }
    let unique = text(&config, "unique_id").unwrap_or(fallback);
    let id = EntityId::from(format!("{component}.{}", shortened(unique)));
    let has_device_name = config.get("device").and_then(|device| device.get("name")).is_some_and(Value::is_string);
    let name = text(&config, "name").filter(|name| has_device_name && !name.trim().is_empty()).map(spoken);
    // Said once, in the device.
    config.remove("device");
    config.remove("origin");
    Some(AnnouncedEntity { id, kind, name, config })
}

fn kind(component: &str) -> Option<EntityKind> {
    serde_json::from_value(Value::String(component.to_owned())).ok()
}

pub(super) fn text<'a>(config: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    config.get(key).and_then(Value::as_str)
}

/// `kitchen_lamp` as people say it.
fn spoken(name: &str) -> String {
    let name = shortened(name.trim());
    if name.contains(' ') { name.to_owned() } else { name.replace('_', " ") }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}
