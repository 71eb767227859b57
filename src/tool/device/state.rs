//! Entities and their states as lines of text.

use crate::domain::household::{Entity, Household};

/// The whole home, room by room.
pub(super) fn listing(household: &Household) -> String {
    let rooms = household.by_room();
    if rooms.is_empty() {
        return "The home has no devices yet.".to_owned();
    }
    let mut lines = Vec::new();
    for (room, entities) in rooms {
        let name = room.and_then(|id| household.room(id)).map_or("No room", |room| &room.name);
        lines.push(format!("{name}:"));
        lines.extend(entities.into_iter().map(|entity| format!("  {}", line(entity))));
    }
    lines.join("\n")
}

/// Some entities, with their rooms.
pub(super) fn lines(household: &Household, entities: &[&Entity]) -> String {
    let with_room = |entity: &&Entity| {
        let device = household.entity(&entity.id).map(|(device, _)| device);
        let room = device.and_then(|device| device.room.as_ref()).and_then(|id| household.room(id));
        room.map_or_else(|| line(entity), |room| format!("{}: {}", room.name, line(entity)))
    };
    entities.iter().map(with_room).collect::<Vec<_>>().join("\n")
}

fn line(entity: &Entity) -> String {
    format!("{} [{}]: {}", entity.name, entity.id, state(entity))
}

fn state(entity: &Entity) -> String {
    if !entity.available {
        return "unavailable".to_owned();
    }
    let state = &entity.state;
    let unit = entity.unit.as_deref().map_or(String::new(), |unit| format!(" {unit}"));
    let mut parts = Vec::new();
    parts.extend(state.value.as_ref().map(|value| format!("{value}{unit}")));
    parts.extend(state.brightness_percent.map(|percent| format!("brightness {percent:.0} %")));
    parts.extend(state.color.map(|color| format!("color #{:02x}{:02x}{:02x}", color.r, color.g, color.b)));
    parts.extend(state.color_temperature_k.map(|kelvin| format!("color temperature {kelvin} K")));
    parts.extend(state.position_percent.map(|percent| format!("position {percent:.0} %")));
    parts.extend(state.current_temperature.map(|degrees| format!("now {degrees:.1}°")));
    parts.extend(state.target_temperature.map(|degrees| format!("set to {degrees:.1}°")));
    parts.extend(state.mode.as_ref().map(|mode| format!("mode {mode}")));
    if parts.is_empty() { "unknown".to_owned() } else { parts.join(", ") }
}
