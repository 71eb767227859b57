//! The wire to a real Apache Kafka: what a broker does to us, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use kafclaw::base::clock::Clock;
use kafclaw::base::secret::Secret;
use kafclaw::link::kafka::{
    Address, Broker, Consumer, ConsumerConfig, DeliveryError, Fault, Heard, OnTrouble, Outgoing, Payload, Producer,
    ProducerConfig, Record, Report, Reports, Security, SecurityWords, Start, Step, TopicStart, Trouble, Verdict,
    Weight, create_topics, examine,
};
use tokio::sync::mpsc;

use crate::support::{Kafka, Ports};

/// A broker that starts anew on a busy machine needs its time.
const PATIENCE: Duration = Duration::from_secs(120);
const STEP_MAX: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn address(port: u16, words: SecurityWords) -> Address {
    let brokers = Broker::list(&format!("127.0.0.1:{port}")).expect("a broker");
    Address { brokers, security: Security::new(words).expect("security"), client_id: "hub".to_owned() }
}

fn plain(port: u16) -> Address {
    address(port, SecurityWords::default())
}

fn password(protocol: &str, mechanism: &str, user: &str, password: &str) -> SecurityWords {
    SecurityWords {
        protocol: protocol.to_owned(),
        mechanism: mechanism.to_owned(),
        user: user.to_owned(),
        password: Secret::new(password.to_owned()),
        ca_file: protocol.ends_with("SSL").then(|| Kafka::certificates().join("ca.pem")),
        ..SecurityWords::default()
    }
}

fn silent() -> OnTrouble {
    Arc::new(|_| ())
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn make(address: &Address, topics: &[&str]) {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let made = create_topics(address, &topics, STEP_MAX, &Clock::System).await.expect("topics");
    assert_eq!((made.created.len(), made.refused.len()), (topics.len(), 0), "{made:?}");
}

fn consumer(address: &Address, group: &str, topics: &[&str], start: Start) -> Consumer {
    let topics = topics.iter().map(|topic| TopicStart { topic: (*topic).to_owned(), start }).collect();
    let config = ConsumerConfig {
        group: group.to_owned(),
        topics,
        commit_interval: Duration::from_millis(50),
        ..ConsumerConfig::default()
    };
    Consumer::start(address, config, Clock::System, silent()).expect("a consumer")
}

async fn record(consumer: &mut Consumer) -> Record {
    loop {
        if let Heard::Record(record) = within("a record", consumer.next()).await.expect("a consumer") {
            return record;
        }
    }
}

async fn ready(consumer: &mut Consumer) -> Vec<String> {
    loop {
        if let Heard::Ready { missing } = within("ready", consumer.next()).await.expect("a consumer") {
            return missing;
        }
    }
}

fn text(record: &Record) -> String {
    match &record.payload {
        Payload::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

fn outgoing<'a>(topic: &'a str, payload: &'a str) -> Outgoing<'a> {
    Outgoing { topic, key: Some(b"key"), payload: payload.as_bytes(), headers: &[] }
}

async fn send(producer: &Producer, topic: &str, payload: &str) {
    let sent = within("an acknowledgement", producer.send_one(&outgoing(topic, payload))).await;
    sent.expect("sent").expect("placed");
}

async fn reports(reports: &mut Reports, count: usize) -> Vec<Report> {
    let mut told = Vec::new();
    while told.len() < count {
        assert!(within("reports", reports.next(&mut told, count)).await > 0);
    }
    told
}

fn fault_of(address: &Address) -> Option<Fault> {
    let examination = runtime().block_on(examine(&address.brokers[0], address, &[], STEP_MAX, &Clock::System));
    examination.fault().cloned()
}

/// Every way in: the probe and librdkafka agree.
#[test]
fn passwords_and_certificates_open_the_broker_that_asks_for_them() {
    let Ports { plaintext, sasl, sasl_tls, tls, .. } = Kafka::shared();
    let certificates = Kafka::certificates();
    let client = SecurityWords {
        protocol: "SSL".to_owned(),
        ca_file: Some(certificates.join("ca.pem")),
        certificate_file: Some(certificates.join("client.pem")),
        key_file: Some(certificates.join("client.key")),
        ..SecurityWords::default()
    };
    let topic = "doors";
    runtime().block_on(make(&plain(plaintext), &[topic]));
    let ways = [
        plain(plaintext),
        address(sasl, password("SASL_PLAINTEXT", "PLAIN", "hub", "hub-secret")),
        address(sasl, password("SASL_PLAINTEXT", "SCRAM-SHA-256", "hub", "hub-secret")),
        address(sasl_tls, password("SASL_SSL", "SCRAM-SHA-512", "hub", "hub-secret")),
        address(tls, client),
    ];
    for way in ways {
        assert_eq!(fault_of(&way), None, "{way:?}");
        runtime().block_on(async {
            let mut consumer = consumer(&way, "doors", &[topic], Start::Now);
            assert!(ready(&mut consumer).await.is_empty());
            let (producer, _reports) = Producer::start(&way, &ProducerConfig::default(), silent()).expect("a producer");
            send(&producer, topic, "hello").await;
            let heard = record(&mut consumer).await;
            assert_eq!(text(&heard), "hello");
            consumer.done(&heard.topic, heard.partition, heard.offset);
            let ended = consumer.ended();
            drop(consumer);
            within("the end", ended).await;
        });
    }
}

#[test]
fn what_is_wrong_at_the_door_is_told_by_name() {
    let Ports { plaintext, sasl, sasl_tls, tls, expired, .. } = Kafka::shared();
    let certificates = Kafka::certificates();
    let ssl = |ca: &str| SecurityWords {
        protocol: "SSL".to_owned(),
        ca_file: Some(certificates.join(ca)),
        ..SecurityWords::default()
    };
    let wrong = fault_of(&address(sasl, password("SASL_PLAINTEXT", "PLAIN", "hub", "wrong")));
    assert!(matches!(wrong, Some(Fault::Login(_))), "{wrong:?}");
    let wrong = fault_of(&address(sasl_tls, password("SASL_SSL", "SCRAM-SHA-256", "nobody", "wrong")));
    assert!(matches!(wrong, Some(Fault::Login(_))), "{wrong:?}");
    assert_eq!(fault_of(&plain(tls)), Some(Fault::WantsTls));
    assert_eq!(fault_of(&address(plaintext, ssl("ca.pem"))), Some(Fault::NoTls));
    assert_eq!(fault_of(&address(expired, ssl("ca.pem"))), Some(Fault::CertificateExpired));
    assert_eq!(fault_of(&address(tls, ssl("stranger.pem"))), Some(Fault::CertificateUntrusted));
    let nobody = fault_of(&address(tls, ssl("ca.pem")));
    assert!(matches!(nobody, Some(Fault::CertificateWanted(_))), "{nobody:?}");
    assert!(fault_of(&plain(sasl)).is_some(), "a broker that wants a password");
    let files = SecurityWords { ca_file: Some(certificates.join("nothing.pem")), ..ssl("ca.pem") };
    assert!(matches!(fault_of(&address(tls, files)), Some(Fault::File(_))));
}

#[test]
fn whoever_has_no_rights_is_told_so_in_every_way() {
    let Ports { plaintext, sasl, .. } = Kafka::shared();
    let guest = address(sasl, password("SASL_PLAINTEXT", "PLAIN", "guest", "guest-secret"));
    runtime().block_on(async {
        make(&plain(plaintext), &["closed"]).await;
        let topics = ["closed".to_owned()];
        let examination = examine(&guest.brokers[0], &guest, &topics, STEP_MAX, &Clock::System).await;
        assert_eq!(examination.fault(), None);
        assert_eq!(examination.denied_topics(), topics);
        let made = create_topics(&guest, &["mine".to_owned()], STEP_MAX, &Clock::System).await.expect("an answer");
        assert!(matches!(made.refused.as_slice(), [(name, Fault::Denied(_))] if name == "mine"), "{made:?}");
        let (producer, _reports) = Producer::start(&guest, &ProducerConfig::default(), silent()).expect("a producer");
        let sent = within("a refusal", producer.send_one(&outgoing("closed", "x"))).await.expect("taken");
        assert_eq!(sent, Err(DeliveryError::Denied));
        let mut consumer = consumer(&guest, "guest", &["closed"], Start::Now);
        loop {
            match within("a refusal", consumer.next()).await.expect("a consumer") {
                Heard::Trouble(Trouble::Denied(_)) => break,
                Heard::Trouble(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_missing_topic_is_told_made_and_then_used_and_the_probe_makes_none() {
    let way = plain(Kafka::shared().plaintext);
    let topic = "made-later";
    runtime().block_on(async {
        let wanted = [topic.to_owned()];
        for _ in 0..2 {
            let examination = examine(&way.brokers[0], &way, &wanted, STEP_MAX, &Clock::System).await;
            let last = examination.findings.last().expect("findings");
            assert_eq!(
                (last.step, &last.verdict),
                (Step::Topics, &Verdict::Failed(Fault::TopicsMissing(topic.to_owned())))
            );
            assert_eq!((examination.fault(), examination.missing_topics()), (None, vec![topic.to_owned()]));
        }
        let mut consumer = consumer(&way, "late", &[topic], Start::Beginning);
        assert_eq!(ready(&mut consumer).await, wanted);
        let (producer, mut told) = Producer::start(&way, &ProducerConfig::default(), silent()).expect("a producer");
        // It waits in the producer, and goes out when the topic is there.
        producer.send(1, &outgoing(topic, "early")).expect("room");
        make(&way, &[topic]).await;
        let again = create_topics(&way, &wanted, STEP_MAX, &Clock::System).await.expect("an answer");
        assert_eq!(again.existing, wanted);
        assert!(reports(&mut told, 1).await[0].outcome.is_ok());
        assert_eq!(text(&record(&mut consumer).await), "early");
    });
}

#[test]
fn a_broker_that_is_stopped_killed_and_held_loses_nothing_and_repeats_nothing() {
    let mut broker = Kafka::start();
    let way = plain(broker.ports().plaintext);
    let topic = "through-everything";
    let runtime = runtime();
    runtime.block_on(make(&way, &[topic]));
    let (troubles, mut trouble) = mpsc::channel(256);
    let on_trouble: OnTrouble = Arc::new(move |trouble| drop(troubles.try_send(trouble)));
    let (producer, mut told) = Producer::start(&way, &ProducerConfig::default(), on_trouble).expect("a producer");
    let mut consumer = {
        let _entered = runtime.enter();
        consumer(&way, "hub", &[topic], Start::Beginning)
    };
    let mut sent = 0;
    let mut batch = |count: usize| {
        for _ in 0..count {
            producer.send(sent, &outgoing(topic, &sent.to_string())).expect("room");
            sent += 1;
        }
        sent
    };
    let mut heard = 0;
    let mut hear_until = |until: usize, consumer: &mut Consumer| {
        runtime.block_on(async {
            while heard < until {
                let record = record(consumer).await;
                assert_eq!(text(&record), heard.to_string());
                consumer.done(&record.topic, record.partition, record.offset);
                heard += 1;
            }
        });
    };
    hear_until(batch(100), &mut consumer);

    batch(100);
    broker.stop();
    batch(100);
    runtime.block_on(async {
        let lost = Weight::ConnectionLost;
        while within("that it is gone", trouble.recv()).await.expect("a client").weight() != lost {}
    });
    broker.resume();
    hear_until(batch(100), &mut consumer);

    batch(100);
    broker.kill();
    batch(100);
    broker.resume();
    hear_until(batch(100), &mut consumer);

    broker.hold();
    batch(100);
    broker.release();
    let all = batch(100);
    hear_until(all, &mut consumer);

    let told = runtime.block_on(reports(&mut told, all));
    let placed: Vec<(usize, i64)> =
        told.iter().map(|report| (report.token, report.outcome.as_ref().expect("placed").offset)).collect();
    assert_eq!(placed, (0..all).map(|token| (token, i64::try_from(token).expect("small"))).collect::<Vec<_>>());
}

#[test]
fn reading_goes_on_where_it_ended_and_skips_what_is_too_old() {
    let way = plain(Kafka::shared().plaintext);
    let topic = "positions";
    runtime().block_on(async {
        make(&way, &[topic]).await;
        let (producer, _reports) = Producer::start(&way, &ProducerConfig::default(), silent()).expect("a producer");
        for text in ["a", "b", "c"] {
            send(&producer, topic, text).await;
        }
        let mut first = consumer(&way, "reader", &[topic], Start::Beginning);
        let heard = record(&mut first).await;
        first.done(&heard.topic, heard.partition, heard.offset);
        let ended = first.ended();
        drop(first);
        within("the end", ended).await;
        let mut second = consumer(&way, "reader", &[topic], Start::Now);
        assert_eq!(text(&record(&mut second).await), "b");
        let mut young = consumer(&way, "young", &[topic], Start::Within(Duration::from_secs(3600)));
        assert_eq!(text(&record(&mut young).await), "a");
        let mut late = consumer(&way, "late-reader", &[topic], Start::Within(Duration::ZERO));
        ready(&mut late).await;
        send(&producer, topic, "d").await;
        assert_eq!(text(&record(&mut late).await), "d");
    });
}
