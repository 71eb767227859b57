//! Floor 6: the group of hubs and agents that share work, memory and knowledge over Apache Kafka.

pub mod connectivity;
