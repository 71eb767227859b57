//! A home to talk about.

use crate::base::id::{DeviceId, EntityId, RoomId};
use crate::domain::household::{Abilities, Device, Entity, EntityKind, Group, Household, Range, Room, State};

fn room(id: &str, name: &str, floor: Option<&str>) -> Room {
    Room { id: RoomId::from(id), name: name.to_owned(), aliases: Vec::new(), floor: floor.map(str::to_owned) }
}

fn entity(id: &str, name: &str, kind: EntityKind, class: Option<&str>, abilities: Abilities) -> Entity {
    Entity {
        id: EntityId::from(id),
        name: name.to_owned(),
        kind,
        device_class: class.map(str::to_owned),
        unit: (class == Some("temperature")).then(|| "°C".to_owned()),
        abilities,
        state: State { value: Some("off".to_owned()), ..State::default() },
        available: true,
    }
}

fn device(name: &str, room: Option<&str>, entities: Vec<Entity>) -> Device {
    Device {
        id: DeviceId::from(entities[0].id.as_str()),
        name: name.to_owned(),
        aliases: Vec::new(),
        room: room.map(RoomId::from),
        manufacturer: None,
        model: None,
        available: true,
        entities,
    }
}

fn light() -> Abilities {
    Abilities {
        on_off: true,
        brightness: true,
        color: true,
        color_temperature_k: Some((2200, 6500)),
        ..Abilities::default()
    }
}

fn simple(id: &str, name: &str, room: Option<&str>, kind: EntityKind) -> Device {
    let abilities = match kind {
        EntityKind::Light => light(),
        EntityKind::Climate => {
            let options = ["heat", "auto", "eco"].map(str::to_owned).into();
            Abilities { range: Some(Range { min: 5.0, max: 30.0, step: 0.5 }), options, ..Abilities::default() }
        }
        _ => Abilities { on_off: true, ..Abilities::default() },
    };
    device(name, room, vec![entity(id, name, kind, None, abilities)])
}

fn fan() -> Device {
    let mut fan = simple("fan", "Bathroom fan", Some("bath"), EntityKind::Fan);
    fan.aliases = vec!["Lüfter".to_owned()];
    fan.entities[0].abilities.options = vec!["low".to_owned(), "high".to_owned()];
    fan
}

/// A contact with a battery, as most are.
fn back_door() -> Device {
    let sensor = |id: &str, name: &str, kind, class| entity(id, name, kind, Some(class), Abilities::default());
    let mut door = device(
        "Back door",
        Some("kitchen"),
        vec![
            sensor("back_door", "Back door", EntityKind::BinarySensor, "door"),
            sensor("back_door_battery", "Back door battery", EntityKind::Sensor, "battery"),
        ],
    );
    door.aliases = vec!["Hintertür".to_owned()];
    door
}

pub(super) fn house() -> Household {
    let position = Abilities { position: true, ..Abilities::default() };
    let mut cafe = simple("coffee_machine", "Coffee machine", Some("kitchen"), EntityKind::Switch);
    cafe.aliases = vec!["Kaffeemaschine".to_owned()];
    let mut kitchen_lamp = simple("kitchen_lamp", "Kitchen lamp", Some("kitchen"), EntityKind::Light);
    kitchen_lamp.aliases = vec!["Küchenlampe".to_owned()];
    let sensor =
        |id: &str, name: &str, class: &str| entity(id, name, EntityKind::Sensor, Some(class), Abilities::default());
    let devices = vec![
        kitchen_lamp,
        simple("sofa_lamp", "Sofa lamp", Some("living"), EntityKind::Light),
        simple("desk_lamp", "Desk lamp", Some("bedroom"), EntityKind::Light),
        simple("reading_lamp", "Reading lamp", Some("bedroom"), EntityKind::Light),
        simple("unicorn", "Łódź 🦄", None, EntityKind::Switch),
        cafe,
        device(
            "Garage door",
            Some("garage"),
            vec![entity("garage_door", "Garage door", EntityKind::Cover, Some("garage"), position.clone())],
        ),
        device(
            "Bedroom blinds",
            Some("bedroom"),
            vec![entity("blinds", "Bedroom blinds", EntityKind::Cover, Some("blind"), position)],
        ),
        simple("front_door", "Front door", None, EntityKind::Lock),
        simple("thermostat", "Thermostat", Some("living"), EntityKind::Climate),
        device(
            "Bedroom sensor",
            Some("bedroom"),
            vec![
                sensor("bedroom_temp", "Bedroom sensor temperature", "temperature"),
                sensor("bedroom_hum", "Bedroom sensor humidity", "humidity"),
            ],
        ),
        device(
            "Kitchen window",
            Some("kitchen"),
            vec![entity(
                "kitchen_window",
                "Kitchen window",
                EntityKind::BinarySensor,
                Some("window"),
                Abilities::default(),
            )],
        ),
        simple("movie", "Movie night", None, EntityKind::Scene),
        fan(),
        simple("sprinkler", "Garden sprinkler", Some("garden"), EntityKind::Valve),
        simple("doorbell", "Chime", None, EntityKind::Button),
        back_door(),
        simple("tree", "Weihnachtsbaum 🎄", None, EntityKind::Switch),
    ];
    let rooms = vec![
        Room { aliases: vec!["Küche".to_owned()], ..room("kitchen", "Kitchen", Some("Downstairs")) },
        Room { aliases: vec!["Wohnzimmer".to_owned()], ..room("living", "Living room", Some("Downstairs")) },
        Room { aliases: vec!["Schlafzimmer".to_owned()], ..room("bedroom", "Bedroom", Some("Upstairs")) },
        room("garage", "Garage", None),
        Room { aliases: vec!["Badezimmer".to_owned()], ..room("bath", "Bathroom", Some("Upstairs")) },
        Room { aliases: vec!["Garten".to_owned()], ..room("garden", "Garden", None) },
    ];
    let groups = vec![Group {
        name: "Christmas lights".to_owned(),
        aliases: Vec::new(),
        entities: vec![EntityId::from("sofa_lamp"), EntityId::from("unicorn")],
    }];
    Household { rooms, devices, groups, revision: 1 }
}

pub(super) fn large(count: usize) -> Household {
    let devices = (0..count)
        .map(|number| simple(&format!("lamp_{number}"), &format!("Lamp number {number}"), None, EntityKind::Light))
        .collect();
    Household { devices, revision: 1, ..Household::default() }
}

pub(super) fn with_light(name: &str) -> Household {
    Household { devices: vec![simple("named", name, None, EntityKind::Light)], revision: 1, ..Household::default() }
}
