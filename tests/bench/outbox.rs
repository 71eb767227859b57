//! The outbox: rows appended in batches, rows appended one durable transaction at a time, and rows read, leased and deleted,
//! each against plain SQLite doing the least that could be called the same, in the same run on the same disk.

use std::time::Instant;

use kafclaw::base::clock::{Clock, Timestamp};
use kafclaw::db::{Config, Db};
use kafclaw::domain::record::{Class, Record};
use kafclaw::group;
use kafclaw::group::outbox::{self, Limits, Pace, Rate, Relay, Room};
use kafclaw::timeline;
use rusqlite::Connection;

use crate::figure::{Figure, Goal};

const BATCHED: usize = 200_000;
const BATCH_LEN: usize = 500;
const SINGLE: usize = 4_000;
const VALUE_BYTES: usize = 300;
const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

pub fn measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let lists = [timeline::MIGRATIONS, group::MIGRATIONS];
    let db = Db::open(&Config::at(folder.path().join("timeline.db")), &lists, &Clock::System).expect("a database");
    let plain = plain(&folder.path().join("plain.db"));

    let batched = rate(BATCHED, || (0..BATCHED).step_by(BATCH_LEN).for_each(|start| append(&db, start, BATCH_LEN)));
    let reference = rate(BATCHED, || {
        (0..BATCHED).step_by(BATCH_LEN).for_each(|start| insert(&plain, start, BATCH_LEN));
    });
    let against = ("sqlite_batches_per_s", reference);
    Figure::new("outbox_append_batched_per_s", batched, Goal::AtLeast(50_000.0)).against(against).print();

    let drained = rate(BATCHED, || drain(&db));
    let deleted = rate(BATCHED, || {
        plain.execute_batch("BEGIN; SELECT sum(length(value)) FROM plain; DELETE FROM plain; COMMIT").expect("deleted");
    });
    Figure::new("outbox_drain_per_s", drained, Goal::None).against(("sqlite_delete_all_per_s", deleted)).print();

    let single = rate(SINGLE, || (0..SINGLE).for_each(|number| append(&db, BATCHED + number, 1)));
    let reference = rate(SINGLE, || (0..SINGLE).for_each(|number| insert(&plain, BATCHED + number, 1)));
    let against = ("sqlite_durable_inserts_per_s", reference);
    Figure::new("outbox_append_durable_per_s", single, Goal::AtLeast(2_000.0)).against(against).print();
    db.close();
}

fn rate(count: usize, act: impl FnOnce()) -> f64 {
    let started = Instant::now();
    act();
    count as f64 / started.elapsed().as_secs_f64()
}

/// Bounds that are checked and never met.
fn limits() -> Limits {
    let wide = Room { rows_max: 10_000_000, bytes_max: 1 << 40, age_max: None };
    Limits { answer: wide, total_bytes_max: 1 << 40, ..Limits::default() }
}

fn append(db: &Db, start: usize, len: usize) {
    db.write_blocking(move |tx| {
        let limits = limits();
        for number in start..start + len {
            let stamp = outbox::next_stamp(tx)?;
            let record = Record {
                topic: "group.bench.responses".to_owned(),
                key: Some(format!("task-{}", number / 4)),
                value: vec![b'x'; VALUE_BYTES],
                class: Class::Answer,
                deadline_at: None,
                stamp: Some(stamp),
            };
            outbox::append(tx, &record, &limits, NOW).expect("there is room");
        }
        Ok(())
    })
    .expect("appended");
}

/// As the relay does it, with a broker that takes everything at once.
fn drain(db: &Db) {
    let wide = Rate { per_second: 1 << 40, burst: 1 << 40 };
    let pace = Pace { backlog_rows: wide, backlog_bytes: wide, ..Pace::default() };
    let last = db.read_blocking(outbox::last_id).expect("read");
    let mut relay = Relay::online(pace, last, NOW);
    loop {
        let plan = relay.plan(NOW);
        let batch = db.read_blocking(move |connection| outbox::read(connection, &plan)).expect("read");
        let rows = relay.lease(batch, NOW);
        if rows.is_empty() {
            return;
        }
        let leased: Vec<_> = rows.iter().map(outbox::Row::leased).collect();
        db.write_blocking(move |tx| outbox::sent(tx, &leased)).expect("deleted");
        rows.iter().for_each(|row| relay.done(row.id));
    }
}

/// The same pragmas, a table with the same words, one index.
fn plain(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).expect("a database");
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).expect("WAL");
    connection.pragma_update(None, "synchronous", "FULL").expect("durable");
    connection
        .execute_batch(
            "CREATE TABLE plain (id INTEGER PRIMARY KEY, topic TEXT, key TEXT, value BLOB);
             CREATE INDEX plain_key ON plain (key, id)",
        )
        .expect("a table");
    connection
}

fn insert(connection: &Connection, start: usize, len: usize) {
    connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).expect("begun");
    for number in start..start + len {
        connection
            .prepare_cached("INSERT INTO plain (topic, key, value) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| {
                insert.execute(("group.bench.responses", format!("task-{}", number / 4), vec![b'x'; VALUE_BYTES]))
            })
            .expect("inserted");
    }
    connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).expect("committed");
}
