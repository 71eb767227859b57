//! Apache Kafka: a probe that costs a few packets, and librdkafka's producer and consumer behind small faces.
//!
//! Who may do what: [`probe`] and [`create_topics`] speak the protocol themselves and leave nothing behind; [`Producer`] and
//! [`Consumer`] each own one instance of librdkafka and one thread, and both are gone when their handles are dropped. Nothing here
//! decides when to connect; whoever does has probed before.
//!
//! The consumer asks for its partitions itself instead of joining a group of consumers: a hub hears everything, so there is
//! nothing to share out, no rebalance can stop it, and it hears some seconds sooner. Its group only names its offsets.
//!
//! Absent on purpose: what records mean; transactions; GSSAPI and OAuth; a list of topics without names.

mod address;
mod admin;
mod certificate;
mod client;
mod consumer;
mod fault;
mod position;
mod probe;
mod producer;
mod security;
mod tls;
mod wire;

#[cfg(test)]
mod tests;

pub use address::{AddressError, Broker};
pub use admin::{Made, create_topics};
pub use client::{LinkError, OnTrouble, Trouble, Weight};
pub use consumer::{Consumer, ConsumerConfig, Heard, Payload, Record};
pub use fault::Fault;
pub use position::{Start, TopicStart};
pub use probe::{Examination, Finding, Step, Verdict, examine, probe, reach};
pub use producer::{DeliveryError, Outgoing, Placed, Producer, ProducerConfig, Report, Reports, SendError};
pub use security::{ClientCertificate, Login, Mechanism, Protocol, Security, SecurityError, SecurityWords};
pub use wire::message::Metadata;

/// Where the brokers are and how they are spoken to.
#[derive(Clone, Debug)]
pub struct Address {
    pub brokers: Vec<Broker>,
    pub security: Security,
    /// Shown in the broker's logs; the agent's id.
    pub client_id: String,
}

impl Address {
    /// The list as librdkafka wants it.
    fn bootstrap(&self) -> String {
        self.brokers.iter().map(Broker::to_string).collect::<Vec<_>>().join(",")
    }
}
