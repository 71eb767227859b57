//! The memory as its users see it.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::clock::Timestamp;
use crate::db::{Db, Migration};

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn keep(db: &Db, content: &str, source: &str, now: Timestamp) -> Remembered {
    let chunk = Chunk::new(content, source, "").expect("a good chunk");
    db.write_blocking(move |tx| remember(tx, &chunk, now)).expect("written")
}

fn found(db: &Db, text: &str) -> Vec<String> {
    let text = text.to_owned();
    let hits = db.read_blocking(move |conn| search(conn, &text, 5, NOW)).expect("searched");
    hits.into_iter().map(|hit| hit.content).collect()
}

#[test]
fn chunk_ids_are_kafclaws() {
    // printf 'user:hello' | sha256sum
    assert_eq!(chunk_id("user", "hello"), "5cfd12f2da3a3c8a");
    assert_eq!(Chunk::new(" hello ", "user", "").expect("a chunk").id(), chunk_id("user", "hello"));
    assert_ne!(chunk_id("user", "hello"), chunk_id("soul:a", "hello"));
}

#[test]
fn the_same_text_again_is_a_new_version() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    let id = chunk_id("user", "The bike lock is 1234.");
    assert_eq!(keep(&db, "The bike lock is 1234.", "user", NOW), Remembered::New { id: id.clone() });
    assert_eq!(keep(&db, "The bike lock is 1234.", "user", NOW), Remembered::Again { id, version: 2 });
    assert_eq!(db.read_blocking(stats).expect("stats").total, 1);
}

#[test]
fn questions_find_what_was_said() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    for text in [
        "The bike lock is 1234.",
        "Der Schlüssel für das Garagentor liegt in der Straße 5",
        "Anna is allergic to nuts",
        "Le café est fermé",
        "自転車の鍵は机の上",
    ] {
        keep(&db, text, "user", NOW);
    }
    for (question, answer) in [
        ("What did I tell you about the bike?", "The bike lock is 1234."),
        ("Wo ist der schlussel?", "Der Schlüssel für das Garagentor liegt in der Straße 5"),
        ("STRASSE", "Der Schlüssel für das Garagentor liegt in der Straße 5"),
        ("tor", "Der Schlüssel für das Garagentor liegt in der Straße 5"),
        ("what is anna allergic to", "Anna is allergic to nuts"),
        ("allerg", "Anna is allergic to nuts"),
        ("cafe", "Le café est fermé"),
        ("cafe\u{301}", "Le café est fermé"),
        ("鍵", "自転車の鍵は机の上"),
    ] {
        assert_eq!(found(&db, question).first().map(String::as_str), Some(answer), "{question}");
    }
    for nothing in ["", "?", "zebra", "\"", "'; DROP TABLE memory_chunks; --"] {
        assert!(found(&db, nothing).is_empty(), "{nothing}");
    }
}

#[test]
fn among_equals_the_newer_comes_first_and_more_words_beat_age() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    keep(&db, "garden hose in the shed", "user", NOW.minus(200 * DAY));
    keep(&db, "garden chair in the attic", "user", NOW);
    assert_eq!(found(&db, "garden")[0], "garden chair in the attic");
    assert_eq!(found(&db, "garden hose")[0], "garden hose in the shed");
}

#[test]
fn what_is_forgotten_is_found_no_more() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    keep(&db, "The bike lock is 1234.", "user", NOW);
    keep(&db, "The bike is red", "user", NOW);
    keep(&db, "bike lock from the file", "soul:USER.md", NOW);
    let (gone, forgotten) =
        db.write_blocking(|tx| forget_matching(tx, "the bike lock", "user", NOW)).expect("forgotten");
    assert!(forgotten);
    assert_eq!(gone.iter().map(|hit| hit.content.as_str()).collect::<Vec<_>>(), ["The bike lock is 1234."]);
    assert_eq!(found(&db, "bike").len(), 2);
    let id = chunk_id("user", "The bike is red");
    assert!(db.write_blocking(move |tx| forget(tx, &id)).expect("forgotten"));
    assert_eq!(found(&db, "bike red"), ["bike lock from the file"]);
}

#[test]
fn a_careless_sentence_does_not_empty_the_memory() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    for number in 0..20 {
        keep(&db, &format!("lamp number {number}"), "user", NOW);
    }
    let (_, forgotten) = db.write_blocking(|tx| forget_matching(tx, "lamp", "user", NOW)).expect("looked");
    assert!(!forgotten);
    assert_eq!(db.read_blocking(stats).expect("stats").total, 20);
}

#[test]
fn layers_are_counted_and_outlived_chunks_go() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    keep(&db, "told by a person", "user", NOW);
    keep(&db, "Q: a\nA: b", "conversation:mqtt", NOW);
    keep(&db, "tool result", "tool:exec", NOW);
    let counts = || -> Vec<(&str, u64)> {
        let stats = db.read_blocking(stats).expect("stats");
        assert_eq!(stats.newest, Some(NOW));
        stats
            .layers
            .into_iter()
            .filter(|layer| layer.chunk_count > 0)
            .map(|layer| (layer.name, layer.chunk_count))
            .collect()
    };
    assert_eq!(counts(), [("conversation", 1), ("tool", 1)]);
    let gone = db.write_blocking(|tx| prune(tx, NOW.plus(15 * DAY))).expect("pruned");
    assert_eq!((gone, counts()), (1, vec![("conversation", 1)]));
    let layer = Scope::Layer(layer_of("conversation:mqtt").expect("a layer"));
    let one = Forgotten { gone: 1, is_all: true };
    assert_eq!(db.write_blocking(move |tx| forget_some(tx, layer)).expect("reset"), one);
    assert_eq!(found(&db, "person"), ["told by a person"]);
    assert_eq!(db.write_blocking(|tx| forget_some(tx, Scope::All)).expect("reset"), one);
}

#[test]
fn chunks_of_an_older_program_are_indexed_and_its_deletions_do_no_harm() {
    const OLD: &[Migration] = &[Migration {
        number: 1,
        name: "old",
        apply: |conn| {
            conn.execute_batch(
                "CREATE TABLE memory_chunks (id TEXT PRIMARY KEY, content TEXT NOT NULL, embedding BLOB,
                    source TEXT NOT NULL DEFAULT 'user', tags TEXT DEFAULT '', version INTEGER NOT NULL DEFAULT 1,
                    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
                 INSERT INTO memory_chunks VALUES ('a', 'old zebra', NULL, 'user', NULL, 1,
                    '2026-08-18 16:30:12.123456 +0200 CEST m=+0.1', 'never')",
            )
        },
    }];
    let db = Db::memory_for_tests(&[OLD, MIGRATIONS]);
    assert_eq!(found(&db, "zebra"), ["old zebra"]);
    db.write_blocking(|tx| {
        tx.execute_batch(
            "DELETE FROM memory_chunks; INSERT INTO memory_chunks (id, content, created_at, updated_at)
                VALUES ('b', 'young giraffe', '2026-08-18 14:30:12', '2026-08-18 14:30:12')",
        )
    })
    .expect("written");
    assert_eq!(found(&db, "zebra"), [""; 0]);
    db.write_blocking(|tx| prune(tx, NOW)).expect("pruned");
    assert_eq!(found(&db, "giraffe"), ["young giraffe"]);
    assert_eq!(found(&db, "zebra"), [""; 0]);
}

#[test]
fn only_what_can_be_remembered_is() {
    assert_eq!(Chunk::new("  ", "user", ""), Err(ChunkError::Empty));
    assert_eq!(Chunk::new(&"x".repeat(CHUNK_BYTES_MAX + 1), "user", ""), Err(ChunkError::TooLong));
    assert_eq!(Chunk::new("x", "", ""), Err(ChunkError::Source));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_a_good_query_and_any_text_can_be_kept(content in ".{0,60}", question in ".{0,60}") {
        if let Ok(chunk) = Chunk::new(&content, "user", "") {
            let id = chunk.id();
            let done = shared().write_blocking(move |tx| {
                remember(tx, &chunk, NOW)?;
                search(tx, &question, 5, NOW)?;
                forget_matching(tx, &question, "user", NOW)?;
                forget(tx, &id)
            });
            prop_assert!(done.is_ok(), "{:?}", done.err());
        }
    }

    #[test]
    fn a_text_is_found_by_its_own_words_in_any_case(content in "[a-zA-ZäöüßÄÖÜéÉñçøåα-ωΑ-Ωа-яА-Я0-9 .,!?'\"()*:^-]{1,60}") {
        let chunk = Chunk::new(&format!("x{content}"), "user", "").expect("a good chunk");
        let id = chunk.id();
        let hits = shared().write_blocking(move |tx| {
            remember(tx, &chunk, NOW)?;
            let upper = search(tx, &format!("x{content}").to_uppercase(), 5, NOW)?;
            let plain = search(tx, &format!("x{content}"), 5, NOW)?;
            forget(tx, &id)?;
            Ok((upper.len(), plain.len()))
        });
        prop_assert_eq!(hits.expect("no query is bad"), (1, 1));
    }
}

fn shared() -> &'static Db {
    static DB: std::sync::OnceLock<Db> = std::sync::OnceLock::new();
    DB.get_or_init(|| Db::memory_for_tests(&[MIGRATIONS]))
}
