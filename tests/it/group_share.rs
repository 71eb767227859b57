//! What hubs share on a real broker: items that are found elsewhere, records of agents that use a hub as their proxy, and traces.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use kafclaw::link::kafka::{Address, Broker, Outgoing, Producer, ProducerConfig, Security, SecurityWords};
use serde_json::{Value, json};

use crate::support::{Connection, Gateway, Kafka, PATIENCE, Plan, Reply, eventually};

/// A hub called `agent` in `group`, whose heartbeats come every 4.5 s.
fn hub(agent: &str, group: &str, port: u16) -> Plan {
    Plan::new()
        .with("KAFCLAW_GROUP_ENABLED", "true")
        .with("KAFCLAW_GROUP_GROUP_NAME", group)
        .with("KAFCLAW_GROUP_AGENT_ID", agent)
        .with("KAFCLAW_GROUP_KAFKA_BROKERS", &format!("127.0.0.1:{port}"))
        .with("KAFCLAW_GROUP_POLL_INTERVAL_MS", "300")
}

fn is_online(gateway: &Gateway) -> bool {
    gateway.dashboard().get("/api/v1/group/status").json()["connectivity"] == "online"
}

fn items(gateway: &Gateway) -> Vec<Value> {
    gateway.dashboard().get("/api/v1/group/memory").json().as_array().cloned().unwrap_or_default()
}

fn titles(gateway: &Gateway) -> Vec<String> {
    items(gateway).iter().map(|item| item["title"].as_str().unwrap_or_default().to_owned()).collect()
}

fn share(gateway: &Gateway, item: &Value) -> Reply {
    gateway
        .dashboard()
        .try_call("POST", "/api/v1/group/memory", &["Content-Type: application/json"], item.to_string().as_bytes())
        .expect("a response")
}

#[test]
fn what_the_garage_shares_the_kitchen_knows_until_it_is_taken_back() {
    let port = Kafka::shared().plaintext;
    let (kitchen, garage) = (hub("kitchen-hub", "it-share", port).start(), hub("garage-hub", "it-share", port).start());
    eventually("both are online", PATIENCE * 2, || is_online(&kitchen) && is_online(&garage));
    let told =
        share(&garage, &json!({"title": "Boiler", "content": "The boiler was bled in May.", "tags": ["heating"]}));
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("shared")), "{}", told.text());
    let large = format!("The manual of the pump. {}", "It says nothing new. ".repeat(10_000));
    assert_eq!(share(&garage, &json!({"title": "Pump manual", "content": large})).status, 200);
    let brief = json!({"title": "Door", "content": "The garage door stands open.", "ttl_seconds": 10});
    assert_eq!(share(&garage, &brief).status, 200);
    eventually("the kitchen knows", PATIENCE, || titles(&kitchen).len() == 3);
    let asked = kitchen.chat().say("what did the garage hub share about the boiler?");
    let reply = asked["reply"].as_str().unwrap_or_default().to_owned();
    assert!(reply.contains("arage-hub shared") && reply.contains("bled in May"), "{asked}");
    let found = kitchen.dashboard().get("/api/v1/memory/search?q=manual%20of%20the%20pump").text();
    assert!(found.contains("manual of the pump"), "{found}");
    eventually("the door is forgotten", PATIENCE, || {
        !kitchen.dashboard().get("/api/v1/memory/search?q=garage%20door%20open").text().contains("stands open")
    });
    // Its author takes one back.
    let boiler = told.json()["item_id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/group/memory/{boiler}");
    assert_eq!(garage.dashboard().call("DELETE", &path, &[], b"").status, 200);
    eventually("the boiler is forgotten", PATIENCE, || !titles(&kitchen).contains(&"Boiler".to_owned()));
    assert_eq!(garage.dashboard().call("DELETE", &path, &[], b"").status, 404);
    let refused = share(&garage, &json!({"title": "Secret", "content": "x", "zone": "cellar"}));
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(share(&garage, &json!({"content": "x"})).json()["error"], "title required");
}

/// A request as Go's client sends it: in chunks, without a length, with the key in a header of its own.
fn produce(gateway: &Gateway, key: &str, headers: &[&str], body: &str) -> Reply {
    let mut connection = Connection::open(gateway.chat().address).expect("a connection");
    let mut head = "POST /lfs/produce HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\n".to_owned();
    head.push_str("Transfer-Encoding: chunked\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n");
    if !key.is_empty() {
        head.push_str(&format!("X-Api-Key: {key}\r\n"));
    }
    headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
    connection.send(format!("{head}\r\n").as_bytes()).expect("sent");
    for piece in body.as_bytes().chunks(1_000) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        connection.send(&chunk).expect("sent");
    }
    connection.exchange(b"0\r\n\r\n").expect("a response")
}

fn go_join(agent: &str) -> String {
    json!({"type": "announce", "correlation_id": "join-1795219761281758617", "sender_id": agent,
        "timestamp": "2026-11-21T00:09:21.281761142Z", "payload": {"action": "join", "identity": {
            "agent_id": agent, "agent_name": "KafClaw", "soul_summary": "x".repeat(3_000), "capabilities": ["read_file"],
            "channels": ["cli"], "model": "m", "joined_at": "2026-11-21T00:09:21Z", "status": "active"}}})
    .to_string()
}

#[test]
fn an_agent_in_go_speaks_through_this_hub_and_what_it_says_waits_for_the_network() {
    let mut broker = Kafka::start();
    let port = broker.ports().plaintext;
    let (proxy, kitchen) = (hub("proxy-hub", "it-lfs", port).start(), hub("kitchen-hub", "it-lfs", port).start());
    eventually("both are online", PATIENCE * 2, || is_online(&proxy) && is_online(&kitchen));
    let announce = "X-Kafka-Topic: group.it-lfs.announce";
    let key = proxy.token().to_owned();
    let taken = produce(&proxy, &key, &[announce, "X-Request-ID: join-1"], &go_join("go-peer"));
    let pointer = taken.json();
    assert_eq!((taken.status, &pointer["kfs_lfs"], taken.header("x-request-id")), (200, &json!(1), Some("join-1")));
    let sees = || kitchen.dashboard().get("/api/v1/group/members").text().contains("go-peer");
    eventually("the kitchen sees the agent", PATIENCE, sees);

    broker.kill();
    eventually("the proxy notices", PATIENCE, || !is_online(&proxy));
    let memory = "X-Kafka-Topic: group.it-lfs.memory.shared";
    let pointer = produce(&proxy, &key, &[memory], "The boiler was bled in May.").json();
    let item = json!({"type": "memory", "correlation_id": "mem-1", "sender_id": "go-peer", "payload": {
        "item_id": "mem-1", "author_id": "go-peer", "title": "Boiler", "content_type": "text/plain", "tags": null,
        "lfs_envelope": pointer, "created_at": "2026-08-18T14:30:12Z"}});
    assert_eq!(produce(&proxy, &key, &[memory, "X-Request-ID: mem-1"], &item.to_string()).status, 200);
    let mut proxy = proxy;
    proxy.kill9();
    let proxy = proxy.start_again();
    let wanted = json!({"bucket": pointer["bucket"], "key": pointer["key"], "mode": "stream"});
    let fetched = proxy.chat().post("/lfs/download", &wanted);
    assert_eq!((fetched.status, fetched.text().as_str()), (200, "The boiler was bled in May."));
    broker.resume();
    eventually("the kitchen has the item", PATIENCE * 3, || titles(&kitchen).contains(&"Boiler".to_owned()));
    eventually("the kitchen has its text", PATIENCE, || {
        kitchen.dashboard().get("/api/v1/memory/search?q=boiler").text().contains("bled in May")
    });
}

#[test]
fn strangers_and_foreign_topics_are_turned_away_at_the_proxys_door() {
    let gateway = hub("proxy-hub", "it-refused", 9).start();
    let key = gateway.token().to_owned();
    let requests = "X-Kafka-Topic: group.it-refused.requests";
    assert_eq!(produce(&gateway, "", &[requests], "{}").status, 401);
    assert_eq!(produce(&gateway, "wrong", &[requests], "{}").status, 401);
    for (headers, status, code) in [
        (vec![], 400, "missing_topic"),
        (vec!["X-Kafka-Topic: a b"], 400, "invalid_topic"),
        (vec!["X-Kafka-Topic: group.other.requests"], 400, "invalid_topic"),
        (vec![requests, "X-Kafka-Key: ?"], 400, "invalid_key"),
        (vec![requests, "X-Kafka-Partition: x"], 400, "invalid_partition"),
        (vec![requests, "X-LFS-Checksum: 00"], 400, "checksum_mismatch"),
    ] {
        let reply = produce(&gateway, &key, &headers, "{}");
        assert_eq!((reply.status, &reply.json()["code"]), (status, &json!(code)), "{}", reply.text());
        assert!(reply.json()["request_id"].as_str().is_some_and(|id| !id.is_empty()));
    }
    let large = produce(&gateway, &key, &[requests], &"x".repeat(1_000_000));
    assert_eq!((large.status, &large.json()["code"]), (413, &json!("payload_too_large")));
    // Its health is asked without a key.
    let mut connection = Connection::open(gateway.chat().address).expect("a connection");
    let health = connection.exchange(b"GET /lfs/produce HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a response");
    assert_eq!(health.status, 200);
    let nothing = json!({"bucket": "it-refused", "key": "x", "mode": "stream"});
    assert_eq!(gateway.chat().post("/lfs/download", &nothing).json()["code"], "not_found");
    let alone = Plan::new().start();
    let reply = produce(&alone, alone.token(), &[requests], "{}");
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("proxy_not_ready")));
}

#[test]
fn the_group_sees_its_own_work_and_nothing_of_what_is_said_at_home() {
    let port = Kafka::shared().plaintext;
    let (kitchen, garage) = (hub("kitchen-hub", "it-watch", port).start(), hub("garage-hub", "it-watch", port).start());
    let sees = |one: &Gateway, other: &str| one.dashboard().get("/api/v1/group/members").text().contains(other);
    eventually("both see each other", PATIENCE * 2, || sees(&kitchen, "garage-hub") && sees(&garage, "kitchen-hub"));
    garage.chat().say("remember that the key is under the mat");
    assert!(
        garage.chat().say("what did I tell you about the key?")["reply"]
            .as_str()
            .is_some_and(|text| text.contains("mat"))
    );
    let answer = kitchen.chat().say("ask the garage hub what time is it");
    assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(':')), "{answer}");
    let spans = || kitchen.dashboard().get("/api/v1/group/traces?agent_id=garage-hub").json();
    eventually("the kitchen sees the garage's work", PATIENCE, || {
        spans().as_array().is_some_and(|spans| spans.iter().any(|span| span["span_type"] == "TASK"))
    });
    // What was said before it would have come before it.
    assert!(!spans().to_string().contains("mat"), "{}", spans());
    let asked = kitchen.dashboard().get("/api/v1/group/tasks?direction=outgoing").json();
    let span = spans().as_array().and_then(|spans| spans.iter().find(|span| span["span_type"] == "TASK").cloned());
    let span = span.expect("a span");
    assert_eq!(span["trace_id"], asked[0]["task_id"], "the requester's id");
    assert!(span["started_at"].is_string() && span["span_id"].as_str().is_some_and(|id| !id.is_empty()), "{span}");

    let audit = |query: &str| {
        let rows = kitchen.dashboard().get(&format!("/api/v1/group/audit{query}")).json();
        rows.as_array().cloned().unwrap_or_default()
    };
    let all = audit("?limit=200");
    let sources: Vec<&str> = all.iter().filter_map(|row| row["source"].as_str()).collect();
    assert!(sources.contains(&"delegation") && sources.contains(&"mode_change"), "{sources:?}");
    let times: Vec<&str> = all.iter().filter_map(|row| row["created_at"].as_str()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    let delegated = audit("?source=delegation&agent_id=kitchen-hub&limit=1");
    assert_eq!((delegated.len(), &delegated[0]["agent_id"]), (1, &json!("kitchen-hub")));
    assert_eq!(
        audit("?source=delegation&limit=1&offset=1").first(),
        all.iter().filter(|row| row["source"] == "delegation").nth(1)
    );
    assert!(audit("?event_type=nothing").is_empty());
}

/// KafScale's proxy as far as a reader needs it: gives `value` to whoever asks with the key.
fn proxy(value: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut heard = Vec::new();
            let mut piece = [0_u8; 4096];
            while !heard.ends_with(b"}") {
                let count = stream.read(&mut piece).unwrap_or(0);
                if count == 0 {
                    break;
                }
                heard.extend_from_slice(&piece[..count]);
            }
            let heard = String::from_utf8_lossy(&heard).to_lowercase();
            let is_right = heard.starts_with("post /lfs/download ") && heard.contains("x-api-key: proxy key");
            let status = if is_right { "200 OK" } else { "401 Unauthorized" };
            let body = if is_right { value.as_str() } else { "" };
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    format!("http://{address}")
}

fn say_on(port: u16, topic: &str, value: &str) {
    let address = Address {
        brokers: Broker::list(&format!("127.0.0.1:{port}")).expect("a broker"),
        security: Security::new(SecurityWords::default()).expect("security"),
        client_id: "proxy".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (producer, _reports) =
            Producer::start(&address, &ProducerConfig::default(), Arc::new(|_| ())).expect("a producer");
        let out = Outgoing { topic, key: None, payload: value.as_bytes(), headers: &[] };
        tokio::time::timeout(PATIENCE, producer.send_one(&out)).await.expect("in time").expect("sent").expect("placed");
    });
}

#[test]
fn what_a_genuine_proxy_put_into_its_store_is_fetched_from_there() {
    let port = Kafka::shared().plaintext;
    let announce = go_join("far-peer");
    let url = proxy(announce.clone());
    let with_proxy = |agent: &str| hub(agent, "it-pointer", port).with("KAFCLAW_GROUP_LFS_PROXY_API_KEY", "proxy key");
    let kitchen = with_proxy("kitchen-hub").with("KAFCLAW_GROUP_LFS_PROXY_URL", &url).start();
    let garage = hub("garage-hub", "it-pointer", port).start();
    eventually("both are online", PATIENCE * 2, || is_online(&kitchen) && is_online(&garage));
    let pointer = json!({"kfs_lfs": 1, "bucket": "b", "key": "default/group.it-pointer.announce/lfs/2026/11/21/obj-1",
        "size": announce.len(), "sha256": "", "checksum": "", "checksum_alg": "none", "content_type": "application/json",
        "created_at": "2026-11-21T00:09:21Z", "proxy_id": "lfs-proxy-0"});
    say_on(port, "group.it-pointer.announce", &pointer.to_string());
    let sees = |gateway: &Gateway| gateway.dashboard().get("/api/v1/group/members").text().contains("far-peer");
    eventually("the kitchen sees who is behind the pointer", PATIENCE, || sees(&kitchen));
    let refused = || garage.dashboard().get("/api/v1/group/refusals").text();
    eventually("the garage has no proxy and says so", PATIENCE, || refused().contains("unresolved"));
    assert!(!sees(&garage));
    assert!(garage.dashboard().get("/api/v1/timeline?limit=50").text().contains("GROUP_POINTER_SKIPPED"));
}
