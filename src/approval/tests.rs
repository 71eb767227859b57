//! The store against a model, across restarts; who may answer; old rows.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::clock::Clock;
use crate::db::{self, Db, Migration};
use crate::timeline;

const START: Timestamp = Timestamp::from_millis(1_787_063_412_000);
const TIMEOUT: Duration = Duration::from_secs(60);
const ALL_MIGRATIONS: &[&[Migration]] = &[timeline::MIGRATIONS, MIGRATIONS];

fn asker() -> Asker {
    Asker {
        session: SessionKey::from("mqtt:kitchen"),
        sender_id: "ann".to_owned(),
        channel: Channel::new(Channel::MQTT),
        chat_id: "kitchen".to_owned(),
        thread_id: Some("7".to_owned()),
        reply_hint: Some("json".to_owned()),
    }
}

fn ask(db: &Db, id: &str, now: Timestamp) -> Request {
    let id = ApprovalId::from(id);
    db.write_blocking(move |tx| {
        let call = Call {
            id: format!("call {id}"),
            tool: "exec".to_owned(),
            arguments: json!({ "command": "ls ".repeat(100) }),
        };
        request(
            tx,
            &NewRequest {
                id: &id,
                trace_id: &TraceId::from("trace"),
                task_id: &TaskId::from("task"),
                call: &call,
                tier: Tier::HighRisk,
                asker: &asker(),
                asked_at: now,
                expires_at: now.plus(TIMEOUT),
            },
        )
    })
    .expect("requested")
}

fn answer(db: &Db, id: &str, decision: Decision, by: Responder, now: Timestamp) -> Response {
    let id = ApprovalId::from(id);
    db.write_blocking(move |tx| respond(tx, &id, decision, &by, now)).expect("answered")
}

fn expire(db: &Db, now: Timestamp) -> Vec<Request> {
    db.write_blocking(move |tx| expire_due(tx, now)).expect("expired")
}

fn owner() -> Responder {
    Responder::Owner { name: "dashboard".to_owned() }
}

fn chat(session: &str, sender: &str, origin: Origin) -> Responder {
    Responder::Chat { session: SessionKey::from(session), sender_id: sender.to_owned(), origin }
}

#[test]
fn a_request_reads_back_and_prompts_in_kafclaws_words() {
    let db = Db::memory_for_tests(ALL_MIGRATIONS);
    let made = ask(&db, "00ff", START);
    assert_eq!(made.asker, asker());
    assert_eq!(db.read_blocking(pending).expect("listed"), vec![made.clone()]);
    let prompt = made.prompt();
    let lines: Vec<_> = prompt.lines().collect();
    assert_eq!(lines[0], "Tool \"exec\" (tier 2) requires approval.");
    assert!(lines[1].starts_with("Args: {\"command\":\"ls ls ") && lines[1].ends_with("..."));
    assert_eq!(lines[1].len(), "Args: ".len() + PROMPT_ARGUMENTS_BYTES_MAX);
    assert_eq!(lines[2], "Reply approve:00ff or deny:00ff");
}

#[test]
fn asking_again_for_the_same_call_returns_the_first_request() {
    let db = Db::memory_for_tests(ALL_MIGRATIONS);
    let first = ask(&db, "00ff", START);
    assert_eq!(ask(&db, "00ff", START.plus(TIMEOUT)), first);
    let task = TaskId::from("task");
    assert_eq!(db.read_blocking(move |conn| for_call(conn, &task, "call 00ff")).expect("read"), Some(first));
}

#[test]
fn only_the_asker_in_the_same_conversation_or_the_owner_decides() {
    let db = Db::memory_for_tests(ALL_MIGRATIONS);
    let id = ApprovalId::from("00ff");
    ask(&db, "00ff", START);
    for stranger in [
        chat("mqtt:kitchen", "bob", Origin::Internal),
        chat("mqtt:garage", "ann", Origin::Internal),
        chat("mqtt:kitchen", "ann", Origin::External),
    ] {
        let response = answer(&db, "00ff", Decision::Approve, stranger, START);
        assert_eq!(response, Response::Refused);
        assert_eq!(response.text(&id), "No pending approval found for ID 00ff.");
    }
    let response = answer(&db, "00ff", Decision::Approve, chat("mqtt:kitchen", "ann", Origin::Internal), START);
    assert_eq!(response.text(&id), "Approval 00ff: approved.");
    assert!(matches!(response, Response::Responded(request) if request.responded_by.as_deref() == Some("ann")));
    ask(&db, "0001", START);
    let response = answer(&db, "0001", Decision::Deny, owner(), START);
    assert_eq!(response.text(&ApprovalId::from("0001")), "Approval 0001: denied.");
    assert_eq!(answer(&db, "0002", Decision::Deny, owner(), START), Response::Unknown);
    let events = db.read_blocking(|conn| timeline::by_trace(conn, "trace", 100)).expect("read");
    let mut kinds = BTreeMap::<String, usize>::new();
    for row in events {
        *kinds.entry(row.classification).or_default() += 1;
    }
    let expected = [("APPROVAL_REFUSED", 3), ("APPROVAL_REQUESTED", 2), ("APPROVAL_RESPONDED", 2)];
    assert_eq!(kinds, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
}

#[test]
fn a_pending_row_that_kafclaw_left_times_out() {
    let db = Db::memory_for_tests(ALL_MIGRATIONS);
    db.write_blocking(|tx| {
        tx.execute("INSERT INTO approval_requests (approval_id, tool, tier) VALUES ('old', 'exec', 2)", ())
    })
    .expect("inserted");
    assert!(db.read_blocking(next_expiry).expect("read").is_some());
    let expired = expire(&db, Clock::System.now());
    assert_eq!(expired.iter().map(|request| request.id.as_str()).collect::<Vec<_>>(), ["old"]);
    assert_eq!(expired[0].status, Status::Timeout);
}

#[test]
fn pruning_leaves_pending_requests() {
    let db = Db::memory_for_tests(ALL_MIGRATIONS);
    for id in ["1", "2", "3"] {
        ask(&db, id, START);
    }
    answer(&db, "2", Decision::Approve, owner(), START);
    let gone = db.write_blocking(|tx| prune(tx, START.plus(TIMEOUT), 0)).expect("pruned");
    assert_eq!(gone, 1);
    assert_eq!(db.read_blocking(pending).expect("read").len(), 2);
}

#[derive(Clone, Debug)]
enum Move {
    Ask(u8),
    Answer(u8, bool),
    Wait(u64),
    Expire,
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0_u8..4).prop_map(Move::Ask),
        4 => ((0_u8..5), any::<bool>()).prop_map(|(id, yes)| Move::Answer(id, yes)),
        3 => (1_u64..50).prop_map(Move::Wait),
        2 => Just(Move::Expire),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(one, 1..30)
}

/// What a request must be, kept in memory.
#[derive(Clone, Copy)]
struct Expected {
    status: Status,
    expires_at: Timestamp,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_store_does_what_the_model_does_across_restarts(moves in moves()) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = db::Config::at(folder.path().join("timeline.db"));
        let open = || Db::open(&config, ALL_MIGRATIONS, &Clock::System).expect("opened");
        let clock = Clock::manual(START);
        let mut db = open();
        let mut model = BTreeMap::<String, Expected>::new();
        for step in moves {
            let now = clock.now();
            match step {
                Move::Ask(n) => {
                    let id = n.to_string();
                    ask(&db, &id, now);
                    model.entry(id).or_insert(Expected { status: Status::Pending, expires_at: now.plus(TIMEOUT) });
                }
                Move::Answer(n, yes) => {
                    let id = n.to_string();
                    let (decision, status) =
                        if yes { (Decision::Approve, Status::Approved) } else { (Decision::Deny, Status::Denied) };
                    let response = answer(&db, &id, decision, owner(), now);
                    match model.get_mut(&id) {
                        None => prop_assert_eq!(response, Response::Unknown),
                        Some(known) if known.status != Status::Pending => {
                            prop_assert_eq!(response, Response::AlreadyDecided(known.status));
                        }
                        Some(known) if now >= known.expires_at => {
                            prop_assert_eq!(response, Response::AlreadyDecided(Status::Timeout));
                        }
                        Some(known) => {
                            known.status = status;
                            let is_right = matches!(&response, Response::Responded(request) if request.status == status);
                            prop_assert!(is_right, "{:?}", response);
                        }
                    }
                }
                Move::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
                Move::Expire => {
                    let mut due = Vec::new();
                    for (id, known) in &mut model {
                        if known.status == Status::Pending && now >= known.expires_at {
                            known.status = Status::Timeout;
                            due.push(id.clone());
                        }
                    }
                    let mut expired: Vec<_> = expire(&db, now).iter().map(|request| request.id.to_string()).collect();
                    expired.sort();
                    prop_assert_eq!(expired, due);
                }
                Move::Restart => {
                    db.close();
                    db = open();
                }
            }
        }
        let expected: Vec<_> =
            model.iter().filter(|(_, known)| known.status == Status::Pending).map(|(id, _)| id.clone()).collect();
        let mut found: Vec<_> =
            db.read_blocking(pending).expect("read").iter().map(|request| request.id.to_string()).collect();
        found.sort();
        prop_assert_eq!(found, expected);
        let earliest = model.values().filter(|known| known.status == Status::Pending).map(|known| known.expires_at).min();
        prop_assert_eq!(db.read_blocking(next_expiry).expect("read"), earliest);
    }
}
