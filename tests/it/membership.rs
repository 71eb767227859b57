//! Joining and leaving a group while the house runs, and everything that is asked about it, against a real broker.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Gateway, Kafka, PATIENCE, Plan, eventually};

const JOIN: &str = "/api/v1/group/join";
const LEAVE: &str = "/api/v1/group/leave";
const CONFIG: &str = "/api/v1/group/config";

/// A hub whose heartbeats come every 4.5 s, in no group yet.
fn lone() -> Plan {
    Plan::new().with("KAFCLAW_GROUP_POLL_INTERVAL_MS", "300")
}

fn get(gateway: &Gateway, path: &str) -> Value {
    gateway.dashboard().get(path).json()
}

fn post(gateway: &Gateway, path: &str, body: Value) -> (u16, Value) {
    let reply = gateway.dashboard().post(path, &body);
    (reply.status, reply.json())
}

fn status(gateway: &Gateway) -> Value {
    get(gateway, "/api/v1/group/status")
}

#[track_caller]
fn join(gateway: &Gateway, group: &str, agent: &str, port: u16) -> Value {
    let brokers = format!("127.0.0.1:{port}");
    let (code, said) = post(gateway, JOIN, json!({"group_name": group, "agent_id": agent, "kafka_brokers": brokers}));
    assert_eq!(code, 200, "{said}");
    said
}

/// What a join answers is how far it has come when it has been waited for; a busy broker takes longer.
#[track_caller]
fn gets_online(gateway: &Gateway) {
    eventually("it is online", PATIENCE, || status(gateway)["connectivity"] == "online");
}

fn standing(gateway: &Gateway, agent: &str) -> Option<Value> {
    let members = get(gateway, "/api/v1/group/members");
    members.as_array().into_iter().flatten().find(|member| member["agent_id"] == agent).cloned()
}

fn sees(gateway: &Gateway, agent: &str) -> bool {
    standing(gateway, agent).is_some_and(|member| member["is_alive"] == true)
}

/// Threads, and those among them that are of a client of Kafka.
fn threads(gateway: &Gateway) -> (usize, usize) {
    let threads = fs::read_dir(format!("/proc/{}/task", gateway.id())).expect("threads");
    let names: Vec<String> =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok()).collect();
    (names.len(), names.iter().filter(|name| name.starts_with("rdk:") || name.starts_with("kafka")).count())
}

fn files(gateway: &Gateway) -> usize {
    fs::read_dir(format!("/proc/{}/fd", gateway.id())).expect("files").count()
}

#[test]
fn a_hub_joins_leaves_and_joins_another_group_while_it_runs() {
    let port = Kafka::shared().plaintext;
    let kitchen = lone().start();
    assert_eq!(post(&kitchen, LEAVE, json!({})).0, 400, "there is nothing to leave");
    join(&kitchen, "it-move-a", "kitchen-hub", port);
    gets_online(&kitchen);
    let garage = lone().start();
    join(&garage, "it-move-a", "garage-hub", port);
    eventually("both see each other", PATIENCE, || sees(&kitchen, "garage-hub") && sees(&garage, "kitchen-hub"));
    // Twice is once.
    join(&garage, "it-move-a", "garage-hub", port);
    eventually("it is back", PATIENCE, || sees(&kitchen, "garage-hub"));
    let answer = kitchen.chat().say("ask the garage hub what time is it");
    assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(':')), "{answer}");

    join(&garage, "it-move-b", "garage-hub", port);
    eventually("its farewell was heard", PATIENCE, || standing(&kitchen, "garage-hub").is_none());
    assert_eq!(standing(&garage, "kitchen-hub"), None, "that one is of another group");
    join(&kitchen, "it-move-b", "kitchen-hub", port);
    eventually("they meet there", PATIENCE, || sees(&kitchen, "garage-hub") && sees(&garage, "kitchen-hub"));

    assert_eq!(post(&garage, LEAVE, json!({})), (200, json!({"status": "left"})));
    eventually("its farewell was heard", PATIENCE, || standing(&kitchen, "garage-hub").is_none());
    assert_eq!(status(&garage)["connectivity"], "none");
    let told = garage.chat().say("ask the kitchen hub what time is it");
    assert!(told["reply"].as_str().is_some_and(|reply| reply.contains("no group")), "{told}");
    let history = get(&garage, "/api/v1/group/membership/history?agent_id=garage-hub");
    let actions: Vec<&str> =
        history.as_array().into_iter().flatten().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions, ["left", "joined", "left", "joined", "joined"], "{history}");
}

#[test]
fn what_was_joined_at_run_time_is_joined_after_a_restart_and_what_was_left_stays_left() {
    let port = Kafka::shared().plaintext;
    let mut hub = lone().start();
    join(&hub, "it-again", "again-hub", port);
    hub.kill9();
    let mut hub = hub.start_again();
    gets_online(&hub);
    assert_eq!(status(&hub)["group_name"], "it-again");
    assert_eq!(post(&hub, LEAVE, json!({})).0, 200);
    hub.terminate();
    let hub = hub.start_again();
    assert_eq!(status(&hub)["connectivity"], "none");
    // Its own last entry tells how it was joined.
    let (code, said) = post(&hub, "/api/v1/group/rejoin", json!({"agent_id": "again-hub"}));
    assert_eq!((code, &said["status"]), (200, &json!("rejoined")), "{said}");
    assert_eq!(said["restored_config"]["kafka_brokers"], format!("127.0.0.1:{port}"), "{said}");
    gets_online(&hub);
    assert_eq!(post(&hub, "/api/v1/group/rejoin", json!({"agent_id": "nobody"})).0, 404);
}

#[test]
fn what_is_wrong_is_told_and_changes_nothing_and_a_broker_may_be_away() {
    let hub = lone().start();
    for (body, what) in [
        (json!([]), "invalid body"),
        (json!({}), "group_name required"),
        (json!({"group_name": "a b", "kafka_brokers": "127.0.0.1:1"}), "group_name"),
        (json!({"group_name": "home"}), "no broker is named"),
        (json!({"group_name": "home", "kafka_brokers": ":1"}), "kafka_brokers"),
        (json!({"group_name": "home", "kafka_brokers": "127.0.0.1:1", "lfs_proxy_url": "x"}), "lfs_proxy_url"),
        (json!({"group_name": "home", "kafka_brokers": "127.0.0.1:1", "agent_id": "a\u{7}b"}), "agent_id"),
    ] {
        let (code, said) = post(&hub, JOIN, body.clone());
        assert_eq!(code, 400, "{body}: {said}");
        assert!(said["error"].as_str().is_some_and(|error| error.contains(what)), "{body}: {said}");
    }
    assert_eq!(status(&hub)["reason"], "no group is configured");
    let said = join(&hub, "home", "alone-hub", 1);
    assert_eq!((&said["active"], &said["connectivity"]), (&json!(false), &json!("offline")), "{said}");
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("127.0.0.1:1")), "{said}");
    assert!(hub.chat().say("what time is it")["reply"].as_str().is_some(), "the house goes on");
    // A bad wish leaves things as they are.
    assert_eq!(post(&hub, JOIN, json!({"group_name": "a b"})).0, 400);
    assert_eq!(status(&hub)["group_name"], "home");
    assert_eq!(post(&hub, LEAVE, json!({})).0, 200);
    assert_eq!(threads(&hub).1, 0);
}

#[test]
fn many_joins_and_leaves_leave_nothing_behind() {
    let port = Kafka::shared().plaintext;
    let hub = lone().start();
    join(&hub, "it-many", "many-hub", port);
    post(&hub, LEAVE, json!({}));
    eventually("its clients end", PATIENCE, || threads(&hub).1 == 0);
    let before = (threads(&hub).0, files(&hub));
    // Several at once: they come one after the other.
    let doors: Vec<_> = (0..4).map(|_| hub.dashboard().clone()).collect();
    std::thread::scope(|scope| {
        for (number, door) in doors.iter().enumerate() {
            scope.spawn(move || {
                for _ in 0..5 {
                    let brokers = format!("127.0.0.1:{port}");
                    let body = json!({"group_name": format!("it-many-{}", number % 2), "kafka_brokers": brokers});
                    assert_eq!(door.post(JOIN, &body).status, 200);
                    assert!([200, 400].contains(&door.post(LEAVE, &json!({})).status));
                }
            });
        }
    });
    let _ = post(&hub, LEAVE, json!({}));
    eventually("its clients end", PATIENCE, || {
        let now = threads(&hub);
        now.1 == 0 && now.0 <= before.0 && files(&hub) <= before.1 + 2
    });
    join(&hub, "it-many", "many-hub", port);
    gets_online(&hub);
}

#[test]
fn what_was_asked_of_a_group_that_is_left_is_called_off() {
    let port = Kafka::shared().plaintext;
    let hub = lone().start();
    let garage = lone().start();
    join(&hub, "it-off", "off-hub", port);
    join(&garage, "it-off", "off-garage", port);
    eventually("it is seen", PATIENCE, || sees(&hub, "off-garage"));
    let mut garage = garage;
    garage.kill9();
    let task = json!({"description": "what time is it", "member": "off-garage"});
    assert_eq!(post(&hub, "/api/v1/group/tasks/submit", task).0, 200);
    assert_eq!(post(&hub, LEAVE, json!({})).0, 200);
    let tasks = get(&hub, "/api/v1/group/tasks");
    assert_eq!(tasks[0]["status"], "canceled", "{tasks}");
}

#[test]
fn the_configuration_of_the_group_is_kept_shown_without_its_secret_and_used_at_the_next_join() {
    let port = Kafka::shared().plaintext;
    let plan = lone();
    let hub = plan.start();
    let change = json!({"kafka_brokers": format!("127.0.0.1:{port}"), "api_key": "sesame-open-please",
        "consumer_group": "it-config-readers", "agent_id": "config-hub", "poll_interval_ms": "200"});
    assert_eq!(post(&hub, CONFIG, change), (200, json!({"requires_rejoin": false, "status": "ok"})));
    let shown = get(&hub, CONFIG);
    assert_eq!((&shown["api_key"], &shown["enabled"]), (&json!("se*se"), &json!(false)), "{shown}");
    assert_eq!((&shown["poll_interval_ms"], &shown["agent_id"]), (&json!(200), &json!("config-hub")), "{shown}");
    let (code, said) = post(&hub, JOIN, json!({"group_name": "it-config"}));
    assert_eq!((code, &said["agent_id"]), (200, &json!("config-hub")), "{said}");
    gets_online(&hub);
    let again = json!({"agent_id": "renamed-hub"});
    assert_eq!(post(&hub, CONFIG, again), (200, json!({"requires_rejoin": true, "status": "ok"})));
    assert_eq!(status(&hub)["agent_id"], "config-hub", "until it joins again");
    assert_eq!(post(&hub, JOIN, json!({"group_name": "it-config"})).1["agent_id"], "renamed-hub");
    assert_eq!(post(&hub, CONFIG, json!({"agent_id": "renamed-hub"})).1["requires_rejoin"], false);
    for wrong in [json!({"kafka_brokers": ":"}), json!({"nonsense": "x"}), json!({"poll_interval_ms": "soon"})] {
        assert_eq!(post(&hub, CONFIG, wrong.clone()).0, 400, "{wrong}");
    }
    assert!(!hub.log().contains("sesame"), "secrets are not logged");
    assert!(!hub.dashboard().get("/api/v1/settings").text().contains("sesame"));
}

#[test]
fn a_skill_is_offered_asked_for_and_its_topics_are_there() {
    let port = Kafka::shared().plaintext;
    let (asker, cook) = (lone().start(), lone().start());
    assert_eq!(post(&cook, "/api/v1/group/skills", json!({"skill_name": "cooking"})).0, 400, "not in a group");
    join(&asker, "it-skill", "skill-asker", port);
    join(&cook, "it-skill", "skill-cook", port);
    eventually("they see each other", PATIENCE, || sees(&asker, "skill-cook") && sees(&cook, "skill-asker"));
    let task = json!({"skill_name": "cooking", "description": "what time is it"});
    let (code, said) = post(&asker, "/api/v1/group/skills/task", task.clone());
    assert_eq!((code, &said["code"]), (409, &json!("nobody_able")), "{said}");
    assert_eq!(post(&cook, "/api/v1/group/skills", json!({"skill_name": "a.b"})).0, 400);
    let offered = post(&cook, "/api/v1/group/skills", json!({"skill_name": "cooking"}));
    assert_eq!(offered, (200, json!({"skill": "cooking", "status": "registered"})));
    eventually("it is heard of", PATIENCE, || {
        standing(&asker, "skill-cook").is_some_and(|member| member["skills"] == json!(["cooking"]))
    });
    let (code, said) = post(&asker, "/api/v1/group/skills/task", task);
    assert_eq!((code, &said["skill"], &said["status"]), (200, &json!("cooking"), &json!("submitted")), "{said}");
    eventually("it is answered", PATIENCE, || {
        get(&asker, "/api/v1/group/tasks?direction=outgoing")[0]["status"] == "completed"
    });
    eventually("the others know its topics", PATIENCE, || {
        get(&asker, "/api/v1/group/skills?group_name=it-skill")[0]["registered_by"] == "skill-cook"
    });
    let manifest = get(&asker, "/api/v1/group/manifest");
    assert_eq!(manifest["skill_topics"][0]["name"], "group.it-skill.skill.cooking.requests", "{manifest}");
    assert_eq!(manifest["core_topics"].as_array().map(Vec::len), Some(11), "{manifest}");
    let mut cook = cook;
    cook.kill9();
    let cook = cook.start_again();
    assert_eq!(get(&cook, CONFIG)["skills"], json!(["cooking"]), "kept over a restart");
}

#[test]
fn topics_are_listed_browsed_and_made() {
    let port = Kafka::shared().plaintext;
    let hub = lone().start();
    assert_eq!(get(&hub, "/api/v1/group/manifest"), json!({"error": "no group manager"}));
    join(&hub, "it-topics", "topics-hub", port);
    let announce = "group.it-topics.announce";
    eventually("its own words come back", PATIENCE, || {
        get(&hub, &format!("/api/v1/group/topics?browse={announce}"))["messages"][0]["sender_id"] == "topics-hub"
    });
    let listed = get(&hub, "/api/v1/group/topics");
    let first = listed["topics"].as_array().and_then(|topics| topics.iter().find(|topic| topic["name"] == announce));
    let first = first.expect("the topic");
    assert_eq!((&first["category"], &first["consumers"]), (&json!("control"), &json!(null)), "{first}");
    assert!(first["stats"]["message_count"].as_i64() > Some(0) && first["health"]["score"].is_number(), "{first}");
    assert!(listed["skill_topics"].is_array() && listed["xp_leaderboard"].is_array(), "{listed}");
    let ensure = |topic: &str| post(&hub, "/api/v1/group/topics/ensure", json!({"topic_name": topic}));
    assert_eq!(ensure("group.it-topics.extra"), (200, json!({"ok": true, "topic": "group.it-topics.extra"})));
    assert_eq!(ensure("group.it-topics.extra").1["ok"], true, "it is there");
    assert!(ensure("somebody.else").1["error"].is_string());
    assert_eq!(ensure("").0, 400);
}

#[test]
fn commands_join_and_leave_through_the_running_gateway() {
    let port = Kafka::shared().plaintext;
    let plan = lone();
    let run = |args: &[&str]| {
        let done = plan.command(args).output().expect("the command");
        let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        (done.status.code().unwrap_or(-1), text)
    };
    let (code, text) = run(&["group", "join", "it-cli"]);
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("not running"), "{text}");
    let _hub = plan.start();
    let brokers = format!("127.0.0.1:{port}");
    let (code, text) = run(&["group", "join", "it-cli", "--brokers", &brokers, "--agent-id", "cli-hub"]);
    assert!(code == 0 && text.contains("it-cli") && text.contains("cli-hub"), "{code}: {text}");
    let (code, text) = run(&["group", "config", "--set", "api_key=sesame-open-please"]);
    assert!(code == 0 && text.contains("join"), "{code}: {text}");
    let (code, text) = run(&["group", "config"]);
    assert!(code == 0 && text.contains(&brokers) && !text.contains("sesame"), "{code}: {text}");
    assert_eq!(run(&["group", "offer", "cooking"]).0, 0);
    assert!(run(&["group", "topics"]).1.contains("group.it-cli.skill.cooking.requests"));
    let (code, text) = run(&["group", "keys"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&["group", "revoke", "nobody"]);
    assert!(code == 1 && text.contains("no key"), "{code}: {text}");
    assert_eq!(run(&["group", "leave"]).0, 0);
    let (code, text) = run(&["group", "leave"]);
    assert!(code == 1 && text.contains("not in a group"), "{code}: {text}");
}

#[test]
fn a_gated_group_lets_in_whose_key_an_operator_approved() {
    let port = Kafka::shared().plaintext;
    let gated = || lone().with("KAFCLAW_GROUP_ONBOARD_MODE", "gated").start();
    let (inside, outside) = (gated(), gated());
    assert_eq!(
        post(&outside, "/api/v1/group/onboard", json!({})),
        (400, {
            let said = post(&outside, "/api/v1/group/onboard", json!({})).1;
            assert_eq!(said["error"], "group not configured");
            said
        })
    );
    join(&inside, "it-gate", "gate-inside", port);
    join(&outside, "it-gate", "gate-outside", port);
    let standing_of = |hub: &Gateway| status(hub)["onboarding"].clone();
    eventually("it is refused with a reason", PATIENCE, || {
        standing_of(&outside)["reason"].as_str().is_some_and(|reason| reason.contains("operator"))
    });
    assert!(!sees(&inside, "gate-outside"), "its words are not believed");
    let approve = |hub: &Gateway, agent: &str| {
        let mut key = Value::Null;
        eventually("its key is known", PATIENCE, || {
            let keys = get(hub, "/api/v1/group/keys");
            let asked = keys.as_array().into_iter().flatten().find(|row| row["agent_id"] == agent).cloned();
            key = asked.map(|row| row["public_key"].clone()).unwrap_or_default();
            key.is_string()
        });
        let (code, said) = post(hub, &format!("/api/v1/group/keys/{agent}"), json!({"public_key": key}));
        assert_eq!((code, &said["standing"]), (200, &json!("approved")), "{said}");
    };
    approve(&inside, "gate-outside");
    let (code, said) = post(&outside, "/api/v1/group/onboard", json!({}));
    assert_eq!((code, said), (200, json!({"status": "onboard_request_sent"})));
    eventually("it is let in", PATIENCE, || {
        let standing = standing_of(&outside);
        standing["state"] == "let_in" && standing["by"] == "gate-inside"
    });
    eventually("it is seen", PATIENCE, || sees(&inside, "gate-outside"));
    approve(&outside, "gate-inside");
    eventually("and sees", PATIENCE, || sees(&outside, "gate-inside"));
    // Shut out again, and let in again.
    assert_eq!(post(&inside, "/api/v1/group/keys/gate-outside", json!({"revoke": true})).0, 200);
    eventually("it is not believed", PATIENCE, || !sees(&inside, "gate-outside"));
    assert_eq!(post(&inside, "/api/v1/group/rejoin", json!({"agent_id": "gate-outside"})).0, 200);
    eventually("it is believed again", PATIENCE, || sees(&inside, "gate-outside"));
}
