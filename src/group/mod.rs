//! Floor 6: the group of hubs and agents that share work, memory and knowledge over Apache Kafka.
//!
//! Who may do what: [`wire`] alone knows how messages look. The rest of the house never sees Kafka: a peer's task comes in like
//! any other message, with the origin of a stranger.
//!
//! Absent on purpose: answers to answers, trust in what a member says about another, anything that makes the household wait for
//! a network.

pub mod connectivity;
pub mod wire;
