//! The hearing side: one client for all topics, a bounded queue to the caller, and positions that are kept when the caller says so.
//!
//! Whoever does not take records is not sent more: the thread stops asking, librdkafka's own small buffer fills, and the broker waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::client::{Ear, LinkError, OnTrouble, Trouble, link_error, settings};
use super::{Address, TopicStart};
use crate::base::clock::Clock;

mod hear;
mod plan;

const THREAD: &str = "kafka-hear";
/// Records that wait for the caller; their bytes are bounded besides.
const QUEUE_LEN: usize = 256;

#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Names the positions at the broker. One agent, one group: then everybody hears everything.
    pub group: String,
    pub topics: Vec<TopicStart>,
    /// Payloads that wait for the caller or are in its hands, in bytes.
    pub buffer_bytes_max: usize,
    /// Larger payloads are told of and not handed over.
    pub payload_bytes_max: usize,
    /// How often positions are sent to the broker.
    pub commit_interval: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group: String::new(),
            topics: Vec::new(),
            buffer_bytes_max: 4 * 1024 * 1024,
            payload_bytes_max: 1024 * 1024,
            commit_interval: Duration::from_secs(1),
        }
    }
}

/// What comes from the consumer.
#[derive(Debug)]
pub enum Heard {
    /// Everything that is there is being read; these topics are not there yet. Told again when that changes.
    Ready {
        missing: Vec<String>,
    },
    Record(Record),
    Trouble(Trouble),
}

#[derive(Debug)]
pub struct Record {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the Unix epoch, by the sender's or the broker's clock.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub payload: Payload,
    pub headers: Vec<(String, Vec<u8>)>,
    /// Room for one more when this is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

impl Record {
    /// One that came by another way than through the client: without a key, headers or a time.
    pub fn apart(topic: &str, (partition, offset): (i32, i64), value: Vec<u8>) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
            timestamp_ms: None,
            key: None,
            payload: Payload::Bytes(value),
            headers: Vec::new(),
            _room: None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    Bytes(Vec<u8>),
    /// A tombstone: the key has no value any more.
    None,
    /// More than was allowed, by its length in bytes.
    TooLarge(usize),
}

/// Handle; when it is dropped, the last positions are sent and the client ends.
pub struct Consumer {
    heard: mpsc::Receiver<Heard>,
    shared: Arc<Shared>,
    ended: watch::Receiver<()>,
}

/// What handle and thread see of each other.
struct Shared {
    stopped: AtomicBool,
    /// Room for payloads, in bytes.
    room: Arc<Semaphore>,
    done: Mutex<Positions>,
    /// Topics that the caller wants besides.
    more: Mutex<Vec<TopicStart>>,
    has_more: AtomicBool,
}

/// The next offset to read, by topic and partition.
type Positions = BTreeMap<(Arc<str>, i32), i64>;

/// What librdkafka calls.
struct Desk {
    ear: Ear,
}

impl Consumer {
    /// Starts an instance of librdkafka and a thread. Must be called in a runtime.
    pub fn start(
        address: &Address,
        config: ConsumerConfig,
        clock: Clock,
        on_trouble: OnTrouble,
    ) -> Result<Self, LinkError> {
        let mut settings = settings(address);
        settings.set("group.id", &config.group);
        settings.set("enable.auto.commit", "false");
        settings.set("enable.auto.offset.store", "false");
        settings.set("auto.offset.reset", "earliest");
        // An answer comes as soon as there is something; else after this long.
        settings.set("fetch.wait.max.ms", "1000");
        settings.set("fetch.error.backoff.ms", "500");
        settings.set("fetch.max.bytes", "1048576");
        settings.set("fetch.message.max.bytes", "262144");
        settings.set("receive.message.max.bytes", "16777216");
        settings.set("queued.min.messages", "1000");
        settings.set("queued.max.messages.kbytes", "1024");
        let shared = Arc::new(Shared {
            stopped: AtomicBool::new(false),
            room: Arc::new(Semaphore::new(config.buffer_bytes_max.clamp(1, Semaphore::MAX_PERMITS))),
            done: Mutex::new(Positions::new()),
            more: Mutex::new(Vec::new()),
            has_more: AtomicBool::new(false),
        });
        let desk = Desk { ear: Ear::new(address, on_trouble) };
        let client: BaseConsumer<Desk> = settings.create_with_context(desk).map_err(link_error)?;
        let (sender, heard) = mpsc::channel(QUEUE_LEN);
        let runtime = tokio::runtime::Handle::current();
        let hearing = hear::Hearing::new(client, config, clock, hear::Way { sender, shared: shared.clone(), runtime });
        let (alive, ended) = watch::channel(());
        let spawned = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            hearing.run();
            drop(alive);
        });
        spawned.map_err(|_| LinkError::Thread(THREAD))?;
        Ok(Self { heard, shared, ended })
    }

    /// What comes next; none when the client ended by itself. May be cancelled.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// Adds up to `count_max` things to `heard` as soon as there is one; returns how many, none at the end. May be cancelled.
    pub async fn next_many(&mut self, heard: &mut Vec<Heard>, count_max: usize) -> usize {
        self.heard.recv_many(heard, count_max).await
    }

    /// Reads these topics too, as far as they are not read already; told by [`Heard::Ready`].
    pub fn also(&self, topics: Vec<TopicStart>) {
        self.shared.more.lock().unwrap_or_else(PoisonError::into_inner).extend(topics);
        self.shared.has_more.store(true, Ordering::Release);
    }

    /// Comes true when the client is gone, after the handle was dropped.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut is_ended = self.ended.clone();
        async move {
            // The other side is dropped at the end.
            while is_ended.changed().await.is_ok() {}
        }
    }

    /// The caller has kept this record and all before it in its partition.
    pub fn done(&self, topic: &Arc<str>, partition: i32, offset: i64) {
        let mut done = self.shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        let position = done.entry((topic.clone(), partition)).or_insert(offset + 1);
        *position = (*position).max(offset + 1);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.room.close();
    }
}

impl ClientContext for Desk {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.ear.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.ear.error(error, reason);
    }
}

impl ConsumerContext for Desk {}
