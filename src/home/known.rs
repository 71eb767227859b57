//! One announced entity and what its topics said so far.

use crate::base::id::DeviceId;
use crate::domain::household::{Abilities, Entity, State};
use crate::home::ability::abilities;
use crate::home::binding::{self, Binding, Field, Presence};
use crate::home::discovery::{AnnouncedEntity, text};
use crate::home::state;
use crate::home::template::Payload;

/// An entity with its document taken apart.
pub(super) struct Known {
    pub announced: AnnouncedEntity,
    pub device: DeviceId,
    pub document: String,
    abilities: Abilities,
    pub bindings: Vec<Binding>,
    presences: Vec<Presence>,
    /// What each availability topic said last.
    said: Vec<Option<bool>>,
    /// The availability topic that spoke last.
    latest: Option<usize>,
    /// Messages about its state since the start.
    pub heard: u64,
}

impl Known {
    pub(super) fn new(announced: AnnouncedEntity, device: DeviceId, document: &str) -> Self {
        let presences = binding::presences(&announced);
        Self {
            abilities: abilities(&announced),
            bindings: binding::bindings(&announced),
            said: vec![None; presences.len()],
            presences,
            announced,
            device,
            document: document.to_owned(),
            latest: None,
            heard: 0,
        }
    }

    /// Takes in what a topic says; tells whether the state is another now.
    pub(super) fn hear(&mut self, index: usize, payload: &Payload<'_>, state: &mut State) -> bool {
        let Some(binding) = self.bindings.get(index) else { return false };
        let Field::Availability(number) = binding.field else {
            let before = state.clone();
            state::apply(&self.announced, binding, payload, state);
            self.heard += 1;
            return *state != before;
        };
        let read = match &binding.template {
            Some(template) => template.read(payload),
            None => Some(payload.text.to_owned()),
        };
        let Some(words) = self.presences.get(number) else { return false };
        let said = match read.as_deref() {
            Some(text) if text == words.available => Some(true),
            Some(text) if text == words.unavailable => Some(false),
            // Zigbee2MQTT's newer form, where the document names no template.
            Some(text) if text.contains("\"online\"") => Some(true),
            Some(text) if text.contains("\"offline\"") => Some(false),
            _ => None,
        };
        if let (Some(said), Some(slot)) = (said, self.said.get_mut(number)) {
            *slot = Some(said);
            self.latest = Some(number);
        }
        false
    }

    pub(super) fn is_available(&self) -> bool {
        // Until a topic has spoken, it is not held against the entity.
        match text(&self.announced.config, "availability_mode").unwrap_or("latest") {
            "all" => self.said.iter().all(|said| said.unwrap_or(true)),
            "any" => self.said.is_empty() || self.said.iter().any(|said| said.unwrap_or(true)),
            _ => self.latest.and_then(|index| self.said.get(index).copied().flatten()).unwrap_or(true),
        }
    }

    pub(super) fn entity(&self, device_name: &str, state: State, available: bool) -> Entity {
        let config = &self.announced.config;
        Entity {
            id: self.announced.id.clone(),
            name: entity_name(device_name, self.announced.name.as_deref()),
            kind: self.announced.kind,
            device_class: text(config, "device_class").map(str::to_owned),
            unit: text(config, "unit_of_measurement").map(str::to_owned),
            abilities: self.abilities.clone(),
            state,
            available,
        }
    }
}

fn entity_name(device: &str, own: Option<&str>) -> String {
    match own {
        Some(own) if own.to_lowercase().contains(&device.to_lowercase()) => own.to_owned(),
        Some(own) => format!("{device} {own}"),
        None => device.to_owned(),
    }
}
