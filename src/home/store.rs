//! The home's tables.

use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use crate::base::clock::Timestamp;
use crate::base::id::{DeviceId, EntityId};
use crate::db::{Migration, Tx};
use crate::domain::household::{Group, Room, State};
use crate::home::people::Custom;
use crate::home::registry::Stored;

pub const MIGRATIONS: &[Migration] = &[Migration {
    number: 900,
    name: "home",
    apply: |conn| {
        conn.execute_batch(
            "CREATE TABLE home_announcements (topic TEXT PRIMARY KEY, document BLOB NOT NULL, updated_at DATETIME NOT NULL);
             CREATE TABLE home_devices (device_id TEXT PRIMARY KEY, name TEXT, aliases TEXT NOT NULL, room_id TEXT,
                is_roomless BOOLEAN NOT NULL, updated_at DATETIME NOT NULL);
             CREATE TABLE home_rooms (room_id TEXT PRIMARY KEY, name TEXT NOT NULL, aliases TEXT NOT NULL, floor TEXT);
             CREATE TABLE home_groups (name TEXT PRIMARY KEY, aliases TEXT NOT NULL, entities TEXT NOT NULL);
             CREATE TABLE home_states (entity_id TEXT PRIMARY KEY, state TEXT NOT NULL, updated_at DATETIME NOT NULL)",
        )
    },
}];

/// One thing to be stored.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Change {
    Document(String, Vec<u8>),
    DocumentGone(String),
    StateGone(EntityId),
    Custom(DeviceId, Custom),
    CustomGone(DeviceId),
    Room(Room),
    Group(Group),
    GroupGone(String),
}

pub(super) fn apply(tx: &Tx<'_>, change: &Change, now: Timestamp) -> rusqlite::Result<()> {
    match change {
        Change::Document(topic, document) => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO home_announcements (topic, document, updated_at) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![topic, document, now]),
        Change::DocumentGone(topic) => {
            tx.prepare_cached("DELETE FROM home_announcements WHERE topic = ?1")?.execute([topic])
        }
        Change::StateGone(id) => tx.prepare_cached("DELETE FROM home_states WHERE entity_id = ?1")?.execute([id]),
        Change::Custom(id, custom) => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO home_devices (device_id, name, aliases, room_id, is_roomless, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id,
                custom.name,
                to_json(&custom.aliases),
                custom.room.clone().flatten(),
                custom.room == Some(None),
                now
            ]),
        Change::CustomGone(id) => tx.prepare_cached("DELETE FROM home_devices WHERE device_id = ?1")?.execute([id]),
        Change::Room(room) => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO home_rooms (room_id, name, aliases, floor) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![room.id, room.name, to_json(&room.aliases), room.floor]),
        Change::Group(group) => tx
            .prepare_cached("INSERT OR REPLACE INTO home_groups (name, aliases, entities) VALUES (?1, ?2, ?3)")?
            .execute(params![group.name, to_json(&group.aliases), to_json(&group.entities)]),
        Change::GroupGone(name) => tx.prepare_cached("DELETE FROM home_groups WHERE name = ?1")?.execute([name]),
    }
    .map(drop)
}

/// Last states, so that questions can be answered before the broker is back.
pub(super) fn save_states(tx: &Tx<'_>, states: &[(EntityId, State)], now: Timestamp) -> rusqlite::Result<()> {
    let mut insert =
        tx.prepare_cached("INSERT OR REPLACE INTO home_states (entity_id, state, updated_at) VALUES (?1, ?2, ?3)")?;
    for (id, state) in states {
        insert.execute(params![id, to_json(&StoredState::from(state)), now])?;
    }
    Ok(())
}

pub(super) fn load(conn: &Connection) -> rusqlite::Result<Stored> {
    let mut stored = Stored::default();
    let mut select = conn.prepare("SELECT topic, document FROM home_announcements ORDER BY topic")?;
    stored.announcements = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut select = conn.prepare("SELECT device_id, name, aliases, room_id, is_roomless FROM home_devices")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let room: Option<crate::base::id::RoomId> = row.get(3)?;
        let room = if row.get(4)? { Some(None) } else { room.map(Some) };
        let custom = Custom { name: row.get(1)?, aliases: from_json(&row.get::<_, String>(2)?), room };
        stored.people.customs.insert(row.get(0)?, custom);
    }
    let mut select = conn.prepare("SELECT room_id, name, aliases, floor FROM home_rooms")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let room = Room {
            id: row.get(0)?,
            name: row.get(1)?,
            aliases: from_json(&row.get::<_, String>(2)?),
            floor: row.get(3)?,
        };
        stored.people.rooms.insert(room.id.clone(), room);
    }
    let mut select = conn.prepare("SELECT name, aliases, entities FROM home_groups ORDER BY name")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        stored.people.groups.push(Group {
            name: row.get(0)?,
            aliases: from_json(&row.get::<_, String>(1)?),
            entities: from_json(&row.get::<_, String>(2)?),
        });
    }
    let mut select = conn.prepare("SELECT entity_id, state FROM home_states")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let state: StoredState = from_json(&row.get::<_, String>(1)?);
        stored.states.insert(row.get(0)?, state.into());
    }
    Ok(stored)
}

/// A state as it is stored; fields of a newer or older version are left out.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct StoredState {
    value: Option<String>,
    brightness_percent: Option<f64>,
    color: Option<crate::domain::household::Rgb>,
    color_temperature_k: Option<u32>,
    position_percent: Option<f64>,
    current_temperature: Option<f64>,
    target_temperature: Option<f64>,
    mode: Option<String>,
    changed_at_ms: Option<i64>,
}

impl From<&State> for StoredState {
    fn from(state: &State) -> Self {
        let State {
            value,
            brightness_percent,
            color,
            color_temperature_k,
            position_percent,
            current_temperature,
            target_temperature,
            mode,
            changed_at,
        } = state.clone();
        Self {
            value,
            brightness_percent,
            color,
            color_temperature_k,
            position_percent,
            current_temperature,
            target_temperature,
            mode,
            changed_at_ms: changed_at.map(Timestamp::as_millis),
        }
    }
}

impl From<StoredState> for State {
    fn from(stored: StoredState) -> Self {
        Self {
            value: stored.value,
            brightness_percent: stored.brightness_percent,
            color: stored.color,
            color_temperature_k: stored.color_temperature_k,
            position_percent: stored.position_percent,
            current_temperature: stored.current_temperature,
            target_temperature: stored.target_temperature,
            mode: stored.mode,
            changed_at: stored.changed_at_ms.map(Timestamp::from_millis),
        }
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What somebody spoiled by hand reads as empty.
fn from_json<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}
