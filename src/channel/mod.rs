//! Floor 6: the edges where people speak. An edge turns what it hears into an [`Inbound`] and hands it to [`Intake`]; what
//! goes out is carried by a [`crate::bus::Courier`].
//!
//! Who may do what: every edge goes through `Intake`, so that rates are held in one place. HTTP callers (`api`,
//! `dashboard`) wait for their answers in place and need no courier.
//!
//! Absent on purpose: what a message means, and retries (the bus does both).

pub mod bridge;
pub mod direct;
mod intake;
pub mod mqtt;

pub use intake::{Intake, IntakeError};
