//! What is known about the home, as a value without I/O: documents, messages and edits go in, the household comes out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::clock::Timestamp;
use crate::base::id::{DeviceId, EntityId, RoomId};
use crate::base::limits;
use crate::domain::household::{Device, Entity, Group, Household, Room, State};
use crate::home::binding::{self, Binding, Field};
use crate::home::discovery::{self, AnnouncedDevice, AnnouncedEntity, text};
use crate::home::edit::{self, DeviceEdit, Edit, EditError, GroupEdit, RoomEdit};
use crate::home::state;
use crate::home::{Config, store};

/// What people gave a device.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Custom {
    pub name: Option<String>,
    pub aliases: Vec<String>,
    /// `Some(None)`: taken out of its room on purpose.
    pub room: Option<Option<RoomId>>,
}

/// Everything that is stored.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Stored {
    /// Discovery topic and document.
    pub announcements: Vec<(String, Vec<u8>)>,
    pub customs: BTreeMap<DeviceId, Custom>,
    pub rooms: BTreeMap<RoomId, Room>,
    pub groups: Vec<Group>,
    pub states: HashMap<EntityId, State>,
}

struct Known {
    announced: AnnouncedEntity,
    device: DeviceId,
    bindings: Vec<Binding>,
    /// What each availability topic said last.
    available: Vec<Option<bool>>,
    /// The topic that spoke last.
    latest: Option<usize>,
}

/// What a document changed, for the loop to carry out.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Effect {
    pub subscribe: Vec<String>,
    pub unsubscribe: Vec<String>,
    pub changed: bool,
}

pub(super) struct Registry {
    config: Config,
    documents: BTreeMap<String, Vec<u8>>,
    devices: BTreeMap<DeviceId, AnnouncedDevice>,
    entities: BTreeMap<EntityId, Known>,
    of_document: HashMap<String, Vec<EntityId>>,
    by_topic: HashMap<String, Vec<(EntityId, usize)>>,
    customs: BTreeMap<DeviceId, Custom>,
    rooms: BTreeMap<RoomId, Room>,
    groups: Vec<Group>,
    states: HashMap<EntityId, State>,
    revision: u64,
}

impl Registry {
    pub(super) fn new(config: Config, stored: Stored) -> Self {
        let mut registry = Self {
            config,
            documents: BTreeMap::new(),
            devices: BTreeMap::new(),
            entities: BTreeMap::new(),
            of_document: HashMap::new(),
            by_topic: HashMap::new(),
            customs: stored.customs,
            rooms: stored.rooms,
            groups: stored.groups,
            states: stored.states,
            revision: 1,
        };
        for (topic, document) in stored.announcements {
            // What an older version stored and this one refuses is only left out.
            let _ = registry.announce(&topic, &document);
        }
        registry
    }

    /// State topics of everything that is known.
    pub(super) fn topics(&self) -> Vec<String> {
        self.by_topic.keys().cloned().collect()
    }

    /// Takes a discovery document in; an empty one removes what it announced. The error is worth a line in the log.
    pub(super) fn announce(&mut self, topic: &str, payload: &[u8]) -> Result<Effect, &'static str> {
        let Some(place) = discovery::place(&self.config.discovery_prefix, topic) else { return Ok(Effect::default()) };
        let own = self.config.own_id.as_str();
        if place.object == own || place.node == Some(own) {
            return Ok(Effect::default());
        }
        if self.documents.get(topic).is_some_and(|known| known == payload) {
            return Ok(Effect::default());
        }
        let read = if payload.is_empty() { None } else { Some(discovery::read(place, payload)?) };
        let mut effect = self.withdraw(topic);
        if let Some(announcement) = read.filter(|announcement| !announcement.entities.is_empty()) {
            let is_new = !self.devices.contains_key(&announcement.device.id);
            if is_new && self.devices.len() >= limits::DEVICES_MAX {
                return Err("there are too many devices");
            }
            let device = announcement.device.id.clone();
            self.devices.insert(device.clone(), announcement.device);
            for entity in announcement.entities {
                effect.subscribe.extend(self.add(topic, &device, entity));
            }
            self.documents.insert(topic.to_owned(), payload.to_owned());
            effect.changed = true;
        }
        self.drop_empty_devices();
        self.revision += u64::from(effect.changed);
        Ok(effect)
    }

    fn add(&mut self, document: &str, device: &DeviceId, entity: AnnouncedEntity) -> Vec<String> {
        let bindings = binding::bindings(&entity);
        let mut fresh = Vec::new();
        for (index, binding) in bindings.iter().enumerate() {
            let listeners = self.by_topic.entry(binding.topic.clone()).or_default();
            if listeners.is_empty() {
                fresh.push(binding.topic.clone());
            }
            listeners.push((entity.id.clone(), index));
        }
        let topics = bindings.iter().filter(|binding| matches!(binding.field, Field::Availability(_))).count();
        let id = entity.id.clone();
        self.of_document.entry(document.to_owned()).or_default().push(id.clone());
        let known =
            Known { announced: entity, device: device.clone(), bindings, available: vec![None; topics], latest: None };
        self.entities.insert(id, known);
        fresh
    }

    /// Removes what a document had announced.
    fn withdraw(&mut self, document: &str) -> Effect {
        let mut effect = Effect { changed: self.documents.remove(document).is_some(), ..Effect::default() };
        for id in self.of_document.remove(document).unwrap_or_default() {
            let Some(known) = self.entities.remove(&id) else { continue };
            for binding in known.bindings {
                let Some(listeners) = self.by_topic.get_mut(&binding.topic) else { continue };
                listeners.retain(|(other, _)| *other != id);
                if listeners.is_empty() {
                    self.by_topic.remove(&binding.topic);
                    effect.unsubscribe.push(binding.topic);
                }
            }
        }
        effect
    }

    fn drop_empty_devices(&mut self) {
        let used: BTreeSet<&DeviceId> = self.entities.values().map(|known| &known.device).collect();
        let gone: Vec<DeviceId> = self.devices.keys().filter(|id| !used.contains(id)).cloned().collect();
        gone.iter().for_each(|id| drop(self.devices.remove(id)));
    }

    /// Takes a message of a device in; returns the entities whose state or availability it touched.
    pub(super) fn message(&mut self, topic: &str, payload: &[u8], now: Timestamp) -> Vec<EntityId> {
        let Ok(payload) = std::str::from_utf8(payload) else { return Vec::new() };
        let Some(listeners) = self.by_topic.get(topic) else { return Vec::new() };
        let mut touched = Vec::new();
        for (id, index) in listeners {
            let Some(known) = self.entities.get_mut(id) else { continue };
            let binding = &known.bindings[*index];
            if let Field::Availability(number) = binding.field {
                let read =
                    binding.template.as_ref().map_or(Some(payload.to_owned()), |template| template.read(payload));
                let (yes, no) = binding::availability_payloads(&known.announced, number);
                let said = match read.as_deref() {
                    Some(text) if text == yes => Some(true),
                    Some(text) if text == no => Some(false),
                    // Zigbee2MQTT's newer form, where the document names no template.
                    Some(text) if text.contains("\"online\"") => Some(true),
                    Some(text) if text.contains("\"offline\"") => Some(false),
                    _ => None,
                };
                if let (Some(said), Some(slot)) = (said, known.available.get_mut(number)) {
                    *slot = Some(said);
                    known.latest = Some(number);
                }
            } else {
                let state = self.states.entry(id.clone()).or_default();
                let before = state.clone();
                state::apply(&known.announced, binding, payload, state);
                if (State { changed_at: None, ..before }) != (State { changed_at: None, ..state.clone() }) {
                    state.changed_at = Some(now);
                }
            }
            if !touched.contains(id) {
                touched.push(id.clone());
            }
        }
        touched
    }

    pub(super) fn entity(&self, id: &EntityId) -> Option<&AnnouncedEntity> {
        self.entities.get(id).map(|known| &known.announced)
    }

    pub(super) fn state(&self, id: &EntityId) -> State {
        self.states.get(id).cloned().unwrap_or_default()
    }

    pub(super) fn is_available(&self, id: &EntityId) -> bool {
        self.entities.get(id).is_some_and(Known::is_available)
    }

    /// Whether anything would ever show a change of its state.
    pub(super) fn reports(&self, id: &EntityId) -> bool {
        self.entities
            .get(id)
            .is_some_and(|known| known.bindings.iter().any(|binding| !matches!(binding.field, Field::Availability(_))))
    }

    /// Carries out an edit; returns what has to be stored. Nothing changes when it is refused.
    pub(super) fn edit(&mut self, edit: &Edit) -> Result<Vec<store::Change>, EditError> {
        let changes = match edit {
            Edit::Device(edit) => self.edit_device(edit)?,
            Edit::ForgetDevice(id) => self.forget(id)?,
            Edit::Room(edit) => self.edit_room(edit)?,
            Edit::Group(edit) => self.set_group(edit)?,
            Edit::DeleteGroup(name) => {
                let before = self.groups.len();
                self.groups.retain(|group| group.name != *name);
                if self.groups.len() == before {
                    return Err(EditError::NoGroup(name.clone()));
                }
                vec![store::Change::GroupGone(name.clone())]
            }
        };
        self.revision += 1;
        Ok(changes)
    }

    fn edit_device(&mut self, edit: &DeviceEdit) -> Result<Vec<store::Change>, EditError> {
        if !self.devices.contains_key(&edit.id) {
            return Err(EditError::NoDevice(edit.id.to_string()));
        }
        let mut custom = self.customs.get(&edit.id).cloned().unwrap_or_default();
        if let Some(name) = &edit.name {
            custom.name = Some(edit::name(name)?);
        }
        if let Some(aliases) = &edit.aliases {
            custom.aliases = edit::names(aliases)?;
        }
        let mut changes = Vec::new();
        match &edit.room {
            Some(Some(room)) => {
                let name = edit::name(room)?;
                let room = self.room_named(&name);
                changes.push(store::Change::Room(room.clone()));
                custom.room = Some(Some(room.id));
            }
            Some(None) => custom.room = Some(None),
            None => {}
        }
        self.customs.insert(edit.id.clone(), custom.clone());
        changes.push(store::Change::Custom(edit.id.clone(), custom));
        Ok(changes)
    }

    /// The room of that name, made when there is none.
    fn room_named(&mut self, name: &str) -> Room {
        let folded = name.to_lowercase();
        let known = self.rooms.values().find(|room| {
            room.name.to_lowercase() == folded || room.aliases.iter().any(|alias| alias.to_lowercase() == folded)
        });
        if let Some(room) = known {
            return room.clone();
        }
        let room = new_room(name);
        self.rooms.insert(room.id.clone(), room.clone());
        room
    }

    fn forget(&mut self, id: &DeviceId) -> Result<Vec<store::Change>, EditError> {
        if !self.devices.contains_key(id) && !self.customs.contains_key(id) {
            return Err(EditError::NoDevice(id.to_string()));
        }
        let of_device = |known: &Known| known.device == *id;
        let documents: Vec<String> = self
            .of_document
            .iter()
            .filter(|(_, entities)| entities.iter().any(|entity| self.entities.get(entity).is_some_and(of_device)))
            .map(|(topic, _)| topic.clone())
            .collect();
        let mut changes = vec![store::Change::CustomGone(id.clone())];
        for topic in documents {
            self.withdraw(&topic);
            changes.push(store::Change::DocumentGone(topic));
        }
        self.customs.remove(id);
        self.drop_empty_devices();
        Ok(changes)
    }

    fn edit_room(&mut self, edit: &RoomEdit) -> Result<Vec<store::Change>, EditError> {
        let known = self.household().rooms.into_iter().find(|room| room.id == edit.id);
        let mut room = known.ok_or_else(|| EditError::NoRoom(edit.id.to_string()))?;
        if let Some(name) = &edit.name {
            room.name = edit::name(name)?;
        }
        if let Some(aliases) = &edit.aliases {
            room.aliases = edit::names(aliases)?;
        }
        if let Some(floor) = &edit.floor {
            room.floor = floor.as_deref().map(edit::name).transpose()?;
        }
        self.rooms.insert(room.id.clone(), room.clone());
        Ok(vec![store::Change::Room(room)])
    }

    fn set_group(&mut self, edit: &GroupEdit) -> Result<Vec<store::Change>, EditError> {
        edit::group_len(edit.entities.len())?;
        if let Some(missing) = edit.entities.iter().find(|id| !self.entities.contains_key(id)) {
            return Err(EditError::NoEntity(missing.to_string()));
        }
        let group = Group {
            name: edit::name(&edit.name)?,
            aliases: edit::names(&edit.aliases)?,
            entities: edit.entities.clone(),
        };
        self.groups.retain(|known| known.name != group.name);
        self.groups.push(group.clone());
        Ok(vec![store::Change::Group(group)])
    }

    /// The snapshot that everybody reads.
    pub(super) fn household(&self) -> Household {
        let mut rooms = self.rooms.clone();
        let mut devices: BTreeMap<&DeviceId, Device> = BTreeMap::new();
        for (id, announced) in &self.devices {
            let custom = self.customs.get(id);
            let room = match custom.and_then(|custom| custom.room.clone()) {
                Some(chosen) => chosen,
                None => announced.suggested_area.as_deref().map(|area| {
                    let room = new_room(area);
                    rooms.entry(room.id.clone()).or_insert(room).id.clone()
                }),
            };
            let device = Device {
                id: id.clone(),
                name: custom.and_then(|custom| custom.name.clone()).unwrap_or_else(|| announced.name.clone()),
                aliases: custom.map(|custom| custom.aliases.clone()).unwrap_or_default(),
                room,
                manufacturer: announced.manufacturer.clone(),
                model: announced.model.clone(),
                available: false,
                entities: Vec::new(),
            };
            devices.insert(id, device);
        }
        for (id, known) in &self.entities {
            let Some(device) = devices.get_mut(&known.device) else { continue };
            let available = known.is_available();
            device.available |= available;
            let entity = Entity {
                id: id.clone(),
                name: entity_name(&device.name, known.announced.name.as_deref()),
                kind: known.announced.kind,
                device_class: text(&known.announced.config, "device_class").map(str::to_owned),
                unit: text(&known.announced.config, "unit_of_measurement").map(str::to_owned),
                abilities: binding::abilities(&known.announced),
                state: self.state(id),
                available,
            };
            device.entities.push(entity);
        }
        let devices = devices.into_values().collect();
        Household {
            rooms: rooms.into_values().collect(),
            devices,
            groups: self.groups.clone(),
            revision: self.revision,
        }
    }
}

impl Known {
    fn is_available(&self) -> bool {
        let config = &self.announced.config;
        // Until a topic has spoken, it is not held against the entity.
        match text(config, "availability_mode").unwrap_or("latest") {
            "all" => self.available.iter().all(|said| said.unwrap_or(true)),
            "any" => self.available.is_empty() || self.available.iter().any(|said| said.unwrap_or(true)),
            _ => self.latest.and_then(|index| self.available[index]).unwrap_or(true),
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

fn new_room(name: &str) -> Room {
    let id: String = name
        .trim()
        .to_lowercase()
        .chars()
        .map(|character| if character.is_alphanumeric() { character } else { '_' })
        .collect();
    Room { id: RoomId::from(id), name: name.trim().to_owned(), aliases: Vec::new(), floor: None }
}
