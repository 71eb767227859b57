//! Finds the partitions of topics and where to begin in each.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::hear::Hearing;
use crate::link::kafka::Start;
use crate::link::kafka::position::Known;

/// Each question to the broker may take this long.
const ASK_MAX: Duration = Duration::from_secs(8);

type Place = (Arc<str>, i32);

/// What a look at the topics led to.
pub struct Begun {
    /// Where reading began, and at which offset.
    pub begun: Vec<(Place, i64)>,
    /// Topics that are not there.
    pub missing: Vec<String>,
}

impl Hearing {
    /// Begins to read partitions that are not read yet.
    pub fn assign_new(&self, topics: &[Arc<str>]) -> KafkaResult<Begun> {
        let mut missing = Vec::new();
        let mut places = Vec::new();
        for topic in topics {
            let partitions = self.partitions(topic)?;
            if partitions.is_empty() {
                missing.push(topic.to_string());
            }
            let all = partitions.into_iter().map(|partition| (topic.clone(), partition));
            places.extend(all.filter(|place| !self.assigned.contains(place)));
        }
        let begun = self.starts(places)?;
        if !begun.is_empty() {
            let mut list = TopicPartitionList::with_capacity(begun.len());
            for ((topic, partition), offset) in &begun {
                list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
            }
            self.client.incremental_assign(&list)?;
        }
        Ok(Begun { begun, missing })
    }

    /// None when the topic is not there.
    fn partitions(&self, topic: &str) -> KafkaResult<Vec<i32>> {
        let metadata = self.client.fetch_metadata(Some(topic), ASK_MAX)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(Vec::new()) };
        match found.error() {
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(Vec::new()),
            Some(error) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(error))),
            None => Ok(found.partitions().iter().map(|partition| partition.id()).collect()),
        }
    }

    fn starts(&self, places: Vec<Place>) -> KafkaResult<Vec<(Place, i64)>> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in &places {
            list.add_partition(topic, *partition);
        }
        let committed = self.client.committed_offsets(list, ASK_MAX)?;
        let mut begun = Vec::with_capacity(places.len());
        for (topic, partition) in places {
            let start = self.start_of(&topic);
            let (first, end) = self.client.fetch_watermarks(&topic, partition, ASK_MAX)?;
            let committed = offset_of(&committed, &topic, partition);
            let young = match start {
                Start::Within(age) => self.first_within(&topic, partition, age)?,
                Start::Now | Start::Beginning | Start::Replay => None,
            };
            let offset = start.offset(Known { first, end, committed, young });
            begun.push(((topic, partition), offset));
        }
        Ok(begun)
    }

    fn start_of(&self, topic: &str) -> Start {
        let of_topic = self.config.topics.iter().find(|wanted| wanted.topic == topic);
        of_topic.map_or(Start::Now, |wanted| wanted.start)
    }

    fn first_within(&self, topic: &str, partition: i32, age: Duration) -> KafkaResult<Option<i64>> {
        let oldest = self.clock.now().minus(age).as_millis().max(0);
        let mut times = TopicPartitionList::with_capacity(1);
        times.add_partition_offset(topic, partition, Offset::Offset(oldest))?;
        let found = self.client.offsets_for_times(times, ASK_MAX)?;
        Ok(offset_of(&found, topic, partition))
    }
}

fn offset_of(list: &TopicPartitionList, topic: &str, partition: i32) -> Option<i64> {
    match list.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}
