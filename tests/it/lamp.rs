//! The main job: a sentence switches a lamp, with the cable pulled.

use serde_json::{Value, json};

use crate::support::{FakeModel, Gateway, Lamp, Mosquitto, Mqtt, PATIENCE, Plan, eventually};

/// A gateway that knows a kitchen lamp.
fn house(plan: Plan) -> (Mosquitto, Lamp, Gateway) {
    let broker = Mosquitto::start();
    let lamp = Lamp::in_kitchen(&broker);
    let gateway = plan.with_broker(&broker).start();
    lamp.wait_until_known(gateway.dashboard());
    (broker, lamp, gateway)
}

#[test]
fn a_sentence_over_http_switches_the_lamp() {
    let (_broker, lamp, gateway) = house(Plan::new());
    let plain = gateway.chat().call("POST", "/chat?message=turn%20on%20the%20kitchen%20lamp", &[], b"");
    assert_eq!(plain.status, 200, "{}", plain.text());
    assert!(plain.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert!(plain.text().to_lowercase().contains("kitchen lamp"), "{}", plain.text());
    assert_eq!(lamp.commands(), [json!({"state": "ON"})]);

    let answer = gateway.chat().say("turn the kitchen lamp off");
    assert_eq!(answer["route"], "intent");
    assert_eq!(answer["session"], "local:default");
    assert_eq!(lamp.commands().len(), 2);
    assert_eq!(lamp.commands()[1], json!({"state": "OFF"}));
    let task = gateway.dashboard().get(&format!("/api/v1/tasks/{}", text(&answer, "task_id"))).json();
    assert_eq!(task["status"], "completed");
    let trace = gateway.dashboard().get(&format!("/api/v1/trace/{}", text(&answer, "trace_id"))).json();
    let spans = trace["spans"].as_array().map_or(0, Vec::len);
    assert!(spans >= 2, "{trace}");
}

#[test]
fn what_a_device_reports_is_what_the_house_knows() {
    let (_broker, lamp, gateway) = house(Plan::new());
    for (state, word) in [("ON", "on"), ("OFF", "off")] {
        lamp.report(state);
        eventually("the answer follows the lamp", PATIENCE, || {
            let reply = text(&gateway.chat().say("is the kitchen lamp on?"), "reply").to_lowercase();
            reply.contains(&format!("is {word}")) || reply.starts_with(if state == "ON" { "yes" } else { "no" })
        });
    }
    assert!(lamp.commands().is_empty());
}

#[test]
fn german_is_understood_and_answered() {
    let (broker, _kitchen, gateway) = house(Plan::new().with("KAFCLAW_ASSISTANT_LANGUAGE", "auto"));
    let lamp = Lamp::named(&broker, "küchenlampe");
    lamp.wait_until_known(gateway.dashboard());
    for (sentence, state) in
        [("Schalte die Küchenlampe ein", "ON"), ("Mach bitte die Küchenlampe aus!", "OFF"), ("Kuechenlampe an", "ON")]
    {
        let before = lamp.commands().len();
        let answer = gateway.chat().say(sentence);
        assert_eq!(lamp.commands()[before..], [json!({"state": state})], "{sentence}: {answer}");
        let reply = text(&answer, "reply");
        let word = if state == "ON" { "an" } else { "aus" };
        assert!(reply.contains("chenlampe ist") && reply.trim_end_matches('.').ends_with(word), "{reply}");
    }
}

#[test]
fn a_sentence_over_mqtt_switches_the_lamp_and_is_answered_in_kind() {
    let (broker, lamp, _gateway) = house(Plan::new());
    let person = Mqtt::connect(&broker, &["kafclaw/default/out/#"]);
    person.publish("kafclaw/default/in/kitchen", "turn on the kitchen lamp");
    let plain = person.expect("a plain answer", |heard| heard.topic == "kafclaw/default/out/kitchen");
    assert!(plain.payload.to_lowercase().contains("kitchen lamp") && plain.json().is_null(), "{plain:?}");

    let message = json!({"id": "m-1", "text": "turn off the kitchen lamp", "sender": "anna"});
    person.publish("kafclaw/default/in/hall", message.to_string());
    let answer = person.expect("an answer in JSON", |heard| heard.topic == "kafclaw/default/out/hall").json();
    assert_eq!((&answer["in_reply_to"], &answer["route"]), (&json!("m-1"), &json!("intent")));
    assert!(answer["id"].is_string() && answer["trace_id"].is_string(), "{answer}");
    assert_eq!(lamp.commands(), [json!({"state": "ON"}), json!({"state": "OFF"})]);

    // The same message again is the same answer, and no second command.
    person.publish("kafclaw/default/in/hall", message.to_string());
    eventually("the answer is repeated", PATIENCE, || {
        let heard = person.heard();
        heard.iter().filter(|heard| heard.json()["id"] == answer["id"]).count() == 2
    });
    assert_eq!(lamp.commands().len(), 2);
}

#[test]
fn an_ambiguous_sentence_is_asked_back_and_the_answer_understood() {
    let broker = Mosquitto::start();
    let lamps = ["desk_lamp", "ceiling_lamp"].map(|name| Lamp::named(&broker, name));
    let gateway = Plan::new().with_broker(&broker).start();
    lamps.iter().for_each(|lamp| lamp.wait_until_known(gateway.dashboard()));
    let asked = text(&gateway.chat().say("turn on the lamp"), "reply").to_lowercase();
    assert!(asked.contains("desk") && asked.contains("ceiling") && asked.ends_with('?'), "{asked}");
    assert!(lamps.iter().all(|lamp| lamp.commands().is_empty()));
    gateway.chat().say("the desk one");
    assert_eq!(lamps[0].commands(), [json!({"state": "ON"})]);
    assert!(lamps[1].commands().is_empty());
}

#[test]
fn the_answer_streams_when_it_is_asked_to() {
    let (_broker, lamp, gateway) = house(Plan::new());
    let headers = ["Accept: text/event-stream", "Content-Type: application/json"];
    let body = json!({"message": "turn on the kitchen lamp"}).to_string();
    let reply = gateway.chat().call("POST", "/chat", &headers, body.as_bytes());
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    let events = reply.events();
    let (last, data) = events.last().expect("an event");
    assert_eq!(last, "done", "{events:?}");
    assert_eq!(data["route"], "intent");
    assert_eq!(lamp.commands().len(), 1);
}

#[test]
fn what_no_sentence_fits_goes_to_the_model_which_uses_the_lamp() {
    let model = FakeModel::start();
    let (_broker, lamp, gateway) = house(Plan::new().with_model(&model));
    model.will_call("device_control", &json!({"entity": "kitchen lamp", "action": "turn_on"}));
    model.will_say("It is bright now.");
    let answer = gateway.chat().say("I would like to read the newspaper where the stove is");
    assert_eq!((&answer["reply"], &answer["route"]), (&json!("It is bright now."), &json!("local")));
    assert_eq!(lamp.commands(), [json!({"state": "ON"})], "{:?}", model.requests().last());
}

#[test]
fn without_a_model_the_answer_is_one_sentence_that_offers_what_works() {
    let (_broker, lamp, gateway) = house(Plan::new());
    let answer = gateway.chat().say("write me a poem about the sea");
    assert!(text(&answer, "reply").len() < 400, "{answer}");
    gateway.chat().say("turn on the kitchen lamp");
    assert_eq!(lamp.commands().len(), 1);
}

#[test]
fn a_risky_tool_waits_for_a_yes_and_runs_once() {
    let model = FakeModel::start();
    let gateway = Plan::new().with_model(&model).start();
    model.will_call("exec", &json!({"command": "echo approved and done"}));
    model.will_say("It said: approved and done.");
    let parked = gateway.chat().say("please run the echo program");
    let id = text(&parked, "approval_id");
    let pending = gateway.dashboard().get("/api/v1/approvals/pending").json();
    assert_eq!(pending[0]["approval_id"], id.as_str(), "{pending}");
    assert_eq!(model.requests().len(), 1);
    let decided = gateway.dashboard().post(&format!("/api/v1/approvals/{id}"), &json!({"approved": true}));
    assert_eq!((decided.status, &decided.json()["status"]), (200, &json!("approved")));
    let again = gateway.dashboard().post(&format!("/api/v1/approvals/{id}"), &json!({"approved": false}));
    assert_eq!(again.status, 409);
    let path = format!("/api/v1/tasks/{}", text(&parked, "task_id"));
    eventually("the task is completed", PATIENCE, || gateway.dashboard().get(&path).json()["status"] == "completed");
    assert_eq!(gateway.dashboard().get(&path).json()["content_out"], "It said: approved and done.");
    let last = model.requests().pop().unwrap_or_default();
    assert!(last["messages"].to_string().contains("approved and done"), "{last}");
}

#[test]
fn what_was_sent_while_the_house_was_down_is_answered_when_it_is_back() {
    let (mut broker, lamp, mut gateway) = house(Plan::new());
    let person = Mqtt::connect(&broker, &["kafclaw/default/out/#"]);
    assert!(gateway.terminate().success());
    person.publish("kafclaw/default/in/hall", json!({"id": "late", "text": "turn on the kitchen lamp"}).to_string());
    let gateway = gateway.start_again();
    person.expect("the late answer", |heard| heard.json()["in_reply_to"] == "late");
    assert_eq!(lamp.commands().len(), 1);

    broker.restart();
    lamp.wait_until_connected(2);
    person.wait_until_connected(2);
    person.publish("kafclaw/default/in/hall", json!({"id": "later", "text": "turn off the kitchen lamp"}).to_string());
    person.expect("an answer through the new broker", |heard| heard.json()["in_reply_to"] == "later");
    assert_eq!(lamp.commands().len(), 2, "{}", gateway.log());
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}
