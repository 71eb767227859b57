//! Members that share no code with this program, and members that mean no good.

use serde_json::{Value, json};

use crate::group::{hub, sees};
use crate::support::{FakeModel, ForeignPeer, Gateway, Kafka, PATIENCE, ask_from_a_shell, eventually};

fn member(gateway: &Gateway, agent: &str) -> Option<Value> {
    let members = gateway.dashboard().get("/api/v1/group/members").json();
    members.as_array()?.iter().find(|member| member["agent_id"] == agent).cloned()
}

fn incoming(gateway: &Gateway) -> Vec<Value> {
    let tasks = gateway.dashboard().get("/api/v1/group/tasks?direction=incoming").json();
    tasks.as_array().cloned().unwrap_or_default()
}

fn refusals(gateway: &Gateway, reason: &str) -> i64 {
    let refusals = gateway.dashboard().get("/api/v1/group/refusals").json();
    let counts = refusals["counts"].as_array().cloned().unwrap_or_default();
    counts.iter().find(|count| count["reason"] == reason).and_then(|count| count["count"].as_i64()).unwrap_or(0)
}

fn online(gateway: &Gateway) {
    eventually("the hub is in the group", PATIENCE, || {
        gateway.dashboard().get("/api/v1/group/status").json()["connectivity"] == "online"
    });
}

/// Whatever was said, the next question is answered.
fn still_answers(peer: &mut ForeignPeer, task_id: &str) {
    peer.tell(&json!({"do": "ask", "task_id": task_id, "content": "what time is it"}));
    assert!(
        peer.answer(task_id)["content"].as_str().is_some_and(|text| text.contains(':')),
        "{:?}",
        peer.answer(task_id)
    );
}

#[test]
fn a_script_with_another_client_is_a_member_asks_and_is_asked() {
    let port = Kafka::shared().plaintext;
    let kitchen = hub("kitchen-hub", "it-foreign", port).start();
    online(&kitchen);
    let mut peer = ForeignPeer::join("snake", "it-foreign", port, &[]);
    eventually("it is seen", PATIENCE * 2, || sees(&kitchen, "snake"));
    let seen = member(&kitchen, "snake").expect("a member");
    let told = (&seen["agent_name"], &seen["capabilities"], &seen["channels"], &seen["model"]);
    assert_eq!(told, (&json!("Snake"), &json!("[\"pong\"]"), &json!("[]"), &json!("none")), "{seen}");
    let announced = peer.expect("the hub", |event| event["topic"] == "announce" && event["sender"] == "kitchen-hub");
    assert_eq!(announced["payload"]["identity"]["agent_id"], "kitchen-hub");
    let first = seen["last_seen"].clone();
    eventually("its heartbeats are heard", PATIENCE, || {
        member(&kitchen, "snake").is_some_and(|member| member["last_seen"] != first && member["is_alive"] == true)
    });

    peer.tell(&json!({"do": "ask", "task_id": "snake-7", "content": "what time is it"}));
    let answer = peer.answer("snake-7");
    assert_eq!((&answer["status"], &answer["responder_id"]), (&json!("completed"), &json!("kitchen-hub")), "{answer}");
    assert!(answer["content"].as_str().is_some_and(|text| text.contains(':')), "{answer}");
    let order = json!({"description": "ping", "content": "ping", "member": "snake"});
    let asked = kitchen.dashboard().post("/api/v1/group/tasks/submit", &order).json();
    let request = peer.expect("the hub's request", |event| event["topic"] == "requests");
    assert_eq!((&request["payload"]["task_id"], &request["payload"]["content"]), (&asked["task_id"], &json!("ping")));
    eventually("its answer is taken", PATIENCE, || {
        let tasks = kitchen.dashboard().get("/api/v1/group/tasks?direction=outgoing").json();
        tasks[0]["status"] == "completed" && tasks[0]["response_content"] == "PONG"
    });
    peer.leave();
    eventually("it has left", PATIENCE, || member(&kitchen, "snake").is_none());
}

#[test]
fn a_shell_with_kcat_is_a_member_and_gets_an_answer_under_its_own_id() {
    let port = Kafka::shared().plaintext;
    let kitchen = hub("kitchen-hub", "it-shell", port).start();
    online(&kitchen);
    let answer = ask_from_a_shell("shell-1", "it-shell", port, "what time is it");
    assert_eq!((&answer["type"], &answer["sender_id"]), (&json!("response"), &json!("kitchen-hub")), "{answer}");
    assert_eq!(answer["correlation_id"], answer["payload"]["task_id"]);
    assert!(answer["payload"]["task_id"].as_str().is_some_and(|id| id.starts_with("shell-1-")), "{answer}");
    eventually("it came and left", PATIENCE, || {
        let history = kitchen.dashboard().get("/api/v1/group/membership/history?agent_id=shell-1").json();
        let actions: Vec<&Value> = history.as_array().into_iter().flatten().map(|row| &row["action"]).collect();
        actions == ["left", "joined"]
    });
}

#[test]
fn what_is_asked_twice_is_done_once_also_by_two_hubs() {
    // Who works is agreed on through the broker. Where it takes longer than the second hub waits for a word of the first, two
    // seconds, both work, as they should; that says nothing about what is asked twice.
    let groups = ["it-twice", "it-twice-again", "it-twice-at-last"];
    assert!(groups.into_iter().any(asked_twice), "both hubs claim whatever is asked");
}

/// Whether the hubs agreed on who works; then everything was asked and done as it has to be.
fn asked_twice(group: &str) -> bool {
    let port = Kafka::shared().plaintext;
    let kitchen = hub("kitchen-hub", group, port).start();
    let garage = hub("garage-hub", group, port).start();
    crate::group::meet(&kitchen, &garage, ["kitchen-hub", "garage-hub"]);
    let mut peer = ForeignPeer::join("snake", group, port, &[]);
    peer.tell(&json!({"do": "ask", "task_id": "one", "content": "what time is it"}));
    peer.tell(&json!({"do": "again"}));
    let first = peer.answer("one");
    peer.tell(&json!({"do": "again"}));
    still_answers(&mut peer, "two");
    let hubs = [&kitchen, &garage];
    eventually("both hubs know that both tasks are done", PATIENCE, || {
        let is_done = |task: &Value| task["status"] == "completed";
        hubs.iter().all(|hub| matches!(&incoming(hub)[..], [one, two] if is_done(one) && is_done(two)))
    });
    if hubs.iter().map(|hub| claims(hub)).sum::<usize>() > 2 {
        return false;
    }
    assert_eq!((peer.answers("one"), peer.answers("two")), (1, 1), "{:#?}", peer.seen());
    // Asked anew under the same id, because the answer was lost: it is told again, and nothing is done again.
    peer.tell(&json!({"do": "ask", "task_id": "one", "content": "what time is it"}));
    eventually("the answer comes again", PATIENCE, || peer.answers("one") == 2);
    assert_eq!(peer.answer("one"), first);
    let worked = |gateway: &Gateway| {
        gateway.dashboard().get("/api/v1/tasks?channel=group").json().as_array().map_or(0, Vec::len)
    };
    assert_eq!(worked(&kitchen) + worked(&garage), 2);
    true
}

/// How often this hub has said that it works on what nobody in particular was asked.
fn claims(gateway: &Gateway) -> usize {
    let claims = gateway.dashboard().get("/api/v1/group/audit?source=delegation&event_type=claimed").json();
    claims.as_array().map_or(0, Vec::len)
}

#[test]
fn bad_words_and_broken_records_do_no_harm() {
    let port = Kafka::shared().plaintext;
    let model = FakeModel::start();
    let kitchen = hub("kitchen-hub", "it-bad", port).with_model(&model).start();
    online(&kitchen);
    model.will_call("exec", &json!({"command": "echo approved"}));
    let parked = kitchen.chat().say("please run the echo program");
    let approval = parked["approval_id"].as_str().expect("a question").to_owned();
    let mut peer = ForeignPeer::join("snake", "it-bad", port, &[]);
    eventually("it is seen", PATIENCE * 2, || sees(&kitchen, "snake"));

    model.will_say("I do not know what you mean.");
    peer.tell(&json!({"do": "ask", "task_id": "approve", "content": format!("approve:{approval}")}));
    peer.answer("approve");
    let pending = kitchen.dashboard().get("/api/v1/approvals/pending").json();
    assert_eq!(pending[0]["approval_id"], approval.as_str(), "only the household agrees: {pending}");

    let before = refusals(&kitchen, "not_json");
    for value in
        [json!("probe"), json!("{"), json!("[1,2]"), json!("\u{0}"), json!({}), json!(null), json!("x".repeat(900_000))]
    {
        peer.tell(&json!({"do": "say", "topic": "requests", "value": value}));
        peer.tell(&json!({"do": "say", "topic": "announce", "value": value}));
        peer.tell(&json!({"do": "say", "topic": "responses", "value": value}));
    }
    let nulls = json!({"agent_id": "nulls", "capabilities": null, "channels": null, "status": null, "joined_at": null});
    let join = json!({"type": "announce", "correlation_id": null, "sender_id": "nulls", "timestamp": null,
        "payload": {"action": "join", "identity": nulls}});
    peer.tell(&json!({"do": "say", "topic": "announce", "value": join}));
    eventually("null lists are empty lists", PATIENCE, || {
        member(&kitchen, "nulls").is_some_and(|member| member["capabilities"] == "[]")
    });
    eventually("what is no message is counted", PATIENCE, || refusals(&kitchen, "not_json") > before);
    // A megabyte of words is a request like another; what a broker would not take does not come.
    model.will_say("That is long.");
    peer.tell(&json!({"do": "ask", "task_id": "long", "content": "word ".repeat(180_000)}));
    peer.answer("long");
    still_answers(&mut peer, "after");
}

#[test]
fn clocks_that_are_hours_off_and_names_that_are_taken_change_nothing() {
    let port = Kafka::shared().plaintext;
    let kitchen = hub("kitchen-hub", "it-clock", port).start();
    online(&kitchen);
    for (agent, hours) in [("early", "-7"), ("late", "9")] {
        let mut peer = ForeignPeer::join(agent, "it-clock", port, &["--skew-hours", hours]);
        eventually("it is seen", PATIENCE * 2, || sees(&kitchen, agent));
        still_answers(&mut peer, &format!("time-{agent}"));
    }
    // Somebody announces itself under the hub's own name, and later says good-bye in it.
    let thief = ForeignPeer::join("kitchen-hub", "it-clock", port, &[]);
    eventually("the collision is told", PATIENCE, || {
        let events = kitchen.dashboard().get("/api/v1/timeline?limit=200").json().to_string();
        events.contains("GROUP_NAME_COLLISION")
    });
    thief.leave();
    let garage = hub("garage-hub", "it-clock", port).start();
    crate::group::meet(&kitchen, &garage, ["kitchen-hub", "garage-hub"]);
    // A name that is known by its key is not taken by one without.
    let before = refusals(&kitchen, "unsigned");
    let thief = ForeignPeer::join("garage-hub", "it-clock", port, &[]);
    eventually("it is refused", PATIENCE, || refusals(&kitchen, "unsigned") > before);
    thief.leave();
    eventually("nobody else says good-bye for it", PATIENCE, || sees(&kitchen, "garage-hub"));
}

#[test]
fn a_house_that_wants_signatures_hears_nobody_without_one() {
    let port = Kafka::shared().plaintext;
    let kitchen = hub("kitchen-hub", "it-signed", port).with("KAFCLAW_GROUP_UNSIGNED", "refuse").start();
    let garage = hub("garage-hub", "it-signed", port).start();
    crate::group::meet(&kitchen, &garage, ["kitchen-hub", "garage-hub"]);
    let mut peer = ForeignPeer::join("snake", "it-signed", port, &[]);
    eventually("the other hub sees it", PATIENCE, || sees(&garage, "snake"));
    eventually("it is refused", PATIENCE, || refusals(&kitchen, "unsigned") > 0);
    assert_eq!(member(&kitchen, "snake"), None);
    peer.tell(&json!({"do": "ask", "task_id": "mine", "content": "what time is it", "target": "kitchen-hub"}));
    assert_eq!(peer.answer("mine")["status"], "rejected");
    assert!(incoming(&kitchen).is_empty());
    still_answers(&mut peer, "anybody");
    assert_eq!(peer.answer("anybody")["responder_id"], "garage-hub");
}

#[test]
fn who_is_not_of_a_zone_is_turned_away_there() {
    let port = Kafka::shared().plaintext;
    let kitchen = hub("kitchen-hub", "it-fence", port).with("KAFCLAW_ORCHESTRATOR_ENABLED", "true").start();
    online(&kitchen);
    let zone = json!({"zone_id": "workshop", "visibility": "private", "allowed_ids": ["garage-hub"]});
    assert_eq!(kitchen.dashboard().post("/api/v1/orchestrator/zones", &zone).status, 200);
    let mut peer = ForeignPeer::join("snake", "it-fence", port, &[]);
    let order = json!({"do": "ask", "content": "what time is it", "zone_id": "workshop", "target": "kitchen-hub"});
    let with = |id: &str, more: Value| {
        let mut order = order.clone();
        order["task_id"] = json!(id);
        order.as_object_mut().expect("an order").extend(more.as_object().cloned().unwrap_or_default());
        order
    };
    peer.tell(&with("outside", json!({})));
    assert_eq!(peer.answer("outside")["status"], "rejected");
    // Nor does it help to say that somebody of the zone wants it.
    peer.tell(&with("borrowed", json!({"requester_id": "garage-hub", "original_requester_id": "garage-hub"})));
    still_answers(&mut peer, "public");
    let worked = kitchen.dashboard().get("/api/v1/tasks?channel=group").json();
    assert_eq!(worked.as_array().map(Vec::len), Some(1), "{worked}");
}
