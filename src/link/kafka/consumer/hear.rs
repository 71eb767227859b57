//! The consumer's thread: finds where to begin, hands records over, sends positions.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::super::client::Trouble;
use super::plan::Begun;
use super::{ConsumerConfig, Desk, Heard, Payload, Positions, Record, Shared};
use crate::base::clock::Clock;

/// How soon the thread notices that it is not needed any more.
const POLL: Duration = Duration::from_millis(250);
/// Topics are looked at again after this long: sooner while some are missing.
const LOOK_INTERVAL: Duration = Duration::from_secs(300);
const LOOK_INTERVAL_MISSING: Duration = Duration::from_secs(15);
/// The first time: a topic that was just made takes a moment until every broker knows of it.
const LOOK_INTERVAL_MISSING_MIN: Duration = Duration::from_millis(500);
const LOOK_INTERVAL_FAILED: Duration = Duration::from_secs(2);

/// The way to the caller.
pub struct Way {
    pub sender: mpsc::Sender<Heard>,
    pub shared: Arc<Shared>,
    pub runtime: Handle,
}

pub struct Hearing {
    pub client: BaseConsumer<Desk>,
    pub config: ConsumerConfig,
    pub clock: Clock,
    way: Way,
    topics: Vec<Arc<str>>,
    /// Partitions that are being read.
    pub assigned: BTreeSet<(Arc<str>, i32)>,
    missing: Option<Vec<String>>,
    /// How long the next look for what is missing waits.
    patience: Duration,
    unsent: Positions,
}

/// The caller is gone.
struct Left;

impl Hearing {
    pub fn new(client: BaseConsumer<Desk>, config: ConsumerConfig, clock: Clock, way: Way) -> Self {
        let topics = config.topics.iter().map(|topic| Arc::from(topic.topic.as_str())).collect();
        let (assigned, missing, unsent) = (BTreeSet::new(), None, Positions::new());
        let patience = LOOK_INTERVAL_MISSING_MIN;
        Self { client, config, clock, way, topics, assigned, missing, patience, unsent }
    }

    /// Reads until the caller leaves.
    pub fn run(mut self) {
        // `Left` is the only way out.
        let _ = self.hear();
        self.commit();
    }

    fn hear(&mut self) -> Result<(), Left> {
        let mut next_look = Instant::now();
        let mut next_commit = Instant::now();
        while !self.way.shared.stopped.load(Ordering::Acquire) {
            let now = Instant::now();
            if self.way.shared.has_more.swap(false, Ordering::AcqRel) && self.widen() {
                next_look = now;
            }
            if now >= next_look {
                next_look = now + self.look()?;
            }
            if now >= next_commit {
                self.commit();
                next_commit = now + self.config.commit_interval;
            }
            let heard = match self.client.poll(POLL) {
                None => continue,
                Some(Ok(message)) => Heard::Record(self.record(&message)?),
                Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(Err(error)) => {
                    let trouble = Trouble::of(&error, "");
                    if matches!(trouble, Trouble::TopicMissing(_)) {
                        next_look = next_look.min(Instant::now() + LOOK_INTERVAL_FAILED);
                    }
                    Heard::Trouble(trouble)
                }
            };
            self.tell(heard)?;
        }
        Err(Left)
    }

    /// Takes up topics that the caller wants besides; whether there are new ones.
    fn widen(&mut self) -> bool {
        let before = self.topics.len();
        let more = mem::take(&mut *self.way.shared.more.lock().unwrap_or_else(PoisonError::into_inner));
        for topic in more {
            if !self.config.topics.iter().any(|known| known.topic == topic.topic) {
                self.topics.push(Arc::from(topic.topic.as_str()));
                self.config.topics.push(topic);
            }
        }
        self.topics.len() > before
    }

    fn tell(&self, heard: Heard) -> Result<(), Left> {
        self.way.sender.blocking_send(heard).map_err(|_| Left)
    }

    /// Begins to read what is not read yet; returns when to look again.
    fn look(&mut self) -> Result<Duration, Left> {
        match self.assign_new(&self.topics.clone()) {
            Ok(Begun { begun, missing }) => {
                for (place, offset) in begun {
                    // Told to the broker at once, so that "from now" stays this moment whatever happens.
                    self.unsent.insert(place.clone(), offset);
                    self.assigned.insert(place);
                }
                let is_news = self.missing.as_ref() != Some(&missing);
                if is_news {
                    self.patience = LOOK_INTERVAL_MISSING_MIN;
                }
                let wait = if missing.is_empty() { LOOK_INTERVAL } else { self.patience };
                self.patience = (self.patience * 2).min(LOOK_INTERVAL_MISSING);
                if is_news {
                    self.missing = Some(missing.clone());
                    self.tell(Heard::Ready { missing })?;
                }
                Ok(wait)
            }
            Err(error) => {
                self.tell(Heard::Trouble(Trouble::of(&error, "")))?;
                Ok(LOOK_INTERVAL_FAILED)
            }
        }
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Result<Record, Left> {
        let topic = self.topics.iter().find(|topic| topic.as_ref() == message.topic()).cloned();
        let (payload, room) = match message.payload() {
            None => (Payload::None, None),
            Some(bytes) if bytes.len() > self.config.payload_bytes_max => (Payload::TooLarge(bytes.len()), None),
            Some(bytes) => (Payload::Bytes(bytes.to_vec()), Some(self.room(bytes.len())?)),
        };
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let owned = |header: rdkafka::message::Header<'_, &[u8]>| {
                (header.key.to_owned(), header.value.unwrap_or_default().to_owned())
            };
            headers.iter().map(owned).collect()
        });
        Ok(Record {
            topic: topic.unwrap_or_else(|| Arc::from(message.topic())),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            payload,
            headers,
            _room: room,
        })
    }

    /// Waits until the caller has room for so many bytes.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Left> {
        let wanted = bytes.clamp(1, self.config.buffer_bytes_max.max(1));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let room = self.way.shared.room.clone();
        self.way.runtime.block_on(room.acquire_many_owned(wanted)).map_err(|_| Left)
    }

    /// Sends positions that moved and waits for the answer: librdkafka's other way tells nobody what became of them.
    fn commit(&mut self) {
        let done = mem::take(&mut *self.way.shared.done.lock().unwrap_or_else(PoisonError::into_inner));
        self.unsent.extend(done);
        if self.unsent.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(self.unsent.len());
        for ((topic, partition), offset) in &self.unsent {
            // Offsets of records are never negative, so they are always accepted.
            let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
        }
        match self.client.commit(&list, CommitMode::Sync) {
            Ok(()) => self.unsent.clear(),
            // They are sent again with the next ones.
            Err(error) => self.client.context().ear.trouble(Trouble::of(&error, "")),
        }
    }
}
