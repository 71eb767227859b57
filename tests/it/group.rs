//! Hubs of one group on a real broker: one asks, another answers, and nothing is lost while the broker is away.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Gateway, Kafka, PATIENCE, Plan, eventually};

/// A hub called `agent` in `group`, whose heartbeats come every 4.5 s: who is silent for 13.5 s is away, and a busy machine is not.
pub fn hub(agent: &str, group: &str, port: u16) -> Plan {
    Plan::new()
        .with("KAFCLAW_GROUP_ENABLED", "true")
        .with("KAFCLAW_GROUP_GROUP_NAME", group)
        .with("KAFCLAW_GROUP_AGENT_ID", agent)
        .with("KAFCLAW_GROUP_KAFKA_BROKERS", &format!("127.0.0.1:{port}"))
        .with("KAFCLAW_GROUP_POLL_INTERVAL_MS", "300")
}

fn status(gateway: &Gateway) -> Value {
    gateway.dashboard().get("/api/v1/group/status").json()
}

pub fn sees(gateway: &Gateway, agent: &str) -> bool {
    let members = gateway.dashboard().get("/api/v1/group/members").json();
    let is_it = |member: &Value| member["agent_id"] == agent && member["is_alive"] == true;
    members.as_array().is_some_and(|members| members.iter().any(is_it))
}

pub fn meet(one: &Gateway, other: &Gateway, names: [&str; 2]) {
    eventually("both hubs see each other", PATIENCE * 2, || sees(one, names[1]) && sees(other, names[0]));
}

#[test]
fn a_hub_asks_another_one_in_a_sentence() {
    let port = Kafka::shared().plaintext;
    let kitchen = hub("kitchen-hub", "it-ask", port).start();
    let garage = hub("garage-hub", "it-ask", port).start();
    meet(&kitchen, &garage, ["kitchen-hub", "garage-hub"]);
    let answer = kitchen.chat().say("ask the garage hub what time is it");
    assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(':')), "{answer}");
    let asked = kitchen.dashboard().get("/api/v1/group/tasks?direction=outgoing").json();
    assert_eq!(
        (&asked[0]["status"], &asked[0]["responder_id"]),
        (&json!("completed"), &json!("garage-hub")),
        "{asked}"
    );
    let taken = garage.dashboard().get("/api/v1/group/tasks?direction=incoming").json();
    assert_eq!(taken[0]["task_id"], asked[0]["task_id"], "one task, one id");
    // Peers read at most, unless the owner says otherwise.
    let told = kitchen.chat().say("ask the garage hub to remember that eve was here");
    assert!(!told["reply"].as_str().unwrap_or_default().contains("I will remember"), "{told}");
    assert!(
        kitchen.chat().say("ask the attic hub what time is it")["reply"]
            .as_str()
            .is_some_and(|reply| reply.contains("attic"))
    );
}

#[test]
fn what_is_asked_while_the_broker_is_away_is_answered_when_it_is_back() {
    let mut broker = Kafka::start();
    let port = broker.ports().plaintext;
    let plan = hub("garage-hub", "it-away", port);
    let kitchen = hub("kitchen-hub", "it-away", port).start();
    let garage = plan.start();
    meet(&kitchen, &garage, ["kitchen-hub", "garage-hub"]);
    broker.kill();
    eventually("the kitchen notices", PATIENCE, || status(&kitchen)["connectivity"] != "online");
    let told = kitchen.chat().say("ask the garage hub what time is it");
    assert!(told["reply"].as_str().is_some_and(|reply| reply.contains("as soon as the network is back")), "{told}");
    assert!(kitchen.chat().say("what time is it")["reply"].as_str().is_some(), "the house goes on");
    assert!(status(&kitchen)["outbox_rows"].as_u64() >= Some(1), "{}", status(&kitchen));
    // The other side is gone too, as after a power cut.
    let mut garage = garage;
    garage.kill9();
    broker.resume();
    let garage = thread::spawn(move || plan.start()).join().expect("no panic");
    eventually("the answer has come", PATIENCE * 2, || {
        let tasks = kitchen.dashboard().get("/api/v1/group/tasks?direction=outgoing").json();
        tasks[0]["status"] == "completed"
            && tasks[0]["response_content"].as_str().is_some_and(|text| text.contains(':'))
    });
    let taken = garage.dashboard().get("/api/v1/group/tasks?direction=incoming").json();
    assert_eq!(taken.as_array().map(Vec::len), Some(1), "asked once, done once: {taken}");
}

#[test]
fn without_a_group_nothing_of_it_runs() {
    let gateway = Plan::new().start();
    let said = status(&gateway);
    assert_eq!((&said["active"], &said["reason"]), (&json!(false), &json!("no group is configured")), "{said}");
    let threads = std::fs::read_dir(format!("/proc/{}/task", gateway.id())).expect("threads");
    let names: Vec<String> = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok())
        .filter(|name| name.starts_with("rdk:") || name.starts_with("kafka"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    assert_eq!(
        gateway.dashboard().try_call("POST", "/api/v1/group/tasks/submit", &[], b"{}").expect("a response").status,
        400
    );
}
