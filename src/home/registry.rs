//! What is known about the home, as a value without I/O: documents, messages and edits go in, the household comes out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::base::clock::Timestamp;
use crate::base::id::{DeviceId, EntityId};
use crate::base::limits;
use crate::domain::household::{Device, Household, State};
use crate::home::discovery::{self, AnnouncedDevice, AnnouncedEntity, Announcement};
use crate::home::edit::{Edit, EditError};
use crate::home::known::Known;
use crate::home::people::{People, new_room};
use crate::home::template::Payload;
use crate::home::wanted::{self, Wanted};
use crate::home::{Config, store};

/// Entities of the whole home.
const ENTITIES_MAX: usize = 8 * limits::DEVICES_MAX;
/// Longest message that is kept for entities that are announced later, in bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Everything that is stored.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Stored {
    /// Discovery topic and document.
    pub announcements: Vec<(String, Vec<u8>)>,
    pub people: People,
    pub states: HashMap<EntityId, State>,
}

/// What a document changed, for the loop to carry out: first the topics to leave, then those to listen to.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Effect {
    pub subscribe: Vec<String>,
    pub unsubscribe: Vec<String>,
    pub removed: Vec<EntityId>,
    pub changed: bool,
}

/// What a message changed.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Heard {
    /// Entities with a new state.
    pub changed: Vec<EntityId>,
    /// The snapshot is not what it was.
    pub is_visible: bool,
}

/// An edit that is ready to be stored and then taken over.
pub(super) struct Plan {
    people: People,
    forgotten: Vec<String>,
    pub changes: Vec<store::Change>,
}

pub(super) struct Registry {
    config: Config,
    documents: BTreeMap<String, Vec<u8>>,
    devices: BTreeMap<DeviceId, AnnouncedDevice>,
    entities: BTreeMap<EntityId, Known>,
    of_document: HashMap<String, Vec<EntityId>>,
    by_topic: HashMap<String, Vec<(EntityId, usize)>>,
    /// The last message on each topic, for entities that are announced after it came.
    kept: HashMap<String, String>,
    people: People,
    states: HashMap<EntityId, State>,
    /// Documents that the broker still has.
    heard_documents: HashSet<String>,
    is_roll_called: bool,
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
            kept: HashMap::new(),
            people: stored.people,
            states: stored.states,
            heard_documents: HashSet::new(),
            is_roll_called: false,
            revision: 1,
        };
        for (topic, document) in stored.announcements {
            // What an older version stored and this one refuses is only left out.
            let _ = registry.announce(&topic, &document);
        }
        registry.heard_documents.clear();
        let Self { entities, states, .. } = &mut registry;
        states.retain(|id, _| entities.contains_key(id));
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
            self.heard_documents.insert(topic.to_owned());
            return Ok(Effect::default());
        }
        let announced = if payload.is_empty() { None } else { Some(discovery::read(place, payload)?) };
        let announced = announced.filter(|announcement| !announcement.entities.is_empty());
        if let Some(announcement) = &announced {
            self.check_room_for(announcement)?;
        }
        let mut effect = self.withdraw(topic);
        if let Some(Announcement { device, entities }) = announced {
            let id = device.id.clone();
            self.devices.insert(id.clone(), device);
            for entity in entities {
                self.add(topic, &id, entity, &mut effect);
            }
            self.documents.insert(topic.to_owned(), payload.to_owned());
            self.heard_documents.insert(topic.to_owned());
            effect.changed = true;
        }
        self.finish(&mut effect);
        Ok(effect)
    }

    fn check_room_for(&self, announcement: &Announcement) -> Result<(), &'static str> {
        if !self.devices.contains_key(&announcement.device.id) && self.devices.len() >= limits::DEVICES_MAX {
            return Err("there are too many devices");
        }
        if self.entities.len() + announcement.entities.len() > ENTITIES_MAX {
            return Err("there are too many entities");
        }
        Ok(())
    }

    fn add(&mut self, document: &str, device: &DeviceId, entity: AnnouncedEntity, effect: &mut Effect) {
        // An entity that two documents claim belongs to the later one.
        effect.unsubscribe.extend(self.remove(&entity.id));
        let id = entity.id.clone();
        let mut known = Known::new(entity, device.clone(), document);
        for (index, binding) in known.bindings.iter().enumerate() {
            let listeners = self.by_topic.entry(binding.topic.clone()).or_default();
            if listeners.is_empty() {
                effect.subscribe.push(binding.topic.clone());
            }
            listeners.push((id.clone(), index));
        }
        let state = self.states.entry(id.clone()).or_default();
        for index in 0..known.bindings.len() {
            if let Some(text) = self.kept.get(&known.bindings[index].topic) {
                known.hear(index, &Payload::new(text), state);
            }
        }
        self.of_document.entry(document.to_owned()).or_default().push(id.clone());
        self.entities.insert(id, known);
    }

    /// Removes what a document had announced.
    fn withdraw(&mut self, document: &str) -> Effect {
        let mut effect = Effect { changed: self.documents.remove(document).is_some(), ..Effect::default() };
        self.heard_documents.remove(document);
        for id in self.of_document.remove(document).unwrap_or_default() {
            effect.unsubscribe.extend(self.remove(&id));
            effect.removed.push(id);
        }
        effect
    }

    /// Removes an entity; returns the topics that nobody listens to any more. Its state stays until [`Registry::finish`].
    fn remove(&mut self, id: &EntityId) -> Vec<String> {
        let Some(known) = self.entities.remove(id) else { return Vec::new() };
        if let Some(siblings) = self.of_document.get_mut(&known.document) {
            siblings.retain(|other| other != id);
        }
        let mut left = Vec::new();
        for binding in known.bindings {
            let Some(listeners) = self.by_topic.get_mut(&binding.topic) else { continue };
            listeners.retain(|(other, _)| other != id);
            if listeners.is_empty() {
                self.by_topic.remove(&binding.topic);
                left.push(binding.topic);
            }
        }
        left
    }

    /// Drops what nothing belongs to any more.
    fn finish(&mut self, effect: &mut Effect) {
        for topic in effect.unsubscribe.iter().filter(|topic| !self.by_topic.contains_key(*topic)) {
            self.kept.remove(topic);
        }
        effect.removed.retain(|id| !self.entities.contains_key(id));
        effect.removed.iter().for_each(|id| drop(self.states.remove(id)));
        if effect.changed {
            let used: BTreeSet<&DeviceId> = self.entities.values().map(|known| &known.device).collect();
            self.devices.retain(|id, _| used.contains(id));
            self.revision += 1;
        }
    }

    /// Takes a message of a device in.
    pub(super) fn message(&mut self, topic: &str, payload: &[u8], now: Timestamp) -> Heard {
        let mut heard = Heard::default();
        let Ok(text) = std::str::from_utf8(payload) else { return heard };
        let Some(listeners) = self.by_topic.get(topic) else { return heard };
        let payload = Payload::new(text);
        for (id, index) in listeners {
            let Some(known) = self.entities.get_mut(id) else { continue };
            let was_available = known.is_available();
            let was_heard = known.heard > 0;
            let state = self.states.entry(id.clone()).or_default();
            if known.hear(*index, &payload, state) {
                state.changed_at = Some(now);
                heard.is_visible = true;
                if !heard.changed.contains(id) {
                    heard.changed.push(id.clone());
                }
            }
            heard.is_visible |= was_available != known.is_available() || was_heard != (known.heard > 0);
        }
        if text.len() <= KEPT_BYTES_MAX {
            self.kept.insert(topic.to_owned(), text.to_owned());
        }
        heard
    }

    /// After the broker had time to say all that it has: what it does not have any more, and what says nothing, counts as gone.
    pub(super) fn call_roll(&mut self) {
        self.is_roll_called = true;
    }

    pub(super) fn entity(&self, id: &EntityId) -> Option<&AnnouncedEntity> {
        self.entities.get(id).map(|known| &known.announced)
    }

    pub(super) fn state(&self, id: &EntityId) -> State {
        self.states.get(id).cloned().unwrap_or_default()
    }

    /// Whether a topic says that the entity cannot be reached.
    pub(super) fn is_offline(&self, id: &EntityId) -> bool {
        self.entities.get(id).is_some_and(|known| !known.is_available())
    }

    /// How often its state was heard; grows with each message, also with one that says nothing new.
    pub(super) fn heard(&self, id: &EntityId) -> u64 {
        self.entities.get(id).map_or(0, |known| known.heard)
    }

    /// Whether anything could show that what is wanted came true.
    pub(super) fn shows(&self, id: &EntityId, wanted: &Wanted) -> bool {
        self.entities.get(id).is_some_and(|known| wanted::is_shown(&known.announced, wanted, &known.bindings))
    }

    /// Takes an entity that reports nothing for what it was told to be.
    pub(super) fn assume(&mut self, id: &EntityId, wanted: &Wanted, now: Timestamp) {
        if self.entities.contains_key(id) {
            let state = self.states.entry(id.clone()).or_default();
            wanted::assume(wanted, state);
            state.changed_at = Some(now);
        }
    }

    /// What an edit comes to. Nothing changes before [`Registry::adopt`].
    pub(super) fn plan(&self, edit: &Edit) -> Result<Plan, EditError> {
        let mut people = self.people.clone();
        let mut changes = people.edit(edit, &self.household())?;
        let mut forgotten = Vec::new();
        if let Edit::ForgetDevice(device) = edit {
            for (id, known) in self.entities.iter().filter(|(_, known)| known.device == *device) {
                changes.push(store::Change::StateGone(id.clone()));
                if !forgotten.contains(&known.document) {
                    forgotten.push(known.document.clone());
                    changes.push(store::Change::DocumentGone(known.document.clone()));
                }
            }
        }
        Ok(Plan { people, forgotten, changes })
    }

    pub(super) fn adopt(&mut self, plan: Plan) -> Effect {
        self.people = plan.people;
        let mut effect = Effect::default();
        for document in plan.forgotten {
            let one = self.withdraw(&document);
            effect.unsubscribe.extend(one.unsubscribe);
            effect.removed.extend(one.removed);
        }
        effect.changed = true;
        self.finish(&mut effect);
        effect
    }

    /// The snapshot that everybody reads.
    pub(super) fn household(&self) -> Household {
        let mut rooms = self.people.rooms.clone();
        let mut devices: BTreeMap<&DeviceId, Device> = BTreeMap::new();
        for (id, announced) in &self.devices {
            let custom = self.people.customs.get(id);
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
            let available = known.is_available() && !self.is_gone(known);
            device.available |= available;
            device.entities.push(known.entity(&device.name, self.state(id), available));
        }
        Household {
            rooms: rooms.into_values().collect(),
            devices: devices.into_values().collect(),
            groups: self.people.groups.clone(),
            revision: self.revision,
        }
    }

    fn is_gone(&self, known: &Known) -> bool {
        self.is_roll_called && known.heard == 0 && !self.heard_documents.contains(&known.document)
    }
}
