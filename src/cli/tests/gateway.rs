//! Commands that ask the gateway, against one that answers from a script.

use super::*;
use crate::cli::client::testing::{Fake, Script};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

const STREAM: &str = "event: tool\ndata: {\"tool\":\"lamp\"}\n\nevent: text\ndata: {\"text\":\"It is \"}\n\n: still here\n\n\
    event: restart\ndata: {}\n\nevent: text\ndata: {\"text\":\"On\\u001b.\"}\n\n\
    event: done\ndata: {\"reply\":\"On\\u001b.\",\"session\":\"cli:default\",\"trace_id\":\"t1\",\"task_id\":\"k1\",\"route\":\"intent\"}\n\n";

const SCRIPT: Script = &[
    ("POST /chat", 200, STREAM),
    ("GET /api/v1/status", 200, r#"{"uptime_seconds":60,"mode":"standalone","devices":2}"#),
    (
        "GET /api/v1/devices",
        200,
        r#"[{"id":"d1","name":"Lamp","aliases":[],"room_name":null,"available":true,"entities":[{"id":"e1","name":"Lamp","kind":"light","state":{"value":"on"}}]}]"#,
    ),
    ("POST /api/v1/devices/d1/command", 200, r#"{"results":[{"entity":"e1","status":"confirmed"}]}"#),
    ("POST /api/v1/devices/d1", 200, r#"{"id":"d1","name":"Lamp","room_name":"kitchen"}"#),
    ("GET /api/v1/jobs", 200, "[]"),
    ("POST /api/v1/jobs", 201, r#"{"id":"j1","enabled":true,"remaining_seconds":600,"next_run_at":null}"#),
    ("POST /api/v1/jobs/j1", 200, "{}"),
    ("POST /api/v1/jobs/j1/run", 200, "{}"),
    ("DELETE /api/v1/jobs/j1", 204, ""),
    (
        "GET /api/v1/approvals/pending",
        200,
        r#"[{"approval_id":"a1","tool":"exec","arguments":"{\"argv\":[\"ls\"]}","sender":"cli","created_at":"x"}]"#,
    ),
    ("POST /api/v1/approvals/a1", 200, r#"{"approval_id":"a1","status":"approved"}"#),
    (
        "POST /api/v1/approvals/a2",
        409,
        r#"{"error":"This was answered already.","hint":"See the timeline.","status":"denied"}"#,
    ),
    (
        "GET /api/v1/tasks?limit=20&status=failed",
        200,
        r#"[{"task_id":"k1","status":"failed","delivery_status":"sent","channel":"cli","created_at":"x","content_in":"two\nlines"}]"#,
    ),
    ("GET /api/v1/tasks/k1", 200, r#"{"task_id":"k1","status":"failed","error_text":"no \u001b model"}"#),
    (
        "GET /api/v1/trace/t1",
        200,
        r#"{"task":{"task_id":"k1","status":"completed","delivery_status":"sent"},"spans":[{"time":"12:00:00","type":"INBOUND","duration":"3ms","title":"IN"}]}"#,
    ),
    ("GET /api/v1/sessions", 200, r#"[{"key":"cli:default","message_count":2,"updated_at":"x"}]"#),
    (
        "GET /api/v1/sessions/cli:default?limit=50",
        200,
        r#"{"messages":[{"role":"user","content":"hi","timestamp":"x"}]}"#,
    ),
    ("DELETE /api/v1/sessions/cli:default", 200, "{}"),
    ("GET /api/v1/tasks/secret", 401, r#"{"error":"no"}"#),
    ("GET /api/v1/tasks/odd", 200, "<html>"),
    ("GET /api/v1/tasks/old", 400, "task_id required"),
];

#[test]
fn every_command_says_what_the_gateway_answered() {
    let home = home();
    let fake = Fake::start(home.path(), SCRIPT);
    for (args, code, expected) in [
        (&["agent", "-m", "lamp on"][..], 0, "On .\n"),
        (&["status"], 0, "Devices:    2\n"),
        (&["status", "--json"], 0, "\"running\": true"),
        (&["devices", "list"], 0, "DEVICE  ROOM  STATE  ID\nLamp          on     d1\n"),
        (&["devices", "set", "lamp", "brightness", "40"], 0, "Lamp: done\n"),
        (&["devices", "room", "lamp", "kitchen"], 0, "Lamp is in kitchen.\n"),
        (&["devices", "rename", "d1", "Lamp"], 0, "Lamp is in kitchen.\n"),
        (&["jobs", "list"], 0, "Nothing is planned.\n"),
        (&["jobs", "add", "--in", "10m", "say tea"], 0, "j1 is planned for (in 10 min).\n"),
        (&["jobs", "disable", "j1"], 0, "j1 is disabled.\n"),
        (&["jobs", "run", "j1"], 0, "j1 runs now.\n"),
        (&["jobs", "cancel", "j1"], 0, "j1 is cancelled.\n"),
        (&["approvals", "list"], 0, "a1  exec  {\"argv\":[\"ls\"]}  cli  x\n"),
        (&["approvals", "approve", "a1"], 0, "a1 is approved.\n"),
        (&["task", "list", "--status", "failed"], 0, "k1    failed  sent      cli      x      two lines\n"),
        (&["task", "show", "k1"], 0, "error_text:         no   model\n"),
        (&["task", "status", "--trace", "t1"], 0, "12:00:00  INBOUND  3ms   IN\n"),
        (&["task", "status", "--trace", "t1", "--json"], 0, "\"transitionCount\": 1"),
        (&["sessions", "list"], 0, "cli:default  2         x\n"),
        (&["sessions", "show", "cli:default"], 0, "x  user: hi\n"),
        (&["sessions", "delete", "cli:default"], 0, "cli:default is forgotten.\n"),
        (&["token"], 0, "geheim\n"),
    ] {
        let (got, out, err) = kafclaw(home.path(), args);
        assert_eq!((got, err.as_str()), (code, ""), "{args:?}");
        assert!(out.contains(expected), "{args:?}: {out}");
    }
    let asked = fake.asked();
    assert!(asked.iter().all(|asked| asked.head.contains("Authorization: Bearer geheim\r\n")));
    let body = |line: &str| asked.iter().find(|asked| asked.line == line).map(|asked| asked.body.clone());
    assert_eq!(body("POST /chat").as_deref(), Some(r#"{"message":"lamp on","session":"cli:default"}"#));
    assert_eq!(
        body("POST /api/v1/devices/d1/command").as_deref(),
        Some(r#"{"action":"set_brightness","percent":40.0}"#)
    );
    assert_eq!(body("POST /api/v1/jobs").as_deref(), Some(r#"{"kind":"say","text":"tea","in":"10m"}"#));
    assert_eq!(body("POST /api/v1/devices/d1").as_deref(), Some(r#"{"room":"kitchen"}"#));
}

#[test]
fn what_the_gateway_refuses_is_said_with_what_to_do() {
    let home = home();
    let _fake = Fake::start(home.path(), SCRIPT);
    for (args, code, expected) in [
        (&["approvals", "deny", "a2"][..], 1, "kafclaw: This was answered already. See the timeline.\n"),
        (&["approvals", "deny", "../tasks"], 1, "There is no such route."),
        (&["task", "show", "secret"], 1, "did not accept the token of /"),
        (&["task", "show", "odd"], 1, "is it the same version?"),
        (&["task", "show", "old"], 1, "kafclaw: task_id required\n"),
        (&["devices", "set", "sauna", "on"], 1, "there is no device `sauna`; there are: Lamp"),
        (&["devices", "set", "lamp", "sing"], 64, "brightness <0-100>"),
        (&["devices", "set", "lamp", "on", "--entity", "door"], 1, "there is no entity `door`; there are: Lamp"),
        (&["agent", "-m", " "], 64, "the message is blank"),
        (&["agent"], 64, "there is no message"),
        (&["task", "list", "--status", "lost"], 64, "pending, processing, completed, failed"),
    ] {
        let (got, out, err) = kafclaw(home.path(), args);
        assert!(got == code && out.is_empty() && err.contains(expected), "{args:?}: {got} {out} {err}");
        assert!(!err.contains("geheim"));
    }
}

#[test]
fn a_gateway_that_does_not_run_is_called_so() {
    let home = home();
    // Ours as long as it is not closed, so that nobody else can listen there.
    let gone = tokio::net::TcpSocket::new_v4().expect("a socket");
    gone.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let port = gone.local_addr().expect("an address").port();
    assert_eq!(kafclaw(home.path(), &["config", "set", "gateway.port", &port.to_string()]).0, 0);
    let (code, _, err) = kafclaw(home.path(), &["agent", "-m", "hi"]);
    let expected =
        format!("the gateway is not running: nothing answers on 127.0.0.1:{port}; start it with `kafclaw gateway`\n");
    assert!(code == 69 && err.contains(&expected), "{err}");
    assert_eq!(kafclaw(home.path(), &["config", "set", "gateway.port", "0"]).0, 0);
    let (code, _, err) = kafclaw(home.path(), &["jobs", "list"]);
    assert!(code == 69 && err.contains("any free port"), "{err}");
    let (code, out, _) = kafclaw(home.path(), &["status"]);
    assert!(code == 0 && out.contains("Gateway:    ✗ Not running"), "{out}");
    let (code, _, err) = kafclaw(home.path(), &["token"]);
    assert!(code == 1 && err.contains("there is no token yet"), "{err}");
}

#[test]
fn an_answer_grows_in_front_of_a_person_and_a_conversation_goes_on() {
    let home = home();
    let fake = Fake::start(home.path(), SCRIPT);
    let (code, out, err) = typing(home.path(), &["agent", "-m", "lamp on"], "", Seat::Person);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "It is \nOn .\n", "(lamp)\n"));
    let (code, out, _) = typing(home.path(), &["agent"], "one\n\ntwo\nexit\nthree\n", Seat::Person);
    assert_eq!((code, out.as_str()), (0, "It is \nOn .\nIt is \nOn .\n"));
    let said: Vec<String> = fake.asked().into_iter().map(|asked| asked.body).collect();
    assert!(said.len() == 3 && said[1].contains("\"one\"") && said[2].contains("\"two\""), "{said:?}");
    let (code, out, _) = typing(home.path(), &["agent", "--json"], "piped\n", Seat::Program);
    assert!(code == 0 && out.contains("\"route\": \"intent\""), "{out}");
}

#[test]
fn a_message_whose_answer_broke_off_is_sent_again_under_the_same_key() {
    let home = home();
    let fake = Fake::start(home.path(), &[("POST /chat", 200, "event: text\ndata: {\"text\":\"It\"}\n\nevent: done")]);
    let (code, _, err) = kafclaw(home.path(), &["agent", "-m", "hi"]);
    assert!(code == 1 && err.contains("broke off while being asked POST /chat"), "{err}");
    let key = |head: &str| head.lines().find(|line| line.starts_with("Idempotency-Key: ")).map(str::to_owned);
    let keys: Vec<_> = fake.asked().iter().map(|asked| key(&asked.head)).collect();
    assert!(keys.len() == 2 && keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn an_error_in_the_stream_is_an_error() {
    let home = home();
    let script: Script =
        &[("POST /chat", 200, "event: error\ndata: {\"error\":\"Too busy.\",\"hint\":\"Try later.\"}\n\n")];
    let _fake = Fake::start(home.path(), script);
    let (code, out, err) = kafclaw(home.path(), &["agent", "-m", "hi"]);
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "kafclaw: Too busy. Try later.\n"));
}
