//! Classes of things people name ("lamp", "blinds", "door") and which entities belong to them.

use crate::domain::household::{Entity, EntityKind};

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClassId(u8);

struct Class {
    name: &'static str,
    kinds: &'static [EntityKind],
    /// Empty: every device class.
    device_classes: &'static [&'static str],
}

const COVERING: &[EntityKind] = &[EntityKind::Cover];
const OPENING: &[EntityKind] = &[EntityKind::Cover, EntityKind::BinarySensor, EntityKind::Lock];

/// The keys of `[classes]` in the language files.
const CLASSES: &[Class] = &[
    Class { name: "light", kinds: &[EntityKind::Light], device_classes: &[] },
    Class { name: "switch", kinds: &[EntityKind::Switch], device_classes: &[] },
    Class { name: "socket", kinds: &[EntityKind::Switch], device_classes: &[] },
    Class { name: "cover", kinds: COVERING, device_classes: &["", "blind", "shutter", "shade", "awning", "curtain"] },
    Class { name: "curtain", kinds: COVERING, device_classes: &["curtain"] },
    Class { name: "awning", kinds: COVERING, device_classes: &["awning"] },
    Class { name: "garage", kinds: OPENING, device_classes: &["garage", "garage_door"] },
    Class { name: "gate", kinds: OPENING, device_classes: &["gate"] },
    Class { name: "door", kinds: OPENING, device_classes: &["door", "garage", "garage_door", "opening", "gate"] },
    Class { name: "window", kinds: OPENING, device_classes: &["window"] },
    Class { name: "lock", kinds: &[EntityKind::Lock], device_classes: &[] },
    Class { name: "climate", kinds: &[EntityKind::Climate], device_classes: &[] },
    Class { name: "fan", kinds: &[EntityKind::Fan], device_classes: &[] },
    Class { name: "valve", kinds: &[EntityKind::Valve], device_classes: &[] },
    Class { name: "siren", kinds: &[EntityKind::Siren], device_classes: &[] },
    Class { name: "humidifier", kinds: &[EntityKind::Humidifier], device_classes: &[] },
    Class { name: "scene", kinds: &[EntityKind::Scene], device_classes: &[] },
    Class { name: "button", kinds: &[EntityKind::Button], device_classes: &[] },
    Class { name: "battery", kinds: &[EntityKind::Sensor, EntityKind::BinarySensor], device_classes: &["battery"] },
    Class { name: "motion", kinds: &[EntityKind::BinarySensor], device_classes: &["motion", "occupancy", "presence"] },
    Class { name: "smoke", kinds: &[EntityKind::BinarySensor], device_classes: &["smoke", "gas", "carbon_monoxide"] },
    Class { name: "leak", kinds: &[EntityKind::BinarySensor], device_classes: &["moisture"] },
    Class { name: "sensor", kinds: &[EntityKind::Sensor, EntityKind::BinarySensor], device_classes: &[] },
    Class { name: "television", kinds: &[], device_classes: &[] },
    Class { name: "washer", kinds: &[], device_classes: &[] },
];

const _: () = assert!(CLASSES.len() <= 32, "a set of classes is a u32");

impl ClassId {
    pub fn named(name: &str) -> Option<Self> {
        CLASSES.iter().position(|class| class.name == name).and_then(|index| u8::try_from(index).ok()).map(Self)
    }

    pub fn names() -> Vec<&'static str> {
        CLASSES.iter().map(|class| class.name).collect()
    }

    pub fn name(self) -> &'static str {
        CLASSES[usize::from(self.0)].name
    }

    pub fn bit(self) -> u32 {
        1 << self.0
    }

    /// The classes an entity belongs to by its kind, as bits.
    pub fn bits_of(entity: &Entity) -> u32 {
        let device_class = entity.device_class.as_deref().unwrap_or("");
        let belongs = |class: &Class| {
            class.kinds.contains(&entity.kind)
                && (class.device_classes.is_empty() || class.device_classes.contains(&device_class))
        };
        (0_u8..).zip(CLASSES).filter(|(_, class)| belongs(class)).fold(0, |bits, (index, _)| bits | Self(index).bit())
    }
}
