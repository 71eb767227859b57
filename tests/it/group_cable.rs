//! Two hubs and a broker behind a cable: what is told while the cable is pulled arrives once and in its order.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::support::{Connection, Gateway, Kafka, PATIENCE, Plan, eventually, request};

/// Writers of one hub; what they tell is committed together.
const WRITERS: usize = 4;
const LONG: Duration = Duration::from_secs(120);

/// A hub that shares what it knows without asking anybody.
fn hub(agent: &str, group: &str, broker: &Kafka) -> Plan {
    Plan::new()
        .with("KAFCLAW_LOG_LEVEL", "info")
        .with("KAFCLAW_GROUP_ENABLED", "true")
        .with("KAFCLAW_GROUP_GROUP_NAME", group)
        .with("KAFCLAW_GROUP_AGENT_ID", agent)
        .with("KAFCLAW_GROUP_KAFKA_BROKERS", &broker.address())
        .with("KAFCLAW_GROUP_POLL_INTERVAL_MS", "300")
        .with("KAFCLAW_NODE_CLAW_ID", agent)
        .with("KAFCLAW_KNOWLEDGE_ENABLED", "true")
        .with("KAFCLAW_KNOWLEDGE_SHARE_MODE", "direct")
}

fn status(gateway: &Gateway) -> Value {
    gateway.dashboard().get("/api/v1/group/status").json()
}

fn is_online(gateway: &Gateway) -> bool {
    status(gateway)["connectivity"] == "online"
}

fn sees(gateway: &Gateway, agent: &str) -> bool {
    let members = gateway.dashboard().get("/api/v1/group/members").json();
    let is_it = |member: &Value| member["agent_id"] == agent && member["is_alive"] == true;
    members.as_array().is_some_and(|members| members.iter().any(is_it))
}

fn waiting(gateway: &Gateway) -> u64 {
    status(gateway)["outbox_rows"].as_u64().expect("a count")
}

/// Publishes `versions` of each of `facts` facts, in order.
fn publish(gateway: &Gateway, name: &str, facts: usize, versions: usize) {
    let door = gateway.dashboard();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let headers = [door.authorization(), "Content-Type: application/json".to_owned()];
                let mut connection = Connection::open(door.address).expect("a connection");
                for (version, fact) in
                    (1..=versions).flat_map(|version| (writer..facts).step_by(WRITERS).map(move |fact| (version, fact)))
                {
                    let body = json!({"factId": format!("{name}-{fact}"), "subject": format!("thing {fact}"),
                        "predicate": "counts", "object": version.to_string(), "tags": ["ops"]});
                    let bytes = request("POST", "/api/v1/knowledge/facts", &headers, body.to_string().as_bytes());
                    let reply = connection.exchange(&bytes).expect("an answer");
                    assert_eq!(reply.status, 200, "{}", reply.text());
                }
            });
        }
    });
}

/// Versions of all facts that a hub holds.
fn held(gateway: &Gateway) -> BTreeMap<String, u64> {
    let facts = gateway.dashboard().get("/api/v1/knowledge/facts?limit=500").json();
    let rows = facts["facts"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value| row["fact_id"].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(row), row["version"].as_u64().unwrap_or_default())).collect()
}

fn holds(gateway: &Gateway, expected: &[(&str, usize, usize)]) -> bool {
    let held = held(gateway);
    expected.iter().all(|(name, facts, versions)| {
        (0..*facts).all(|fact| held.get(&format!("{name}-{fact}")) == Some(&(*versions as u64)))
    })
}

/// All records of the facts' topic in the order of the log: each fact's id and version.
fn told(broker: &Kafka, group: &str) -> Vec<(String, u64)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", "witness")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let topic = format!("group.{group}.knowledge.facts");
    let (_, end) = consumer.fetch_watermarks(&topic, 0, PATIENCE).expect("watermarks");
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(&topic, 0, Offset::Beginning).expect("a place");
    consumer.assign(&place).expect("assigned");
    let mut told = Vec::new();
    loop {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("a record");
        let record: Value = serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON");
        let payload = &record["payload"];
        let id = payload["factId"].as_str().unwrap_or_default().to_owned();
        told.push((id, payload["version"].as_u64().unwrap_or_default()));
        if message.offset() + 1 >= end {
            return told;
        }
    }
}

/// Of each fact every version, in order; how many records were there more than once.
fn repeated_in_order(told: &[(String, u64)]) -> usize {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut repeated = 0;
    for (id, version) in told {
        let newest = newest.entry(id).or_default();
        if *version <= *newest {
            repeated += 1;
            continue;
        }
        assert_eq!(*version, *newest + 1, "{id} skips a version");
        *newest = *version;
    }
    repeated
}

fn refusals(gateway: &Gateway) -> Value {
    gateway.dashboard().get("/api/v1/group/refusals").json()["counts"].clone()
}

#[test]
fn ten_thousand_records_wait_for_the_cable_and_arrive_once_and_in_order() {
    let broker = Kafka::start_apart();
    let kitchen = hub("kitchen-hub", "it-cable", &broker).start();
    let garage = hub("garage-hub", "it-cable", &broker).start();
    eventually("both are there", PATIENCE, || is_online(&kitchen) && is_online(&garage));
    broker.cable().pull();
    eventually("both notice", PATIENCE, || !is_online(&kitchen) && !is_online(&garage));
    publish(&kitchen, "kitchen", 80, 100);
    publish(&garage, "garage", 20, 100);
    assert!(waiting(&kitchen) >= 8_000 && waiting(&garage) >= 2_000, "{} {}", status(&kitchen), status(&garage));
    assert!(held(&garage).keys().all(|id| id.starts_with("garage")));
    broker.cable().plug();
    eventually("they see each other again", PATIENCE, || sees(&kitchen, "garage-hub") && sees(&garage, "kitchen-hub"));
    // What is asked now does not stand behind what waited.
    let answer = kitchen.chat().say("ask the garage hub what time is it");
    assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(':')), "{answer}");
    let all = [("kitchen", 80, 100), ("garage", 20, 100)];
    eventually("everybody knows everything", LONG, || holds(&kitchen, &all) && holds(&garage, &all));
    eventually("nothing waits", PATIENCE, || waiting(&kitchen) == 0 && waiting(&garage) == 0);
    let told = told(&broker, "it-cable");
    assert_eq!((told.len(), repeated_in_order(&told)), (10_000, 0));
    assert_eq!((refusals(&kitchen), refusals(&garage)), (json!([]), json!([])));
}

#[test]
fn a_silent_network_and_a_pulled_plug_in_the_middle_lose_nothing() {
    let broker = Kafka::start_apart();
    let (kitchen_plan, garage_plan) = (hub("kitchen-hub", "it-plug", &broker), hub("garage-hub", "it-plug", &broker));
    let (mut kitchen, mut garage) = (kitchen_plan.start(), garage_plan.start());
    eventually("both are there", PATIENCE, || is_online(&kitchen) && is_online(&garage));
    broker.cable().swallow();
    publish(&kitchen, "kitchen", 20, 100);
    publish(&garage, "garage", 20, 50);
    broker.cable().pass();
    eventually("some of it arrives", LONG, || held(&garage).keys().any(|id| id.starts_with("kitchen")));
    garage.kill9();
    kitchen.kill9();
    let (kitchen, garage) = (kitchen_plan.start(), garage_plan.start());
    let all = [("kitchen", 20, 100), ("garage", 20, 50)];
    eventually("everybody knows everything", LONG, || holds(&kitchen, &all) && holds(&garage, &all));
    eventually("nothing waits", LONG, || waiting(&kitchen) == 0 && waiting(&garage) == 0);
    // What the broker had when the plug was pulled and the outbox had not heard of is told again; it changes nothing.
    let told = told(&broker, "it-plug");
    assert_eq!(told.len() - repeated_in_order(&told), 3_000);
}
