//! What people gave their home: names, rooms, groups. An edit is planned first and taken over once it is stored.

use std::collections::BTreeMap;

use crate::base::id::{DeviceId, RoomId};
use crate::domain::household::{Group, Household, Room};
use crate::home::edit::{self, DeviceEdit, Edit, EditError, GroupEdit, RoomEdit};
use crate::home::store::Change;

const ROOMS_MAX: usize = 500;
const GROUPS_MAX: usize = 200;

/// What people gave a device.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Custom {
    pub name: Option<String>,
    pub aliases: Vec<String>,
    /// `Some(None)`: taken out of its room on purpose.
    pub room: Option<Option<RoomId>>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct People {
    pub customs: BTreeMap<DeviceId, Custom>,
    pub rooms: BTreeMap<RoomId, Room>,
    pub groups: Vec<Group>,
}

impl People {
    /// Changes this copy; returns what has to be stored. `household` is what there is at present.
    pub(super) fn edit(&mut self, edit: &Edit, household: &Household) -> Result<Vec<Change>, EditError> {
        match edit {
            Edit::Device(edit) => self.edit_device(edit, household),
            Edit::ForgetDevice(id) => {
                let is_known = household.devices.iter().any(|device| device.id == *id);
                match self.customs.remove(id) {
                    None if !is_known => Err(EditError::NoDevice(id.to_string())),
                    _ => Ok(vec![Change::CustomGone(id.clone())]),
                }
            }
            Edit::Room(edit) => self.edit_room(edit, household),
            Edit::Group(edit) => self.set_group(edit, household),
            Edit::DeleteGroup(name) => {
                let before = self.groups.len();
                self.groups.retain(|group| group.name != *name);
                if self.groups.len() == before {
                    return Err(EditError::NoGroup(name.clone()));
                }
                Ok(vec![Change::GroupGone(name.clone())])
            }
        }
    }

    fn edit_device(&mut self, edit: &DeviceEdit, household: &Household) -> Result<Vec<Change>, EditError> {
        if !household.devices.iter().any(|device| device.id == edit.id) {
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
                let room = self.room_named(&edit::name(room)?, household)?;
                changes.push(Change::Room(room.clone()));
                custom.room = Some(Some(room.id));
            }
            Some(None) => custom.room = Some(None),
            None => {}
        }
        self.customs.insert(edit.id.clone(), custom.clone());
        changes.push(Change::Custom(edit.id.clone(), custom));
        Ok(changes)
    }

    /// The room of that name, made when there is none.
    fn room_named(&mut self, name: &str, household: &Household) -> Result<Room, EditError> {
        let folded = name.to_lowercase();
        let is_called = |room: &&Room| {
            room.name.to_lowercase() == folded || room.aliases.iter().any(|alias| alias.to_lowercase() == folded)
        };
        let mut room = match household.rooms.iter().find(is_called) {
            Some(room) => room.clone(),
            None => new_room(name),
        };
        // A room that was renamed keeps its id; another one may have the name.
        let base = room.id.to_string();
        let mut number = 2;
        while household.rooms.iter().any(|other| other.id == room.id && other.name != room.name) {
            room.id = RoomId::from(format!("{base}_{number}"));
            number += 1;
        }
        self.put_room(room)
    }

    fn put_room(&mut self, room: Room) -> Result<Room, EditError> {
        if self.rooms.len() >= ROOMS_MAX && !self.rooms.contains_key(&room.id) {
            return Err(EditError::TooMany { what: "rooms" });
        }
        self.rooms.insert(room.id.clone(), room.clone());
        Ok(room)
    }

    fn edit_room(&mut self, edit: &RoomEdit, household: &Household) -> Result<Vec<Change>, EditError> {
        let known = household.room(&edit.id).cloned();
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
        Ok(vec![Change::Room(self.put_room(room)?)])
    }

    fn set_group(&mut self, edit: &GroupEdit, household: &Household) -> Result<Vec<Change>, EditError> {
        edit::group_len(edit.entities.len())?;
        if let Some(missing) = edit.entities.iter().find(|id| household.entity(id).is_none()) {
            return Err(EditError::NoEntity(missing.to_string()));
        }
        let group = Group {
            name: edit::name(&edit.name)?,
            aliases: edit::names(&edit.aliases)?,
            entities: edit.entities.clone(),
        };
        self.groups.retain(|known| known.name != group.name);
        if self.groups.len() >= GROUPS_MAX {
            return Err(EditError::TooMany { what: "groups" });
        }
        self.groups.push(group.clone());
        Ok(vec![Change::Group(group)])
    }
}

/// A room with an id made of its name.
pub(super) fn new_room(name: &str) -> Room {
    let letter = |letter: char| if letter.is_ascii() && !letter.is_ascii_alphanumeric() { '_' } else { letter };
    let id: String = name.trim().to_lowercase().chars().map(letter).collect();
    Room { id: RoomId::from(id), name: name.trim().to_owned(), aliases: Vec::new(), floor: None }
}
