//! Floor 6: the group of hubs and agents that share work, memory and knowledge over Apache Kafka.
//!
//! Who may do what: [`wire`] alone knows how messages look. The rest of the house never sees Kafka: a peer's task comes in like
//! any other message, with the origin of a stranger. State lies beside its SQL: [`outbox`] and [`inbox`] stand between the house and the
//! broker, [`roster`] knows who is there, [`task`] what is asked of whom, [`onboarding`] who may come in, [`share`] and [`trace`]
//! what members tell each other; [`stats`] counts. [`connectivity`] decides when there is a client at all; [`hub`] puts it
//! all to work, and [`membership`] begins and ends it.
//!
//! Absent on purpose: answers to answers, trust in what a member says about another, anything that makes the household wait for
//! a network.

pub mod connectivity;
pub mod hub;
pub mod inbox;
pub mod membership;
pub mod onboarding;
pub mod outbox;
pub mod roster;
mod schema;
pub mod share;
pub mod stats;
pub mod task;
pub mod trace;
pub mod wire;

pub use schema::MIGRATIONS;
