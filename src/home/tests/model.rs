//! The registry against a model: whatever comes in which order, its parts agree with each other.

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Announce { slot: usize, unique: usize, topics: usize },
    Withdraw { slot: usize },
    Message { topic: usize, payload: &'static str },
    Rename { name: String, room: Option<String> },
    Forget,
    RollCall,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize, 0..3_usize, 0..4_usize).prop_map(|(slot, unique, topics)| Step::Announce { slot, unique, topics }),
        2 => (0..4_usize).prop_map(|slot| Step::Withdraw { slot }),
        3 => (0..5_usize, proptest::sample::select(vec!["ON", "OFF", "online", "offline", "40", "{"]))
            .prop_map(|(topic, payload)| Step::Message { topic, payload }),
        1 => ("[a-zäö🌟]{1,5}", proptest::option::of("[A-Za-z ]{1,6}")).prop_map(|(name, room)| Step::Rename { name, room }),
        1 => Just(Step::Forget),
        1 => Just(Step::RollCall),
    ]
}

fn document(unique: usize, topics: usize) -> String {
    let mut document =
        json!({"uniq_id": format!("u{unique}"), "cmd_t": "set", "dev": {"ids": [format!("d{unique}")], "name": "D"}});
    for (index, key) in ["stat_t", "avty_t", "bri_stat_t"].iter().enumerate().take(topics) {
        document[*key] = json!(format!("t/{index}"));
    }
    document.to_string()
}

fn take(registry: &mut Registry, subscribed: &mut Vec<String>, step: Step) {
    let effect = match step {
        Step::Announce { slot, unique, topics } => {
            let topic = format!("homeassistant/light/slot{slot}/config");
            registry.announce(&topic, document(unique, topics).as_bytes()).expect("a good document")
        }
        Step::Withdraw { slot } => {
            registry.announce(&format!("homeassistant/light/slot{slot}/config"), b"").expect("a good document")
        }
        Step::Message { topic, payload } => {
            registry.message(&format!("t/{topic}"), payload.as_bytes(), NOW);
            return;
        }
        Step::Rename { name, room } => {
            let Some(device) = registry.household().devices.first().map(|device| device.id.clone()) else { return };
            let edit = DeviceEdit { id: device, name: Some(name), aliases: None, room: room.map(Some) };
            // A room of blanks is refused; nothing changes then.
            let Ok(plan) = registry.plan(&Edit::Device(edit)) else { return };
            registry.adopt(plan)
        }
        Step::Forget => {
            let Some(device) = registry.household().devices.first().map(|device| device.id.clone()) else { return };
            let plan = registry.plan(&Edit::ForgetDevice(device)).expect("known");
            registry.adopt(plan)
        }
        Step::RollCall => {
            registry.call_roll();
            return;
        }
    };
    subscribed.retain(|topic| !effect.unsubscribe.contains(topic));
    subscribed.extend(effect.subscribe);
}

proptest! {
    #[test]
    fn subscriptions_devices_and_entities_always_agree(steps in proptest::collection::vec(step(), 1..40)) {
        let mut registry = registry();
        let mut subscribed = Vec::new();
        for step in steps {
            let before = registry.household();
            take(&mut registry, &mut subscribed, step);
            let household = registry.household();
            // What is subscribed is what somebody listens to, each once.
            let mut topics = registry.topics();
            topics.sort();
            subscribed.sort();
            prop_assert_eq!(&topics, &subscribed);
            // A device without entities is none, and every room that is named exists.
            for device in &household.devices {
                prop_assert!(!device.entities.is_empty());
                prop_assert!(device.room.as_ref().is_none_or(|room| household.room(room).is_some()));
                prop_assert_eq!(device.available, device.entities.iter().any(|entity| entity.available));
            }
            // Names only change with the revision.
            let names = |household: &Household| {
                let entities: Vec<_> = household.entities().map(|(_, entity)| (entity.id.clone(), entity.name.clone())).collect();
                (entities, household.rooms.clone())
            };
            prop_assert!(household.revision > before.revision || names(&household) == names(&before));
        }
    }
}

#[test]
fn an_entity_that_two_documents_claim_belongs_to_the_later_one() {
    let mut registry = registry();
    registry.announce("homeassistant/light/a/config", document(1, 3).as_bytes()).expect("announced");
    let effect = registry.announce("homeassistant/light/b/config", document(1, 1).as_bytes()).expect("announced");
    assert!(effect.unsubscribe.contains(&"t/2".to_owned()));
    // Would reach for a topic that only the first document had.
    registry.message("t/2", b"5", NOW);
    registry.announce("homeassistant/light/a/config", b"").expect("announced");
    assert!(registry.household().entity(&EntityId::from("light.u1")).is_some(), "the later document stands");
}

#[test]
fn a_bad_topic_spoils_nothing_else() {
    let mut registry = registry();
    let document =
        json!({"uniq_id": "x", "stat_t": "a/#/b", "avty_t": "", "cmd_t": "set/+", "bri_stat_t": "fine"}).to_string();
    let effect = registry.announce("homeassistant/light/x/config", document.as_bytes()).expect("announced");
    assert_eq!(effect.subscribe, ["fine"]);
    let entity = registry.entity(&EntityId::from("light.x")).expect("known");
    assert!(encode(entity, &State::default(), &Action::TurnOn).is_err(), "its command topic is none");
}

#[test]
fn what_the_broker_no_longer_has_and_what_is_silent_counts_as_gone_but_is_kept() {
    let announcements = vec![
        ("homeassistant/light/a/config".to_owned(), document(1, 1).into_bytes()),
        ("homeassistant/light/b/config".to_owned(), document(2, 0).into_bytes()),
    ];
    let mut registry = Registry::new(config(), Stored { announcements, ..Stored::default() });
    assert!(registry.household().devices.iter().all(|device| device.available), "nobody knows better yet");
    registry.message("t/0", b"ON", NOW);
    registry.call_roll();
    let available = |registry: &Registry| -> Vec<bool> {
        registry.household().devices.iter().map(|device| device.available).collect()
    };
    assert_eq!(available(&registry), [true, false], "the first one spoke");
    registry.announce("homeassistant/light/b/config", document(2, 0).as_bytes()).expect("announced");
    assert_eq!(available(&registry), [true, true]);
}

#[test]
fn an_entity_announced_late_knows_what_was_said_before() {
    let mut registry = registry();
    registry.announce("homeassistant/light/a/config", document(1, 2).as_bytes()).expect("announced");
    registry.message("t/0", b"ON", NOW);
    registry.message("t/1", b"offline", NOW);
    registry.announce("homeassistant/light/b/config", document(2, 2).as_bytes()).expect("announced");
    let id = EntityId::from("light.u2");
    assert_eq!(registry.state(&id).value.as_deref(), Some("on"));
    assert!(registry.is_offline(&id));
}

#[test]
fn a_renamed_room_and_a_new_one_with_its_old_name_are_two() {
    let mut registry = registry();
    for (slot, unique) in [("a", 1), ("b", 2)] {
        registry
            .announce(&format!("homeassistant/light/{slot}/config"), document(unique, 1).as_bytes())
            .expect("announced");
    }
    let mut edit = |edit: Edit| {
        let plan = registry.plan(&edit).expect("a good edit");
        registry.adopt(plan);
        registry.household()
    };
    let put = |device: &str, room: &str| {
        Edit::Device(DeviceEdit {
            id: DeviceId::from(device),
            name: None,
            aliases: None,
            room: Some(Some(room.to_owned())),
        })
    };
    let household = edit(put("d1", "Kitchen"));
    let room = household.rooms[0].id.clone();
    edit(Edit::Room(RoomEdit {
        id: room,
        name: Some("Küche".to_owned()),
        aliases: None,
        floor: Some(Some("downstairs".to_owned())),
    }));
    let household = edit(put("d2", "Kitchen"));
    let names: Vec<_> = household.rooms.iter().map(|room| room.name.as_str()).collect();
    assert_eq!(names, ["Küche", "Kitchen"]);
    let household = edit(put("d2", "küche"));
    assert_eq!(household.devices[0].room, household.devices[1].room);
}
