//! The database as its users see it: durable, isolated from failing jobs, tolerant of damage.

use std::fs;
use std::time::{Duration, SystemTime};

use super::*;

const NOTES: &[Migration] = &[Migration {
    number: 1,
    name: "notes",
    apply: |connection| connection.execute_batch("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)"),
}];

fn add(text: &'static str) -> impl FnOnce(&Tx<'_>) -> rusqlite::Result<()> + Send + 'static {
    move |tx| tx.prepare_cached("INSERT INTO notes (text) VALUES (?1)")?.execute([text]).map(|_| ())
}

fn count(db: &Db) -> i64 {
    db.read_blocking(|connection| connection.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)))
        .expect("a count")
}

#[test]
fn a_failed_job_leaves_nothing_and_its_neighbors_stay() {
    let db = Db::memory_for_tests(&[NOTES]);
    db.write_blocking(add("one")).expect("written");
    let failed = db.write_blocking(|tx| {
        tx.execute("INSERT INTO notes VALUES ('half')", [])?;
        add("one")(tx)
    });
    assert!(matches!(failed, Err(DbError::Job { .. })), "{failed:?}");
    db.write_blocking(add("two")).expect("written");
    assert_eq!(count(&db), 2);
}

#[test]
fn a_panicking_job_is_contained() {
    let db = Db::memory_for_tests(&[NOTES]);
    let failed = db.write_blocking(|tx| -> rusqlite::Result<()> {
        tx.execute("INSERT INTO notes VALUES ('half')", [])?;
        panic!("boom")
    });
    assert!(matches!(failed, Err(DbError::Panicked)));
    assert_eq!(count(&db), 0);
}

#[test]
fn readers_see_what_was_written_and_watchers_are_woken() {
    let db = Db::memory_for_tests(&[NOTES]);
    let watcher = db.committed();
    db.write_blocking(add("one")).expect("written");
    assert_eq!(count(&db), 1);
    assert!(watcher.has_changed().expect("the writer lives"));
}

#[test]
fn a_damaged_file_is_set_aside_and_an_empty_one_takes_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    fs::write(&config.path, b"this is not a database, not at all, and it is long enough to be looked at")
        .expect("written");
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("opened");
    let aside = db.report().set_aside.clone().expect("set aside");
    assert!(fs::read(aside).expect("kept").starts_with(b"this is not"));
    assert_eq!(count(&db), 0);
}

/// What a later version adds to the notes, which an earlier one need not know.
const MORE: &[Migration] = &[Migration {
    number: 2,
    name: "stars",
    apply: |connection| add_column(connection, "notes", "stars INTEGER NOT NULL DEFAULT 0"),
}];

#[test]
fn the_file_is_copied_before_its_layout_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("opened");
    assert_eq!(db.report().copied_to, None);
    db.write_blocking(add("one")).expect("written");
    db.close();
    let db = Db::open(&config, &[NOTES, MORE], &Clock::System).expect("opened");
    let copy = db.report().copied_to.clone().expect("copied");
    let copy = Connection::open(copy).expect("opens");
    assert_eq!(copy.query_row("SELECT count(*) FROM notes", [], |row| row.get::<_, i64>(0)), Ok(1));
    assert_eq!(count(&db), 1);
}

/// What a later version makes of the notes, so that an earlier one cannot read them.
const OTHER: &[Migration] = &[Migration {
    number: 3,
    name: "texts become words",
    apply: |connection| connection.execute_batch("ALTER TABLE notes RENAME COLUMN text TO words"),
}];

#[test]
fn an_older_program_goes_on_with_a_file_that_only_grew() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    Db::open(&config, &[NOTES], &Clock::System).expect("opened").close();
    Db::open(&config, &[NOTES, MORE], &Clock::System).expect("opened").close();
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("an older program opens it");
    assert_eq!((db.report().newer.as_slice(), &db.report().restored), (&[2][..], &None));
    // Twice, because the house goes on with it.
    for text in ["one", "two"] {
        db.write_blocking(add(text)).expect("written");
    }
    db.close();
    let db = Db::open(&config, &[NOTES, MORE], &Clock::System).expect("and the newer one again");
    assert_eq!((count(&db), db.report().copied_to.as_ref()), (2, None));
}

#[test]
fn an_older_program_takes_the_copy_from_before_and_keeps_the_newer_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("opened");
    db.write_blocking(add("before the update")).expect("written");
    db.close();
    let db = Db::open(&config, &[NOTES, OTHER], &Clock::System).expect("opened");
    let copy = db.report().copied_to.clone().expect("copied");
    let name = copy.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with(concat!("timeline.db.before-", env!("CARGO_PKG_VERSION"), "-")), "{name}");
    db.write_blocking(|tx| tx.execute("INSERT INTO notes (words) VALUES ('after the update')", []).map(|_| ()))
        .expect("written");
    // No orderly end: the way back is often a power cut.
    drop(db);
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("an older program opens the copy");
    let restored = db.report().restored.clone().expect("told");
    assert_eq!((restored.from, restored.found, count(&db)), (copy.clone(), 3, 1));
    assert!(copy.exists(), "nothing is deleted");
    let newer = Connection::open(&restored.newer).expect("kept");
    assert_eq!(newer.query_row("SELECT count(*) FROM notes", [], |row| row.get::<_, i64>(0)), Ok(2));
    db.close();
    drop(db);
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("opened");
    assert_eq!(db.report().restored, None, "once is enough");
    drop(db);
    let db = Db::open(&config, &[NOTES, OTHER], &Clock::System).expect("the newer program again");
    assert!(db.report().copied_to.is_some());
}

#[test]
fn a_way_back_that_the_power_cut_is_ended_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("opened");
    db.write_blocking(add("kept")).expect("written");
    db.close();
    drop(db);
    // Cut between the two renames: the newer file is aside, the copy is not in its place yet.
    fs::rename(&config.path, folder.path().join("timeline.db.coming")).expect("renamed");
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("opened");
    assert_eq!(count(&db), 1);
}

#[test]
fn of_the_copies_from_before_the_newest_three_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    let copy = |number: u64| folder.path().join(format!("timeline.db.before-0.1.{number}-x"));
    for number in 0..5 {
        let file = fs::File::create(copy(number)).expect("a copy");
        // The names do not tell their age: a clock without a battery may have stamped them.
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(100 - number)).expect("a time");
    }
    let other = folder.path().join("timeline.db.newer-7-x");
    fs::write(&other, "what a person may still want").expect("written");
    Db::open(&config, &[NOTES], &Clock::System).expect("opened").close();
    let kept: Vec<u64> = (0..5).filter(|number| copy(*number).exists()).collect();
    assert_eq!((kept, other.exists()), (vec![0, 1, 2], true));
}

#[test]
fn without_a_copy_an_older_program_leaves_a_newer_file_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    Db::open(&config, &[NOTES, OTHER], &Clock::System).expect("opened").close();
    fs::write(folder.path().join("timeline.db.before-cut"), "half a file").expect("written");
    let older = Db::open(&config, &[NOTES], &Clock::System);
    assert!(matches!(older, Err(DbError::Newer { found: 3, known: 1 })), "{:?}", older.err());
    Db::open(&config, &[NOTES, OTHER], &Clock::System).expect("untouched");
}

#[test]
fn closing_in_order_is_noted() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    Db::open(&config, &[NOTES], &Clock::System).expect("opened").close();
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("opened");
    assert!(!db.report().unclean);
    drop(db);
    assert!(Db::open(&config, &[NOTES], &Clock::System).expect("opened").report().unclean);
}

#[test]
fn after_an_orderly_end_the_file_alone_holds_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::at(folder.path().join("timeline.db"));
    let db = Db::open(&config, &[NOTES], &Clock::System).expect("a fresh database");
    db.write_blocking(add("kept")).expect("written");
    db.close();
    let copy = folder.path().join("copy.db");
    std::fs::copy(&config.path, &copy).expect("copied");
    let kept: String = Connection::open(&copy)
        .and_then(|connection| connection.query_row("SELECT text FROM notes", [], |row| row.get(0)))
        .expect("readable");
    assert_eq!(kept, "kept");
}
