//! Two hubs agree on a real broker, each through its command line.

use serde_json::{Value, json};

use crate::group::{hub, meet};
use crate::support::{Gateway, Kafka, PATIENCE, Plan, eventually};

/// A hub that shares knowledge; two of them are enough to decide.
fn sharing(agent: &str, group: &str, port: u16) -> Plan {
    let topics = format!("{group}-facts");
    [("ENABLED", "true"), ("GROUP", topics.as_str()), ("VOTING_MIN_POOL_SIZE", "2"), ("VOTING_QUORUM_YES", "1")]
        .iter()
        .fold(hub(agent, group, port), |plan, (name, value)| plan.with(&format!("KAFCLAW_KNOWLEDGE_{name}"), value))
}

/// What `kafclaw knowledge ... --json` prints, or how it fails.
fn knowledge(plan: &Plan, args: &[&str]) -> Result<Value, String> {
    let args = [&["knowledge"], args, &["--json"]].concat();
    let output = plan.command(&args).output().expect("the program");
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).expect("JSON"));
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn outcome(plan: &Plan, id: &str) -> Value {
    let all = knowledge(plan, &["decisions", "--status", "all"]).expect("decisions");
    let rows = all["decisions"].as_array().expect("rows");
    rows.iter().find(|row| row["proposal_id"] == id).map(|row| row["status"].clone()).unwrap_or_default()
}

fn fact(plan: &Plan, id: &str) -> (Value, Value) {
    let all = knowledge(plan, &["facts"]).expect("facts");
    let row = all["facts"].as_array().expect("rows").iter().find(|row| row["fact_id"] == id).cloned();
    let row = row.unwrap_or_default();
    (row["version"].clone(), row["object"].clone())
}

fn publish(plan: &Plan, proposal: &str, id: &str, object: &str) -> String {
    let args =
        ["publish", "--proposal-id", proposal, "--fact-id", id, "--subject", "boiler", "--predicate", "serviced"];
    let published = knowledge(plan, &[&args[..], &["--object", object, "--tags", "ops"]].concat()).expect("published");
    published["factId"].as_str().expect("an id").to_owned()
}

fn presences(gateway: &Gateway) -> usize {
    let events = gateway.dashboard().get("/api/v1/timeline?limit=500").json();
    let rows = events.as_array().cloned().unwrap_or_default();
    rows.iter().filter(|event| event["classification"] == "KNOWLEDGE_PRESENCE_ACCEPTED").count()
}

#[test]
fn two_hubs_decide_together_and_hold_the_same_facts_after_one_was_away() {
    let port = Kafka::shared().plaintext;
    let (one, other) = (sharing("kitchen-hub", "it-know", port), sharing("garage-hub", "it-know", port));
    let kitchen = one.start();
    let mut garage = other.start();
    meet(&kitchen, &garage, ["kitchen-hub", "garage-hub"]);
    let status = knowledge(&one, &["status"]).expect("a status");
    assert_eq!(
        (&status["clawId"], &status["group"]),
        (&json!("claw-kitchen-hub"), &json!("it-know-facts")),
        "{status}"
    );

    let propose = ["propose", "--title", "Boiler", "--statement", "The boiler is serviced in May.", "--tags", "ops"];
    let proposed = knowledge(&one, &propose).expect("proposed");
    let id = proposed["proposalId"].as_str().expect("an id").to_owned();
    assert_eq!((&proposed["action"], &proposed["published"]), (&json!("propose"), &json!(true)), "{proposed}");
    let refused = knowledge(&one, &["vote", "--proposal-id", &id, "--vote", "yes"]).expect_err("its own proposal");
    assert!(refused.contains("who proposes does not vote"), "{refused}");
    eventually("the proposal arrives", PATIENCE, || outcome(&other, &id) == "pending");
    let voted =
        knowledge(&other, &["vote", "--proposal-id", &id, "--vote", "yes", "--reason", "so be it"]).expect("voted");
    assert_eq!((&voted["vote"], &voted["poolSize"]), (&json!("yes"), &json!(2)), "{voted}");
    for plan in [&one, &other] {
        eventually("both have decided", PATIENCE, || outcome(plan, &id) == "approved");
    }

    let fact_id = publish(&one, &id, "", "May");
    eventually("the fact arrives", PATIENCE, || fact(&other, &fact_id) == (json!(1), json!("May")));
    // The other one is away for two versions, and publishes one of its own while nobody hears it.
    assert!(garage.terminate().success());
    publish(&one, &id, &fact_id, "June");
    publish(&one, &id, &fact_id, "July");
    let garage = garage.start_again();
    eventually("what was missed arrives", PATIENCE, || fact(&other, &fact_id) == (json!(3), json!("July")));
    publish(&other, &id, &fact_id, "August");
    eventually("and the way back works", PATIENCE, || fact(&one, &fact_id) == (json!(4), json!("August")));

    let metrics = kitchen.dashboard().get("/api/v1/memory/metrics").json();
    assert_eq!(metrics["knowledge"]["decisions"], json!({"approved": 1, "expired": 0, "rejected": 0}), "{metrics}");
    assert_eq!(
        (&metrics["knowledge"]["factsLatest"], &metrics["slo"]["precisionProxy"], &metrics["slo"]["recallProxy"]),
        (&json!(1), &json!(1.0), &json!(1.0)),
        "{metrics}"
    );
    assert!(metrics["knowledge"]["factsAccepted"].as_u64() >= Some(1), "August was heard: {metrics}");

    // Presence comes on its own time: 6.75 s here, 45 s in houses.
    let before = presences(&kitchen);
    eventually("presence is told again", PATIENCE, || presences(&kitchen) > before + 1);
    drop(garage);
}

#[test]
fn what_is_said_without_a_network_is_heard_when_there_is_one() {
    let mut broker = Kafka::start();
    let port = broker.ports().plaintext;
    let (one, other) = (sharing("kitchen-hub", "it-later", port), sharing("garage-hub", "it-later", port));
    let (kitchen, garage) = (one.start(), other.start());
    meet(&kitchen, &garage, ["kitchen-hub", "garage-hub"]);
    broker.kill();
    for gateway in [&kitchen, &garage] {
        let away = || gateway.dashboard().get("/api/v1/group/status").json()["connectivity"] != "online";
        eventually("both notice", PATIENCE, away);
    }
    let proposed =
        knowledge(&one, &["propose", "--statement", "The gate stays shut.", "--tags", "ops"]).expect("proposed");
    assert_eq!(proposed["queued"], true, "{proposed}");
    let id = proposed["proposalId"].as_str().expect("an id").to_owned();
    assert_eq!(outcome(&one, &id), "pending", "nobody decides alone");
    broker.resume();
    eventually("the proposal arrives", PATIENCE * 2, || outcome(&other, &id) == "pending");
    knowledge(&other, &["vote", "--proposal-id", &id, "--vote", "yes"]).expect("voted");
    for plan in [&one, &other] {
        eventually("both have decided", PATIENCE, || outcome(plan, &id) == "approved");
    }
}

#[test]
fn knowledge_that_is_off_says_what_to_switch_on() {
    let plan = Plan::new();
    let propose = ["propose", "--statement", "x"];
    assert!(knowledge(&plan, &propose).expect_err("no gateway").contains("kafclaw gateway"));
    let gateway = plan.start();
    assert!(knowledge(&plan, &propose).expect_err("no group").contains("not in a group"));
    drop(gateway);
    let plan = hub("kitchen-hub", "it-off", 1);
    let gateway = plan.start();
    let refused = knowledge(&plan, &propose).expect_err("knowledge is off");
    assert!(refused.contains("knowledge governance is disabled") && refused.contains("knowledge.enabled"), "{refused}");
    assert_eq!(knowledge(&plan, &["status"]).expect("a status")["enabled"], false);
    drop(gateway);
}
