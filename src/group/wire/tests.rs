//! Golden vectors both ways: every message that the running Go code was seen to send is taken and would be written back the same;
//! every message of ours stands in `tests/golden/group/` as it goes onto the wire. With `KAFCLAW_BLESS=1` those files are written anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::sign::{PublicKey, Signer, verify};
use super::*;
use crate::base::fuzz::{Seed, heap_peak, run};
use crate::domain::peer;
use crate::domain::refusal::Refusal;
use crate::knowledge::wire as knowledge;

fn topics() -> Topics {
    Topics::new(GroupName::parse("g1").expect("a name"), knowledge::Topics::of_group("g1"))
}

fn take(topic: &str, value: &[u8]) -> Result<Received, Refusal> {
    decode(&topics(), topic, None, value, &Limits::default())
}

struct Fixture {
    case: String,
    topic: String,
    value: Value,
    bytes: Vec<u8>,
}

/// What the Go code sent, with the bytes as Go writes them.
fn fixtures() -> Vec<Fixture> {
    let text = include_str!("../../../tests/fixtures/group/go-messages.jsonl");
    let read = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("a line of JSON");
        let value = line["value"].take();
        let bytes = value.as_str().map_or_else(|| gojson::to_vec(&value), |text| text.as_bytes().to_vec());
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        Fixture { case: text("case"), topic: text("topic"), value, bytes }
    };
    text.lines().map(read).collect()
}

fn again(message: &Message) -> Vec<u8> {
    let at = message.head.timestamp.expect("Go always sends the time");
    let bytes = encode(&Draft {
        topic: &message.topic,
        body: &message.body,
        correlation_id: &message.head.correlation_id,
        sender: &message.head.sender,
        at: at.to_timestamp(),
        stamp: message.head.stamp,
        target: message.head.target.as_ref(),
    });
    // Our own clock counts milliseconds.
    let ours = GoTime::from(at.to_timestamp()).to_text();
    let text = String::from_utf8(bytes).expect("JSON");
    text.replacen(&format!("\"timestamp\":\"{ours}\""), &format!("\"timestamp\":\"{}\"", at.to_text()), 1).into_bytes()
}

#[test]
fn every_message_of_the_go_code_is_taken_and_written_back_byte_for_byte() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 25);
    for Fixture { case, topic, value, bytes } in fixtures {
        let received = take(&topic, &bytes).unwrap_or_else(|refusal| panic!("{case}: {refusal}"));
        match received {
            Received::Message(message) => {
                assert_eq!(message.body.type_name(&message.topic), value["type"], "{case}");
                assert_eq!(message.head.stamp, None);
                let again = again(&message);
                assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&bytes), "{case}");
            }
            Received::Content => assert_eq!(value, json!("hello body")),
            Received::EnsureTopic => assert_eq!(value["payload"]["action"], "ensure_topic"),
            other => panic!("{case}: {other:?}"),
        }
    }
}

fn nouns(fixture: &Fixture) -> Option<(Head, Body)> {
    match take(&fixture.topic, &fixture.bytes) {
        Ok(Received::Message(message)) => Some((message.head, message.body)),
        _ => None,
    }
}

#[test]
fn payloads_become_nouns_of_the_house_and_payloads_again() {
    let mut seen = BTreeMap::new();
    for fixture in fixtures() {
        let Some((head, body)) = nouns(&fixture) else { continue };
        let name = match body {
            Body::Announce(wire) => {
                let identity = peer::Identity::try_from(wire.identity.clone()).expect("an identity");
                assert_eq!(AgentIdentity::from(identity), wire.identity);
                "identity"
            }
            Body::Request(wire) => {
                let request = peer::Request::try_from((&head, wire.clone())).expect("a request");
                assert_eq!(TaskRequest::from(request), wire);
                "request"
            }
            Body::Response(wire) => {
                let answer = peer::Answer::try_from((&head, wire.clone())).expect("an answer");
                assert_eq!(TaskResponse::from(answer), wire);
                "answer"
            }
            Body::Status(wire) => {
                let report = peer::Report::try_from((&head, wire.clone())).expect("a report");
                assert_eq!(TaskStatus::from(report), wire);
                "report"
            }
            _ => continue,
        };
        *seen.entry(name).or_insert(0) += 1;
    }
    assert_eq!(seen, BTreeMap::from([("answer", 2), ("identity", 4), ("report", 1), ("request", 4)]));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_reason() {
    let cases: &[(&str, &str, &str)] = &[
        ("group.g1.requests", "", "empty"),
        ("group.g1.requests", "plain text", "not_json"),
        ("group.g1.requests", "[]", "not_json"),
        ("group.g1.requests", "5", "not_json"),
        ("group.g1.requests", r#"{"sender_id":"a","payload":{"task_id":5}}"#, "bad_payload"),
        ("group.g1.requests", r#"{"sender_id":"a","payload":[]}"#, "bad_payload"),
        ("group.g1.requests", r#"{"sender_id":"a","payload":null}"#, "missing_field"),
        ("group.g1.requests", r#"{"payload":{"task_id":"t"}}"#, "missing_field"),
        ("group.g1.requests", r#"{"sender_id":"a","timestamp":"bad","payload":{"task_id":"t"}}"#, "bad_timestamp"),
        ("group.g1.requests", r#"{"sender_id":"a","timestamp":"","payload":{"task_id":"t"}}"#, "bad_timestamp"),
        ("group.g1.requests", r#"{"sender_id":"a","v":2,"payload":{"task_id":"t"}}"#, "unknown_version"),
        ("group.g1.requests", r#"{"sender_id":"a","sender_id":"b","payload":{"task_id":"t"}}"#, "not_json"),
        ("group.g1.requests", r#"{"sender_id":"a\u0007","payload":{"task_id":"t"}}"#, "meaningless_field"),
        (
            "group.g1.announce",
            r#"{"sender_id":"a","payload":{"action":"dance","identity":{"agent_id":"a"}}}"#,
            "unknown_action",
        ),
        ("group.g1.announce", r#"{"sender_id":"a","payload":{"action":"join"}}"#, "missing_field"),
        ("group.g1.direct", r#"{"type":"song","sender_id":"a","payload":{}}"#, "unknown_type"),
        ("group.g1.noise", r#"{"type":"request","sender_id":"a","payload":{"task_id":"t"}}"#, "unknown_topic"),
        ("group.g1.control.onboarding", r#"{"sender_id":"a","payload":{"action":"x"}}"#, "unknown_action"),
        ("group.g1.requests", r#"{"kfs_lfs":2,"bucket":"b","key":"k"}"#, "unknown_version"),
        ("group.g1.knowledge.facts", r#"{"schemaVersion":"v2"}"#, "unknown_version"),
    ];
    for (topic, value, code) in cases {
        let refusal = take(topic, value.as_bytes()).expect_err(value);
        assert_eq!(refusal.code(), *code, "{value}");
    }
    let large = vec![b' '; Limits::default().record_bytes_max + 1];
    assert_eq!(take("group.g1.requests", &large).expect_err("too large").code(), "too_large");
    let deep = "[".repeat(100_000);
    assert_eq!(take("group.g1.observe.audit", deep.as_bytes()).expect_err("too deep").code(), "not_json");
}

#[test]
fn what_others_leave_out_or_leave_empty_is_no_reason_to_refuse() {
    let request = r#"{"SENDER_ID":"py","Payload":{"Task_ID":"t1","content":"hi","extra":[1]},"new":{}}"#;
    let Ok(Received::Message(message)) = take("group.g1.requests", request.as_bytes()) else { panic!("a message") };
    let Body::Request(wire) = message.body else { panic!("a request") };
    let request = peer::Request::try_from((&message.head, wire)).expect("a request");
    assert_eq!((request.task_id.as_str(), request.requester.as_str(), request.depth), ("t1", "py", 0));

    let identity = r#"{"type":"request","sender_id":"a","timestamp":null,"payload":{"action":"heartbeat","identity":{"agent_id":"a","capabilities":null,"channels":null,"joined_at":""}}}"#;
    let Ok(Received::Message(message)) = take("group.g1.announce", identity.as_bytes()) else { panic!("a message") };
    assert!(matches!(message.body, Body::Announce(_)), "the topic says what it is");
}

#[test]
fn pointers_probes_and_content_are_told_apart() {
    let pointer = br#"{"kfs_lfs":1,"bucket":"b","key":"default/t/lfs/obj-1","size":10,"sha256":"ab"}"#;
    for topic in ["group.g1.requests", "group.g1.memory.shared", "group.g1.knowledge.facts"] {
        let Ok(Received::Pointer(found)) = take(topic, pointer) else { panic!("{topic}: a pointer") };
        assert_eq!((found.bucket.as_str(), found.size), ("b", 10));
    }
    assert_eq!(
        decode_fetched(&topics(), "group.g1.requests", pointer, &Limits::default()),
        Err(Refusal::Meaningless { field: "kfs_lfs" })
    );
    assert_eq!(take("group.g1.requests", b"probe"), Ok(Received::Probe));
    let keyed = decode(&topics(), "group.g1.traces", Some(b"kshark-17"), b"anything", &Limits::default());
    assert_eq!(keyed, Ok(Received::Probe));
    for content in [&b"hello"[..], b"\xff\xfe", br#"{"title":"a JSON document"}"#, b"[1,2]"] {
        assert_eq!(take("group.g1.memory.shared", content), Ok(Received::Content));
    }
    let large = vec![b'x'; Limits::default().free_bytes_max + 1];
    assert_eq!(take("group.g1.memory.shared", &large), Ok(Received::Content));
}

#[test]
fn a_status_among_the_responses_is_no_response() {
    let status = br#"{"type":"task_status","sender_id":"a","payload":{"task_id":"t","status":"accepted"}}"#;
    for topic in ["group.g1.responses", "group.g1.tasks.status", "group.g1.direct"] {
        let Ok(Received::Message(message)) = take(topic, status) else { panic!("a message") };
        assert!(matches!(message.body, Body::Status(_)), "{topic}");
    }
}

#[test]
fn skills_bring_their_topics_into_the_manifest_once() {
    let (topics, me) = (topics(), PeerId::from("a1"));
    let now = Timestamp::from_millis(1_795_219_761_682);
    let first = Manifest::first(&topics, &me, now);
    let fixture = fixtures().into_iter().find(|fixture| fixture.case == "skill-register").expect("there is one");
    let go = &fixture.value["payload"];
    assert_eq!(gojson::to_string(&first.core_topics), gojson::to_string(&go["core_topics"]));
    let skill = SkillName::parse("web_search").expect("a skill");
    let second = first.with_skill(&topics, &skill, &me, now).expect("a new one");
    assert_eq!(gojson::to_string(&second.skill_topics), gojson::to_string(&go["skill_topics"]));
    assert_eq!((second.version, second.with_skill(&topics, &skill, &me, now)), (2, None));
    let third = second.with_skill(&topics, &skill, &PeerId::from("b2"), now).expect("one more reader");
    assert_eq!(third.skill_topics.expect("topics")[0].consumers, Some(vec!["a1".to_owned(), "b2".to_owned()]));
}

/// Every kind of message that we send.
fn ours() -> Vec<(&'static str, Topic, Body)> {
    let announce =
        |action: Action| Body::Announce(Announce { action: action.as_str().to_owned(), identity: identity() });
    let mut all = vec![
        ("announce-join", Topic::Announce, announce(Action::Join)),
        ("announce-heartbeat", Topic::Announce, announce(Action::Heartbeat)),
        ("announce-leave", Topic::Announce, announce(Action::Leave)),
    ];
    all.extend(tasks());
    all.extend(onboardings(identity()));
    all.extend(rarer_ones());
    all.extend(orchestrations());
    all
}

fn identity() -> AgentIdentity {
    AgentIdentity {
        agent_id: "hub-a".to_owned(),
        agent_name: "Kitchen <hub>".to_owned(),
        soul_summary: "Calm & brief.".to_owned(),
        capabilities: Some(vec!["read_file".to_owned()]),
        channels: Some(vec!["cli".to_owned(), "mqtt".to_owned()]),
        model: "local/qwen".to_owned(),
        joined_at: "2026-11-21T00:09:21Z".to_owned(),
        status: "active".to_owned(),
        role: "worker".to_owned(),
        zone_id: "downstairs".to_owned(),
        skills: vec!["web_search".to_owned()],
        public_key: signer().public_key().to_text(),
        load: Some(2),
        can_think: Some(true),
        ..AgentIdentity::default()
    }
}

fn tasks() -> Vec<(&'static str, Topic, Body)> {
    let text = |text: &str| text.to_owned();
    let skill = SkillName::parse("web_search").expect("a skill");
    let request = TaskRequest {
        task_id: text("t1"),
        description: text("weather"),
        content: text("Will it rain?"),
        requester_id: text("hub-a"),
        parent_task_id: text("t0"),
        delegation_depth: 1,
        original_requester_id: text("hub-a"),
        deadline_at: text("2026-11-21T00:10:00Z"),
        zone_id: text("downstairs"),
        skill: text("web_search"),
    };
    let response = TaskResponse {
        task_id: text("t1"),
        responder_id: text("hub-b"),
        content: text("Yes."),
        status: text("completed"),
    };
    let status = |word: peer::WorkStatus| {
        Body::Status(TaskStatus {
            task_id: text("t1"),
            responder_id: text("hub-b"),
            status: word.as_str().to_owned(),
            summary: text("looking"),
            lease_until: text("2026-11-21T00:10:00Z"),
            progress_percent: Some(40),
        })
    };
    let decision = Audit::policy_decision("tool=exec tier=2 action=DENY");
    let registered = Audit::skill_registered("hub-a", "web_search", "group.g1.skill.web_search.requests");
    vec![
        ("request", Topic::Requests, Body::Request(request.clone())),
        ("request-direct", Topic::Direct, Body::Request(request.clone())),
        ("skill-request", Topic::SkillRequests(skill.clone()), Body::Request(request)),
        ("response", Topic::Responses, Body::Response(response.clone())),
        ("skill-response", Topic::SkillResponses(skill), Body::Response(response)),
        ("status-claimed", Topic::Direct, status(peer::WorkStatus::Claimed)),
        ("status-in-progress", Topic::Direct, status(peer::WorkStatus::InProgress)),
        ("status-cancel", Topic::Direct, status(peer::WorkStatus::Cancel)),
        ("audit", Topic::Audit, Body::Audit(decision)),
        ("audit-skill", Topic::Audit, Body::Audit(registered)),
    ]
}

fn onboardings(identity: AgentIdentity) -> Vec<(&'static str, Topic, Body)> {
    let text = |text: &str| text.to_owned();
    let onboard = |action: OnboardAction| Onboard {
        action: action.as_str().to_owned(),
        requester_id: "hub-a".to_owned(),
        ..Onboard::default()
    };
    let sponsored = |action: OnboardAction| Onboard { sponsor_id: "hub-b".to_owned(), ..onboard(action) };
    let manifest = Some(Manifest::first(&topics(), &PeerId::from("hub-b"), AT));
    let request =
        Onboard { identity: Some(identity), skills: vec![text("web_search")], ..onboard(OnboardAction::Request) };
    let challenge =
        Onboard { challenge: text("Sign the nonce."), nonce: text("00ff"), ..sponsored(OnboardAction::Challenge) };
    let answer = Onboard { response: text("signed"), proof: text("proof"), ..sponsored(OnboardAction::Response) };
    let complete = Onboard { manifest, ..sponsored(OnboardAction::Complete) };
    let reject = Onboard { reason: text("key not approved"), ..sponsored(OnboardAction::Reject) };
    vec![
        ("onboard-request", Topic::Onboarding, Body::Onboard(request)),
        ("onboard-challenge", Topic::Onboarding, Body::Onboard(challenge)),
        ("onboard-response", Topic::Onboarding, Body::Onboard(answer)),
        ("onboard-complete", Topic::Onboarding, Body::Onboard(complete)),
        ("onboard-reject", Topic::Onboarding, Body::Onboard(reject)),
    ]
}

fn rarer_ones() -> Vec<(&'static str, Topic, Body)> {
    let text = |text: &str| text.to_owned();
    let at = GoTime::from(AT);
    let trace = Trace {
        trace_id: text("tr1"),
        span_id: text("s1"),
        span_type: text("TASK"),
        title: text("Task"),
        content: text("x"),
        duration_ms: 5,
        ..Trace::default()
    };
    let item = MemoryItem {
        item_id: text("mem-1"),
        author_id: text("hub-a"),
        title: text("Wi-Fi"),
        content_type: text("text/plain"),
        tags: Some(vec![text("home")]),
        created_at: at,
        expires_at: Some(at),
        content: text("The guest network is called Garden."),
        ..MemoryItem::default()
    };
    let roster = Manifest::first(&topics(), &PeerId::from("hub-a"), AT);
    vec![
        ("roster", Topic::Roster, Body::Roster(roster)),
        ("trace", Topic::Traces, Body::Trace(trace)),
        ("memory-shared", Topic::MemoryShared, Body::Memory(item.clone())),
        ("memory-context", Topic::MemoryContext, Body::Memory(item)),
    ]
}

fn orchestrations() -> Vec<(&'static str, Topic, Body)> {
    let text = |text: &str| text.to_owned();
    let node = orchestrator::Node {
        agent_id: text("hub-a"),
        role: text("worker"),
        zone_id: text("downstairs"),
        status: text("active"),
        ..Default::default()
    };
    let zone = orchestrator::Zone {
        zone_id: text("downstairs"),
        name: text("downstairs"),
        visibility: text("shared"),
        owner_id: text("hub-a"),
        created_at: GoTime::from(AT),
        members: vec![text("hub-a")],
        ..Default::default()
    };
    let (zones, hierarchy) = (vec![zone.clone()], vec![node.clone()]);
    let discovery = orchestrator::Discovery { action: text("discover"), node, zones, hierarchy };
    let change = orchestrator::ZoneChange { action: text("join_request"), zone, agent_id: text("hub-c") };
    let moved =
        orchestrator::HierarchyChange { action: text("set_parent"), agent_id: text("hub-a"), parent_id: text("hub-b") };
    let body = Body::Orchestrator;
    vec![
        ("orchestrator-discover", Topic::Orchestrator, body(orchestrator::Message::Discovery(discovery))),
        ("orchestrator-zone", Topic::Direct, body(orchestrator::Message::Zone(change))),
        ("orchestrator-parent", Topic::Direct, body(orchestrator::Message::Hierarchy(moved))),
    ]
}

const AT: Timestamp = Timestamp::from_millis(1_795_219_761_120);

fn signer() -> Signer {
    Signer::from_seed(&[7; 32])
}

fn record(topic: &Topic, body: &Body) -> Vec<u8> {
    let (sender, target) = (PeerId::from("hub-a"), PeerId::from("hub-b"));
    let stamp = Some(Stamp { epoch: 3, seq: 41 });
    let target = (*topic == Topic::Direct).then_some(&target);
    encode(&Draft { topic, body, correlation_id: "c1", sender: &sender, at: AT, stamp, target })
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/group").join(format!("{name}.json"))
}

fn expect_golden(name: &str, bytes: &[u8]) {
    let path = golden(name);
    if std::env::var_os("KAFCLAW_BLESS").is_some() {
        fs::write(&path, bytes).expect("the golden file is written");
    }
    let expected = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&expected), "{name}");
}

#[test]
fn what_we_send_stands_in_the_golden_files_and_reads_back() {
    for (name, topic, body) in ours() {
        let bytes = record(&topic, &body);
        let topic_name = topics().name(&topic);
        let received = take(&topic_name, &bytes).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let Received::Message(message) = received else { panic!("{name}: a message") };
        assert_eq!(
            (&message.body, message.head.is_of_our_kind(), message.head.is_signed),
            (&body, true, false),
            "{name}"
        );
        let sealed = signer().seal(&topic_name, bytes);
        let Ok(Received::Message(signed)) = take(&topic_name, &sealed) else { panic!("{name}: a signed message") };
        assert_eq!((&signed.body, signed.head.is_signed), (&body, true), "{name}");
        expect_golden(name, &sealed);
    }
}

#[test]
fn the_golden_files_carry_signatures_that_anybody_can_check() {
    let key = PublicKey::parse(&signer().public_key().to_text()).expect("a key");
    for (name, topic, _) in ours() {
        let bytes = fs::read(golden(name)).expect("a golden file");
        assert_eq!(verify(&topics().name(&topic), &bytes, &key), Ok(()), "{name}");
    }
}

#[test]
fn go_reads_of_our_messages_what_it_knows() {
    // Go's five fields come first and in its order; everything else is ours, and Go skips it.
    for (name, topic, body) in ours() {
        let tree: Value = serde_json::from_slice(&record(&topic, &body)).expect("JSON");
        let keys: Vec<&str> = tree.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys[..5], ["type", "correlation_id", "sender_id", "timestamp", "payload"], "{name}");
    }
}

#[test]
fn hostile_records_by_the_thousand_are_taken_or_refused_within_the_heap() {
    let mut fixtures = fixtures();
    fixtures.retain(|fixture| fixture.value.is_object());
    let seeds: Vec<Seed> =
        fixtures.iter().map(|fixture| Seed::new(fixture.bytes.clone(), fixture.bytes.len())).collect();
    run(&seeds, |number, bytes| {
        let topic = &fixtures[(number % fixtures.len() as u64) as usize].topic;
        let (_, peak) = heap_peak(|| take(topic, &bytes));
        assert!(peak <= 16 * bytes.len() + 16 * 1024, "{peak} bytes of heap for {} of record", bytes.len());
    });
}

#[test]
fn a_megabyte_that_no_field_asks_for_is_not_kept() {
    let limits = Limits::default();
    let filled = |bytes: usize, inner: &str| {
        let list = inner.repeat(bytes / inner.len() - 20);
        format!(r#"{{"sender_id":"a","payload":{{"task_id":"t","x":[{list}0]}}}}"#)
    };
    for inner in ["0,", "{\"a\":1},", "[[]],"] {
        let record = filled(limits.record_bytes_max - 100, inner);
        let (taken, peak) = heap_peak(|| take("group.g1.requests", record.as_bytes()).is_ok());
        assert!(taken && peak < 16 * 1024, "{inner}: {peak} bytes of heap");
    }
    let audit = filled(limits.free_bytes_max - 100, "0,");
    let (received, peak) = heap_peak(|| take("group.g1.observe.audit", audit.as_bytes()));
    assert_eq!(received.map_err(|refusal| refusal.code()), Err("bad_payload"), "a list is too long");
    assert!(peak < 2 * 1024 * 1024, "{peak} bytes of heap");
}

fn any_topic() -> impl Strategy<Value = String> {
    let names = topics().all().into_iter().chain(["group.g1.skill.x.requests".to_owned(), "group.g1.x".to_owned()]);
    proptest::sample::select(names.collect::<Vec<_>>())
}

/// One byte changed, the end cut off, one byte put in, or a piece doubled.
fn mutated(bytes: &[u8], at: usize, byte: u8, how: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let at = at % bytes.len().max(1);
    match how % 4 {
        0 => changed[at] = byte,
        1 => changed.truncate(at),
        2 => changed.insert(at, byte),
        _ => changed.extend_from_slice(&bytes[at..]),
    }
    changed
}

proptest! {
    #[test]
    fn decoding_any_bytes_never_panics(topic in any_topic(), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = take(&topic, &bytes);
    }

    #[test]
    fn a_damaged_message_is_taken_or_refused_and_what_is_taken_reads_back(
        topic in any_topic(), which in 0_usize..25, at in any::<usize>(), byte in any::<u8>(), how in any::<u8>(),
    ) {
        let fixture = fixtures().swap_remove(which);
        let topic = if how & 16 == 0 { fixture.topic } else { topic };
        let damaged = mutated(&fixture.bytes, at, byte, how);
        if let Ok(Received::Message(message)) = take(&topic, &damaged) {
            let (topic, body) = (message.topic.clone(), message.body.clone());
            let bytes = encode(&Draft {
                topic: &topic, body: &body, correlation_id: &message.head.correlation_id, sender: &message.head.sender,
                at: AT, stamp: message.head.stamp, target: message.head.target.as_ref(),
            });
            let Ok(Received::Message(again)) = take(&topics().name(&topic), &bytes) else {
                return Err(TestCaseError::fail("our own record is refused"));
            };
            prop_assert_eq!(again.body, body);
        }
    }
}
