//! Floor 0: small types that every other module may use. Nothing here knows what a message or a device is.
//!
//! Absent on purpose: anything with a table, a socket or a policy.

pub mod clock;
pub mod error;
pub mod fault;
#[cfg(test)]
pub mod fuzz;
pub mod gojson;
pub mod id;
pub mod lane;
pub mod leave;
pub mod limits;
pub mod percent;
pub mod secret;
pub mod shutdown;
pub mod trim;
pub mod wait;
