//! Makes the topics that are missing.

use std::time::Duration;

use super::Address;
use super::fault::Fault;
use super::probe::converse;
use super::wire::message::{CREATE_TOPICS, Created, code};
use crate::base::clock::Clock;

/// One partition keeps everything in order, and a home needs no more.
const PARTITIONS: i32 = 1;

/// What came of the wish for topics.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Made {
    pub created: Vec<String>,
    /// Somebody else was first.
    pub existing: Vec<String>,
    /// Name and reason.
    pub refused: Vec<(String, Fault)>,
}

/// Makes `topics` with the broker's own number of replicas. Each step of the way may take `wait_max`.
pub async fn create_topics(
    address: &Address,
    topics: &[String],
    wait_max: Duration,
    clock: &Clock,
) -> Result<Made, Fault> {
    let mut made = Made::default();
    if topics.is_empty() {
        return Ok(made);
    }
    let mut conversation = converse(address, wait_max, clock).await?;
    let wait_ms_max = i32::try_from(wait_max.as_millis()).unwrap_or(i32::MAX);
    let request = Created::request(topics, PARTITIONS, wait_ms_max);
    // The broker itself may use all of the time; the answer needs some more.
    let answer = tokio::time::timeout(wait_max * 2, conversation.ask(CREATE_TOPICS, &request)).await;
    let answer = answer.map_err(|_| Fault::Silent)??;
    for (name, error, reason) in Created::read(&answer)?.topics {
        match error {
            code::NONE => made.created.push(name),
            code::TOPIC_ALREADY_EXISTS => made.existing.push(name),
            code::TOPIC_AUTHORIZATION_FAILED | code::CLUSTER_AUTHORIZATION_FAILED => {
                made.refused.push((name, Fault::Denied(reason)));
            }
            other => made.refused.push((name, Fault::Other(format!("{reason} (error {other})")))),
        }
    }
    Ok(made)
}
