//! Forgetting much at once: a piece at a time, with everybody else in between, and nothing left over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::base::clock::Timestamp;
use crate::db::Db;

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);
const CROWD: &str = "document:/crowd.txt";
const DIMS: usize = 8;

/// Puts `count` chunks of one source into the memory, the first `with_vectors` of them with vectors; told beside them, one of a
/// person.
fn crowded(count: usize, with_vectors: usize) -> Db {
    const BATCH_LEN: usize = 10_000;
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    let number = db.write_blocking(|tx| settle(tx, "one", DIMS)).expect("begun").expect("a dimension").number;
    for start in (0..count).step_by(BATCH_LEN) {
        let texts = (start..count.min(start + BATCH_LEN)).map(|number| format!("line {number}"));
        let chunks: Vec<Chunk> = texts.map(|text| Chunk::new(&text, CROWD, "").expect("a chunk")).collect();
        db.write_blocking(move |tx| remember_all(tx, &chunks, u32::MAX, NOW)).expect("written");
    }
    let first = db.read_blocking(move |conn| waiting(conn, number, with_vectors)).expect("read");
    let made = first.into_iter().map(|chunk| (chunk, Some(vec![0.5; DIMS]))).collect();
    db.write_blocking(move |tx| store(tx, number, made)).expect("stored");
    db.write_blocking(|tx| remember_all(tx, &[told()], u32::MAX, NOW)).expect("written");
    db
}

/// What a person has told, and tells again and again.
fn told() -> Chunk {
    Chunk::new("The spare key hangs behind the boiler.", "user", "").expect("a chunk")
}

/// Chunks, words and vectors that are stored, and signatures of vectors.
fn stored(db: &Db) -> [i64; 4] {
    db.read_blocking(|conn| {
        let count = |table: &str| conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        Ok([
            count("memory_chunks")?,
            count("memory_words_docsize")?,
            count("memory_vectors_1")?,
            count("memory_index_1_rowids")?,
        ])
    })
    .expect("counted")
}

fn run<R>(work: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

#[test]
fn a_crowd_of_one_source_goes_in_bounded_pieces_and_others_write_in_between() {
    // 100,000 take 8 s to fill and 34 s to forget in a debug build, and go alike.
    const CHUNKS: usize = 8_000;
    let db = crowded(CHUNKS, 2_000);
    let pieces = Arc::new(Mutex::new(Vec::new()));
    let log = pieces.clone();
    let forgetting = in_pieces(&db, move |tx| {
        let forgotten = forget_some(tx, Scope::Source(CROWD))?;
        log.lock().expect("not poisoned").push(forgotten.gone);
        Ok(forgotten)
    });
    let (gone, written) = run(async {
        tokio::pin!(forgetting);
        let mut written = 0;
        loop {
            let writing = db.write(|tx| remember(tx, &told(), NOW));
            tokio::select! {
                gone = &mut forgetting => break (gone.expect("forgotten"), written),
                kept = writing => {
                    assert!(matches!(kept.expect("written"), Remembered::Again { .. }));
                    written += 1;
                }
            }
        }
    });
    let pieces = pieces.lock().expect("not poisoned").clone();
    assert_eq!((gone, pieces.iter().sum::<usize>()), (CHUNKS, CHUNKS));
    assert!(pieces.iter().all(|gone| *gone <= PIECE_LEN as usize), "{pieces:?}");
    assert!(written * 2 >= pieces.len(), "{written} writes beside {} pieces", pieces.len());
    assert_eq!(stored(&db), [1, 1, 0, 0]);
    assert_eq!(db.write_blocking(repair).expect("checked"), Repaired::default());
}

#[test]
fn whoever_is_stopped_in_between_leaves_a_sound_memory_and_begins_again() {
    let db = crowded(3 * PIECE_LEN as usize, 3 * PIECE_LEN as usize);
    let pieces = Arc::new(AtomicUsize::new(0));
    let counted = pieces.clone();
    let stopped = run(in_pieces(&db, move |tx| match counted.fetch_add(1, Ordering::SeqCst) {
        1 => Err(rusqlite::Error::InvalidQuery),
        _ => forget_some(tx, Scope::Source(CROWD)),
    }));
    assert!(stopped.is_err());
    let left = 2 * i64::from(PIECE_LEN);
    assert_eq!(stored(&db), [left + 1, left + 1, left, left]);
    assert_eq!(db.write_blocking(repair).expect("checked"), Repaired::default());
    let gone = run(in_pieces(&db, |tx| forget_some(tx, Scope::Source(CROWD)))).expect("forgotten");
    assert_eq!((gone, stored(&db)), (left as usize, [1, 1, 0, 0]));
}

#[test]
fn what_somebody_elses_transaction_cannot_forget_is_out_of_sight_at_once_and_goes_with_the_upkeep() {
    let db = crowded(2 * PIECE_LEN as usize + 7, 10);
    let seen = || db.read_blocking(|conn| search(conn, "line", 5, NOW)).expect("searched").len();
    assert_eq!(seen(), 5);
    let gone = db.write_blocking(|tx| forget_source(tx, CROWD)).expect("forgotten");
    assert_eq!((gone, seen()), (2 * PIECE_LEN as usize + 7, 0));
    assert_eq!(stored(&db)[0], i64::from(PIECE_LEN) + 7 + 1);
    // Said again, it is there again.
    let again = Chunk::new("line 1000", CROWD, "").expect("a chunk");
    db.write_blocking(move |tx| remember(tx, &again, NOW)).expect("written");
    assert_eq!(seen(), 1);
    while db.write_blocking(|tx| prune(tx, NOW)).expect("pruned") > 0 {}
    assert_eq!((stored(&db)[0], seen()), (2, 1));
}

#[test]
fn a_layer_is_its_prefix_and_not_what_looks_like_it() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    for source in ["tool:exec", "tool:", "tool", "tool;", "toolbox:a", "user", "too"] {
        let chunk = Chunk::new(&format!("from {source}"), source, "").expect("a chunk");
        db.write_blocking(move |tx| remember(tx, &chunk, NOW)).expect("written");
    }
    let tool = layer_of("tool:").expect("a layer");
    let forgotten = db.write_blocking(move |tx| forget_some(tx, Scope::Layer(tool))).expect("forgotten");
    assert_eq!(forgotten, Forgotten { gone: 2, is_all: true });
    let all = db.write_blocking(|tx| forget_some(tx, Scope::All)).expect("forgotten");
    assert_eq!(all, Forgotten { gone: 5, is_all: true });
}
