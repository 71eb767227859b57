//! Producer, consumer and probe against librdkafka's own mock of a cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::*;
use crate::base::clock::Clock;

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PATIENCE: Duration = Duration::from_secs(30);
const TOPIC: &str = "group.test.requests";

fn cluster() -> (Cluster, Address) {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    let brokers = Broker::list(&cluster.bootstrap_servers()).expect("its address");
    (cluster, Address { brokers, security: Security::default(), client_id: "hub".to_owned() })
}

fn silent() -> OnTrouble {
    Arc::new(|_| ())
}

fn outgoing(payload: &[u8]) -> Outgoing<'_> {
    Outgoing { topic: TOPIC, key: Some(b"task-1"), payload, headers: &[("epoch", b"7")] }
}

fn consumer(address: &Address, start: Start) -> Consumer {
    let topics = vec![TopicStart { topic: TOPIC.to_owned(), start }];
    let config = ConsumerConfig {
        group: "hub".to_owned(),
        topics,
        buffer_bytes_max: 4_096,
        payload_bytes_max: 1_024,
        commit_interval: Duration::from_millis(20),
    };
    Consumer::start(address, config, Clock::System, silent()).expect("a consumer")
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

async fn ready(consumer: &mut Consumer) -> Vec<String> {
    loop {
        if let Heard::Ready { missing } = within(consumer.next()).await.expect("a consumer") {
            return missing;
        }
    }
}

async fn record(consumer: &mut Consumer) -> Record {
    loop {
        if let Heard::Record(record) = within(consumer.next()).await.expect("a consumer") {
            return record;
        }
    }
}

fn text(record: &Record) -> String {
    match &record.payload {
        Payload::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

async fn produce(producer: &Producer, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        within(producer.send_one(&outgoing(text.as_bytes()))).await.expect("sent").expect("placed");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn records_are_acknowledged_and_heard_in_order_with_all_they_carry() {
    let (_cluster, address) = cluster();
    let (producer, mut reports) = Producer::start(&address, &ProducerConfig::default(), silent()).expect("a producer");
    for token in 0..100 {
        producer.send(token, &outgoing(token.to_string().as_bytes())).expect("room");
    }
    let mut told = Vec::new();
    while told.len() < 100 {
        assert!(within(reports.next(&mut told, 100)).await > 0);
    }
    let placed: Vec<(usize, i64)> =
        told.iter().map(|report| (report.token, report.outcome.as_ref().expect("placed").offset)).collect();
    assert_eq!(placed, (0..100).map(|token| (token, token as i64)).collect::<Vec<_>>());
    assert!(producer.flush(PATIENCE).await);

    let mut consumer = consumer(&address, Start::Beginning);
    assert_eq!(ready(&mut consumer).await, Vec::<String>::new());
    for number in 0..100 {
        let record = record(&mut consumer).await;
        assert_eq!((text(&record), record.offset), (number.to_string(), number));
        assert_eq!((record.key.as_deref(), record.topic.as_ref()), (Some(&b"task-1"[..]), TOPIC));
        assert_eq!(record.headers, [("epoch".to_owned(), b"7".to_vec())]);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_refuses_until_reports_are_taken() {
    let (_cluster, address) = cluster();
    let config = ProducerConfig { queue_records_max: 3, ..ProducerConfig::default() };
    let (producer, mut reports) = Producer::start(&address, &config, silent()).expect("a producer");
    for token in 0..3 {
        producer.send(token, &outgoing(b"x")).expect("room");
    }
    assert!(producer.flush(PATIENCE).await, "acknowledged");
    // Their reports still take the places.
    assert_eq!(producer.send(3, &outgoing(b"x")), Err(SendError::Full));
    assert_eq!(within(reports.next(&mut Vec::new(), 1)).await, 1);
    within(producer.room()).await;
    producer.send(3, &outgoing(b"x")).expect("room");
    let huge = vec![0; 2 * 1024 * 1024];
    assert_eq!(within(reports.next(&mut Vec::new(), 1)).await, 1);
    assert_eq!(producer.send(4, &outgoing(&huge)), Err(SendError::TooLarge(huge.len())));
}

#[tokio::test(flavor = "current_thread")]
async fn a_place_is_free_as_soon_as_its_report_was_taken() {
    let (_cluster, address) = cluster();
    let config = ProducerConfig { queue_records_max: 2, ..ProducerConfig::default() };
    let (producer, mut reports) = Producer::start(&address, &config, silent()).expect("a producer");
    producer.send(0, &outgoing(b"x")).expect("room");
    for token in 1..200 {
        producer.send(token, &outgoing(b"x")).expect("room");
        assert_eq!(within(reports.next(&mut Vec::new(), 1)).await, 1);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn reading_goes_on_where_it_was_told_as_done() {
    let (_cluster, address) = cluster();
    let (producer, _reports) = Producer::start(&address, &ProducerConfig::default(), silent()).expect("a producer");
    produce(&producer, (0..5).map(|number| number.to_string())).await;
    let mut first = consumer(&address, Start::Beginning);
    for number in 0..3 {
        let record = record(&mut first).await;
        assert_eq!(text(&record), number.to_string());
        first.done(&record.topic, record.partition, record.offset);
    }
    // The last positions are sent while it ends.
    let ended = first.ended();
    drop(first);
    within(ended).await;
    let mut second = consumer(&address, Start::Now);
    assert_eq!(text(&record(&mut second).await), "3");
    let mut replayed = consumer(&address, Start::Replay);
    assert_eq!(text(&record(&mut replayed).await), "0");
}

#[tokio::test(flavor = "current_thread")]
async fn from_now_means_from_the_first_time_on_even_when_nothing_was_done() {
    let (_cluster, address) = cluster();
    let (producer, _reports) = Producer::start(&address, &ProducerConfig::default(), silent()).expect("a producer");
    produce(&producer, ["old".to_owned()]).await;
    let mut first = consumer(&address, Start::Now);
    ready(&mut first).await;
    let ended = first.ended();
    drop(first);
    within(ended).await;
    produce(&producer, ["while nobody listened".to_owned()]).await;
    let mut second = consumer(&address, Start::Now);
    assert_eq!(text(&record(&mut second).await), "while nobody listened");
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_caller_holds_the_broker_back_and_misses_nothing() {
    let (_cluster, address) = cluster();
    let (producer, _reports) = Producer::start(&address, &ProducerConfig::default(), silent()).expect("a producer");
    let payload = "x".repeat(1_000);
    produce(&producer, (0..50).map(|number| format!("{number:03}{payload}"))).await;
    produce(&producer, ["y".repeat(1_025)]).await;
    let mut consumer = consumer(&address, Start::Beginning);
    ready(&mut consumer).await;
    // Four payloads fit; whoever keeps them gets no fifth.
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(record(&mut consumer).await);
    }
    for number in 4..50 {
        kept.remove(0);
        let record = record(&mut consumer).await;
        assert!(text(&record).starts_with(&format!("{number:03}x")));
        kept.push(record);
    }
    assert_eq!(record(&mut consumer).await.payload, Payload::TooLarge(1_025));
}

#[tokio::test(flavor = "current_thread")]
async fn a_broker_that_goes_is_told_and_what_was_sent_arrives_when_it_is_back() {
    let (cluster, address) = cluster();
    let troubles = Arc::new(Mutex::new(Vec::new()));
    let (told, mut is_told) = tokio::sync::mpsc::channel(64);
    let seen = troubles.clone();
    let on_trouble: OnTrouble = Arc::new(move |trouble| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(trouble);
        let _ = told.try_send(());
    });
    let (producer, mut reports) =
        Producer::start(&address, &ProducerConfig::default(), on_trouble).expect("a producer");
    produce(&producer, ["before".to_owned()]).await;
    cluster.broker_down(-1).expect("down");
    producer.send(1, &outgoing(b"meanwhile")).expect("room");
    let is_gone = async {
        let is_lost = |trouble: &Trouble| trouble.weight() == Weight::ConnectionLost;
        while !troubles.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_lost) {
            is_told.recv().await;
        }
    };
    within(is_gone).await;
    cluster.broker_up(-1).expect("up");
    let mut told = Vec::new();
    within(reports.next(&mut told, 1)).await;
    assert_eq!(told, [Report { token: 1, outcome: Ok(Placed { partition: 0, offset: 1 }) }]);
}

#[tokio::test(flavor = "current_thread")]
async fn what_waits_when_the_producer_ends_is_told_as_not_sent() {
    let (cluster, address) = cluster();
    cluster.broker_down(-1).expect("down");
    let (producer, mut reports) = Producer::start(&address, &ProducerConfig::default(), silent()).expect("a producer");
    producer.send(9, &outgoing(b"never")).expect("room");
    assert!(!producer.flush(Duration::from_millis(1)).await);
    drop(producer);
    let mut told = Vec::new();
    within(reports.next(&mut told, 8)).await;
    assert_eq!(told, [Report { token: 9, outcome: Err(DeliveryError::Unsent) }]);
    assert_eq!(within(reports.next(&mut told, 8)).await, 0, "and then there are no more");
}

#[tokio::test(flavor = "current_thread")]
async fn the_probe_finds_a_broker_behind_one_that_is_gone() {
    let (_cluster, mut address) = cluster();
    // Ours as long as it is not closed, so that nobody else can listen there.
    let gone = tokio::net::TcpSocket::new_v4().expect("a socket");
    gone.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let port = gone.local_addr().expect("an address").port();
    let live = address.brokers.remove(0);
    address.brokers = vec![Broker { host: "127.0.0.1".to_owned(), port }, live.clone()];
    let examined = examine(&address.brokers[0], &address, &[], PATIENCE, &Clock::System).await;
    assert_eq!(examined.fault(), Some(&Fault::Refused));
    let topics = [TOPIC.to_owned()];
    let found = probe(&address, &topics, PATIENCE, &Clock::System).await.expect("an examination");
    assert_eq!((found.fault(), &found.broker), (None, &live));
}

/// Answers whatever comes with the same bytes.
async fn stranger(answer: &'static [u8]) -> Fault {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    });
    let brokers = vec![Broker { host: "127.0.0.1".to_owned(), port }];
    let address = Address { brokers, security: Security::default(), client_id: "hub".to_owned() };
    let examined = examine(&address.brokers[0], &address, &[], PATIENCE, &Clock::System).await;
    examined.fault().expect("a fault").clone()
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_is_no_broker_is_recognized() {
    assert_eq!(stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, Fault::Http);
    assert_eq!(stranger(&[0x15, 3, 3, 0, 2, 2, 70]).await, Fault::WantsTls);
    assert_eq!(stranger(b"").await, Fault::Closed);
    assert!(matches!(stranger(b"220 mail.example ESMTP\r\n").await, Fault::NotKafka(_)));
    assert!(matches!(stranger(&[0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1]).await, Fault::NotKafka(_)));
    // A body that says less than it announces.
    assert!(matches!(stranger(&[0, 0, 0, 6, 0, 0, 0, 1, 0, 0]).await, Fault::NotKafka(_)));
}
