//! Kafka: what being offline costs, and how fast records go out beside librdkafka's own producer.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use kafclaw::base::clock::Clock;
use kafclaw::group::connectivity::Config;
use kafclaw::link::kafka::{
    Address, Broker, Fault, Outgoing, Producer, ProducerConfig, Security, SendError, create_topics, probe,
};

use crate::figure::{Figure, Goal};
use crate::support::Kafka;

const PROBES: u32 = 2_000;
pub const RECORDS: usize = 200_000;
/// About what a task or its answer has.
pub const RECORD_BYTES: usize = 512;
const STEP_MAX: Duration = Duration::from_secs(10);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn address(port: u16) -> Address {
    let brokers = Broker::list(&format!("127.0.0.1:{port}")).expect("a broker");
    Address { brokers, security: Security::default(), client_id: "bench".to_owned() }
}

/// Many probes of a port where nobody listens, and what an hour of them costs at the longest wait between two.
pub fn offline() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = address(listener.local_addr().expect("an address").port());
    drop(listener);
    let runtime = runtime();
    let probe_once = || {
        let examination = runtime.block_on(probe(&address, &[], STEP_MAX, &Clock::System)).expect("an examination");
        assert_eq!(examination.fault(), Some(&Fault::Refused));
    };
    (0..10).for_each(|_| probe_once());
    let (cpu, segments, kib) = (cpu_ns(), segments_out(), resident_kib());
    (0..PROBES).for_each(|_| probe_once());
    let cpu_each_s = (cpu_ns() - cpu) / 1e9 / f64::from(PROBES);
    let segments_each = (segments_out() - segments) / f64::from(PROBES);
    // Waits are spread between half and all of the longest.
    let probes_per_hour = 3_600.0 / (Config::default().probe_wait_max.as_secs_f64() * 0.75);
    let cpu_per_hour_s = cpu_each_s * probes_per_hour;
    Figure::new("kafka_offline_cpu_percent_of_core", cpu_per_hour_s / 36.0, Goal::AtMost(0.1))
        .against(("probe_cpu_us", cpu_each_s * 1e6))
        .print();
    Figure::new("kafka_offline_packets_per_hour", segments_each * probes_per_hour, Goal::None)
        .against(("probes_per_hour", probes_per_hour))
        .print();
    Figure::new("kafka_offline_growth_kib", resident_kib() - kib, Goal::AtMost(64.0)).print();
}

/// Time that this thread was on a processor; the runtime has no other.
fn cpu_ns() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// TCP segments that this machine sent; on loopback, both sides of every exchange.
fn segments_out() -> f64 {
    let text = fs::read_to_string("/proc/net/snmp").expect("snmp");
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let at = names.split_whitespace().position(|name| name == "OutSegs").expect("OutSegs");
    values.split_whitespace().nth(at).and_then(|word| word.parse().ok()).expect("a number")
}

fn resident_kib() -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Records through our producer, and through librdkafka's with the same settings, one after the other, twice.
pub fn produce() {
    let broker = Kafka::start();
    let address = address(broker.ports().plaintext);
    let topics = ["ours", "theirs"].map(str::to_owned);
    runtime().block_on(create_topics(&address, &topics, STEP_MAX, &Clock::System)).expect("topics");
    let payload = "{\"type\":\"request\",\"sender_id\":\"hub\"}".repeat(RECORD_BYTES / 36 + 1);
    let payload = &payload.as_bytes()[..RECORD_BYTES];
    let keys = vec!["key".to_owned(); RECORDS];
    // The first round warms the broker up.
    let mut rates = (0.0_f64, 0.0_f64);
    for _ in 0..2 {
        rates = (ours(&address, payload), theirs_on(&address, "theirs", payload, &keys));
    }
    Figure::new("kafka_produced_per_s", rates.0, Goal::AtLeast(rates.1 * 0.8))
        .against(("librdkafka_produced_per_s", rates.1))
        .print();
}

fn per_second(started: Instant) -> f64 {
    f64::from(u32::try_from(RECORDS).expect("small")) / started.elapsed().as_secs_f64()
}

fn ours(address: &Address, payload: &[u8]) -> f64 {
    let (producer, mut reports) =
        Producer::start(address, &ProducerConfig::default(), Arc::new(|_| ())).expect("a producer");
    let started = Instant::now();
    runtime().block_on(async {
        let mut told = Vec::new();
        let (mut sent, mut placed) = (0, 0);
        while placed < RECORDS {
            while sent < RECORDS {
                let record = Outgoing { topic: "ours", key: Some(b"key"), payload, headers: &[] };
                match producer.send(sent, &record) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            told.clear();
            placed += reports.next(&mut told, 1_000).await;
            assert!(told.iter().all(|report| report.outcome.is_ok()));
        }
    });
    per_second(started)
}

#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok());
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// As librdkafka is used by itself: everything at its default, and the guarantees that we have.
/// Records of `payload` through librdkafka's own producer, one for each of `keys`.
pub fn theirs_on(address: &Address, topic: &str, payload: &[u8], keys: &[String]) -> f64 {
    let counter = Counter::default();
    let producer: ThreadedProducer<Counter> = ClientConfig::new()
        .set("bootstrap.servers", address.brokers[0].to_string())
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.codec", "zstd")
        .create_with_context(counter.clone())
        .expect("a producer");
    let started = Instant::now();
    for key in keys {
        let mut record = BaseRecord::to(topic).key(key.as_bytes()).payload(payload);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            std::thread::yield_now();
        }
    }
    while counter.0.load(Ordering::Relaxed) < keys.len() {
        std::thread::yield_now();
    }
    per_second(started)
}
