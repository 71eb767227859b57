//! The sending side: idempotent, acknowledged by all replicas, bounded in records and bytes, with a report for every record.
//!
//! A place in the queue is free again when the report was taken, so reports never outgrow the queue either.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use tokio::sync::{Notify, mpsc, oneshot};

use super::Address;
use super::client::{Ear, LinkError, OnTrouble, link_error, settings};

const THREAD: &str = "kafka-speak";
/// How soon the thread notices that it is not needed any more.
const POLL: Duration = Duration::from_millis(500);
/// Tokens with this bit are of [`Producer::send_one`].
const SINGLE: usize = 1 << (usize::BITS - 1);
/// The library counts a record until all reports of one acknowledgement were handled, and we only until its own was taken: for that moment
/// it may count as many again as we do. Our count is what bounds.
const LIBRARY_ROOM: usize = 2;
/// Smaller would not hold one record of the largest size.
const QUEUE_BYTES_MIN: usize = 1024 * 1024;

#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// Records that are on their way or whose reports were not taken yet.
    pub queue_records_max: usize,
    /// Bytes on their way; at least a mebibyte.
    pub queue_bytes_max: usize,
    /// How long a record waits for company.
    pub linger: Duration,
    /// After this long without an acknowledgement a record is reported as [`DeliveryError::TimedOut`].
    pub delivery_max: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            queue_records_max: 2_000,
            queue_bytes_max: 4 * 1024 * 1024,
            linger: Duration::from_millis(2),
            delivery_max: Duration::from_secs(300),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// Records with the same key stay in order.
    pub key: Option<&'a [u8]>,
    pub payload: &'a [u8],
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a record was not even taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    #[error("the queue to the broker is full")]
    Full,
    #[error("a record of {0} bytes is too large")]
    TooLarge(usize),
    #[error("the producer cannot go on: {0}")]
    Fatal(String),
    #[error("the record cannot be sent: {0}")]
    Refused(String),
}

/// Where a record lies now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    pub partition: i32,
    pub offset: i64,
}

/// Why a record did not arrive, or may not have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the topic is not there")]
    TopicMissing,
    #[error("the broker does not allow it")]
    Denied,
    #[error("the broker finds it too large")]
    TooLarge,
    #[error("nobody acknowledged it in time")]
    TimedOut,
    #[error("it was not sent before the end")]
    Unsent,
    #[error("it was sent, and the end came before an acknowledgement")]
    Unknown,
    #[error("the producer cannot go on")]
    Fatal,
    #[error("the broker refused it: {0}")]
    Refused(String),
}

impl DeliveryError {
    fn of(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => Self::TopicMissing,
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
                Self::Denied
            }
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::TooLarge,
            Some(RDKafkaErrorCode::MessageTimedOut) => Self::TimedOut,
            Some(RDKafkaErrorCode::PurgeQueue) => Self::Unsent,
            Some(RDKafkaErrorCode::PurgeInflight) => Self::Unknown,
            Some(RDKafkaErrorCode::Fatal) => Self::Fatal,
            _ => Self::Refused(error.to_string()),
        }
    }

    /// Whether the record may lie in the topic all the same.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Unknown | Self::Fatal | Self::Refused(_))
    }
}

/// What became of the record that was sent with `token`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub token: usize,
    pub outcome: Result<Placed, DeliveryError>,
}

/// Handle; clones share the client. When the last is dropped, what is still waiting is reported as unsent or unknown.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    client: Option<Arc<BaseProducer<Desk>>>,
    shared: Arc<Shared>,
    queue_records_max: usize,
}

/// What handle, reports and thread see of each other.
#[derive(Default)]
struct Shared {
    /// Places taken in the queue.
    taken: AtomicUsize,
    /// Records without a report.
    on_the_way: AtomicUsize,
    /// Told whenever one of both went down.
    moved: Notify,
    stopped: AtomicBool,
    singles: Mutex<HashMap<usize, oneshot::Sender<Result<Placed, DeliveryError>>>>,
    singles_sent: AtomicUsize,
}

/// The reports, in the order in which the broker acknowledged.
pub struct Reports {
    receiver: mpsc::Receiver<Report>,
    shared: Arc<Shared>,
}

/// What librdkafka calls.
struct Desk {
    ear: Ear,
    reports: mpsc::Sender<Report>,
    shared: Arc<Shared>,
}

impl Producer {
    /// Starts an instance of librdkafka and a thread. Connects in the background.
    pub fn start(
        address: &Address,
        config: &ProducerConfig,
        on_trouble: OnTrouble,
    ) -> Result<(Self, Reports), LinkError> {
        let records_max = config.queue_records_max.max(1);
        let mut settings = settings(address);
        settings.set("enable.idempotence", "true");
        settings.set("acks", "all");
        settings.set("compression.codec", "zstd");
        // As Kafka's own clients choose partitions, so that keys of theirs and ours meet.
        settings.set("partitioner", "murmur2_random");
        settings.set("linger.ms", config.linger.as_millis().to_string());
        settings.set("queue.buffering.max.messages", records_max.saturating_mul(LIBRARY_ROOM).to_string());
        settings.set("queue.buffering.max.kbytes", (config.queue_bytes_max.max(QUEUE_BYTES_MIN) / 1024).to_string());
        settings.set("message.timeout.ms", config.delivery_max.as_millis().to_string());
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = mpsc::channel(records_max);
        let desk = Desk { ear: Ear::new(address, on_trouble), reports: sender, shared: shared.clone() };
        let client: BaseProducer<Desk> = settings.create_with_context(desk).map_err(link_error)?;
        let client = Arc::new(client);
        let (polled, watched) = (client.clone(), shared.clone());
        let spawned = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            while !watched.stopped.load(Ordering::Acquire) {
                polled.poll(POLL);
            }
        });
        spawned.map_err(|_| LinkError::Thread(THREAD))?;
        let inner = Inner { client: Some(client), shared: shared.clone(), queue_records_max: records_max };
        Ok((Self { inner: Arc::new(inner) }, Reports { receiver, shared }))
    }

    /// Hands a record over; what became of it is told by [`Reports`] under `token`, whose highest bit is not the caller's.
    pub fn send(&self, token: usize, record: &Outgoing<'_>) -> Result<(), SendError> {
        self.hand_over(token & !SINGLE, record)
    }

    /// Hands a record over and waits until it was acknowledged.
    pub async fn send_one(&self, record: &Outgoing<'_>) -> Result<Result<Placed, DeliveryError>, SendError> {
        let shared = &self.inner.shared;
        let token = SINGLE | shared.singles_sent.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let singles = || shared.singles.lock().unwrap_or_else(PoisonError::into_inner);
        singles().insert(token, sender);
        if let Err(error) = self.hand_over(token, record) {
            singles().remove(&token);
            return Err(error);
        }
        Ok(receiver.await.unwrap_or(Err(DeliveryError::Unknown)))
    }

    fn hand_over(&self, token: usize, record: &Outgoing<'_>) -> Result<(), SendError> {
        let shared = &self.inner.shared;
        if shared.taken.fetch_add(1, Ordering::AcqRel) >= self.inner.queue_records_max {
            shared.taken.fetch_sub(1, Ordering::AcqRel);
            return Err(SendError::Full);
        }
        shared.on_the_way.fetch_add(1, Ordering::AcqRel);
        self.produce(token, record).inspect_err(|_| {
            shared.on_the_way.fetch_sub(1, Ordering::AcqRel);
            shared.taken.fetch_sub(1, Ordering::AcqRel);
        })
    }

    fn produce(&self, token: usize, record: &Outgoing<'_>) -> Result<(), SendError> {
        let mut out = BaseRecord::<[u8], [u8], usize>::with_opaque_to(record.topic, token).payload(record.payload);
        if let Some(key) = record.key {
            out = out.key(key);
        }
        if !record.headers.is_empty() {
            let empty = OwnedHeaders::new_with_capacity(record.headers.len());
            let add = |headers: OwnedHeaders, (key, value): &(&str, &[u8])| {
                headers.insert(Header { key, value: Some(*value) })
            };
            out = out.headers(record.headers.iter().fold(empty, add));
        }
        let client = self.inner.client.as_ref().expect("invariant: there is a client until the handle is dropped");
        client.send(out).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => SendError::Full,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => SendError::TooLarge(record.payload.len()),
            Some(RDKafkaErrorCode::Fatal) => SendError::Fatal(error.to_string()),
            _ => SendError::Refused(error.to_string()),
        })
    }

    /// Records that nobody acknowledged yet.
    pub fn on_the_way(&self) -> usize {
        self.inner.shared.on_the_way.load(Ordering::Acquire)
    }

    /// Returns when there may be room after [`SendError::Full`]. Records must have been taken and reports be read meanwhile.
    pub async fn room(&self) {
        let before = self.on_the_way();
        let has_room = || {
            let on_the_way = self.on_the_way();
            let taken = self.inner.shared.taken.load(Ordering::Acquire);
            taken < self.inner.queue_records_max && (on_the_way == 0 || on_the_way < before)
        };
        self.until(has_room).await;
    }

    /// Waits until everything was acknowledged or given up; whether that was so within `wait_max`.
    pub async fn flush(&self, wait_max: Duration) -> bool {
        tokio::time::timeout(wait_max, self.until(|| self.on_the_way() == 0)).await.is_ok()
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let moved = self.inner.shared.moved.notified();
            let mut moved = std::pin::pin!(moved);
            // Before the look, so that what happens in between is not missed.
            moved.as_mut().enable();
            if is_so() {
                return;
            }
            moved.await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread has the last share then, and ends the client away from the runtime: that may take half a second.
        drop(self.client.take());
        self.shared.stopped.store(true, Ordering::Release);
    }
}

impl Reports {
    /// Adds up to `count_max` reports to `reports` and returns how many; none when the producer is gone.
    pub async fn next(&mut self, reports: &mut Vec<Report>, count_max: usize) -> usize {
        let count = self.receiver.recv_many(reports, count_max).await;
        self.shared.taken.fetch_sub(count, Ordering::AcqRel);
        self.shared.moved.notify_waiters();
        count
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

impl ProducerContext for Desk {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let outcome = match result {
            Ok(message) => Ok(Placed { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(DeliveryError::of(error)),
        };
        self.shared.on_the_way.fetch_sub(1, Ordering::AcqRel);
        if token & SINGLE == 0 {
            // There is room: a report takes the place of its record. Nobody listens when the caller left.
            let _ = self.reports.try_send(Report { token, outcome });
        } else {
            self.shared.taken.fetch_sub(1, Ordering::AcqRel);
            let waiting = self.shared.singles.lock().unwrap_or_else(PoisonError::into_inner).remove(&token);
            waiting.map(|waiting| waiting.send(outcome));
        }
        self.shared.moved.notify_waiters();
    }
}
