//! The owner's way in: setup code, password, sessions.

use std::fs;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Connection, Door, Gateway, Plan, Reply, request};

const PASSWORD: &str = "korrektes Pferd";

/// Sends JSON as a browser without a session does.
fn post(door: &Door, path: &str, body: &Value, more: &[String]) -> Reply {
    let mut headers = vec!["Content-Type: application/json".to_owned(), "Connection: close".to_owned()];
    headers.push(format!("Origin: http://{}", door.address));
    headers.push(format!("Host: {}", door.address));
    headers.extend_from_slice(more);
    let mut connection = Connection::open(door.address).expect("a connection");
    connection.exchange(&request("POST", path, &headers, body.to_string().as_bytes())).expect("a response")
}

fn get(door: &Door, path: &str, cookie: &str) -> Reply {
    let headers = [format!("Cookie: {cookie}"), "Connection: close".to_owned()];
    let mut connection = Connection::open(door.address).expect("a connection");
    connection.exchange(&request("GET", path, &headers, b"")).expect("a response")
}

/// The session that a response begins.
fn session(reply: &Reply) -> String {
    let cookie = reply.header("set-cookie").unwrap_or_else(|| panic!("{}: {}", reply.status, reply.text()));
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

fn printed(plan: &Plan, args: &[&str]) -> (bool, String) {
    let output = plan.command(args).output().expect("the program");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn code(plan: &Plan) -> String {
    let (is_there, code) = printed(plan, &["setup-code"]);
    assert!(is_there, "there is no code");
    code
}

fn has_password(gateway: &Gateway) -> bool {
    gateway.dashboard().get("/api/v1/auth/owner").json()["password_set"] == true
}

#[test]
fn the_setup_code_makes_one_owner_and_neither_it_nor_the_password_is_told_to_anybody() {
    let plan = Plan::new();
    let mut gateway = plan.start();
    let door = gateway.dashboard();
    let code = code(&plan);
    assert!(!has_password(&gateway));
    let weak = post(door, "/api/v1/auth/setup", &json!({"code": code, "password": "1234567"}), &[]);
    assert!(weak.status == 400 && weak.text().contains("too short"), "{}", weak.text());
    let early = post(door, "/api/v1/auth/login", &json!({"password": PASSWORD}), &[]);
    assert_eq!(early.status, 409, "{}", early.text());
    let first = session(&post(door, "/api/v1/auth/setup", &json!({"code": code, "password": PASSWORD}), &[]));
    assert!(has_password(&gateway));
    assert_eq!(get(door, "/api/v1/tasks", &first).status, 200);
    let second = post(door, "/api/v1/auth/setup", &json!({"code": code, "password": "another one"}), &[]);
    assert_eq!(second.status, 409, "{}", second.text());
    let later = session(&post(door, "/api/v1/auth/login", &json!({"password": PASSWORD}), &[]));
    assert_eq!(get(door, "/api/v1/tasks", &later).status, 200);
    assert!(!printed(&plan, &["setup-code"]).0);

    gateway.terminate();
    let gateway = gateway.start_again();
    assert_eq!(get(gateway.dashboard(), "/api/v1/tasks", &later).status, 200, "a restart ends no session");
    let everything = [gateway.log(), fs::read_to_string(plan.state().join("owner.json")).expect("a record")].concat();
    for secret in [&code, &code.replace('-', ""), PASSWORD] {
        assert!(!everything.contains(secret), "{secret} stands in the log or in the record");
    }
}

#[test]
fn wrong_codes_kill_the_code_and_wait_longer_and_longer() {
    let plan = Plan::new();
    let gateway = plan.start();
    let door = gateway.dashboard();
    let first = code(&plan);
    let guess = || post(door, "/api/v1/auth/setup", &json!({"code": "AAAA-AAAA", "password": PASSWORD}), &[]);
    let statuses: Vec<u16> = (0..6).map(|_| guess().status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let fresh = code(&plan);
    assert!(fresh != first);
    let old = post(door, "/api/v1/auth/setup", &json!({"code": first, "password": PASSWORD}), &[]);
    assert!(old.status == 429 && old.header("retry-after").is_some(), "{}", old.text());
    assert!(!has_password(&gateway));
}

#[test]
fn a_new_password_or_a_reset_ends_every_session_and_the_token_goes_on() {
    let plan = Plan::new();
    let gateway = plan.start();
    let door = gateway.dashboard();
    let by_token = session(&door.post("/api/v1/auth/login", &json!({"token": gateway.token()})));
    assert_eq!(get(door, "/api/v1/tasks", &by_token).status, 200);
    let first = session(&post(door, "/api/v1/auth/setup", &json!({"code": code(&plan), "password": PASSWORD}), &[]));
    assert_eq!(get(door, "/api/v1/tasks", &by_token).status, 401);
    let change = |cookie: &str, current: &str| {
        let body = json!({"current": current, "password": "ein anderes Pferd"});
        post(door, "/api/v1/auth/password", &body, &[format!("Cookie: {cookie}")])
    };
    assert_eq!(change(&first, "falsch").status, 401);
    assert_eq!(change("", PASSWORD).status, 401);
    let second = session(&change(&first, PASSWORD));
    assert_eq!(get(door, "/api/v1/tasks", &first).status, 401);
    assert_eq!(get(door, "/api/v1/tasks", &second).status, 200);

    let (is_done, fresh) = printed(&plan, &["password", "reset"]);
    assert!(is_done && fresh == code(&plan));
    assert_eq!(get(door, "/api/v1/tasks", &second).status, 401);
    assert!(!has_password(&gateway));
    assert_eq!(door.get("/api/v1/tasks").status, 200, "programs have the token");
}

#[test]
fn a_crowd_that_tries_passwords_is_sent_away_and_takes_no_memory() {
    let plan = Plan::new();
    let gateway = plan.start();
    let door = gateway.dashboard();
    session(&post(door, "/api/v1/auth/setup", &json!({"code": code(&plan), "password": PASSWORD}), &[]));
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("a status");
    let before = peak_kib(&status);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let guess = || post(door, "/api/v1/auth/login", &json!({"password": "geraten!"}), &[]).status;
        let guesses: Vec<_> = (0..24).map(|_| scope.spawn(guess)).collect();
        guesses.into_iter().map(|guess| guess.join().expect("an answer")).collect()
    });
    assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
    assert!(statuses.iter().any(|status| *status != 401), "{statuses:?}");
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("a status");
    // One hash takes 19 MiB; twenty-four at once would take 450.
    assert!(peak_kib(&status) < before + 40 * 1024, "{before} KiB grew to {} KiB", peak_kib(&status));
}

fn peak_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn onboarding_shows_the_code_to_a_person_only() {
    let plan = Plan::new();
    let args =
        ["onboard", "--non-interactive", "--accept-risk", "--mode", "local", "--llm", "skip", "--skip-healthcheck"];
    let (is_done, out) = printed(&plan, &args);
    assert!(is_done && out.contains("kafclaw setup-code") && !out.contains(&code(&plan)), "{out}");
    // `script` gives it a terminal.
    let line = format!("{} {}", plan.command(&[]).get_program().to_string_lossy(), args.join(" "));
    let mut on_terminal = std::process::Command::new("script");
    on_terminal.args(["-qec", &line, "/dev/null"]).env("KAFCLAW_HOME", plan.home()).env("HOME", plan.home());
    on_terminal.stdin(std::process::Stdio::null());
    let shown = on_terminal.output().expect("script");
    let out = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(out.contains(&code(&plan)), "{out}");
}
