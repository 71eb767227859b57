//! Slack's bridge: who may post, who is heard, and where the answer goes.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{Plan, Reply};

const INBOUND: &str = "/api/v1/channels/slack/inbound";

/// Takes one post of an answer and agrees.
fn one_answer(bridge: &TcpListener) -> (String, Value) {
    let (mut stream, _) = bridge.accept().expect("the gateway calls");
    let mut heard = Vec::new();
    let mut piece = [0_u8; 4096];
    loop {
        let count = stream.read(&mut piece).expect("a request");
        heard.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&heard).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"ok\":true}").expect("answered");
            return (head.to_ascii_lowercase(), body);
        }
    }
}

#[test]
fn a_message_of_slacks_bridge_is_answered_through_it_and_strangers_are_turned_away() {
    let bridge = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gateway = Plan::new()
        .with("KAFCLAW_CHANNELS_SLACK_ENABLED", "true")
        .with("KAFCLAW_CHANNELS_SLACK_INBOUND_TOKEN", "bridge token")
        .with("KAFCLAW_CHANNELS_SLACK_BOT_TOKEN", "xoxb-1")
        .with("KAFCLAW_CHANNELS_SLACK_DM_POLICY", "allowlist")
        .with("KAFCLAW_CHANNELS_SLACK_ALLOW_FROM", "U1")
        .with(
            "KAFCLAW_CHANNELS_SLACK_OUTBOUND_URL",
            &format!("http://{}/slack/outbound", bridge.local_addr().expect("an address")),
        )
        .start();
    let post = |token: &str, body: &Value| -> Reply {
        let mut connection = crate::support::Connection::open(gateway.dashboard().address).expect("a connection");
        let headers = [format!("X-Channel-Token: {token}"), "Content-Type: application/json".to_owned()];
        let request = crate::support::request("POST", INBOUND, &headers, body.to_string().as_bytes());
        connection.exchange(&request).expect("a response")
    };
    let said = |sender: &str| json!({"sender_id": sender, "chat_id": "D7", "thread_id": "T1", "message_id": "m1", "text": "what time is it?"});
    assert_eq!(post("wrong", &said("U1")).status, 401);
    assert_eq!(post("bridge token", &json!({"sender_id": "U1"})).status, 400);
    assert_eq!(post("bridge token", &json!([])).status, 400);
    assert_eq!(post("bridge token", &said("stranger")).json(), json!({"ok": true}), "dropped without a word");
    assert_eq!(post("bridge token", &said("U1")).json(), json!({"ok": true}));
    let (head, answer) = one_answer(&bridge);
    assert!(head.starts_with("post /slack/outbound") && head.contains("authorization: bearer xoxb-1"), "{head}");
    assert_eq!((&answer["chat_id"], &answer["thread_id"]), (&json!("D7"), &json!("T1")));
    assert!(answer["content"].as_str().is_some_and(|text| text.starts_with("It is ")), "{answer}");
    let tasks = gateway.dashboard().get("/api/v1/tasks?channel=slack").json();
    assert_eq!(tasks.as_array().map(Vec::len), Some(1));
    assert_eq!(tasks[0]["message_type"], "external");
}
