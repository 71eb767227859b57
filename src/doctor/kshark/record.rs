//! One record there and back, in a topic that the caller named.

use std::sync::Arc;
use std::time::Duration;

use super::{Layer, Plan, Report, Row, Status};
use crate::base::clock::Clock;
use crate::link::kafka::{
    Consumer, ConsumerConfig, DeliveryError, Heard, OnTrouble, Outgoing, Producer, ProducerConfig, TopicStart, Trouble,
};

const PRODUCE: &str = "produce";
const CONSUME: &str = "consume";
/// So that whoever finds the record knows what it is.
const HEADER: (&str, &[u8]) = ("ksharkcheck", b"1");

pub async fn look(plan: &Plan, topic: &str, obstacle: Option<&str>, clock: &Clock, report: &mut Report) {
    if let Some(obstacle) = obstacle {
        for component in [PRODUCE, CONSUME] {
            report.add(Row::new(component, topic, Layer::Kafka, Status::Skip, obstacle));
        }
        return;
    }
    // Listening begins first, so that the record is heard also where reading begins at the end.
    let hearing = listen(plan, topic, clock).await;
    report.add(match produce(plan, topic, clock).await {
        Ok(detail) => Row::new(PRODUCE, topic, Layer::Kafka, Status::Ok, &detail),
        Err((detail, hint)) => Row::new(PRODUCE, topic, Layer::Kafka, Status::Fail, &detail).hint(hint),
    });
    let heard = match hearing {
        Ok(consumer) => hear(consumer, plan.waits.consume).await,
        Err(failure) => Err(failure),
    };
    report.add(match heard {
        Ok(detail) => Row::new(CONSUME, topic, Layer::Kafka, Status::Ok, &detail),
        Err((detail, hint)) => Row::new(CONSUME, topic, Layer::Kafka, Status::Fail, &detail).hint(hint),
    });
}

/// What went wrong, and what to do.
type Failure = (String, &'static str);

const HINT_RIGHTS: &str = "Give this user the rights on topic and group on the broker (ACLs).";
const HINT_TOPIC: &str = "Create the topic.";
const HINT_BROKER: &str = "Look into the broker's log; the replicas of the topic may be too few.";

fn silent() -> OnTrouble {
    Arc::new(|_| ())
}

async fn produce(plan: &Plan, topic: &str, clock: &Clock) -> Result<String, Failure> {
    let config = ProducerConfig { delivery_max: plan.waits.produce, ..ProducerConfig::default() };
    let started = std::time::Instant::now();
    let (producer, _reports) =
        Producer::start(&plan.address, &config, silent()).map_err(|error| (error.to_string(), "See the reason."))?;
    let key = format!("kshark-{}", clock.now().as_millis().saturating_mul(1_000_000));
    let record = Outgoing { topic, key: Some(key.as_bytes()), payload: b"probe", headers: &[HEADER] };
    // librdkafka looks for a missing topic for longer than a person waits.
    let sent = tokio::time::timeout(plan.waits.produce, producer.send_one(&record)).await;
    match sent.unwrap_or(Ok(Err(DeliveryError::TimedOut))) {
        Ok(Ok(placed)) => Ok(format!(
            "partition {}, offset {} ({:.1} ms)",
            placed.partition,
            placed.offset,
            started.elapsed().as_secs_f64() * 1_000.0
        )),
        Ok(Err(error)) => Err((
            error.to_string(),
            match error {
                DeliveryError::TopicMissing => HINT_TOPIC,
                DeliveryError::Denied => HINT_RIGHTS,
                _ => HINT_BROKER,
            },
        )),
        Err(error) => Err((error.to_string(), HINT_BROKER)),
    }
}

/// A consumer that reads the topic already.
async fn listen(plan: &Plan, topic: &str, clock: &Clock) -> Result<Consumer, Failure> {
    let topics = vec![TopicStart { topic: topic.to_owned(), start: plan.start }];
    let config = ConsumerConfig { group: plan.group.clone(), topics, ..ConsumerConfig::default() };
    let mut consumer = Consumer::start(&plan.address, config, clock.clone(), silent())
        .map_err(|error| (error.to_string(), "See the reason."))?;
    let ready = async {
        let mut reason = None;
        loop {
            match consumer.next().await {
                Some(Heard::Ready { missing }) if missing.is_empty() => return Ok(()),
                Some(Heard::Ready { .. }) => return Err(("the topic is not there".to_owned(), HINT_TOPIC)),
                Some(Heard::Trouble(Trouble::Denied(text))) => return Err((text, HINT_RIGHTS)),
                Some(Heard::Trouble(trouble)) => reason = Some(trouble),
                Some(Heard::Record(_)) => {}
                None => return Err((format!("the consumer ended: {reason:?}"), HINT_BROKER)),
            }
        }
    };
    let waited = tokio::time::timeout(plan.waits.consume, ready).await;
    waited.unwrap_or_else(|_| Err(("reading did not begin in time".to_owned(), HINT_BROKER)))?;
    Ok(consumer)
}

async fn hear(mut consumer: Consumer, wait_max: Duration) -> Result<String, Failure> {
    let record = async {
        while let Some(heard) = consumer.next().await {
            match heard {
                Heard::Record(record) => {
                    return Ok(format!("partition {}, offset {}", record.partition, record.offset));
                }
                Heard::Trouble(Trouble::Denied(text)) => return Err((text, HINT_RIGHTS)),
                Heard::Trouble(_) | Heard::Ready { .. } => {}
            }
        }
        Err(("the consumer ended".to_owned(), HINT_BROKER))
    };
    let heard = tokio::time::timeout(wait_max, record).await;
    heard.unwrap_or_else(|_| Err(("no record came in time".to_owned(), HINT_BROKER)))
}
