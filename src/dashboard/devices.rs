//! Devices, rooms and groups.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::base::error::chain;
use crate::base::id::{DeviceId, EntityId, RoomId};
use crate::dashboard::{Dashboard, view};
use crate::domain::household::{Action, Device, Household};
use crate::home::{DeviceEdit, EditError, GroupEdit, HomeError, RoomEdit};
use crate::http::{Request, Response, error};
use crate::link::mqtt;

pub(super) fn list(it: &Dashboard) -> Response {
    let household = it.home.household();
    Response::json(&view::devices(&household))
}

pub(super) fn one(it: &Dashboard, request: &Request) -> Response {
    let household = it.home.household();
    match find(&household, request.param("id")) {
        Some(device) => Response::json(&view::device(&household, device)),
        None => unknown(request.param("id")),
    }
}

/// What the owner tells devices and programs, so that they can connect to the broker of this machine.
pub(super) fn broker(it: &Dashboard) -> Response {
    match mqtt::accounts(&it.broker_accounts) {
        Ok(accounts) => {
            let shown = accounts.iter().map(|account| {
                json!({"user": account.user, "password": account.password.reveal(), "purpose": account.purpose})
            });
            Response::json(&json!({"port": mqtt::BROKER_PORT, "accounts": shown.collect::<Vec<_>>()}))
        }
        Err(problem) => error(500, &format!("the broker's accounts cannot be read: {problem}"), None),
    }
}

/// By id, or by name as people write it.
fn find<'a>(household: &'a Household, wanted: &str) -> Option<&'a Device> {
    let folded = wanted.to_lowercase();
    let by_id = household.devices.iter().find(|device| device.id.as_str() == wanted);
    by_id.or_else(|| household.devices.iter().find(|device| device.name.to_lowercase() == folded))
}

fn unknown(id: &str) -> Response {
    error(404, &format!("there is no device {id}"), Some("GET /api/v1/devices lists them"))
}

/// Tells a field that is null from one that is missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceChange {
    name: Option<String>,
    aliases: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    room: Option<Option<String>>,
}

pub(super) async fn edit(it: Arc<Dashboard>, request: Request) -> Response {
    let change: DeviceChange = match request.json() {
        Ok(change) => change,
        Err(refusal) => return refusal,
    };
    let household = it.home.household();
    let Some(device) = find(&household, request.param("id")) else { return unknown(request.param("id")) };
    let id = device.id.clone();
    let edit = DeviceEdit { id: id.clone(), name: change.name, aliases: change.aliases, room: change.room };
    if let Err(problem) = it.home.edit_device(edit).await {
        return refused(&problem);
    }
    let household = it.home.household();
    find(&household, id.as_str())
        .map_or_else(|| unknown(id.as_str()), |device| Response::json(&view::device(&household, device)))
}

pub(super) async fn forget(it: Arc<Dashboard>, request: Request) -> Response {
    done(it.home.forget_device(DeviceId::from(request.param("id"))).await)
}

#[derive(Deserialize)]
struct Command {
    entity: Option<String>,
    #[serde(flatten)]
    action: Action,
}

pub(super) async fn command(it: Arc<Dashboard>, request: Request) -> Response {
    let command: Command = match request.json() {
        Ok(command) => command,
        Err(refusal) => return refusal,
    };
    let household = it.home.household();
    let Some(device) = find(&household, request.param("id")) else { return unknown(request.param("id")) };
    let entity = match &command.entity {
        Some(wanted) => device.entities.iter().find(|entity| entity.id.as_str() == wanted || entity.name == *wanted),
        // The first that can be commanded: a plug's switch, not its power meter.
        None => device.entities.iter().find(|entity| is_commandable(entity)).or_else(|| device.entities.first()),
    };
    let Some(entity) = entity else {
        return error(404, "the device has no such entity", None);
    };
    let results = it.home.command(vec![(entity.id.clone(), command.action)]).await;
    Response::json(&json!({"results": view::command_results(&results)}))
}

fn is_commandable(entity: &crate::domain::household::Entity) -> bool {
    use crate::domain::household::EntityKind::{BinarySensor, Sensor};
    !matches!(entity.kind, Sensor | BinarySensor)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoomChange {
    name: Option<String>,
    aliases: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    floor: Option<Option<String>>,
}

pub(super) async fn edit_room(it: Arc<Dashboard>, request: Request) -> Response {
    let change: RoomChange = match request.json() {
        Ok(change) => change,
        Err(refusal) => return refusal,
    };
    let id = RoomId::from(request.param("id"));
    done(it.home.edit_room(RoomEdit { id, name: change.name, aliases: change.aliases, floor: change.floor }).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupChange {
    entities: Vec<EntityId>,
    #[serde(default)]
    aliases: Vec<String>,
}

pub(super) async fn set_group(it: Arc<Dashboard>, request: Request) -> Response {
    let change: GroupChange = match request.json() {
        Ok(change) => change,
        Err(refusal) => return refusal,
    };
    let name = request.param("name").to_owned();
    done(it.home.set_group(GroupEdit { name, aliases: change.aliases, entities: change.entities }).await)
}

pub(super) async fn delete_group(it: Arc<Dashboard>, request: Request) -> Response {
    done(it.home.delete_group(request.param("name").to_owned()).await)
}

fn done(result: Result<(), HomeError>) -> Response {
    match result {
        Ok(()) => Response::json(&json!({"status": "ok"})),
        Err(problem) => refused(&problem),
    }
}

fn refused(problem: &HomeError) -> Response {
    match problem {
        HomeError::Edit(
            EditError::NoDevice(_) | EditError::NoRoom(_) | EditError::NoGroup(_) | EditError::NoEntity(_),
        ) => error(404, &problem.to_string(), None),
        HomeError::Edit(_) => error(400, &problem.to_string(), None),
        other => {
            tracing::error!(error = chain(other), "A change of the home could not be made.");
            error(503, "the change could not be stored", None)
        }
    }
}
