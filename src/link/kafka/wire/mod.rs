//! A very small Kafka client: enough to ask a broker how it is, to log in and to make topics, without an instance of librdkafka.

pub mod codec;
pub mod conversation;
pub mod message;
pub mod scram;
