//! The memory with a model beside it: found by meaning, indexed in the background, moved to another model, really forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::*;
use crate::base::clock::{Clock, Timestamp};
use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::db::{Config, Db};

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Words that mean the same to the model below.
const SYNONYMS: &[(&str, &str)] = &[("bicycle", "bike"), ("code", "lock"), ("fahrrad", "bike"), ("kids", "children")];

/// A model that knows a few synonyms: a text is the sum of its words.
struct Model {
    name: &'static str,
    dims: usize,
    is_there: AtomicBool,
    /// Refuses everything otherwise, as a GPU without memory does.
    is_well: AtomicBool,
    texts: AtomicUsize,
}

impl Model {
    fn new(name: &'static str, dims: usize) -> Arc<Self> {
        Arc::new(Self {
            name,
            dims,
            is_there: AtomicBool::new(true),
            is_well: AtomicBool::new(true),
            texts: AtomicUsize::new(0),
        })
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let mut sum = vec![0.001; self.dims];
        for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2) {
            let word = SYNONYMS.iter().find(|(other, _)| *other == word).map_or(word, |(_, same)| same);
            let seed =
                word.bytes().fold(self.name.len() as u32 + 7, |seed, byte| seed.wrapping_mul(31) + u32::from(byte));
            let mut state = seed;
            for value in &mut sum {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *value += (state >> 16) as f32 / 32_768.0 - 1.0;
            }
        }
        sum
    }
}

impl Embed for Model {
    fn fingerprint(&self) -> String {
        self.name.to_owned()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn embed(&self, texts: Vec<String>, _: TextUse) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedFailure>> {
        Box::pin(async move {
            if !self.is_there.load(Ordering::SeqCst) {
                return Err(EmbedFailure::Unavailable { why: "it was removed".to_owned() });
            }
            if !self.is_well.load(Ordering::SeqCst) || texts.iter().any(|text| text.contains("unspeakable")) {
                return Err(EmbedFailure::Refused { why: "unspeakable".to_owned() });
            }
            self.texts.fetch_add(texts.len(), Ordering::SeqCst);
            Ok(texts.iter().map(|text| self.vector(text)).collect())
        })
    }
}

fn keep(db: &Db, content: &str, source: &str) -> String {
    let chunk = Chunk::new(content, source, "").expect("a good chunk");
    let id = chunk.id();
    db.write_blocking(move |tx| remember(tx, &chunk, NOW)).expect("written");
    id
}

fn run<R>(work: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

fn index_all(db: &Db, model: &Arc<Model>) -> Progress {
    let indexer = Indexer::new(db.clone(), model.clone());
    let progress = indexer.progress();
    run(indexer.catch_up(&Shutdown::default())).expect("indexed");
    progress.borrow().clone()
}

fn ask(model: &Model, text: &str) -> Ask {
    let vector = QueryVector { fingerprint: model.fingerprint(), values: model.vector(text) };
    Ask { vector: Some(vector), ..Ask::new(text, 5, NOW) }
}

fn hits(db: &Db, ask: Ask) -> Vec<Hit> {
    db.read_blocking(move |conn| seek(conn, &ask)).expect("searched")
}

fn contents(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.content.as_str()).collect()
}

#[test]
fn other_words_of_the_same_meaning_find_it() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    for text in ["The bike lock is 1234.", "Anna is allergic to nuts", "The cellar floods in spring"] {
        keep(&db, text, "user");
    }
    let progress = index_all(&db, &model);
    assert_eq!((progress.counted, progress.is_active), (Counted { done: 3, total: 3 }, true));
    for mode in [Mode::Hybrid, Mode::Semantic] {
        let found = hits(&db, Ask { mode, ..ask(&model, "bicycle code") });
        assert_eq!(contents(&found), ["The bike lock is 1234."], "{mode:?}");
        assert!(found[0].cosine.expect("known") > 0.5 && found[0].relevance > 0.5, "{found:?}");
    }
    assert!(hits(&db, Ask { mode: Mode::Keyword, ..ask(&model, "bicycle code") }).is_empty());
    // Without the model, or with one that made other vectors, words alone decide.
    let words_only = Ask::new("allergic", 5, NOW);
    assert_eq!(contents(&hits(&db, words_only)), ["Anna is allergic to nuts"]);
    let stranger = Model::new("stranger", 64);
    assert_eq!(contents(&hits(&db, ask(&stranger, "allergic"))), ["Anna is allergic to nuts"]);
}

#[test]
fn what_was_just_said_is_found_by_its_meaning_at_once() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    keep(&db, "Anna is allergic to nuts", "user");
    index_all(&db, &model);
    let recall = Recall::new(db.clone(), vec![model.clone()]);
    let patient = recall.clone().with_newest_wait(Duration::from_secs(20));
    let ask = || Ask { mode: Mode::Semantic, ..Ask::new("bicycle code", 5, NOW) };
    run(async {
        let shutdown = Shutdown::default();
        let indexer = Indexer::new(db.clone(), model.clone());
        let mut progress = indexer.progress();
        let indexer = tokio::spawn(indexer.run(shutdown.clone()));
        progress.wait_for(|progress| progress.is_active).await.expect("it runs");
        let chunk = Chunk::new("The bike lock is 1234.", "user", "").expect("a good chunk");
        db.write(move |tx| remember(tx, &chunk, NOW)).await.expect("written");
        assert_eq!(contents(&patient.search(ask()).await.expect("searched")), ["The bike lock is 1234."]);
        shutdown.trigger();
        indexer.await.expect("ended");
    });
    // Nobody computes any more: the question is answered all the same, from what is there.
    keep(&db, "The bike code is on the fridge", "user");
    assert_eq!(contents(&run(recall.search(ask())).expect("searched")), ["The bike lock is 1234."]);
}

#[test]
fn filters_hold_for_both_rankings() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    keep(&db, "The bike is in the shed", "user");
    keep(&db, "Q: where is the bike?\nA: in the shed", "conversation:mqtt");
    let old = Chunk::new("The bike stands in the hall", "user", "").expect("a chunk").until(NOW.minus(DAY));
    db.write_blocking(move |tx| remember(tx, &old, NOW)).expect("written");
    index_all(&db, &model);
    let layers = |names: &[&str]| Ask {
        layers: names.iter().map(|name| (*name).to_owned()).collect(),
        ..ask(&model, "bicycle shed")
    };
    assert_eq!(hits(&db, layers(&["conversation"]))[0].source, "conversation:mqtt");
    assert_eq!(contents(&hits(&db, layers(&["user"]))), ["The bike is in the shed"]);
    assert!(hits(&db, layers(&["tool"])).is_empty());
    assert_eq!(hits(&db, layers(&[])).len(), 2, "what has expired is never returned");
    let later = Ask { now: NOW.plus(31 * DAY), ..layers(&["conversation"]) };
    assert!(hits(&db, later).is_empty(), "nor is what has outlived its layer");
    let of_source = Ask { source: Some("conversation:mqtt".to_owned()), ..ask(&model, "bike") };
    assert_eq!(hits(&db, of_source).len(), 1);
    let strict = Ask { relevance_min: 0.99, mode: Mode::Semantic, ..ask(&model, "bike garden kids") };
    assert!(hits(&db, strict).is_empty());
}

#[test]
fn what_says_the_same_is_told_once_unless_its_numbers_differ() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    keep(&db, "The children like pasta.", "user");
    keep(&db, "the kids like pasta", "conversation:mqtt");
    keep(&db, "THE CHILDREN like pasta!", "soul:USER.md");
    keep(&db, "The children like pasta at 12", "user");
    keep(&db, "The children like pasta at 18", "user");
    index_all(&db, &model);
    let found = hits(&db, ask(&model, "children pasta"));
    assert_eq!(found.len(), 3, "{:?}", contents(&found));
}

#[test]
fn what_is_forgotten_leaves_no_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    let db = Db::open(&config, &[MIGRATIONS], &Clock::System).expect("a database");
    let model = Model::new("one", 64);
    for number in 0..40 {
        keep(&db, &format!("an ordinary note number {number} that stays"), "user");
    }
    let id = keep(&db, "The xylophone password is Rumpelstilzchen", "user");
    index_all(&db, &model);
    let vector = unit(&model.vector("The xylophone password is Rumpelstilzchen")).expect("a direction");
    let bytes = to_blob(&vector);
    let forgotten = id.clone();
    assert!(db.write_blocking(move |tx| forget(tx, &forgotten)).expect("forgotten"));
    assert!(hits(&db, ask(&model, "xylophone password")).iter().all(|hit| hit.id != id));
    let leftover: i64 = db
        .read_blocking(|conn| {
            conn.query_row(
                "SELECT (SELECT count(*) FROM memory_vectors_1) + (SELECT count(*) FROM memory_index_1_rowids)
                    + (SELECT count(*) FROM memory_words_docsize)",
                [],
                |row| row.get(0),
            )
        })
        .expect("counted");
    assert_eq!(leftover, 3 * 40);
    db.close();
    drop(db);
    let file = std::fs::read(&config.path).expect("the file");
    for trace in [&b"umpelstilzche"[..], b"xylophone", &bytes[..64]] {
        assert!(!file.windows(trace.len()).any(|window| window == trace), "a trace is left");
    }
}

#[test]
fn a_new_model_takes_over_when_it_is_ready_and_the_old_one_answers_until_then() {
    let (db, old, new) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("old", 64), Model::new("newer", 96));
    for number in 0..50 {
        keep(&db, &format!("note {number} about gardening"), "user");
    }
    keep(&db, "The bike lock is 1234.", "user");
    index_all(&db, &old);
    // Half of the way, then the plug is pulled.
    let generation = db.write_blocking(|tx| settle(tx, "newer", 96)).expect("begun").expect("a dimension");
    assert_eq!(generation.state, State::Filling);
    let number = generation.number;
    let some = db.read_blocking(move |conn| waiting(conn, number, 20)).expect("read");
    let made = some.into_iter().map(|chunk| (chunk.clone(), Some(new.vector(&chunk.content)))).collect();
    assert!(db.write_blocking(move |tx| store(tx, number, made)).expect("stored"));
    assert_eq!(contents(&hits(&db, ask(&old, "bicycle code")))[0], "The bike lock is 1234.");
    assert_eq!(db.read_blocking(move |conn| counted(conn, number)).expect("counted"), Counted { done: 20, total: 51 });
    keep(&db, "The kids sleep at eight", "user");
    let progress = index_all(&db, &new);
    assert_eq!((progress.counted, progress.is_active), (Counted { done: 52, total: 52 }, true));
    assert_eq!(new.texts.load(Ordering::SeqCst), 32, "what was done before is not done again");
    assert_eq!(contents(&hits(&db, ask(&new, "bicycle code")))[0], "The bike lock is 1234.");
    assert_eq!(contents(&hits(&db, ask(&new, "children sleep")))[0], "The kids sleep at eight");
    let tables: i64 = db
        .read_blocking(|conn| {
            let sql = "SELECT count(*) FROM sqlite_master WHERE name IN ('memory_vectors_1', 'memory_index_1')";
            conn.query_row(sql, [], |row| row.get(0))
        })
        .expect("counted");
    assert_eq!(tables, 0, "the old vectors are gone");
    // On demand, the same model again.
    db.write_blocking(reindex).expect("begun").expect("a model");
    let progress = index_all(&db, &new);
    assert_eq!((progress.counted.done, new.texts.load(Ordering::SeqCst)), (52, 84));
}

#[test]
fn a_change_of_mind_loses_nothing() {
    let (db, old, new) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("old", 64), Model::new("newer", 96));
    keep(&db, "The bike lock is 1234.", "user");
    keep(&db, "Anna is allergic to nuts", "user");
    index_all(&db, &old);
    let number = db.write_blocking(|tx| settle(tx, "newer", 96)).expect("begun").expect("a dimension").number;
    let some = db.read_blocking(move |conn| waiting(conn, number, 1)).expect("read");
    let made = some.into_iter().map(|chunk| (chunk.clone(), Some(new.vector(&chunk.content)))).collect();
    db.write_blocking(move |tx| store(tx, number, made)).expect("stored");
    keep(&db, "The kids sleep at eight", "user");
    let before = old.texts.load(Ordering::SeqCst);
    assert_eq!(index_all(&db, &old).counted, Counted { done: 3, total: 3 });
    assert_eq!(old.texts.load(Ordering::SeqCst) - before, 1, "old vectors are kept");
    assert_eq!(contents(&hits(&db, ask(&old, "children sleep"))), ["The kids sleep at eight"]);
}

#[test]
fn what_was_forgotten_meanwhile_gets_no_vector() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    let id = keep(&db, "The bike lock is 1234.", "user");
    let number = db.write_blocking(|tx| settle(tx, "one", 8)).expect("begun").expect("a dimension").number;
    let some = db.read_blocking(move |conn| waiting(conn, number, 10)).expect("read");
    db.write_blocking(move |tx| forget(tx, &id)).expect("forgotten");
    keep(&db, "Its number comes back", "user");
    let made = some.into_iter().map(|chunk| (chunk, Some(vec![1.0; 8]))).collect();
    db.write_blocking(move |tx| store(tx, number, made)).expect("stored");
    assert_eq!(db.read_blocking(stats).expect("stats").embedded, 0);
    assert_eq!(db.read_blocking(move |conn| waiting(conn, number, 10)).expect("read").len(), 1);
}

#[test]
fn one_text_that_the_model_refuses_costs_only_itself() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    for text in ["good one", "unspeakable", "good two"] {
        keep(&db, text, "user");
    }
    assert_eq!(index_all(&db, &model).counted, Counted { done: 3, total: 3 });
    assert_eq!(db.read_blocking(stats).expect("stats").embedded, 2);
    assert_eq!(contents(&hits(&db, ask(&model, "unspeakable"))), ["unspeakable"], "its words find it");
    assert_eq!(db.write_blocking(repair).expect("checked"), Repaired::default());
}

#[test]
fn texts_that_a_broken_machine_refuses_are_not_given_up() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    for text in ["The bike lock is 1234.", "unspeakable", "Anna is allergic to nuts"] {
        keep(&db, text, "user");
    }
    model.is_well.store(false, Ordering::SeqCst);
    let indexer = Indexer::new(db.clone(), model.clone());
    let refused = run(indexer.catch_up(&Shutdown::default())).expect_err("nothing is taken");
    assert!(chain(&refused).contains("any text"), "{refused}");
    model.is_well.store(true, Ordering::SeqCst);
    assert_eq!(index_all(&db, &model).counted, Counted { done: 3, total: 3 });
    assert_eq!(db.read_blocking(stats).expect("stats").embedded, 2);
}

#[test]
fn vectors_of_an_old_model_that_come_late_are_passed_over() {
    let (db, old, new) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("old", 64), Model::new("newer", 96));
    keep(&db, "The bike lock is 1234.", "user");
    let first = db.write_blocking(|tx| settle(tx, "old", 64)).expect("begun").expect("a dimension").number;
    let late = db.read_blocking(move |conn| waiting(conn, first, 10)).expect("read");
    let second = db.write_blocking(|tx| settle(tx, "newer", 96)).expect("begun").expect("a dimension").number;
    let some = db.read_blocking(move |conn| waiting(conn, second, 10)).expect("read");
    let made = |model: &Model, chunks: Vec<Waiting>| {
        chunks.into_iter().map(|chunk| (chunk.clone(), Some(model.vector(&chunk.content)))).collect::<Vec<_>>()
    };
    // Another one is still to be done, so that the old vectors go on answering.
    keep(&db, "Anna is allergic to nuts", "user");
    let (of_new, of_old) = (made(&new, some), made(&old, late));
    assert!(db.write_blocking(move |tx| store(tx, second, of_new)).expect("stored"));
    assert!(db.write_blocking(move |tx| store(tx, first, of_old)).expect("stored"));
    assert_eq!(index_all(&db, &new).counted, Counted { done: 2, total: 2 });
    assert_eq!(contents(&hits(&db, ask(&new, "bicycle code")))[0], "The bike lock is 1234.");
}

#[test]
fn a_model_that_is_away_is_waited_for_and_words_go_on() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    model.is_there.store(false, Ordering::SeqCst);
    keep(&db, "The bike lock is 1234.", "user");
    let (indexer, shutdown) = (Indexer::new(db.clone(), model.clone()), Shutdown::default());
    let mut progress = indexer.progress();
    let recall = Recall::new(db.clone(), vec![model.clone()]);
    run(async {
        let running = indexer.run(shutdown.clone());
        let watching = async {
            progress.wait_for(|progress| progress.failure.is_some()).await.expect("it runs");
            let found = recall.search(Ask::new("bike", 5, NOW)).await.expect("searched");
            assert_eq!(contents(&found), ["The bike lock is 1234."]);
            model.is_there.store(true, Ordering::SeqCst);
            progress.wait_for(|progress| progress.is_active && progress.counted.done == 1).await.expect("it runs");
            let found = recall.search(Ask::new("bicycle", 5, NOW)).await.expect("searched");
            assert_eq!(contents(&found), ["The bike lock is 1234."]);
            shutdown.trigger();
        };
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(running, watching) })
            .await
            .expect("in time");
    });
    assert!(run(recall.vector("bike")).is_some());
}

#[test]
fn deletions_of_an_older_program_are_found_and_mended() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    for number in 0..10 {
        keep(&db, &format!("note {number} about zebras"), "user");
    }
    index_all(&db, &model);
    db.write_blocking(|tx| tx.execute("DELETE FROM memory_chunks WHERE content LIKE '%note 3%'", [])).expect("deleted");
    let found = hits(&db, Ask { count: 20, ..ask(&model, "zebras") });
    assert!(found.iter().all(|hit| !hit.content.contains("note 3")));
    let repaired = db.write_blocking(repair).expect("repaired");
    assert_eq!(repaired, Repaired { words: true, vectors: true });
    assert_eq!(db.write_blocking(repair).expect("checked"), Repaired::default());
    assert_eq!(db.read_blocking(stats).expect("stats").embedded, 9);
    let found = hits(&db, Ask { count: 20, ..ask(&model, "zebras") });
    assert_eq!(found.len(), 9);
}

#[test]
fn broken_texts_of_an_older_program_can_be_found_and_forgotten() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    db.write_blocking(|tx| {
        tx.execute_batch(
            "INSERT INTO memory_chunks (id, content, tags, embedding, source, created_at, updated_at) VALUES
                ('a', CAST(x'62696b65ff20726564' AS TEXT), NULL, x'00', 'user', 'never', 'never'),
                ('b', x'62696b65ff', 7, NULL, 'user', '2026-08-18 14:30:12', '2026-08-18 14:30:12')",
        )
    })
    .expect("written");
    index_all(&db, &model);
    let found = hits(&db, ask(&model, "bike"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(db.read_blocking(|conn| list(conn, "", 10)).expect("listed").len(), 2);
    for id in ["a", "b"] {
        assert!(db.write_blocking(move |tx| forget(tx, id)).expect("forgotten"));
    }
    assert!(hits(&db, ask(&model, "bike")).is_empty());
    assert_eq!(db.write_blocking(repair).expect("checked"), Repaired::default());
}

#[test]
fn memories_move_to_another_house_with_their_vectors() {
    let (from, to) = (Db::memory_for_tests(&[MIGRATIONS]), Db::memory_for_tests(&[MIGRATIONS]));
    let model = Model::new("one", 64);
    for number in 0..7 {
        keep(&from, &format!("note {number} about the bike"), "user");
    }
    index_all(&from, &model);
    keep(&to, "note 2 about the bike", "user");
    index_all(&to, &model);
    let (mut after, mut lines) = (Some(0), Vec::new());
    while let Some(last) = after {
        let (page, next) = from.read_blocking(move |conn| export(conn, last, 3, Vectors::With, NOW)).expect("exported");
        lines.extend(page);
        after = next;
    }
    let batch: Vec<Imported> = lines.iter().map(|line| read_line(line).expect("a memory")).collect();
    let count = to.write_blocking(move |tx| import(tx, &batch, 5, NOW)).expect("imported");
    assert_eq!(count, ImportCount { new: 4, again: 1, refused: 2 });
    assert_eq!(to.read_blocking(stats).expect("stats").embedded, 5);
    assert_eq!(index_all(&to, &model).counted, Counted { done: 5, total: 5 });
    assert_eq!(model.texts.load(Ordering::SeqCst), 8, "no vector was made again");
    assert_eq!(to.write_blocking(repair).expect("checked"), Repaired::default());
}

#[test]
fn the_nearest_of_thousands_are_found() {
    let db = Db::memory_for_tests(&[MIGRATIONS]);
    let number = db.write_blocking(|tx| settle(tx, "one", 64)).expect("begun").expect("a dimension").number;
    let model = Model::new("one", 64);
    let texts: Vec<String> =
        (0..1_500).map(|n| format!("about{} subject{} detail{} number{n}", n % 7, n % 60, (n * 7_919) % 311)).collect();
    let chunks: Vec<Chunk> = texts.iter().map(|text| Chunk::new(text, "user", "").expect("a chunk")).collect();
    db.write_blocking(move |tx| remember_all(tx, &chunks, u32::MAX, NOW)).expect("written");
    let all = db.read_blocking(move |conn| waiting(conn, number, 5_000)).expect("read");
    let made = all.into_iter().map(|chunk| (chunk.clone(), Some(model.vector(&chunk.content)))).collect();
    db.write_blocking(move |tx| store(tx, number, made)).expect("stored");
    let vectors: Vec<Vec<f32>> = texts.iter().map(|text| unit(&model.vector(text)).expect("a direction")).collect();
    let (mut found, mut wanted) = (0, 0);
    for n in 0..20 {
        let question = format!("about{} subject{} detail{}", n % 7, n % 60, n);
        let query = unit(&model.vector(&question)).expect("a direction");
        let cosine = |row: usize| vectors[row].iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
        let mut exact: Vec<usize> = (0..texts.len()).collect();
        exact.sort_by(|one, other| cosine(*other).total_cmp(&cosine(*one)));
        let least = cosine(exact[9]);
        let ask = Ask { mode: Mode::Semantic, count: 10, relevance_min: 0.0, ..ask(&model, &question) };
        let near = hits(&db, ask);
        wanted += 10;
        found += near.iter().filter(|hit| hit.cosine.expect("known") >= least - 1e-5).count();
    }
    assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
}

#[test]
fn an_indexer_with_nothing_to_do_writes_nothing() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    keep(&db, "The bike lock is 1234.", "user");
    let indexer = Indexer::new(db.clone(), model);
    run(indexer.catch_up(&Shutdown::default())).expect("indexed");
    let committed = db.committed();
    run(indexer.catch_up(&Shutdown::default())).expect("looked");
    assert!(!committed.has_changed().expect("the writer lives"), "its own commits would wake it for ever");
}

#[test]
fn a_copy_of_the_database_is_searched_alike() {
    let (db, model) = (Db::memory_for_tests(&[MIGRATIONS]), Model::new("one", 64));
    let folder = tempfile::tempdir().expect("a folder");
    for text in ["The bike lock is 1234.", "Anna is allergic to nuts"] {
        keep(&db, text, "user");
    }
    index_all(&db, &model);
    let path = folder.path().join("copy.db");
    run(db.copy_to(path.clone())).expect("copied");
    assert_eq!(crate::db::check_file(&path).expect("checked"), None);
    let copy = Db::open(&Config::at(&path), &[MIGRATIONS], &Clock::System).expect("opened");
    assert_eq!(contents(&hits(&copy, ask(&model, "bicycle code"))), ["The bike lock is 1234."]);
    assert_eq!(copy.write_blocking(repair).expect("checked"), Repaired::default());
    keep(&copy, "The kids sleep at eight", "user");
    assert_eq!(index_all(&copy, &model).counted.done, 3);
}
