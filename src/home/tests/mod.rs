//! The registry with documents as Zigbee2MQTT, Tasmota and ESPHome write them.

mod broker;
mod commands;
mod confirm;
mod model;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::command::encode;
use super::edit::Edit;
use super::registry::{Registry, Stored};
use super::wanted::is_granted;
use super::*;
use crate::base::clock::Timestamp;
use crate::base::id::DeviceId;
use crate::domain::household::{EntityKind, Rgb, State};

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

fn config() -> Config {
    Config {
        discovery_prefix: "homeassistant".to_owned(),
        confirm_wait: Duration::from_millis(100),
        own_id: "kafclaw_hub".to_owned(),
    }
}

fn registry() -> Registry {
    Registry::new(config(), Stored::default())
}

const FIXTURES: &[(&str, &str)] = &[
    (
        "homeassistant/light/0x00158d/light/config",
        include_str!("../../../tests/fixtures/discovery/zigbee2mqtt_light.json"),
    ),
    (
        "homeassistant/sensor/0x00158e/temperature/config",
        include_str!("../../../tests/fixtures/discovery/zigbee2mqtt_sensor.json"),
    ),
    (
        "homeassistant/binary_sensor/0x00158f/contact/config",
        include_str!("../../../tests/fixtures/discovery/zigbee2mqtt_contact.json"),
    ),
    ("homeassistant/switch/DVES_1_RL_1/config", include_str!("../../../tests/fixtures/discovery/tasmota_switch.json")),
    ("homeassistant/cover/garage/door/config", include_str!("../../../tests/fixtures/discovery/esphome_cover.json")),
    ("homeassistant/climate/trv/config", include_str!("../../../tests/fixtures/discovery/climate.json")),
    ("homeassistant/device/fan1/config", include_str!("../../../tests/fixtures/discovery/device_based.json")),
    ("homeassistant/lock/0x0a/lock/config", include_str!("../../../tests/fixtures/discovery/zigbee2mqtt_lock.json")),
    (
        "homeassistant/climate/0x0b/climate/config",
        include_str!("../../../tests/fixtures/discovery/zigbee2mqtt_climate.json"),
    ),
    ("homeassistant/light/DVES_2_LI_1/config", include_str!("../../../tests/fixtures/discovery/tasmota_light.json")),
    ("homeassistant/light/desk/strip/config", include_str!("../../../tests/fixtures/discovery/esphome_light.json")),
    ("homeassistant/light/ring/config", include_str!("../../../tests/fixtures/discovery/template_light.json")),
    ("homeassistant/device/mix/config", include_str!("../../../tests/fixtures/discovery/mixed_device.json")),
];

fn furnished() -> Registry {
    let mut registry = registry();
    for (topic, document) in FIXTURES {
        registry.announce(topic, document.as_bytes()).expect(topic);
    }
    registry
}

fn find<'a>(household: &'a Household, id: &str) -> &'a crate::domain::household::Entity {
    let known: Vec<_> = household.entities().map(|(_, entity)| &entity.id).collect();
    let found = household.entity(&EntityId::from(id));
    found.unwrap_or_else(|| panic!("no {id} in {known:?}")).1
}

fn commands(registry: &Registry, id: &str, action: Action) -> Vec<(String, String)> {
    let id = EntityId::from(id);
    let command = encode(registry.entity(&id).expect("known"), &registry.state(&id), &action).expect("can do that");
    command.publications.into_iter().map(|publication| (publication.topic, publication.payload)).collect()
}

#[test]
fn a_zigbee2mqtt_lamp_is_named_switched_and_read() {
    let mut registry = furnished();
    let id = "light.0x00158d_light";
    let household = registry.household();
    let lamp = find(&household, id);
    assert_eq!((lamp.name.as_str(), lamp.kind), ("kitchen lamp", EntityKind::Light));
    assert!(lamp.abilities.brightness && lamp.abilities.color && lamp.abilities.color_temperature_k.is_some());
    let on = commands(&registry, id, Action::TurnOn);
    assert_eq!(on, [("zigbee2mqtt/kitchen_lamp/set".to_owned(), r#"{"state":"ON"}"#.to_owned())]);
    let dim = commands(&registry, id, Action::SetBrightness { percent: 50.0 });
    assert_eq!(dim[0].1, r#"{"state":"ON","brightness":127}"#);
    let heard =
        registry.message("zigbee2mqtt/kitchen_lamp", br#"{"state":"ON","brightness":254,"color_temp":370}"#, NOW);
    assert_eq!(heard.changed, [EntityId::from(id)]);
    let state = registry.state(&EntityId::from(id));
    assert_eq!(
        (state.value.as_deref(), state.brightness_percent, state.color_temperature_k),
        (Some("on"), Some(100.0), Some(2703))
    );
    registry.message("zigbee2mqtt/bridge/state", br#"{"state":"offline"}"#, NOW);
    assert!(registry.is_offline(&EntityId::from(id)));
}

#[test]
fn sensors_contacts_switches_covers_and_thermostats_are_read_and_worded() {
    let mut registry = furnished();
    registry.message("zigbee2mqtt/bedroom", br#"{"temperature": 21.46}"#, NOW);
    registry.message("zigbee2mqtt/window", br#"{"contact": false}"#, NOW);
    registry.message("tele/plug/STATE", br#"{"POWER":"ON"}"#, NOW);
    registry.message("garage/cover/door/position", b"40", NOW);
    registry.message("trv/state", br#"{"local_temperature": 19.5, "target": 21, "mode": "heat"}"#, NOW);
    registry.message("fan1/state", b"ON", NOW);
    let household = registry.household();
    let value = |id: &str| find(&household, id).state.value.clone().unwrap_or_default();
    assert_eq!(value("sensor.0x00158e_temperature"), "21.46");
    assert_eq!(find(&household, "sensor.0x00158e_temperature").name, "Bedroom sensor Temperature");
    assert_eq!(value("binary_sensor.0x00158f_contact"), "on");
    assert_eq!(value("switch.DVES_1_RL_1"), "on");
    assert_eq!(find(&household, "cover.garage_door").state.position_percent, Some(40.0));
    let climate = &find(&household, "climate.trv").state;
    assert_eq!(
        (climate.current_temperature, climate.target_temperature, climate.mode.as_deref()),
        (Some(19.5), Some(21.0), Some("heat"))
    );
    assert_eq!(value("fan.fan1_blade"), "on");
}

#[test]
fn what_a_device_cannot_do_is_refused_by_name() {
    let registry = furnished();
    let id = EntityId::from("switch.DVES_1_RL_1");
    let refused =
        encode(registry.entity(&id).expect("known"), &State::default(), &Action::SetBrightness { percent: 3.0 });
    assert_eq!(refused, Err("set brightness".to_owned()));
}

#[test]
fn an_empty_document_takes_the_device_away_and_our_own_is_never_read() {
    let mut registry = furnished();
    let before = registry.household().devices.len();
    let effect = registry.announce(FIXTURES[3].0, b"").expect("an empty document");
    assert!(effect.changed && effect.unsubscribe.contains(&"tele/plug/STATE".to_owned()));
    assert_eq!(registry.household().devices.len(), before - 1);
    let hub = HubFacts {
        discovery_prefix: "homeassistant".to_owned(),
        topic_prefix: "kafclaw".to_owned(),
        instance_id: "hub".to_owned(),
        name: "Hub".to_owned(),
        version: "0",
    };
    let own = hub.announcement();
    assert_eq!(registry.announce(&own.topic, own.payload.as_bytes()), Ok(registry::Effect::default()));
    let document: Value = serde_json::from_str(&own.payload).expect("JSON");
    assert_eq!(document["components"].as_object().expect("components").len(), 5);
}

#[test]
fn names_and_rooms_that_people_gave_survive_a_new_document() {
    let mut registry = furnished();
    let device = registry.household().entity(&EntityId::from("light.0x00158d_light")).expect("known").0.id.clone();
    let edit = DeviceEdit {
        id: device.clone(),
        name: Some(" Küchenlicht 🌟 ".to_owned()),
        aliases: Some(vec!["Funzel".to_owned()]),
        room: Some(Some("Küche".to_owned())),
    };
    let plan = registry.plan(&Edit::Device(edit)).expect("a good edit");
    registry.adopt(plan);
    let revision = registry.household().revision;
    let changed = FIXTURES[0].1.replace("kitchen_lamp", "kitchen_lamp_2");
    registry.announce(FIXTURES[0].0, changed.as_bytes()).expect("announced");
    let household = registry.household();
    let device = household.devices.iter().find(|known| known.id == device).expect("still there");
    assert_eq!((device.name.as_str(), device.aliases.len()), ("Küchenlicht 🌟", 1));
    assert_eq!(household.room(device.room.as_ref().expect("a room")).expect("known").name, "Küche");
    assert!(household.revision > revision);
    let gone =
        registry.plan(&Edit::Device(DeviceEdit { id: DeviceId::from("x"), name: None, aliases: None, room: None }));
    assert_eq!(gone.err(), Some(EditError::NoDevice("x".to_owned())));
}

#[test]
fn a_wish_is_granted_when_the_state_shows_it() {
    let registry = furnished();
    let id = EntityId::from("light.0x00158d_light");
    let lamp = registry.entity(&id).expect("known");
    let wanted = |action: &Action| encode(lamp, &State::default(), action).expect("can").wanted;
    let state = |value: &str, brightness: f64| State {
        value: Some(value.to_owned()),
        brightness_percent: Some(brightness),
        ..State::default()
    };
    assert!(is_granted(&wanted(&Action::TurnOn), &state("on", 1.0)));
    assert!(!is_granted(&wanted(&Action::TurnOn), &state("off", 100.0)));
    assert!(is_granted(&wanted(&Action::SetBrightness { percent: 40.0 }), &state("on", 41.0)));
    assert!(!is_granted(&wanted(&Action::SetBrightness { percent: 40.0 }), &state("on", 80.0)));
    let red = encode(lamp, &State::default(), &Action::SetColor { color: Rgb { r: 255, g: 0, b: 0 } }).expect("can");
    assert!(red.publications[0].payload.contains("\"x\":0.7"), "{}", red.publications[0].payload);
}

#[tokio::test]
async fn what_was_announced_is_known_again_after_a_restart() {
    let db = Db::memory_for_tests(&[crate::timeline::MIGRATIONS, MIGRATIONS]);
    let (topic, document) = FIXTURES[0];
    db.write(move |tx| {
        store::apply(tx, &store::Change::Document(topic.to_owned(), document.as_bytes().to_vec()), NOW)?;
        let state = State { value: Some("on".to_owned()), ..State::default() };
        store::save_states(tx, &[(EntityId::from("light.0x00158d_light"), state)], NOW)
    })
    .await
    .expect("stored");
    let home = Home::start(db, Clock::System, None, config(), Shutdown::default()).await.expect("a home");
    let household = home.household();
    assert_eq!(find(&household, "light.0x00158d_light").state.value.as_deref(), Some("on"));
    let id = EntityId::from("light.0x00158d_light");
    let results = home.command(vec![(id.clone(), Action::TurnOn)]).await;
    assert_eq!(results, [(id, CommandResult::NotConnected)]);
    let device = household.devices[0].id.clone();
    home.edit_device(DeviceEdit { id: device.clone(), name: Some("Desk".to_owned()), aliases: None, room: None })
        .await
        .expect("renamed");
    assert_eq!(home.household().devices[0].name, "Desk");
    home.forget_device(device).await.expect("forgotten");
    assert!(home.household().devices.is_empty());
}

#[tokio::test]
async fn an_edit_that_cannot_be_stored_changes_nothing() {
    // Without the timeline's table the transaction fails as a whole.
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    let (topic, document) = FIXTURES[0];
    db.write(move |tx| store::apply(tx, &store::Change::Document(topic.to_owned(), document.as_bytes().to_vec()), NOW))
        .await
        .expect("stored");
    let home = Home::start(db.clone(), Clock::System, None, config(), Shutdown::default()).await.expect("a home");
    let device = home.household().devices[0].id.clone();
    let edit = DeviceEdit {
        id: device.clone(),
        name: Some("Desk".to_owned()),
        aliases: None,
        room: Some(Some("Attic".to_owned())),
    };
    assert!(matches!(home.edit_device(edit).await, Err(HomeError::Store { .. })));
    assert!(matches!(home.forget_device(device).await, Err(HomeError::Store { .. })));
    let household = home.household();
    assert_eq!((household.devices[0].name.as_str(), household.rooms.len()), ("kitchen lamp", 0));
    let rooms: i64 =
        db.read(|conn| conn.query_row("SELECT count(*) FROM home_rooms", [], |row| row.get(0))).await.expect("read");
    assert_eq!(rooms, 0);
}

#[test]
fn short_and_long_keys_mean_the_same() {
    let long = json!({"name": "Plug", "unique_id": "p", "state_topic": "a/b", "command_topic": "a/c", "payload_on": "1",
        "device": {"identifiers": ["d"], "name": "Plug", "suggested_area": "Hall"}});
    let short = json!({"~": "a", "name": "Plug", "uniq_id": "p", "stat_t": "~/b", "cmd_t": "~/c", "pl_on": "1",
        "dev": {"ids": ["d"], "name": "Plug", "sa": "Hall"}});
    let household = |document: &Value| {
        let mut registry = registry();
        registry.announce("homeassistant/switch/p/config", document.to_string().as_bytes()).expect("announced");
        (registry.household(), registry.topics())
    };
    assert_eq!(household(&long), household(&short));
    assert_eq!(household(&long).0.rooms[0].name, "Hall");
}

proptest! {
    #[test]
    fn any_bytes_as_a_document_are_taken_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = registry().announce("homeassistant/light/x/config", &payload);
    }

    /// Documents with keys that mean something and values that do not.
    #[test]
    fn any_values_in_a_document_are_survived(
        component in "(light|switch|cover|lock|climate|fan|sensor|binary_sensor|number|select|device)",
        values in proptest::collection::vec(("(stat_t|cmd_t|avty|dev|cmps|bri_scl|pos_open|val_tpl|schema|sup_clrm|min_temp|name|~|avty_t)",
            "(null|1|-1|1e300|true|\\[\\]|\\{\\}|\"json\"|\"a/b\"|\"\\{\\{ value_json.x \\}\\}\"|\\[\\{\"topic\": 1\\}\\]|\\{\"a\": \\{\"p\": \"light\", \"stat_t\": \"s\"\\}\\})"), 0..8),
        message in "(ON|21.5|\\{\"x\": 1\\}|\\{\"state\": \"ON\", \"brightness\": -5\\}|.{0,10})",
    ) {
        let body = values.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect::<Vec<_>>().join(",");
        let mut registry = registry();
        let _ = registry.announce(&format!("homeassistant/{component}/x/config"), format!("{{{body}}}").as_bytes());
        for topic in registry.topics() {
            registry.message(&topic, message.as_bytes(), NOW);
        }
        let household = registry.household();
        for (_, entity) in household.entities() {
            for action in [Action::TurnOn, Action::Open, Action::SetPosition { percent: 50.0 }, Action::SetBrightness { percent: 5.0 },
                Action::SetTemperature { degrees: 20.0 }, Action::SetNumber { value: 5.0 }] {
                let _ = encode(registry.entity(&entity.id).expect("known"), &entity.state, &action);
            }
        }
    }
}
