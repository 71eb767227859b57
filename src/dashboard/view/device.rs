//! The home: devices with their entities, and how commands ended.

use serde::Serialize;

use crate::base::id::{DeviceId, EntityId, RoomId};
use crate::domain::household::{Abilities, CommandResult, Device, Entity, EntityKind, Household, State};

/// One device in `GET /api/v1/devices`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DeviceView<'a> {
    pub id: &'a DeviceId,
    pub name: &'a str,
    pub aliases: &'a [String],
    pub room: Option<&'a RoomId>,
    pub room_name: Option<&'a str>,
    pub manufacturer: Option<&'a str>,
    pub model: Option<&'a str>,
    pub available: bool,
    pub entities: Vec<EntityView<'a>>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EntityView<'a> {
    pub id: &'a EntityId,
    pub name: &'a str,
    pub kind: EntityKind,
    pub device_class: Option<&'a str>,
    pub unit: Option<&'a str>,
    pub abilities: &'a Abilities,
    pub state: &'a State,
    pub available: bool,
}

/// What became of a command for one entity.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CommandView<'a> {
    pub entity: &'a EntityId,
    #[serde(flatten)]
    pub result: &'a CommandResult,
}

/// Every device, in the household's order.
pub fn devices(household: &Household) -> Vec<DeviceView<'_>> {
    household.devices.iter().map(|it| device(household, it)).collect()
}

pub fn command_results(results: &[(EntityId, CommandResult)]) -> Vec<CommandView<'_>> {
    results.iter().map(|(entity, result)| CommandView { entity, result }).collect()
}

/// One device of `household`.
pub fn device<'a>(household: &'a Household, device: &'a Device) -> DeviceView<'a> {
    let room = device.room.as_ref();
    DeviceView {
        id: &device.id,
        name: &device.name,
        aliases: &device.aliases,
        room,
        room_name: room.and_then(|room| household.room(room)).map(|room| room.name.as_str()),
        manufacturer: device.manufacturer.as_deref(),
        model: device.model.as_deref(),
        available: device.available,
        entities: device.entities.iter().map(EntityView::from).collect(),
    }
}

impl<'a> From<&'a Entity> for EntityView<'a> {
    fn from(entity: &'a Entity) -> Self {
        Self {
            id: &entity.id,
            name: &entity.name,
            kind: entity.kind,
            device_class: entity.device_class.as_deref(),
            unit: entity.unit.as_deref(),
            abilities: &entity.abilities,
            state: &entity.state,
            available: entity.available,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::household::Room;

    fn household() -> Household {
        let lamp = Entity {
            id: EntityId::from("lamp.light"),
            name: "kitchen lamp".to_owned(),
            kind: EntityKind::Light,
            device_class: None,
            unit: None,
            abilities: Abilities { on_off: true, brightness: true, ..Abilities::default() },
            state: State { value: Some("on".to_owned()), brightness_percent: Some(40.0), ..State::default() },
            available: true,
        };
        Household {
            rooms: vec![Room { id: RoomId::from("k"), name: "Kitchen".to_owned(), aliases: vec![], floor: None }],
            devices: vec![Device {
                id: DeviceId::from("lamp"),
                name: "kitchen lamp".to_owned(),
                aliases: vec!["Küchenlampe".to_owned()],
                room: Some(RoomId::from("k")),
                manufacturer: None,
                model: Some("LED1".to_owned()),
                available: true,
                entities: vec![lamp],
            }],
            ..Household::default()
        }
    }

    #[test]
    fn a_device_is_shown_with_its_room_and_entities() {
        let household = household();
        assert_eq!(
            serde_json::to_value(devices(&household)).expect("JSON"),
            json!([{
                "id": "lamp", "name": "kitchen lamp", "aliases": ["Küchenlampe"], "room": "k", "room_name": "Kitchen",
                "manufacturer": null, "model": "LED1", "available": true,
                "entities": [{
                    "id": "lamp.light", "name": "kitchen lamp", "kind": "light", "device_class": null, "unit": null,
                    "abilities": {"on_off": true, "brightness": true, "color": false, "color_temperature_k": null,
                        "position": false, "range": null, "options": []},
                    "state": {"value": "on", "brightness_percent": 40.0, "color": null, "color_temperature_k": null,
                        "position_percent": null, "current_temperature": null, "target_temperature": null, "mode": null,
                        "changed_at": null},
                    "available": true,
                }],
            }])
        );
    }

    #[test]
    fn a_home_without_devices_is_an_empty_list() {
        assert_eq!(serde_json::to_string(&devices(&Household::default())).expect("JSON"), "[]");
    }

    #[test]
    fn results_name_their_entity() {
        let results = [
            (EntityId::from("a"), CommandResult::Confirmed),
            (EntityId::from("b"), CommandResult::NotSupported { what: "dim".to_owned() }),
        ];
        assert_eq!(
            serde_json::to_value(command_results(&results)).expect("JSON"),
            json!([{"entity": "a", "status": "confirmed"}, {"entity": "b", "status": "not_supported", "what": "dim"}])
        );
    }
}
