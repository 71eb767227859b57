//! The plug is pulled under load: whatever was accepted is answered once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Door, Mosquitto, Mqtt, PATIENCE, Plan, eventually, wait_for};

const OVER_MQTT: usize = 250;
const OVER_HTTP: usize = 250;
const CALLERS: usize = 8;
const ANSWERED_BEFORE_KILL: usize = 120;

/// Asks under every key of its share until each has an answer, whoever answers; returns the answers.
fn ask_all(share: usize, door: &Mutex<Door>, answered: &AtomicUsize) -> Vec<(String, Value)> {
    let keys = (share..OVER_HTTP).step_by(CALLERS).map(|number| format!("key-{number}"));
    let ask = |key: String| {
        let answer = wait_for(PATIENCE * 4, || {
            let door = door.lock().expect("the door").clone();
            let reply = door.try_say_once(&key, "what time is it?", &format!("local:caller-{share}")).ok()?;
            (reply.status == 200).then(|| reply.json())
        });
        answered.fetch_add(1, Ordering::SeqCst);
        (key.clone(), answer.unwrap_or_else(|| panic!("{key} is never answered")))
    };
    keys.map(ask).collect()
}

fn answers_by_message(person: &Mqtt) -> BTreeMap<String, BTreeSet<String>> {
    let mut answers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for answer in person.heard().iter().map(|heard| heard.json()) {
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        answers.entry(text("in_reply_to")).or_default().insert(format!("{} {}", text("id"), text("text")));
    }
    answers
}

#[test]
fn five_hundred_messages_and_a_pulled_plug_give_five_hundred_answers() {
    let broker = Mosquitto::start();
    let person = Mqtt::connect(&broker, &["kafclaw/default/out/#"]);
    let mut gateway = Plan::new().with_broker(&broker).with("KAFCLAW_LOG_LEVEL", "info").start();
    let door = Arc::new(Mutex::new(gateway.chat().clone()));
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|share| {
            let (door, answered) = (door.clone(), answered.clone());
            thread::spawn(move || ask_all(share, &door, &answered))
        })
        .collect();
    for number in 0..OVER_MQTT {
        let message = json!({"id": format!("m-{number}"), "text": "what time is it?"});
        person.publish(&format!("kafclaw/default/in/room-{}", number % 10), message.to_string());
    }
    eventually("a part is answered", PATIENCE, || {
        answered.load(Ordering::SeqCst) + person.heard().len() >= ANSWERED_BEFORE_KILL
    });
    gateway.kill9();
    let before = answered.load(Ordering::SeqCst) + answers_by_message(&person).len();
    assert!(before < OVER_MQTT + OVER_HTTP, "everything was answered before the plug was pulled");
    let gateway = gateway.start_again();
    *door.lock().expect("the door") = gateway.chat().clone();

    let replies: Vec<(String, Value)> =
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect();
    assert_eq!(replies.len(), OVER_HTTP);
    eventually("every MQTT message is answered", PATIENCE * 2, || answers_by_message(&person).len() == OVER_MQTT);

    // A repeated answer is the same one: same id, same words.
    for (message, answers) in answers_by_message(&person) {
        assert_eq!(answers.len(), 1, "{message} was answered as {answers:?}");
    }
    for (key, answer) in &replies {
        let again = gateway.chat().try_say_once(key, "what time is it?", "local:other").expect("an answer").json();
        assert_eq!((&again["task_id"], &again["reply"]), (&answer["task_id"], &answer["reply"]), "{key}");
    }
    let tasks: BTreeSet<&str> = replies.iter().filter_map(|(_, answer)| answer["task_id"].as_str()).collect();
    assert_eq!(tasks.len(), OVER_HTTP);
    let page = |offset: usize| gateway.dashboard().get(&format!("/api/v1/tasks?limit=500&offset={offset}")).json();
    let statuses: Vec<Value> =
        [0, 500].into_iter().flat_map(|offset| page(offset).as_array().cloned().unwrap_or_default()).collect();
    assert_eq!(statuses.len(), OVER_MQTT + OVER_HTTP);
    assert!(statuses.iter().all(|task| task["status"] == "completed"));
}
