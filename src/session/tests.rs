//! Conversations as their users see them.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::base::id::SessionKey;
use crate::db::Db;

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn key(text: &str) -> SessionKey {
    SessionKey::from(text)
}

fn say(db: &Db, session: &str, content: &str, timestamp: Timestamp) {
    let session = key(session);
    let message = Message { role: Role::User, content: content.to_owned(), timestamp, task_id: Some("t1".into()) };
    db.write_blocking(move |tx| append(tx, &session, &message)).expect("written");
}

fn contents(db: &Db, session: &str) -> Vec<String> {
    let session = key(session);
    let messages = db.read_blocking(move |conn| recent(conn, &session, PROMPT_MESSAGES)).expect("messages");
    messages.into_iter().map(|message| message.content).collect()
}

#[test]
fn the_prompt_gets_the_last_messages_in_order() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    for number in 0..60 {
        say(&db, "a:b", &format!("m{number}"), NOW);
    }
    say(&db, "a_b", "somebody else", NOW);
    let found = contents(&db, "a:b");
    assert_eq!((found.len(), found[0].as_str(), found[49].as_str()), (50, "m10", "m59"));
    let page = db.read_blocking(|conn| read(conn, &key("a:b"), 58, 10)).expect("a page");
    assert_eq!(page.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [59, 60]);
    assert_eq!(page[1].1.task_id, Some("t1".into()));
}

#[test]
fn conversations_are_listed_newest_first_and_deleted_with_their_state() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    say(&db, "old", "1", NOW);
    say(&db, "new", "1", NOW.plus(DAY));
    say(&db, "new", "2", NOW.plus(DAY));
    let listed = db.read_blocking(|conn| list(conn, 10)).expect("a list");
    let brief: Vec<_> = listed.iter().map(|summary| (summary.key.as_str(), summary.message_count)).collect();
    assert_eq!(brief, [("new", 2), ("old", 1)]);
    assert!(db.write_blocking(|tx| delete(tx, &key("new"))).expect("deleted"));
    assert!(!db.write_blocking(|tx| delete(tx, &key("new"))).expect("deleted"));
    assert!(contents(&db, "new").is_empty());
}

#[test]
fn state_changes_field_by_field_within_its_bound() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    let set = |field: &'static str, value: Option<serde_json::Value>| {
        db.write_blocking(move |tx| set_state(tx, &key("s"), field, value, NOW)).expect("written")
    };
    let get = |field: &'static str| db.read_blocking(move |conn| get_state(conn, &key("s"), field)).expect("read");
    assert_eq!(get("question"), None);
    assert!(set("question", Some(json!({"which": ["desk", "ceiling"]}))));
    assert!(set("capture", Some(json!("on"))));
    say(&db, "s", "desk", NOW);
    assert_eq!(get("question"), Some(json!({"which": ["desk", "ceiling"]})));
    assert!(!set("huge", Some(json!("x".repeat(STATE_BYTES_MAX)))));
    assert!(set("question", None) && set("never there", None));
    assert_eq!((get("question"), get("capture")), (None, Some(json!("on"))));
    assert_eq!(contents(&db, "s"), ["desk"]);
}

#[test]
fn old_and_excess_messages_go_from_the_old_end_only() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    for number in 0..6 {
        say(&db, "a", &format!("a{number}"), NOW.plus(DAY * number));
    }
    say(&db, "b", "b0", NOW);
    let retention = Retention { age_max: 3 * DAY, messages_max: 3, sessions_max: 10 };
    let prune_at = |days: u32| {
        let now = NOW.plus(DAY * days);
        db.write_blocking(move |tx| prune(tx, &retention, now)).expect("pruned")
    };
    prune_at(5);
    assert_eq!(contents(&db, "a"), ["a3", "a4", "a5"], "three at most");
    assert!(contents(&db, "b").is_empty());
    prune_at(7);
    assert_eq!(contents(&db, "a"), ["a4", "a5"], "three days at most");
    say(&db, "a", "a6", NOW.plus(DAY * 7));
    assert_eq!(contents(&db, "a"), ["a4", "a5", "a6"], "places are never given twice");
    let listed = db.read_blocking(|conn| list(conn, 10)).expect("a list");
    assert_eq!((listed.len(), listed[0].message_count), (1, 3), "the empty conversation is gone");
    assert_eq!(prune_at(7), 0);
}

#[test]
fn conversations_beyond_the_bound_go_oldest_first() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    for number in 0..5 {
        say(&db, &format!("s{number}"), "x", NOW.plus(DAY * number));
    }
    let retention = Retention { sessions_max: 2, ..Retention::default() };
    db.write_blocking(move |tx| prune(tx, &retention, NOW.plus(DAY * 5))).expect("pruned");
    let listed = db.read_blocking(|conn| list(conn, 10)).expect("a list");
    assert_eq!(listed.iter().map(|summary| summary.key.as_str()).collect::<Vec<_>>(), ["s4", "s3"]);
}

const FILE: &str = concat!(
    r#"{"_type":"metadata","created_at":"2026-01-02T03:04:05Z","metadata":{"day2day_capture_mode":"on"},"updated_at":"2026-01-02T03:05:05Z"}"#,
    "\n",
    r#"{"role":"user","content":"Hallo","timestamp":"2026-01-02T03:04:05.000Z"}"#,
    "\n",
    r#"{"role":"assistant","content":"Guten Morgen","timestamp":"2026-01-02T03:05:05.000Z"}"#,
    "\n",
);

#[tokio::test]
async fn a_file_is_taken_over_once_and_written_back_as_it_was() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a_b.jsonl"), format!("{FILE}{{\"role\":\"user\",\"cont")).expect("written");
    let sessions = Sessions::new(db.clone(), Some(folder.path().to_owned()));
    let imported = sessions.open(&key("a:b"), NOW).await.expect("opened");
    assert_eq!(imported, Some(Imported { messages: 2, rejects: 1 }));
    assert_eq!(sessions.open(&key("a:b"), NOW).await.expect("opened"), None);
    assert_eq!(sessions.open(&key("a_b"), NOW).await.expect("opened"), None, "the other one of that name");
    assert_eq!(sessions.open(&key("c"), NOW).await.expect("opened"), None, "no file");

    let mut written = Vec::new();
    let (found, written) = db
        .read(move |conn| {
            let found = export(conn, &key("a:b"), &mut written).expect("exported");
            Ok((found, written))
        })
        .await
        .expect("read");
    assert!(found);
    assert_eq!(String::from_utf8(written).expect("text"), FILE);
    let kept = db.read(|conn| conn.query_row("SELECT bytes FROM session_rejects", [], |row| row.get::<_, Vec<u8>>(0)));
    assert_eq!(kept.await.expect("kept"), b"{\"role\":\"user\",\"cont");

    assert!(sessions.delete(&key("a:b")).await.expect("deleted"));
    assert_eq!(sessions.open(&key("a:b"), NOW).await.expect("opened"), None, "deleted stays deleted");
}
