//! The plug is pulled between the outbox and the broker, and between a record and its inbox. The house here is this program,
//! started again; the broker is a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kafclaw::base::clock::{Clock, Timestamp};
use kafclaw::base::id::TraceId;
use kafclaw::db::{Config, Db};
use kafclaw::domain::event::Event;
use kafclaw::domain::record::{Class, Record, Stamp};
use kafclaw::group::inbox::{Received, Verdict, receive};
use kafclaw::group::outbox::{self, Limits, Pace, Rate, Relay};
use kafclaw::{group, timeline};

/// Says to the program started again which house it is, and where.
const HOUSE: &str = "KAFCLAW_FAULT_HOUSE";
const RECORDS: u64 = 60;
const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

/// Runs a house that dies at `fault`, then ones that do not, in `folder`.
fn run(house: &str, folder: &Path, fault: &str) {
    let program = std::env::current_exe().expect("this program");
    let start = |fault: Option<&str>| {
        let mut command = Command::new(&program);
        command.args(["--exact", "fault::group::the_house_that_is_started_again", "--nocapture"]);
        command.env(HOUSE, format!("{house}:{}", folder.display())).env_remove("KAFCLAW_FAULT");
        if let Some(fault) = fault {
            command.env("KAFCLAW_FAULT", fault);
        }
        command.output().expect("started")
    };
    let died = start(Some(fault));
    assert!(!died.status.success(), "{fault} is never passed");
    let lived = start(None);
    assert!(lived.status.success(), "{}", String::from_utf8_lossy(&lived.stdout));
}

#[test]
fn the_house_that_is_started_again() {
    let Ok(house) = std::env::var(HOUSE) else { return };
    let (house, folder) = house.split_once(':').expect("a house and its folder");
    let folder = Path::new(folder);
    let lists = [timeline::MIGRATIONS, group::MIGRATIONS];
    let db = Db::open(&Config::at(folder.join("timeline.db")), &lists, &Clock::System).expect("a database");
    match house {
        "speaker" => speak(&db, &folder.join("broker")),
        _ => listen(&db, &folder.join("broker"), &folder.join("offset")),
    }
    db.close();
}

fn speak(db: &Db, broker: &Path) {
    let limits = Limits::default();
    db.write_blocking(move |tx| {
        if !outbox::totals(tx)?.iter().all(|totals| totals.appended == 0) {
            return Ok(());
        }
        outbox::begin_epoch(tx, NOW)?;
        for number in 0..RECORDS {
            let stamp = outbox::next_stamp(tx)?;
            let (topic, key) = ("group.g.responses".to_owned(), Some(format!("task-{}", number % 3)));
            let value = format!("{} {} task-{}", stamp.epoch, stamp.seq, number % 3).into_bytes();
            let record = Record { topic, key, value, class: Class::Answer, deadline_at: None, stamp: Some(stamp) };
            outbox::append(tx, &record, &limits, NOW).expect("there is room");
        }
        Ok(())
    })
    .expect("queued");
    let last = db.read_blocking(outbox::last_id).expect("read");
    let rate = Rate { per_second: 1_000, burst: 7 };
    let mut relay = Relay::online(Pace { backlog_rows: rate, ..Pace::default() }, last, NOW);
    let mut now = NOW;
    while db.read_blocking(outbox::last_id).expect("read") > 0 {
        let plan = relay.plan(now);
        let batch = db.read_blocking(move |connection| outbox::read(connection, &plan)).expect("read");
        let rows = relay.lease(batch, now);
        let mut file = OpenOptions::new().create(true).append(true).open(broker).expect("the broker");
        for row in &rows {
            file.write_all(&row.record.value).and_then(|()| file.write_all(b"\n")).expect("produced");
        }
        let leased: Vec<_> = rows.iter().map(outbox::Row::leased).collect();
        db.write_blocking(move |tx| outbox::sent(tx, &leased)).expect("deleted");
        rows.iter().for_each(|row| relay.done(row.id));
        now = now.plus(Duration::from_secs(1));
    }
}

fn listen(db: &Db, broker: &Path, offset: &Path) {
    let lines = fs::read_to_string(broker).expect("the broker");
    let from: usize = fs::read_to_string(offset).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for (number, line) in lines.lines().enumerate().skip(from) {
        let message = message(number, line);
        db.write_blocking(move |tx| {
            let verdict = receive(tx, &message, Verdict::Accepted, NOW)?;
            if verdict == Verdict::Accepted {
                let event = Event::system("APPLIED", TraceId::random(), NOW, message.correlation_id);
                timeline::append(tx, &event)?;
            }
            Ok(())
        })
        .expect("received");
        // The broker is told rarely, so that it repeats much.
        if number % 10 == 9 {
            fs::write(offset, (number + 1).to_string()).expect("told");
        }
    }
}

/// A record of the broker: `<epoch> <seq> <key>`.
fn message(number: usize, line: &str) -> Received {
    let words: Vec<&str> = line.split(' ').collect();
    let stamp = Stamp { epoch: words[0].parse().expect("an epoch"), seq: words[1].parse().expect("a number") };
    Received {
        topic: "group.g.responses".to_owned(),
        partition: 0,
        offset: i64::try_from(number).expect("small"),
        bytes: line.len() as u64,
        hash: [0; 32],
        class: Class::Answer,
        kind: "response".to_owned(),
        sender_id: "speaker".to_owned(),
        correlation_id: line.to_owned(),
        stamp: Some(stamp),
        sent_at: None,
        deadline_at: None,
        depth: 0,
        target: None,
        behind_ms: 0,
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_applied_twice_wherever_the_plug_is_pulled() {
    for (speaker, listener) in
        [("outbox.after_produce", "inbox.before_commit"), ("outbox.after_produce:4", "inbox.before_commit:37")]
    {
        let folder = tempfile::tempdir().expect("a folder");
        run("speaker", folder.path(), speaker);
        let broker = fs::read_to_string(folder.path().join("broker")).expect("the broker");
        let lines: Vec<&str> = broker.lines().collect();
        assert!(lines.len() as u64 > RECORDS, "{speaker}: what was produced is produced again");
        let mut order: BTreeMap<&str, u64> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for line in &lines {
            let words: Vec<&str> = line.split(' ').collect();
            let seq: u64 = words[1].parse().expect("a number");
            assert_eq!(words[0], NOW.as_millis().to_string(), "under the stamp it had");
            if known.insert(seq) {
                assert!(order.insert(words[2], seq).unwrap_or(0) < seq, "{speaker}: {line} is late");
            }
        }
        assert_eq!(known.len() as u64, RECORDS, "{speaker}: all arrived");

        let heard = tempfile::tempdir().expect("a folder");
        fs::copy(folder.path().join("broker"), heard.path().join("broker")).expect("copied");
        run("listener", heard.path(), listener);
        let lists = [timeline::MIGRATIONS, group::MIGRATIONS];
        let db = Db::open(&Config::at(heard.path().join("timeline.db")), &lists, &Clock::System).expect("a database");
        let rows = db.read_blocking(|connection| timeline::after(connection, 0, 1_000)).expect("read");
        let applied: Vec<&str> = rows
            .iter()
            .filter(|row| row.event_id.starts_with("APPLIED"))
            .map(|row| row.classification.as_str())
            .collect();
        let distinct: BTreeSet<&str> = applied.iter().copied().collect();
        assert_eq!((applied.len() as u64, distinct.len() as u64), (RECORDS, RECORDS), "{listener}");
    }
}
