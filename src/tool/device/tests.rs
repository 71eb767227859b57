//! Both tools against a small household.

use std::sync::Mutex;

use super::*;
use crate::base::id::EntityId;
use crate::domain::call::{Call, OutcomeStatus};
use crate::domain::household::{Abilities, Action, Device, Entity, EntityKind, Group, Household, Room, State};
use crate::tool::{Registry, testing};

struct Home {
    household: Arc<Household>,
    result: CommandResult,
    commands: Mutex<Vec<(EntityId, Action)>>,
}

impl Devices for Home {
    fn household(&self) -> Arc<Household> {
        self.household.clone()
    }

    fn command<'a>(
        &'a self,
        _: &'a ToolContext,
        commands: Vec<(EntityId, Action)>,
    ) -> BoxFuture<'a, Vec<(EntityId, CommandResult)>> {
        let results = commands.iter().map(|(id, _)| (id.clone(), self.result.clone())).collect();
        self.commands.lock().expect("not poisoned").extend(commands);
        Box::pin(async move { results })
    }
}

fn lamp(id: &str, name: &str, room: &str) -> Device {
    let entity = Entity {
        id: id.into(),
        name: name.to_owned(),
        kind: EntityKind::Light,
        device_class: None,
        unit: None,
        abilities: Abilities::default(),
        state: State { value: Some("on".to_owned()), brightness_percent: Some(40.0), ..State::default() },
        available: true,
    };
    Device {
        id: format!("device-{id}").into(),
        name: name.to_owned(),
        aliases: vec![format!("{name} light")],
        room: Some(room.into()),
        manufacturer: None,
        model: None,
        available: true,
        entities: vec![entity],
    }
}

fn home(result: CommandResult) -> Arc<Home> {
    let room = |id: &str, name: &str| Room { id: id.into(), name: name.to_owned(), aliases: vec![], floor: None };
    let household = Household {
        rooms: vec![room("k", "Kitchen"), room("b", "Büro")],
        devices: vec![lamp("l1", "Desk Lamp", "b"), lamp("l2", "Ceiling", "k"), lamp("l3", "Ceiling", "b")],
        groups: vec![Group {
            name: "Christmas".to_owned(),
            aliases: vec![],
            entities: vec!["l1".into(), "l2".into(), "gone".into()],
        }],
        revision: 1,
    };
    Arc::new(Home { household: Arc::new(household), result, commands: Mutex::default() })
}

async fn outcome(home: &Arc<Home>, tool: &str, arguments: Value) -> Outcome {
    let port: Arc<dyn Devices> = home.clone();
    let registry = Registry::new(tools(&port)).expect("unique");
    registry.run(&testing::context(), &Call { id: "1".to_owned(), tool: tool.to_owned(), arguments }).await
}

#[tokio::test]
async fn a_device_is_found_by_id_name_alias_or_group_and_never_by_a_guess() {
    for (entity, ids) in [
        ("l3", vec!["l3"]),
        ("desk  lamp", vec!["l1"]),
        ("Desk Lamp light", vec!["l1"]),
        ("christmas", vec!["l1", "l2"]),
        ("ceiling", vec![]),
        ("desk", vec![]),
        ("kitchen", vec![]),
    ] {
        let home = home(CommandResult::Confirmed);
        let outcome = outcome(&home, "device_control", json!({"entity": entity, "action": "turn_on"})).await;
        let commands = home.commands.lock().expect("not poisoned");
        assert_eq!(commands.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ids, "{entity}: {}", outcome.text);
        assert_eq!(outcome.status == OutcomeStatus::Done, !ids.is_empty());
    }
}

#[tokio::test]
async fn errors_name_what_there_is() {
    let home = home(CommandResult::Confirmed);
    for (entity, text) in [
        ("ceiling", "Error: \"ceiling\" is several devices; use one of their ids: l2, l3"),
        ("lamp", "Error: there is no device named \"lamp\"; there are, among others: Desk Lamp, Ceiling, Ceiling"),
    ] {
        let outcome = outcome(&home, "device_control", json!({"entity": entity, "action": "turn_on"})).await;
        assert_eq!(outcome.text, text);
    }
    let wrong = outcome(&home, "device_control", json!({"entity": "l1", "action": "fly"})).await;
    assert!(wrong.text.starts_with("Error: action must be one of turn_on, "), "{}", wrong.text);
}

#[tokio::test]
async fn each_result_has_its_sentence() {
    for (result, text, status) in [
        (CommandResult::Confirmed, "done, and the device has confirmed it.", OutcomeStatus::Done),
        (CommandResult::NotConfirmed, "sent, but the device has not confirmed it.", OutcomeStatus::Done),
        (CommandResult::Unavailable, "the device cannot be reached.", OutcomeStatus::Failed),
        (
            CommandResult::NotSupported { what: "color".to_owned() },
            "the device cannot do that (color).",
            OutcomeStatus::Failed,
        ),
        (CommandResult::NotConnected, "not sent, because the home's broker is not connected.", OutcomeStatus::Failed),
    ] {
        let outcome = outcome(&home(result), "device_control", json!({"entity": "l1", "action": "turn_on"})).await;
        assert_eq!((outcome.text, outcome.status), (format!("Desk Lamp: {text}"), status));
    }
}

#[tokio::test]
async fn states_are_told_for_one_for_a_room_and_for_all() {
    let home = home(CommandResult::Confirmed);
    let said = async |arguments| outcome(&home, "device_state", arguments).await.text;
    assert_eq!(said(json!({"entity": "desk lamp"})).await, "Büro: Desk Lamp [l1]: on, brightness 40 %");
    assert_eq!(said(json!({"entity": "kitchen"})).await, "Kitchen: Ceiling [l2]: on, brightness 40 %");
    let all = said(json!({})).await;
    assert_eq!(all.lines().collect::<Vec<_>>()[..2], ["Büro:", "  Desk Lamp [l1]: on, brightness 40 %"]);
    assert_eq!(all.lines().count(), 5);
}
