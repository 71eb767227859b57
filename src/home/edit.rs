//! What people change about their home: names, rooms, groups.

use crate::base::id::{DeviceId, EntityId, RoomId};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// Other names of one thing.
const ALIASES_MAX: usize = 20;
/// Entities of one group.
const GROUP_LEN_MAX: usize = 500;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    #[error("there is no device {0}")]
    NoDevice(String),
    #[error("there is no room {0}")]
    NoRoom(String),
    #[error("there is no group {0}")]
    NoGroup(String),
    #[error("there is no entity {0}")]
    NoEntity(String),
    #[error("a name must have 1 to {NAME_BYTES_MAX} bytes")]
    Name,
    #[error("at most {ALIASES_MAX} other names are kept")]
    Aliases,
    #[error("there are too many {what}")]
    TooMany { what: &'static str },
    #[error("a group must have 1 to {GROUP_LEN_MAX} entities")]
    GroupLen,
}

/// Changes of a device; what is `None` stays.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceEdit {
    pub id: DeviceId,
    pub name: Option<String>,
    pub aliases: Option<Vec<String>>,
    /// A room by name, made when it is new; `Some(None)` takes the device out of its room.
    pub room: Option<Option<String>>,
}

/// Changes of a room; what is `None` stays.
#[derive(Clone, PartialEq, Debug)]
pub struct RoomEdit {
    pub id: RoomId,
    pub name: Option<String>,
    pub aliases: Option<Vec<String>>,
    pub floor: Option<Option<String>>,
}

/// A group as it shall be.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupEdit {
    pub name: String,
    pub aliases: Vec<String>,
    pub entities: Vec<EntityId>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Edit {
    Device(DeviceEdit),
    ForgetDevice(DeviceId),
    Room(RoomEdit),
    Group(GroupEdit),
    DeleteGroup(String),
}

/// A name without needless space.
pub(super) fn name(text: &str) -> Result<String, EditError> {
    let text = text.trim();
    if text.is_empty() || text.len() > NAME_BYTES_MAX { Err(EditError::Name) } else { Ok(text.to_owned()) }
}

pub(super) fn names(list: &[String]) -> Result<Vec<String>, EditError> {
    if list.len() > ALIASES_MAX {
        return Err(EditError::Aliases);
    }
    list.iter().map(|text| name(text)).collect()
}

pub(super) fn group_len(len: usize) -> Result<(), EditError> {
    if (1..=GROUP_LEN_MAX).contains(&len) { Ok(()) } else { Err(EditError::GroupLen) }
}
