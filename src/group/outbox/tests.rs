//! The outbox against a model of a broker: random appends, leases, confirmations, failures, crashes and passing time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::clock::Timestamp;
use crate::db::Db;
use crate::domain::record::{Record, Stamp};
use crate::group;
use crate::timeline;

const START: Timestamp = Timestamp::from_millis(1_787_063_412_000);

fn fresh() -> Db {
    Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS])
}

fn record(topic: &str, key: Option<&str>, class: Class, stamp: Stamp) -> Record {
    Record {
        topic: topic.to_owned(),
        key: key.map(str::to_owned),
        value: format!("{{\"seq\":{}}}", stamp.seq).into_bytes(),
        class,
        deadline_at: None,
        stamp: Some(stamp),
    }
}

/// Queues a record under the next stamp.
fn put(db: &Db, key: Option<&str>, class: Class, limits: &Limits, now: Timestamp) -> Result<Appended, OutboxError> {
    let (key, limits) = (key.map(str::to_owned), limits.clone());
    db.write_blocking(move |tx| {
        let stamp = next_stamp(tx)?;
        Ok(append(tx, &record("group.g.responses", key.as_deref(), class, stamp), &limits, now))
    })
    .expect("written")
}

fn lease(db: &Db, relay: &mut Relay, now: Timestamp) -> Vec<Row> {
    let plan = relay.plan(now);
    let batch = db.read_blocking(move |connection| read(connection, &plan)).expect("read");
    relay.lease(batch, now)
}

fn confirm(db: &Db, relay: &mut Relay, rows: &[Row]) {
    let leased: Vec<Leased> = rows.iter().map(Row::leased).collect();
    db.write_blocking(move |tx| sent(tx, &leased)).expect("deleted");
    rows.iter().for_each(|row| relay.done(row.id));
}

fn counts(db: &Db) -> BTreeMap<&'static str, Totals> {
    db.read_blocking(totals).expect("read").into_iter().map(|totals| (totals.class, totals)).collect()
}

fn events(db: &Db, classification: &str) -> usize {
    let rows = db.read_blocking(|connection| timeline::after(connection, 0, 10_000)).expect("read");
    rows.iter().filter(|row| row.classification == classification).count()
}

#[derive(Clone, Debug)]
enum Act {
    Append {
        key: Option<u8>,
        topic: u8,
        class: Class,
        lives_ms: Option<u64>,
    },
    Lease,
    Confirm {
        which: usize,
        count: usize,
    },
    /// The first of a train fails; what follows it will, one by one.
    Fail {
        which: usize,
        topic: bool,
    },
    FailNext,
    /// The relay hears late what was deleted.
    HearLate,
    /// The power fails when the broker has taken so many of what the producer had.
    Crash {
        taken: usize,
    },
    Sweep,
    /// The connection goes, or comes back; the producer keeps what it has.
    Lose,
    Return,
    Wait {
        ms: u64,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let class = prop_oneof![Just(Class::Answer), Just(Class::Request), Just(Class::Trace), Just(Class::Knowledge)];
    let append = (proptest::option::of(0_u8..4), 0_u8..2, class, proptest::option::of(1_u64..5_000)).prop_map(
        |(key, topic, class, lives_ms)| {
            let lives_ms = lives_ms.filter(|_| class == Class::Request);
            Act::Append { key, topic, class, lives_ms }
        },
    );
    let act = prop_oneof![
        8 => append,
        4 => Just(Act::Lease),
        4 => (0_usize..8, 1_usize..6).prop_map(|(which, count)| Act::Confirm { which, count }),
        2 => (0_usize..8, any::<bool>()).prop_map(|(which, topic)| Act::Fail { which, topic }),
        2 => Just(Act::FailNext),
        2 => Just(Act::HearLate),
        1 => (0_usize..6).prop_map(|taken| Act::Crash { taken }),
        1 => Just(Act::Sweep),
        1 => Just(Act::Lose),
        2 => Just(Act::Return),
        2 => (1_u64..3_000).prop_map(|ms| Act::Wait { ms }),
    ];
    proptest::collection::vec(act, 1..60)
}

/// Topic and key: what a broker keeps in order. Rows without a key stand alone.
type Train = (String, Option<String>, u64);

fn train(row: &Row) -> Train {
    let alone = if row.record.key.is_none() { row.id } else { 0 };
    (row.record.topic.clone(), row.record.key.clone(), alone)
}

struct World {
    db: Db,
    now: Timestamp,
    limits: Limits,
    pace: Pace,
    relay: Relay,
    /// What the producer has.
    trains: BTreeMap<Train, VecDeque<Row>>,
    /// What it has and will fail.
    doomed: VecDeque<Row>,
    /// Deleted, but the relay does not know yet.
    late: Vec<u64>,
    /// What the broker has, in its order.
    taken: Vec<Row>,
    kept: BTreeSet<u64>,
    swept: BTreeSet<u64>,
    gave_way: BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        let db = fresh();
        db.write_blocking(|tx| begin_epoch(tx, START)).expect("begun");
        let small = Room { rows_max: 12, bytes_max: 4_096, age_max: None };
        let limits = Limits {
            request: small,
            answer: small,
            knowledge: small,
            trace: Room { age_max: Some(Duration::from_secs(4)), ..small },
            total_bytes_max: 400,
            ..Limits::default()
        };
        let rate = Rate { per_second: 5, burst: 3 };
        let pace = Pace { window_rows_max: 8, backlog_rows: rate, ..Pace::default() };
        let relay = Relay::online(pace, 0, START);
        let (trains, doomed, late, taken) = (BTreeMap::new(), VecDeque::new(), Vec::new(), Vec::new());
        let (kept, swept, gave_way) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { db, now: START, limits, pace, relay, trains, doomed, late, taken, kept, swept, gave_way }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Append { key, topic, class, lives_ms } => self.append(key, topic, class, lives_ms),
            Act::Lease => {
                for row in lease(&self.db, &mut self.relay, self.now) {
                    let is_early = |other: &Row| row.record.key.is_some() && other.record.key == row.record.key;
                    assert!(!self.doomed.iter().any(is_early), "{} is sent while its key fails", row.id);
                    self.trains.entry(train(&row)).or_default().push_back(row);
                }
                let in_hand: usize = self.trains.values().map(VecDeque::len).sum();
                assert!(in_hand <= self.pace.window_rows_max + 64, "{in_hand}");
                self.one_topic_per_key();
            }
            Act::Confirm { which, count } => {
                let Some(train) = self.trains.keys().nth(which).cloned() else { return };
                let rows = self.take(&train, count);
                let leased: Vec<Leased> = rows.iter().map(Row::leased).collect();
                self.db.write_blocking(move |tx| sent(tx, &leased)).expect("deleted");
                self.late.extend(rows.iter().map(|row| row.id));
                if count % 2 == 0 {
                    self.act(Act::HearLate);
                }
            }
            Act::HearLate => self.late.drain(..).for_each(|id| self.relay.done(id)),
            Act::Fail { which, topic } => {
                let Some(train) = self.trains.keys().nth(which).cloned() else { return };
                let failure = if topic { Failure::Topic } else { Failure::Key };
                let mut rows = self.trains.remove(&train).unwrap_or_default();
                if let Some(first) = rows.pop_front() {
                    self.relay.failed(first.id, failure, self.now);
                }
                // An idempotent producer fails what follows too.
                self.doomed.extend(rows);
            }
            Act::FailNext => {
                if let Some(row) = self.doomed.pop_front() {
                    self.relay.failed(row.id, Failure::Key, self.now);
                }
            }
            Act::Crash { taken } => {
                for train in self.trains.keys().cloned().collect::<Vec<_>>() {
                    self.take(&train, taken);
                }
                self.trains.clear();
                self.doomed.clear();
                self.late.clear();
                let last = self.db.read_blocking(last_id).expect("read");
                self.relay = Relay::online(self.pace, last, self.now);
            }
            Act::Sweep => {
                let (limits, now) = (self.limits.clone(), self.now);
                let expired = self.db.write_blocking(move |tx| sweep(tx, &limits, now)).expect("swept");
                self.swept.extend(expired.into_iter().map(|expired| expired.id));
            }
            Act::Lose => {
                self.relay.lost();
                assert_eq!(lease(&self.db, &mut self.relay, self.now).len(), 0);
            }
            Act::Return => {
                let last = self.db.read_blocking(last_id).expect("read");
                self.relay.back(last, self.now);
            }
            Act::Wait { ms } => self.now = self.now.plus(Duration::from_millis(ms)),
        }
    }

    fn append(&mut self, key: Option<u8>, topic: u8, class: Class, lives_ms: Option<u64>) {
        let (limits, now) = (self.limits.clone(), self.now);
        let result = self.db.write_blocking(move |tx| {
            let stamp = next_stamp(tx)?;
            let key = key.map(|key| format!("key-{key}"));
            let mut record = record(&format!("topic-{topic}"), key.as_deref(), class, stamp);
            record.deadline_at = lives_ms.map(|ms| now.plus(Duration::from_millis(ms)));
            match append(tx, &record, &limits, now) {
                Ok(Appended::Queued(id)) => Ok(Some((id, stamp.seq))),
                Ok(Appended::Sampled) | Err(OutboxError::Full { .. }) => Ok(None),
                Err(error) => panic!("{error}"),
            }
        });
        if let Some((id, seq)) = result.expect("written") {
            assert_eq!(id, seq, "rows are numbered by their stamps");
            if class.gives_way() { &mut self.gave_way } else { &mut self.kept }.insert(id);
        }
    }

    /// The broker takes the first rows of a train.
    fn take(&mut self, train: &Train, count: usize) -> Vec<Row> {
        let Some(rows) = self.trains.get_mut(train) else { return Vec::new() };
        let rows: Vec<Row> = rows.drain(..count.min(rows.len())).collect();
        if self.trains[train].is_empty() {
            self.trains.remove(train);
        }
        self.taken.extend(rows.iter().cloned());
        rows
    }

    fn one_topic_per_key(&self) {
        let mut topics: BTreeMap<&str, &str> = BTreeMap::new();
        for row in self.trains.values().flatten() {
            if let Some(key) = &row.record.key {
                let topic = topics.entry(key).or_insert(&row.record.topic);
                assert_eq!(*topic, row.record.topic, "{key} is with the producer for two topics");
            }
        }
    }

    /// What must hold at any time.
    fn check(&self) {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for row in &self.taken {
            assert_eq!(row.record.stamp.map(|stamp| stamp.seq), Some(row.id));
            if known.insert(row.id)
                && let Some(key) = &row.record.key
            {
                let before = last.insert(key, row.id).unwrap_or(0);
                assert!(before < row.id, "{key}: {} came after {before}", row.id);
            }
        }
        let counts = counts(&self.db);
        for (class, room) in [("answer", self.limits.answer), ("trace", self.limits.trace)] {
            assert!(counts[class].rows <= room.rows_max && counts[class].bytes <= room.bytes_max, "{class}");
        }
        assert!(counts.values().map(|totals| totals.bytes).sum::<u64>() <= self.limits.total_bytes_max);
        let all = Plan { live_after: 0, boundary: 0, ..everything() };
        let waiting = self.db.read_blocking(move |connection| read(connection, &all)).expect("read").live;
        let rows: u64 = counts.values().map(|totals| totals.rows).sum();
        assert_eq!(rows as usize, waiting.len(), "the counts and the rows agree");
        let missing: Vec<_> = self
            .kept
            .iter()
            .filter(|id| !known.contains(id) && !self.swept.contains(id) && !waiting.iter().any(|row| row.id == **id))
            .collect();
        assert!(missing.is_empty(), "lost: {missing:?}");
    }

    /// A long quiet time with a good broker.
    fn drain(&mut self) {
        self.act(Act::Return);
        for _ in 0..1_000 {
            self.act(Act::Sweep);
            (0..64).for_each(|_| self.act(Act::FailNext));
            self.act(Act::HearLate);
            self.act(Act::Lease);
            for train in self.trains.keys().cloned().collect::<Vec<_>>() {
                let rows = self.take(&train, usize::MAX);
                confirm(&self.db, &mut self.relay, &rows);
            }
            if counts(&self.db).values().all(|totals| totals.rows == 0) {
                return;
            }
            self.now = self.now.plus(Duration::from_millis(500));
        }
        panic!("not drained: {:?} {:?}", counts(&self.db), self.relay);
    }
}

fn everything() -> Plan {
    Plan {
        boundary: u64::MAX,
        live_after: u64::MAX,
        live_rows_max: usize::MAX,
        live_bytes_max: u64::MAX,
        backlog_after: 0,
        backlog_rows_max: usize::MAX,
        backlog_bytes_max: u64::MAX,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_every_key_keeps_its_order(acts in acts()) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
            world.check();
        }
        world.drain();
        world.check();
        let taken: BTreeSet<u64> = world.taken.iter().map(|row| row.id).collect();
        for id in &world.kept {
            prop_assert!(taken.contains(id) || world.swept.contains(id), "{} was never sent", id);
        }
    }
}

#[test]
fn a_record_that_was_rolled_back_gives_its_number_back() {
    let db = fresh();
    let failed: Result<(), _> = db.write_blocking(|tx| {
        next_stamp(tx)?;
        Err(rusqlite::Error::InvalidQuery)
    });
    assert!(failed.is_err());
    assert_eq!(db.write_blocking(next_stamp).expect("a stamp").seq, 1);
}

#[test]
fn epochs_grow_also_when_the_clock_does_not() {
    let db = fresh();
    let first = db.write_blocking(|tx| begin_epoch(tx, START)).expect("begun");
    let second = db.write_blocking(|tx| begin_epoch(tx, Timestamp::from_millis(5))).expect("begun");
    assert_eq!((first, second), (START.as_millis() as u64, START.as_millis() as u64 + 1));
}

#[test]
fn what_is_live_goes_before_a_backlog_that_has_a_rate() {
    let db = fresh();
    let limits = Limits::default();
    for number in 0..300 {
        put(&db, Some(&format!("old-{number}")), Class::Answer, &limits, START).expect("queued");
    }
    let rate = Rate { per_second: 100, burst: 50 };
    let pace = Pace { backlog_rows: rate, window_rows_max: 1_000, ..Pace::default() };
    let mut relay = Relay::online(pace, 300, START);
    put(&db, Some("new"), Class::Answer, &limits, START).expect("queued");
    put(&db, Some("old-299"), Class::Answer, &limits, START).expect("queued");
    let rows = lease(&db, &mut relay, START);
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids[..3], [301, 300, 302], "an older row of the same key leads the live one");
    assert_eq!(rows.len(), 3 + 50, "and then a burst of the backlog");
    assert_eq!(lease(&db, &mut relay, START).len(), 0);
    assert_eq!(relay.wait(START), Some(Duration::from_millis(10)));
    let later = START.plus(Duration::from_millis(500));
    assert_eq!(lease(&db, &mut relay, later).len(), 50);
    assert!(!relay.has_caught_up());
}

#[test]
fn what_is_queued_while_the_connection_is_lost_is_backlog_when_it_is_back() {
    let (db, limits) = (fresh(), Limits::default());
    let put = |key: &str| put(&db, Some(key), Class::Answer, &limits, START).expect("queued");
    let pace = Pace { backlog_rows: Rate { per_second: 100, burst: 3 }, ..Pace::default() };
    let mut relay = Relay::online(pace, 0, START);
    put("before");
    let with_the_producer = lease(&db, &mut relay, START);
    relay.lost();
    for key in ["a", "b", "c"] {
        put(key);
    }
    assert_eq!(lease(&db, &mut relay, START).len(), 0, "nothing piles up in the producer");
    assert_eq!(relay.wait(START), None);
    relay.back(db.read_blocking(last_id).expect("read"), START);
    put("live");
    let ids: Vec<u64> = lease(&db, &mut relay, START).iter().map(|row| row.id).collect();
    assert_eq!(ids, [5, 2, 3], "what is live goes first, then a burst of the backlog, and nothing twice");
    confirm(&db, &mut relay, &with_the_producer);
    let later = START.plus(Duration::from_millis(500));
    assert_eq!(lease(&db, &mut relay, later).iter().map(|row| row.id).collect::<Vec<_>>(), [4]);
    assert!(relay.has_caught_up());
}

#[test]
fn what_is_for_another_group_is_taken_out_and_told() {
    let (db, limits) = (fresh(), Limits::default());
    put(&db, Some("a"), Class::Answer, &limits, START).expect("queued");
    let dropped = db.write_blocking(|tx| drop_foreign(tx, |topic| topic.starts_with("group.g."), START));
    assert_eq!(dropped.expect("written"), 0);
    let dropped = db.write_blocking(|tx| drop_foreign(tx, |topic| topic.starts_with("group.h."), START));
    assert_eq!((dropped.expect("written"), counts(&db)["answer"].dropped), (1, 1));
    assert_eq!((counts(&db)["answer"].rows, events(&db, "GROUP_OUTBOX_DROPPED")), (0, 1));
}

#[test]
fn a_key_in_trouble_holds_its_own_rows_only() {
    let db = fresh();
    let limits = Limits::default();
    let mut relay = Relay::online(Pace::default(), 0, START);
    for key in ["a", "a", "b", "a"] {
        put(&db, Some(key), Class::Answer, &limits, START).expect("queued");
    }
    let rows = lease(&db, &mut relay, START);
    assert_eq!(rows.len(), 4);
    for id in [1, 2, 4] {
        relay.failed(id, Failure::Key, START);
    }
    confirm(&db, &mut relay, &rows[2..3]);
    put(&db, Some("b"), Class::Answer, &limits, START).expect("queued");
    put(&db, Some("a"), Class::Answer, &limits, START).expect("queued");
    let ids = |rows: Vec<Row>| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(lease(&db, &mut relay, START)), [5]);
    assert_eq!(relay.wait(START), Some(Duration::from_secs(1)));
    assert_eq!(ids(lease(&db, &mut relay, START.plus(Duration::from_secs(1)))), [1, 2, 4, 6]);
    for id in [1, 2, 4, 6] {
        relay.failed(id, Failure::Key, START.plus(Duration::from_secs(1)));
    }
    assert_eq!(relay.wait(START.plus(Duration::from_secs(1))), Some(Duration::from_secs(2)), "less and less often");
}

#[test]
fn a_full_class_refuses_what_may_not_be_lost_and_says_so_once() {
    let db = fresh();
    let limits = Limits { answer: Room { rows_max: 3, bytes_max: 1_000, age_max: None }, ..Limits::default() };
    for _ in 0..3 {
        put(&db, Some("t"), Class::Answer, &limits, START).expect("queued");
    }
    for _ in 0..5 {
        let refused = put(&db, Some("t"), Class::Answer, &limits, START);
        assert!(matches!(refused, Err(OutboxError::Full { class: Class::Answer, rows: 3, .. })), "{refused:?}");
    }
    assert_eq!(counts(&db)["answer"].refused, 5);
    assert_eq!(events(&db, "GROUP_OUTBOX_FULL"), 1);
    let later = START.plus(Duration::from_secs(3_600));
    put(&db, Some("t"), Class::Answer, &limits, later).expect_err("still full");
    assert_eq!(events(&db, "GROUP_OUTBOX_FULL"), 2);
}

#[test]
fn traces_are_sampled_and_make_way_for_answers() {
    let db = fresh();
    let room = Room { rows_max: 20, bytes_max: 10_000, age_max: None };
    let limits = Limits { trace: room, total_bytes_max: 220, ..Limits::default() };
    for _ in 0..100 {
        put(&db, None, Class::Trace, &limits, START).expect("no error");
    }
    let traces = counts(&db)["trace"].clone();
    assert!(traces.rows > 10 && traces.rows <= 20, "{traces:?}");
    assert_eq!(traces.rows + traces.sampled, 100);
    for _ in 0..15 {
        put(&db, Some("t"), Class::Answer, &limits, START).expect("queued");
    }
    let traces = counts(&db)["trace"].clone();
    assert!(traces.dropped > 0, "{traces:?}");
    assert_eq!(counts(&db)["answer"].rows, 15);
    assert_eq!(events(&db, "GROUP_OUTBOX_FULL"), 1);
}

#[test]
fn a_request_whose_deadline_passes_is_told() {
    let db = fresh();
    let deadline = START.plus(Duration::from_secs(5));
    db.write_blocking(move |tx| {
        let stamp = next_stamp(tx)?;
        let record =
            Record { deadline_at: Some(deadline), ..record("group.g.requests", Some("t1"), Class::Request, stamp) };
        append(tx, &record, &Limits::default(), START).expect("queued");
        let late = append(tx, &record, &Limits::default(), deadline);
        assert!(matches!(late, Err(OutboxError::DeadlinePassed)));
        Ok(())
    })
    .expect("written");
    let mut relay = Relay::online(Pace::default(), 1, deadline);
    assert_eq!(lease(&db, &mut relay, deadline), [], "it is not sent any more");
    assert_eq!(db.read_blocking(next_deadline).expect("read"), Some(deadline));
    let expired = db.write_blocking(move |tx| sweep(tx, &Limits::default(), deadline)).expect("swept");
    assert_eq!(expired[0].key.as_deref(), Some("t1"));
    assert_eq!(events(&db, "GROUP_REQUEST_EXPIRED"), 1);
    assert_eq!(counts(&db)["request"].expired, 1);
}

#[test]
fn a_backlog_whose_last_row_becomes_worthless_comes_to_an_end() {
    let db = fresh();
    put(&db, Some("t"), Class::Answer, &Limits::default(), START).expect("queued");
    let deadline = START.plus(Duration::from_secs(5));
    db.write_blocking(move |tx| {
        let record = record("group.g.requests", Some("t1"), Class::Request, next_stamp(tx)?);
        let record = Record { deadline_at: Some(deadline), ..record };
        append(tx, &record, &Limits::default(), START).expect("queued");
        Ok(())
    })
    .expect("written");
    let mut relay = Relay::online(Pace::default(), 2, START);
    db.write_blocking(move |tx| sweep(tx, &Limits::default(), deadline)).expect("swept");
    let rows = lease(&db, &mut relay, deadline);
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1]);
    assert!(relay.has_caught_up());
    assert_eq!(relay.wait(deadline), None, "nobody looks again and again for a row that is gone");
}

#[test]
fn what_the_broker_has_is_cleared_away_when_nothing_waits_behind_it() {
    let (db, limits) = (fresh(), Limits::default());
    for key in ["a", "b", "c", "d"] {
        put(&db, Some(key), Class::Answer, &limits, START).expect("queued");
    }
    let mut relay = Relay::online(Pace::default(), 4, START);
    let rows = lease(&db, &mut relay, START);
    let in_the_table = || {
        let count = |connection: &rusqlite::Connection| {
            connection.query_row("SELECT count(*) FROM group_outbox", [], |row| row.get::<_, i64>(0))
        };
        db.read_blocking(count).expect("read")
    };
    confirm(&db, &mut relay, &rows[..2]);
    assert_eq!((in_the_table(), counts(&db)["answer"].rows), (4, 2), "they are over, and lie there");
    confirm(&db, &mut relay, &rows[..2]);
    assert_eq!(counts(&db)["answer"].sent, 2, "nothing is counted twice");
    confirm(&db, &mut relay, &rows[3..]);
    assert_eq!((in_the_table(), counts(&db)["answer"].rows), (3, 1), "one that waits stands before it");
    let mut after_a_crash = Relay::online(Pace::default(), 4, START);
    assert_eq!(lease(&db, &mut after_a_crash, START).iter().map(|row| row.id).collect::<Vec<_>>(), [3]);
    confirm(&db, &mut relay, &rows[2..3]);
    assert_eq!((in_the_table(), counts(&db)["answer"].rows), (0, 0));
}

#[test]
fn what_the_broker_never_takes_is_given_up_with_an_event() {
    let db = fresh();
    put(&db, Some("t"), Class::Answer, &Limits::default(), START).expect("queued");
    let mut relay = Relay::online(Pace::default(), 0, START);
    let rows = lease(&db, &mut relay, START);
    let leased = rows[0].leased();
    db.write_blocking(move |tx| give_up(tx, leased, "too large", START)).expect("written");
    db.write_blocking(move |tx| give_up(tx, leased, "too large", START)).expect("written");
    relay.done(leased.id);
    assert_eq!(events(&db, "GROUP_OUTBOX_DROPPED"), 1);
    assert_eq!(relay.in_flight_len(), 0);
}
