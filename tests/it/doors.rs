//! What strangers may do at the doors: nothing that keeps the household out.

use std::io::Read;
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Connection, Door, Gateway, PATIENCE, Plan, Reply, eventually, request};

/// Methods and paths that anybody may use.
const OPEN: &[(&str, &str)] = &[
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/"),
    ("get", "/timeline"),
    ("get", "/approvals"),
    ("get", "/group"),
    ("get", "/assets/{file}"),
    ("get", "/api/v1/status"),
    ("get", "/api/v1/auth/owner"),
    ("post", "/api/v1/auth/login"),
    ("post", "/api/v1/auth/setup"),
    ("post", "/api/v1/auth/logout"),
    // These ask for the channel's own token; `bridge` tests it.
    ("get", "/lfs/produce"),
    ("post", "/api/v1/channels/slack/inbound"),
    ("post", "/api/v1/channels/msteams/inbound"),
];

fn still_answers(gateway: &Gateway) {
    let answer = gateway.chat().say("what time is it?");
    assert_eq!(answer["route"], "intent", "{answer}");
}

/// Sends a request as it is, without the token.
fn raw(door: &Door, method: &str, path: &str, headers: &[String]) -> Reply {
    let mut connection = Connection::open(door.address).expect("a connection");
    connection.exchange(&request(method, path, headers, b"")).expect("a response")
}

#[test]
fn every_route_wants_the_token_unless_it_is_listed_as_open() {
    let gateway = Plan::new().start();
    let document = gateway.dashboard().get("/api/v1/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 30, "only {} paths are documented", paths.len());
    let mut open_seen = 0;
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if !["get", "post", "put", "delete", "patch"].contains(&method.as_str()) {
                continue;
            }
            // The document says where a path lives when it is not on the dashboard's port.
            let is_chat = operation.to_string().contains("18790") || methods["servers"].to_string().contains("18790");
            let door = if is_chat { gateway.chat() } else { gateway.dashboard() };
            let filled: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { "x" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let status = raw(door, &method.to_uppercase(), &filled, &["Connection: close".to_owned()]).status;
            let is_open = OPEN.contains(&(method.as_str(), path.as_str()));
            open_seen += usize::from(is_open);
            assert_eq!(status == 401, !is_open, "{method} {path} without a token: {status}");
        }
    }
    assert_eq!(open_seen, OPEN.len());
}

#[test]
fn foreign_hosts_and_pages_and_tokens_in_addresses_are_refused() {
    let gateway = Plan::new().start();
    for door in [gateway.chat(), gateway.dashboard()] {
        let with = |line: &str| {
            raw(door, "GET", "/api/v1/tasks", &[door.authorization(), line.to_owned(), "Connection: close".to_owned()])
                .status
        };
        assert_eq!(with("Host: evil.example"), 403);
        assert_eq!(with("Origin: http://evil.example"), 403);
        let path = format!("/api/v1/tasks?token={}", door.token());
        assert_eq!(raw(door, "GET", &path, &["Connection: close".to_owned()]).status, 400);
    }
    assert_eq!(gateway.dashboard().get("/api/v1/tasks").status, 200);
}

#[test]
fn guessing_tokens_locks_out() {
    let gateway = Plan::new().start();
    let wrong = vec!["Authorization: Bearer guess".to_owned(), "Connection: close".to_owned()];
    let statuses: Vec<u16> = (0..20).map(|_| raw(gateway.dashboard(), "GET", "/api/v1/tasks", &wrong).status).collect();
    assert_eq!((statuses[0], statuses[19]), (401, 429), "{statuses:?}");
}

#[test]
fn a_body_of_ten_megabytes_is_refused() {
    let gateway = Plan::new().start();
    let body = vec![b'x'; 10 * 1024 * 1024];
    // The gateway may hang up while we are still sending; both are a refusal.
    if let Ok(reply) = gateway.chat().try_call("POST", "/chat", &["Content-Type: application/json"], &body) {
        assert_eq!(reply.status, 413, "{}", reply.text());
    }
    let long = json!({"message": "x".repeat(300 * 1024)});
    assert_eq!(gateway.chat().post("/chat", &long).status, 413);
    for bad in ["{", "[]", "{\"message\": 7}", "{\"message\": \"\"}", "\u{0}"] {
        let status = gateway.chat().call("POST", "/chat", &["Content-Type: application/json"], bad.as_bytes()).status;
        assert_eq!(status, 400, "{bad:?}");
    }
    still_answers(&gateway);
}

#[test]
fn whoever_sends_slowly_is_hung_up_on_and_others_do_not_notice() {
    let gateway = Plan::new().start();
    let mut slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.chat().address).expect("a connection");
            std::io::Write::write_all(&mut stream, b"POST /chat HTTP/1.1\r\nHost: loc").expect("a beginning");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream
        })
        .collect();
    still_answers(&gateway);
    let started = Instant::now();
    let mut rest = Vec::new();
    let _ = slow[0].read_to_end(&mut rest);
    assert!(started.elapsed() < PATIENCE, "the slow one is still connected");
    still_answers(&gateway);
}

#[test]
fn idle_connections_make_room() {
    let gateway = Plan::new().start();
    let idle: Vec<TcpStream> = (0..900).filter_map(|_| TcpStream::connect(gateway.chat().address).ok()).collect();
    assert!(idle.len() > 600, "only {} connections", idle.len());
    still_answers(&gateway);
    drop(idle);
    still_answers(&gateway);
}

#[test]
fn running_out_of_file_descriptors_passes() {
    let gateway = Plan::new().with_prelude("ulimit -n 96").start();
    still_answers(&gateway);
    let crowd: Vec<TcpStream> = (0..300).filter_map(|_| TcpStream::connect(gateway.chat().address).ok()).collect();
    drop(crowd);
    eventually("the gateway answers again", PATIENCE, || {
        gateway
            .chat()
            .try_say_once("after-the-crowd", "what time is it?", "local:crowd")
            .is_ok_and(|reply| reply.status == 200)
    });
}

#[test]
fn garbage_is_answered_or_hung_up_on() {
    let gateway = Plan::new().start();
    for garbage in [
        "\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}".repeat(100) + "\r\n\r\n",
        "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned(),
        "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(100_000)),
    ] {
        let mut connection = Connection::open(gateway.chat().address).expect("a connection");
        let status = connection.exchange(garbage.as_bytes()).map(|reply| reply.status);
        assert!(status.as_ref().map_or(true, |status| (400..500).contains(status)), "{garbage:.60}: {status:?}");
    }
    still_answers(&gateway);
}

#[test]
fn beyond_loopback_nobody_gets_in_without_the_token_that_the_gateway_made() {
    let plan = Plan::new().with("KAFCLAW_GATEWAY_HOST", "0.0.0.0");
    let gateway = plan.start();
    assert_eq!(raw(gateway.dashboard(), "GET", "/api/v1/tasks", &["Connection: close".to_owned()]).status, 401);
    assert_eq!(gateway.dashboard().get("/api/v1/tasks").json(), Value::Array(Vec::new()));
    assert!(gateway.token().len() == 64);
}

#[test]
fn a_login_in_the_browser_is_a_cookie_that_only_the_dashboard_reads() {
    let gateway = Plan::new().start();
    let door = gateway.dashboard();
    let refused = raw(door, "POST", "/api/v1/auth/login", &["Connection: close".to_owned()]);
    assert!((400..500).contains(&refused.status), "{}", refused.status);
    let login = door.post("/api/v1/auth/login", &json!({"token": gateway.token()}));
    let cookie = login.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap_or_default();
    let lines = [format!("Cookie: {pair}"), "Connection: close".to_owned()];
    assert_eq!(raw(door, "GET", "/api/v1/tasks", &lines).status, 200);
    let forged = [format!("Cookie: {pair}0"), "Connection: close".to_owned()];
    assert_eq!(raw(door, "GET", "/api/v1/tasks", &forged).status, 401);
}

#[test]
fn the_owner_is_told_how_devices_reach_the_machines_own_broker() {
    let plan = Plan::new();
    let gateway = plan.start();
    let told = || {
        let output = plan.command(&["devices", "broker"]).output().expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(told().contains("no broker of its own"), "{}", told());
    // As an image's setup writes it.
    std::fs::write(plan.home().join("broker"), "kafclaw:the-house\ndevices:the-plug\npeople:the-program\n")
        .expect("written");
    let shown = told();
    assert!(shown.contains("port 1883") && shown.contains("the-plug") && shown.contains("the-program"), "{shown}");
    assert!(!shown.contains("the-house"), "{shown}");
    assert!(shown.contains("what people say to the house is not theirs to read"), "{shown}");
    let broker = gateway.dashboard().get("/api/v1/broker").json();
    assert_eq!(broker["accounts"].as_array().map(Vec::len), Some(2), "{broker}");
}
