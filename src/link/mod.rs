//! Floor 2: the wires to the outside. Bytes in, bytes out; no knowledge of agents, devices or models.

pub mod http;
pub mod kafka;
pub mod mqtt;
mod roots;
pub mod route;
