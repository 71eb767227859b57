//! Which rows the producer gets next: a state machine without I/O.
//!
//! Rows of one key leave in their order, rows of different keys side by side. What waited when the connection came, the first
//! time or again, is backlog and leaves at a limited rate; what is queued since then is live and goes first. Several rows of one key may be with the
//! producer at once as long as they are for one topic: an idempotent producer keeps those in order and fails none in the
//! middle. A row that failed holds its key (or its topic) until it is tried again.
//!
//! Nothing here is stored: after a crash all rows are backlog again.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::group::outbox::bucket::{Bucket, Rate};
use crate::group::outbox::{Batch, Row};

/// First wait after a failure; doubles each time.
const HOLD: Duration = Duration::from_secs(1);
const HOLD_MAX: Duration = Duration::from_secs(60);
/// Rows that are read at once, so that some are being read while others are handed over.
const READ_ROWS_MAX: usize = 4_096;
/// With more keys in trouble than this it is the connection that is: everything is held.
const KEYS_HELD_MAX: usize = 1_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Rows and bytes that the producer may hold at once, and that wait to be taken out of the outbox.
    pub window_rows_max: usize,
    pub window_bytes_max: u64,
    pub backlog_rows: Rate,
    pub backlog_bytes: Rate,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window_rows_max: 8_192,
            window_bytes_max: 4 * 1024 * 1024,
            backlog_rows: Rate { per_second: 5_000, burst: 1_000 },
            backlog_bytes: Rate { per_second: 4 * 1024 * 1024, burst: 1024 * 1024 },
        }
    }
}

/// What [`crate::group::outbox::read`] shall read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The last row that counts as backlog.
    pub boundary: u64,
    pub live_after: u64,
    pub live_rows_max: usize,
    pub live_bytes_max: u64,
    pub backlog_after: u64,
    pub backlog_rows_max: usize,
    pub backlog_bytes_max: u64,
}

impl Plan {
    pub fn has_backlog(&self) -> bool {
        self.backlog_after < self.boundary
    }

    /// Nothing may be read: the producer has its hands full, or everything is held.
    pub fn is_empty(&self) -> bool {
        self.live_rows_max == 0 && self.backlog_rows_max == 0
    }
}

/// Why the producer could not deliver a row. What can never be delivered is no case here: see
/// [`crate::group::outbox::give_up`], and tell the relay with [`Relay::done`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Trouble with this record or its partition.
    Key,
    /// The topic is missing or denied.
    Topic,
}

/// A topic or a key, by its hash. Should two ever share one, they wait for each other.
type Name = u64;

#[derive(Clone, Copy, Debug)]
struct InFlight {
    topic: Name,
    key: Option<Name>,
    bytes: u64,
}

/// A name in trouble; kept until something gets through, so that it is tried less and less often.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// None while it is tried again.
    until: Option<Timestamp>,
    failures: u32,
}

type Holds = HashMap<Name, Hold>;

/// See the file's head.
#[derive(Debug)]
pub struct Relay {
    pace: Pace,
    is_linked: bool,
    boundary: u64,
    live_after: u64,
    backlog_after: u64,
    in_flight: HashMap<u64, InFlight>,
    bytes_in_flight: u64,
    /// Topic and number of the rows of each key that are with the producer.
    keys_in_flight: HashMap<Name, (Name, usize)>,
    names: RandomState,
    keys_held: Holds,
    topics_held: Holds,
    all_held_until: Option<Timestamp>,
    /// Keys of which rows were passed over.
    passed_keys: HashSet<Name>,
    /// The first live row and the first row of the backlog that were passed over.
    passed_live: Option<u64>,
    passed_backlog: Option<u64>,
    look_again: bool,
    rows: Bucket,
    bytes: Bucket,
}

impl Relay {
    /// At the moment the connection came; `last_id` is the newest row then.
    pub fn online(pace: Pace, last_id: u64, now: Timestamp) -> Self {
        Self {
            pace,
            is_linked: true,
            boundary: last_id,
            live_after: last_id,
            backlog_after: 0,
            in_flight: HashMap::new(),
            bytes_in_flight: 0,
            keys_in_flight: HashMap::new(),
            names: RandomState::new(),
            keys_held: HashMap::new(),
            topics_held: HashMap::new(),
            all_held_until: None,
            passed_keys: HashSet::new(),
            passed_live: None,
            passed_backlog: None,
            look_again: false,
            rows: Bucket::new(pace.backlog_rows, now),
            bytes: Bucket::new(pace.backlog_bytes, now),
        }
    }

    /// The connection is lost for a while: nothing is handed over, so that nothing stands before the first words when it is back.
    pub fn lost(&mut self) {
        self.is_linked = false;
    }

    /// The connection is back; `last_id` is the newest row now. What the producer has, it keeps.
    pub fn back(&mut self, last_id: u64, now: Timestamp) {
        self.is_linked = true;
        self.boundary = last_id;
        self.live_after = last_id;
        self.backlog_after = 0;
        self.passed_keys.clear();
        self.passed_live = None;
        self.passed_backlog = None;
        self.look_again = false;
        self.rows = Bucket::new(self.pace.backlog_rows, now);
        self.bytes = Bucket::new(self.pace.backlog_bytes, now);
    }

    pub fn is_linked(&self) -> bool {
        self.is_linked
    }

    /// What to read now.
    pub fn plan(&mut self, now: Timestamp) -> Plan {
        self.release(now);
        let is_anything_passed = self.passed_live.is_some() || self.passed_backlog.is_some();
        if self.look_again || (is_anything_passed && self.in_flight.is_empty() && self.next_release().is_none()) {
            self.look_again = false;
            self.passed_keys.clear();
            if let Some(id) = self.passed_live.take() {
                self.live_after = self.live_after.min(id - 1);
            }
            if let Some(id) = self.passed_backlog.take() {
                self.backlog_after = self.backlog_after.min(id - 1);
            }
        }
        let bytes = self.pace.window_bytes_max.saturating_sub(self.bytes_in_flight);
        let is_open = self.is_linked && bytes > 0 && self.all_held_until.is_none();
        let rows = if is_open { self.pace.window_rows_max.saturating_sub(self.in_flight.len()) } else { 0 };
        let rows = rows.min(READ_ROWS_MAX);
        let (backlog_rows, backlog_bytes) = (self.rows.available(now), self.bytes.available(now));
        let backlog_rows = if backlog_bytes == 0 { 0 } else { usize::try_from(backlog_rows).unwrap_or(usize::MAX) };
        let mut plan = Plan {
            boundary: self.boundary,
            live_after: self.live_after,
            live_rows_max: rows,
            live_bytes_max: bytes,
            backlog_after: self.backlog_after,
            backlog_rows_max: rows.min(backlog_rows),
            backlog_bytes_max: bytes.min(backlog_bytes),
        };
        if plan.has_backlog() && plan.backlog_rows_max > 0 {
            // A quarter stays for the backlog, so that a busy house sends it at all.
            plan.live_rows_max = rows - (rows / 4).min(plan.backlog_rows_max);
            plan.backlog_rows_max = plan.backlog_rows_max.min(rows - plan.live_rows_max).max(1);
        }
        plan
    }

    /// Takes the rows that may go now, in this order, and counts them as being with the producer until [`Relay::done`] or
    /// [`Relay::failed`] is called for each.
    pub fn lease(&mut self, batch: Batch, now: Timestamp) -> Vec<Row> {
        let mut leased = Vec::with_capacity(batch.live.len() + batch.backlog.len());
        for (id, key) in batch.behind {
            self.live_after = self.live_after.max(id);
            self.pass(id, Some(self.names.hash_one(key.as_str())));
        }
        for row in batch.live {
            self.live_after = self.live_after.max(row.id);
            self.offer(row, now, &mut leased);
        }
        let (mut rows, mut bytes) = (0, 0);
        self.backlog_after = self.backlog_after.max(batch.backlog_through);
        for row in batch.backlog {
            let size = row.record.value.len() as u64;
            if self.offer(row, now, &mut leased) {
                (rows, bytes) = (rows + 1, bytes + size);
            }
        }
        self.rows.take(rows);
        self.bytes.take(bytes);
        leased
    }

    /// The row is deleted: the broker has it, or it was given up. Call it after that is committed.
    pub fn done(&mut self, id: u64) {
        let Some(row) = self.put_down(id) else { return };
        // Only what was tried again and got through is out of trouble: this may be a row from before the trouble.
        forget_if_over(&mut self.topics_held, row.topic);
        if let Some(key) = row.key {
            forget_if_over(&mut self.keys_held, key);
            self.look_again |= self.passed_keys.contains(&key) && !self.keys_in_flight.contains_key(&key);
        }
    }

    /// The producer gave the row back. Its key, or its topic, is held for a while; the row stays first in its order.
    pub fn failed(&mut self, id: u64, failure: Failure, now: Timestamp) {
        let Some(row) = self.put_down(id) else { return };
        self.pass(id, row.key);
        if failure == Failure::Topic || row.key.is_none() {
            hold(&mut self.topics_held, row.topic, now);
        }
        if let Some(key) = row.key {
            hold(&mut self.keys_held, key, now);
        }
        if self.keys_held.len() > KEYS_HELD_MAX {
            self.keys_held.clear();
            self.all_held_until = Some(now.plus(HOLD_MAX));
        }
    }

    /// When [`Relay::plan`] may find more than now without anything else happening. None: when something is queued or done.
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        let is_full =
            self.in_flight.len() >= self.pace.window_rows_max || self.bytes_in_flight >= self.pace.window_bytes_max;
        if is_full || !self.is_linked {
            return None;
        }
        if self.look_again {
            return Some(Duration::ZERO);
        }
        let held = self.next_release().map(|until| until.since(now));
        let backlog = (self.backlog_after < self.boundary).then(|| self.rows.wait().max(self.bytes.wait()));
        held.into_iter().chain(backlog).min()
    }

    pub fn in_flight_len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether everything that waited when the connection came has been handed on.
    pub fn has_caught_up(&self) -> bool {
        self.backlog_after >= self.boundary && self.passed_backlog.is_none()
    }

    /// Leases a row, unless something stands before it; tells which.
    fn offer(&mut self, row: Row, now: Timestamp, leased: &mut Vec<Row>) -> bool {
        if self.in_flight.contains_key(&row.id) {
            return false;
        }
        // What is overdue is for the sweep, which says so.
        if row.record.deadline_at.is_some_and(|deadline| deadline <= now) {
            return false;
        }
        let topic = self.names.hash_one(row.record.topic.as_str());
        let key = row.record.key.as_deref().map(|key| self.names.hash_one(key));
        let is_held = |holds: &Holds, name: Name| holds.get(&name).is_some_and(|hold| hold.until.is_some());
        let is_blocked = is_held(&self.topics_held, topic)
            || key.is_some_and(|key| {
                is_held(&self.keys_held, key)
                    || self.passed_keys.contains(&key)
                    || self.keys_in_flight.get(&key).is_some_and(|(other, _)| *other != topic)
            });
        if is_blocked {
            self.pass(row.id, key);
            return false;
        }
        if let Some(key) = key {
            self.keys_in_flight.entry(key).or_insert((topic, 0)).1 += 1;
        }
        let bytes = row.record.value.len() as u64;
        self.bytes_in_flight += bytes;
        self.in_flight.insert(row.id, InFlight { topic, key, bytes });
        leased.push(row);
        true
    }

    /// Remembers that a row has to be read again.
    fn pass(&mut self, id: u64, key: Option<Name>) {
        self.passed_keys.extend(key);
        let first = if id > self.boundary { &mut self.passed_live } else { &mut self.passed_backlog };
        *first = Some(first.map_or(id, |known| known.min(id)));
    }

    fn put_down(&mut self, id: u64) -> Option<InFlight> {
        let row = self.in_flight.remove(&id)?;
        self.bytes_in_flight -= row.bytes;
        if let Some(key) = row.key
            && let Some((_, count)) = self.keys_in_flight.get_mut(&key)
        {
            *count -= 1;
            if *count == 0 {
                self.keys_in_flight.remove(&key);
            }
        }
        Some(row)
    }

    fn next_release(&self) -> Option<Timestamp> {
        let keys = self.keys_held.iter().filter(|(key, _)| !self.keys_in_flight.contains_key(key));
        let holds = keys.map(|(_, hold)| hold).chain(self.topics_held.values());
        holds.filter_map(|hold| hold.until).chain(self.all_held_until).min()
    }

    /// Lets go what was held long enough. A key stays held while the producer has a row of it: that one comes back first.
    fn release(&mut self, now: Timestamp) {
        // A clock that was set back must not hold anything for longer than the longest hold.
        let is_over = |until: Timestamp| until <= now || until.since(now) > HOLD_MAX;
        for (key, hold) in &mut self.keys_held {
            if hold.until.is_some_and(is_over) && !self.keys_in_flight.contains_key(key) {
                hold.until = None;
                self.look_again = true;
            }
        }
        for hold in self.topics_held.values_mut().filter(|hold| hold.until.is_some_and(is_over)) {
            hold.until = None;
            self.look_again = true;
        }
        if self.all_held_until.is_some_and(is_over) {
            self.all_held_until = None;
            self.look_again = true;
        }
    }
}

fn forget_if_over(holds: &mut Holds, name: Name) {
    if holds.get(&name).is_some_and(|hold| hold.until.is_none()) {
        holds.remove(&name);
    }
}

fn hold(holds: &mut Holds, name: Name, now: Timestamp) {
    let hold = holds.entry(name).or_insert(Hold { until: None, failures: 0 });
    if hold.until.is_none() {
        let wait = HOLD.saturating_mul(1_u32.checked_shl(hold.failures).unwrap_or(u32::MAX)).min(HOLD_MAX);
        hold.until = Some(now.plus(wait));
        hold.failures = hold.failures.saturating_add(1);
    }
}
