//! Golden vectors of knowledge messages, both ways.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::base::clock::Timestamp;

const PRESENCE: &str = r#"{"schemaVersion":"v1","type":"presence","traceId":"8912a54da39e7fe5","timestamp":"2026-11-21T00:18:51.975351906Z","idempotencyKey":"knowledge:presence:go-claw:go-1:1795220331","clawId":"go-claw","instanceId":"go-1","payload":{"displayName":"KafClaw Local","group":"g1","status":"active","updatedAt":"2026-11-21T00:18:51Z"}}"#;

fn text(text: &str) -> String {
    text.to_owned()
}

fn bodies() -> Vec<Body> {
    let at = Some(GoTime::from(Timestamp::from_millis(1_795_219_761_120)));
    let ballot = |claw: &str| Ballot { claw_id: text(claw), vote: text("yes"), version: 1 };
    let fact = Fact {
        fact_id: text("f1"),
        group: text("g1"),
        subject: text("boiler"),
        predicate: text("serviced_on"),
        object: text("2026-11-20"),
        version: 2,
        source: text("claw-a"),
        proposal_id: text("kp-1"),
        decision_id: text("kd-1"),
        tags: vec![text("ops")],
        published_at: at,
        snapshot: false,
    };
    vec![
        Body::Capabilities(Capabilities {
            capabilities: Some(vec![text("memory.search")]),
            display_name: text("A"),
            group: text("g1"),
            model: text("m"),
            updated_at: text("2026-11-21T00:18:51Z"),
        }),
        Body::Presence(Presence {
            display_name: text("A"),
            group: text("g1"),
            status: text("active"),
            updated_at: text("2026-11-21T00:18:51Z"),
        }),
        Body::Proposal(Proposal {
            proposal_id: text("kp-1"),
            group: text("g1"),
            title: text("T"),
            statement: text("S <b>"),
            tags: vec![text("ops")],
            expires_at: at,
        }),
        Body::Vote(Vote { proposal_id: text("kp-1"), vote: text("yes"), reason: text("sure"), version: 2 }),
        Body::Decision(Decision {
            proposal_id: text("kp-1"),
            outcome: text("approved"),
            yes: 2,
            no: 0,
            reason: text("quorum"),
            votes: vec![ballot("claw-b"), ballot("claw-c")],
        }),
        Body::Fact(fact.clone()),
        Body::Fact(Fact { snapshot: true, ..fact }),
        Body::Digest(Digest {
            group: text("g1"),
            target_claw: text("claw-b"),
            after: text(""),
            until: text("f9"),
            facts: vec![DigestEntry { fact_id: text("f1"), version: 2, hash: text("00ff") }],
        }),
        Body::Want(Want { group: text("g1"), target_claw: text("claw-b"), fact_ids: vec![text("f1")] }),
        Body::DigestEnd(DigestEnd { group: text("g1"), target_claw: text("claw-b"), covered: text("f9") }),
    ]
}

fn message(body: Body) -> Message {
    let head = Head {
        trace_id: text("8912a54da39e7fe5"),
        timestamp: GoTime::from(Timestamp::from_millis(1_795_219_761_120)),
        idempotency_key: text("knowledge:x"),
        claw_id: text("claw-a"),
        instance_id: text("i1"),
        stamp: Some(Stamp { epoch: 3, seq: 41 }),
    };
    Message { head, body }
}

#[test]
fn what_go_sends_is_written_back_byte_for_byte() {
    let message = decode(PRESENCE.as_bytes()).expect("a presence");
    assert_eq!(String::from_utf8(encode(&message)).expect("text"), PRESENCE);
}

#[test]
fn what_we_send_stands_in_the_golden_files_and_reads_back() {
    for body in bodies() {
        let name = format!("knowledge-{}-{}", body.kind().as_str(), body.type_name());
        let message = message(body);
        let bytes = encode(&message);
        assert_eq!(decode(&bytes).as_ref(), Ok(&message), "{name}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/group").join(format!("{name}.json"));
        if std::env::var_os("KAFCLAW_BLESS").is_some() {
            fs::write(&path, &bytes).expect("the golden file is written");
        }
        let expected = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected), "{name}");
    }
}

#[test]
fn what_is_missing_or_means_nothing_is_refused() {
    let valid = String::from_utf8(encode(&message(bodies().swap_remove(5)))).expect("text");
    for (from, to, code) in [
        ("\"v1\"", "\" \"", "missing_field"),
        ("\"v1\"", "\"v2\"", "unknown_version"),
        ("\"type\":\"fact\"", "\"type\":\"Fact\"", "unknown_type"),
        ("\"traceId\":\"8912a54da39e7fe5\"", "\"traceId\":\"\"", "missing_field"),
        ("\"clawId\":\"claw-a\",", "", "missing_field"),
        ("\"idempotencyKey\":\"knowledge:x\"", "\"idempotencyKey\":\" \"", "missing_field"),
        ("2026-11-21T00:09:21.12Z\",\"idem", "0001-01-01T00:00:00Z\",\"idem", "bad_timestamp"),
        ("2026-11-21T00:09:21.12Z\",\"idem", "soon\",\"idem", "bad_timestamp"),
        ("\"version\":2", "\"version\":0", "meaningless_field"),
        ("\"version\":2", "\"version\":\"2\"", "bad_payload"),
        ("\"subject\":\"boiler\"", "\"subject\":null", "missing_field"),
        ("\"version\":2", "\"version\":2.0", "bad_payload"),
    ] {
        let changed = valid.replacen(from, to, 1);
        assert_ne!(changed, valid, "{from}");
        assert_eq!(decode(changed.as_bytes()).map_err(|refusal| refusal.code()), Err(code), "{to}");
    }
}

#[test]
fn topics_may_be_renamed_one_by_one() {
    let topics = Topics::of_group("home").with(Kind::Votes, "mine").with(Kind::Facts, " ");
    assert_eq!((topics.name(Kind::Votes), topics.name(Kind::Facts)), ("mine", "group.home.knowledge.facts"));
    assert_eq!((topics.parse("mine"), topics.parse("group.home.knowledge.votes")), (Some(Kind::Votes), None));
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_damaged_message_is_taken_or_refused_and_what_is_taken_reads_back(which in 0_usize..10, at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = encode(&message(bodies().swap_remove(which)));
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(message) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }
}
