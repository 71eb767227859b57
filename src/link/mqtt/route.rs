//! Who gets which message.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{AckToken, MqttError, Shared, topic};

/// Messages that wait for one consumer.
pub const ROUTE_QUEUE_LEN: usize = 256;
/// Filters of one route.
pub const FILTERS_MAX: usize = 20_000;

/// What a consumer wants.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    pub reliability: Reliability,
    pub filters: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reliability {
    /// QoS 0, retained messages again on each connection.
    Present,
    /// QoS 1 with acknowledgement by hand; the broker keeps messages while we are away.
    Everything,
}

/// A consumer's end.
pub struct Route {
    pub incoming: mpsc::Receiver<Incoming>,
    pub subscriptions: Subscriptions,
}

#[derive(Debug)]
pub struct Incoming {
    pub message: Message,
    /// Present on routes that want everything, when the sender asked for delivery at least once.
    pub ack: Option<AckToken>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub topic: Arc<str>,
    pub payload: Bytes,
    /// Kept by the broker from earlier, not sent just now.
    pub is_retained: bool,
    /// The broker has sent it before.
    pub is_repeated: bool,
    /// The number under which the broker sends it, the same when it repeats it; 0 for QoS 0.
    pub packet_id: u16,
}

/// Adds and drops filters of one route while running.
#[derive(Clone)]
pub struct Subscriptions {
    shared: Arc<Shared>,
    index: usize,
}

/// A filter that the broker has to hear about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Subscribe(String, Reliability),
    Unsubscribe(String),
}

/// All routes with their filters.
pub struct Table {
    entries: Vec<Entry>,
    changes: Vec<Change>,
}

struct Entry {
    reliability: Reliability,
    sender: mpsc::Sender<Incoming>,
    exact: HashMap<String, u32>,
    wildcards: HashMap<String, u32>,
}

impl Subscriptions {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self { shared, index }
    }

    /// Filters may be added several times and must then be dropped as often.
    pub fn add(&self, filters: impl IntoIterator<Item = String>) -> Result<(), MqttError> {
        let outcome = self.shared.routes().add(self.index, filters);
        self.shared.push_changes();
        outcome
    }

    pub fn remove<'a>(&self, filters: impl IntoIterator<Item = &'a str>) {
        self.shared.routes().remove(self.index, filters);
        self.shared.push_changes();
    }
}

impl Table {
    pub fn new(configs: &[RouteConfig]) -> Result<(Self, Vec<mpsc::Receiver<Incoming>>), MqttError> {
        let mut table = Self { entries: Vec::new(), changes: Vec::new() };
        let mut inboxes = Vec::new();
        for (index, config) in configs.iter().enumerate() {
            let (sender, inbox) = mpsc::channel(ROUTE_QUEUE_LEN);
            inboxes.push(inbox);
            table.entries.push(Entry {
                reliability: config.reliability,
                sender,
                exact: HashMap::new(),
                wildcards: HashMap::new(),
            });
            table.add(index, config.filters.iter().cloned())?;
        }
        table.changes.clear();
        Ok((table, inboxes))
    }

    fn add(&mut self, index: usize, filters: impl IntoIterator<Item = String>) -> Result<(), MqttError> {
        let entry = &mut self.entries[index];
        for filter in filters {
            let is_full = entry.exact.len() + entry.wildcards.len() >= FILTERS_MAX;
            if is_full || !topic::is_filter(&filter) {
                return Err(MqttError::Filter { filter });
            }
            let count = entry.set_of(&filter).entry(filter.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                self.changes.push(Change::Subscribe(filter, entry.reliability));
            }
        }
        Ok(())
    }

    fn remove<'a>(&mut self, index: usize, filters: impl IntoIterator<Item = &'a str>) {
        for filter in filters {
            let set = self.entries[index].set_of(filter);
            let Some(count) = set.get_mut(filter) else { continue };
            *count -= 1;
            if *count > 0 {
                continue;
            }
            set.remove(filter);
            if !self.entries.iter().any(|entry| entry.has(filter)) {
                self.changes.push(Change::Unsubscribe(filter.to_owned()));
            }
        }
    }

    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The oldest changes, at most `count_max`.
    pub fn take_some_changes(&mut self, count_max: usize) -> Vec<Change> {
        self.changes.drain(..count_max.min(self.changes.len())).collect()
    }

    /// Changes that could not be passed on yet.
    pub fn put_back(&mut self, changes: Vec<Change>) {
        self.changes.splice(0..0, changes);
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// What to subscribe on a fresh connection; `with_everything` when the broker does not remember the session.
    pub fn on_connect(&mut self, session: Session) -> Vec<Change> {
        self.changes.clear();
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        for entry in &self.entries {
            if entry.reliability == Reliability::Everything && session == Session::Remembered {
                continue;
            }
            for filter in entry.wildcards.keys().chain(entry.exact.keys()) {
                if seen.insert(filter.clone()) {
                    wanted.push(Change::Subscribe(filter.clone(), entry.reliability));
                }
            }
        }
        wanted
    }

    /// The routes for `topic`, with their queues.
    pub fn consumers(&self, topic: &str) -> impl Iterator<Item = (Reliability, &mpsc::Sender<Incoming>)> {
        self.entries
            .iter()
            .filter(move |entry| {
                entry.exact.contains_key(topic) || entry.wildcards.keys().any(|filter| topic::matches(filter, topic))
            })
            .map(|entry| (entry.reliability, &entry.sender))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Session {
    /// By the broker, including what this process subscribed.
    Remembered,
    New,
}

impl Entry {
    fn set_of(&mut self, filter: &str) -> &mut HashMap<String, u32> {
        if filter.contains(['+', '#']) { &mut self.wildcards } else { &mut self.exact }
    }

    fn has(&self, filter: &str) -> bool {
        self.exact.contains_key(filter) || self.wildcards.contains_key(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(reliability: Reliability, filters: &[&str]) -> RouteConfig {
        RouteConfig { reliability, filters: filters.iter().map(|&filter| filter.to_owned()).collect() }
    }

    #[test]
    fn a_topic_goes_to_every_route_that_asked_for_it() {
        let home = config(Reliability::Present, &["homeassistant/#", "lamp/state"]);
        let talk = config(Reliability::Everything, &["kafclaw/hub/in/+"]);
        let (table, _inboxes) = Table::new(&[home, talk]).expect("valid filters");
        let who = |topic: &str| table.consumers(topic).map(|(reliability, _)| reliability).collect::<Vec<_>>();
        assert_eq!(who("lamp/state"), [Reliability::Present]);
        assert_eq!(who("homeassistant/light/x/config"), [Reliability::Present]);
        assert_eq!(who("kafclaw/hub/in/kitchen"), [Reliability::Everything]);
        assert!(who("other").is_empty());
    }

    #[test]
    fn a_filter_is_dropped_at_the_broker_with_its_last_user() {
        let (mut table, _inboxes) = Table::new(&[config(Reliability::Present, &[])]).expect("valid filters");
        table.add(0, ["a".to_owned(), "a".to_owned()]).expect("valid");
        assert_eq!(table.take_changes(), [Change::Subscribe("a".to_owned(), Reliability::Present)]);
        table.remove(0, ["a"]);
        assert!(table.take_changes().is_empty());
        table.remove(0, ["a"]);
        assert_eq!(table.take_changes(), [Change::Unsubscribe("a".to_owned())]);
    }

    #[test]
    fn a_remembered_session_only_refreshes_what_is_present() {
        let home = config(Reliability::Present, &["a"]);
        let talk = config(Reliability::Everything, &["b"]);
        let (mut table, _inboxes) = Table::new(&[home, talk]).expect("valid filters");
        assert_eq!(table.on_connect(Session::Remembered).len(), 1);
        assert_eq!(table.on_connect(Session::New).len(), 2);
    }
}
