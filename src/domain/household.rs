//! The home as the assistant sees it: rooms, devices, and the entities people talk about. A snapshot; the `home` module
//! makes a new one when anything changes, everybody else reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::id::{DeviceId, EntityId, RoomId};

/// Everything that can be named, switched or asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Household {
    pub rooms: Vec<Room>,
    pub devices: Vec<Device>,
    /// Named sets of entities that are not rooms ("all christmas lights").
    pub groups: Vec<Group>,
    /// Grows with every change of names, rooms or entities, not with every state; a compiled vocabulary keyed by it stays valid.
    pub revision: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Room {
    pub id: RoomId,
    pub name: String,
    pub aliases: Vec<String>,
    /// The storey or zone it lies on, as people say it: "downstairs", "Erdgeschoss".
    pub floor: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Group {
    pub name: String,
    pub aliases: Vec<String>,
    pub entities: Vec<EntityId>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Device {
    pub id: DeviceId,
    pub name: String,
    pub aliases: Vec<String>,
    pub room: Option<RoomId>,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    pub available: bool,
    pub entities: Vec<Entity>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Entity {
    pub id: EntityId,
    /// What people call it: the device's name, joined with the entity's own where the device has several of a kind.
    pub name: String,
    pub kind: EntityKind,
    /// Home Assistant's device class: `temperature`, `garage`, `door`, `motion`...
    pub device_class: Option<String>,
    pub unit: Option<String>,
    pub abilities: Abilities,
    pub state: State,
    pub available: bool,
}

/// Home Assistant's MQTT component names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    Light,
    Switch,
    Cover,
    Lock,
    Climate,
    Fan,
    Valve,
    Siren,
    Humidifier,
    Button,
    Scene,
    Number,
    Select,
    Sensor,
    BinarySensor,
    Text,
}

/// What an entity can do, beyond its kind.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Abilities {
    pub on_off: bool,
    pub brightness: bool,
    pub color: bool,
    /// Lowest and highest color temperature in kelvin.
    pub color_temperature_k: Option<(u32, u32)>,
    pub position: bool,
    /// Lowest, highest and step of a settable number or target temperature.
    pub range: Option<Range>,
    /// Names that may be selected: modes, presets, options, effects.
    pub options: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Range {
    pub min: f64,
    pub max: f64,
    pub step: f64,
}

/// The last known state. Fields that the entity does not have stay `None`.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct State {
    /// On, open, unlocked, locked...: the main state in Home Assistant's words (`on`, `off`, `open`, `closed`, `locked`, a sensor's text).
    pub value: Option<String>,
    pub brightness_percent: Option<f64>,
    pub color: Option<Rgb>,
    pub color_temperature_k: Option<u32>,
    pub position_percent: Option<f64>,
    pub current_temperature: Option<f64>,
    pub target_temperature: Option<f64>,
    pub mode: Option<String>,
    pub changed_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Rgb {
    pub r: u8,
    pub g: u8,
    pub b: u8,
}

/// A change that a person may ask of an entity.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    TurnOn,
    TurnOff,
    Toggle,
    /// 0 to 100.
    SetBrightness {
        percent: f64,
    },
    /// -100 to 100, added to the present brightness.
    ChangeBrightness {
        percent: f64,
    },
    SetColor {
        color: Rgb,
    },
    SetColorTemperature {
        kelvin: u32,
    },
    /// In the entity's own unit.
    SetTemperature {
        degrees: f64,
    },
    ChangeTemperature {
        degrees: f64,
    },
    Open,
    Close,
    Stop,
    /// 0 closed to 100 open.
    SetPosition {
        percent: f64,
    },
    Lock,
    Unlock,
    SetMode {
        mode: String,
    },
    SetSpeed {
        percent: f64,
    },
    SetNumber {
        value: f64,
    },
    Select {
        option: String,
    },
    Press,
}

/// How a command ended, for one entity.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum CommandResult {
    /// The device reported the state that was asked for.
    Confirmed,
    /// Sent to the broker, but the device said nothing in time.
    NotConfirmed,
    /// The device is known to be unreachable; sent or not, nothing can be expected.
    Unavailable,
    /// This entity cannot do that.
    NotSupported { what: String },
    /// There is no connection to the broker; nothing was sent.
    NotConnected,
}

impl Household {
    pub fn entities(&self) -> impl Iterator<Item = (&Device, &Entity)> {
        self.devices.iter().flat_map(|device| device.entities.iter().map(move |entity| (device, entity)))
    }

    pub fn entity(&self, id: &EntityId) -> Option<(&Device, &Entity)> {
        self.entities().find(|(_, entity)| entity.id == *id)
    }

    pub fn room(&self, id: &RoomId) -> Option<&Room> {
        self.rooms.iter().find(|room| room.id == *id)
    }

    /// Entities by room, for listings.
    pub fn by_room(&self) -> BTreeMap<Option<&RoomId>, Vec<&Entity>> {
        let mut rooms: BTreeMap<Option<&RoomId>, Vec<&Entity>> = BTreeMap::new();
        for (device, entity) in self.entities() {
            rooms.entry(device.room.as_ref()).or_default().push(entity);
        }
        rooms
    }
}
