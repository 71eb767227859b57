//! Factory reset of a house on somebody's machine: everything in its folder goes, and it is a new house.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Connection, Door, Gateway, PATIENCE, Plan, Reply, eventually, request};

const PASSWORD: &str = "korrektes Pferd";
const PRIVATE: &str = "the spare key hangs behind the boiler";

fn post(door: &Door, path: &str, body: &Value) -> Reply {
    let headers = ["Content-Type: application/json".to_owned(), door.authorization(), "Connection: close".to_owned()];
    let mut connection = Connection::open(door.address).expect("a connection");
    connection.exchange(&request("POST", path, &headers, body.to_string().as_bytes())).expect("a response")
}

fn code(plan: &Plan) -> String {
    let shown = plan.command(&["setup-code"]).output().expect("the program");
    String::from_utf8(shown.stdout).expect("text").trim().to_owned()
}

/// A house that has been told something, with an owner.
fn lived_in(plan: &Plan) -> Gateway {
    fs::create_dir_all(plan.state().join("models")).expect("a folder");
    fs::write(plan.state().join("models/large.gguf"), "weights").expect("a model");
    fs::write(plan.state().join("config.json"), r#"{"assistant": {"name": "Halomir"}}"#).expect("a configuration");
    let gateway = plan.start();
    gateway.chat().say(&format!("remember that {PRIVATE}"));
    let owned = post(gateway.dashboard(), "/api/v1/auth/setup", &json!({"code": code(plan), "password": PASSWORD}));
    assert_eq!(owned.status, 200, "{}", owned.text());
    gateway
}

/// Every file of the house that holds `text`.
fn holding(plan: &Plan, text: &str) -> Vec<String> {
    fn walk(folder: &std::path::Path, text: &[u8], found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, text, found);
            } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text)) {
                found.push(path.display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(&plan.state(), text.as_bytes(), &mut found);
    found
}

fn is_new(plan: &Plan, token: &str) -> bool {
    let fresh = fs::read_to_string(plan.state().join("gateway.token")).unwrap_or_default();
    !fresh.trim().is_empty() && fresh.trim() != token
}

#[test]
fn the_owner_resets_the_house_with_the_password_and_it_starts_as_a_new_one() {
    let plan = Plan::new();
    let mut gateway = lived_in(&plan);
    let door = gateway.dashboard();
    assert!(!holding(&plan, PRIVATE).is_empty());
    for (body, status) in [
        (json!({"words": "yes", "password": PASSWORD}), 400),
        (json!({"words": "forget everything"}), 403),
        (json!({"words": "forget everything", "password": "falsch"}), 403),
    ] {
        assert_eq!(post(door, "/api/v1/factory-reset", &body).status, status, "{body}");
    }
    let (token, pid) = (gateway.token().to_owned(), gateway.id());
    let doors = plan.state().join("run/gateway.json");
    let before = fs::read_to_string(&doors).expect("doors");
    let accepted = post(door, "/api/v1/factory-reset", &json!({"words": "forget everything", "password": PASSWORD}));
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    eventually("the house is a new one", PATIENCE, || {
        fs::read_to_string(&doors).is_ok_and(|now| now != before) && is_new(&plan, &token)
    });
    assert!(gateway.is_running() && gateway.id() == pid);
    for secret in [PRIVATE, &token, PASSWORD, "Halomir", "weights"] {
        assert_eq!(holding(&plan, secret), Vec::<String>::new(), "{secret}");
    }
    let now: Value = serde_json::from_slice(&fs::read(&doors).expect("doors")).expect("JSON");
    let address = now["dashboard"].as_str().expect("an address").parse().expect("an address");
    let fresh = fs::read_to_string(plan.state().join("gateway.token")).expect("a token");
    let door = Door::new(address, fresh.trim());
    assert_eq!(door.get("/api/v1/auth/owner").json()["password_set"], false);
    assert_eq!(door.get("/api/v1/sessions").json(), json!([]));
}

#[test]
fn the_command_line_resets_a_house_that_runs_and_one_that_does_not() {
    let plan = Plan::new();
    let gateway = lived_in(&plan);
    let token = gateway.token().to_owned();
    let refused = plan.command(&["factory-reset"]).stdin(std::process::Stdio::null()).output().expect("the program");
    assert!(!refused.status.success() && !holding(&plan, PRIVATE).is_empty());
    let done = plan.command(&["factory-reset", "--yes"]).output().expect("the program");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for secret in [PRIVATE, &token, "Halomir"] {
        assert_eq!(holding(&plan, secret), Vec::<String>::new(), "{secret}");
    }
    drop(gateway);

    let plan = Plan::new();
    let mut gateway = lived_in(&plan);
    gateway.terminate();
    let done = plan.command(&["factory-reset", "--yes"]).output().expect("the program");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(fs::read_dir(plan.state()).expect("the folder").count(), 0);
}

#[test]
fn a_reset_that_was_cut_short_is_finished_by_the_next_start() {
    let plan = Plan::new();
    let mut gateway = lived_in(&plan);
    let token = gateway.token().to_owned();
    gateway.kill9();
    // Cut after the configuration had gone and before the rest.
    fs::write(plan.state().join("factory-reset"), "requested\n").expect("asked");
    fs::remove_file(plan.state().join("config.json")).expect("removed");
    let gateway = plan.start();
    assert!(is_new(&plan, &token) && !plan.state().join("factory-reset").exists());
    assert_eq!(holding(&plan, PRIVATE), Vec::<String>::new());
    assert_eq!(gateway.dashboard().get("/api/v1/auth/owner").json()["password_set"], false);
}
