//! What the tests stand on: a gateway as a process, a broker, a lamp, a model, a browser, and clients that are not ours.

mod broker;
mod browser;
mod cable;
mod gateway;
mod http;
mod kafka;
mod lamp;
mod model;
pub mod models;
mod mqtt;
mod peer;
mod process;
mod shelf;
mod wait;

pub use broker::Mosquitto;
pub use browser::Browser;
pub use gateway::{Gateway, Plan};
pub use http::{Connection, Door, Reply, request};
pub use kafka::{Kafka, Ports};
pub use lamp::Lamp;
pub use model::FakeModel;
pub use models::{LISTENER, TALKER, chord_of, spoken, wav};
pub use mqtt::{Heard, Mqtt};
pub use peer::{ForeignPeer, ask_from_a_shell};
pub use process::free_port;
pub use shelf::Shelf;
pub use wait::{eventually, wait_for};

use std::time::Duration;

/// How long anything may take on a slow and busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);
