//! Floor 8: assembly. Builds every part from the resolved configuration, connects them, runs them, and takes them down in
//! order.
//!
//! Absent on purpose: behavior. What is here is which part gets which handle, and when.

mod asked;
mod assembly;
mod embedding;
mod finder;
mod firing;
mod forget;
mod gateway;
mod group;
mod log;
mod minds;
mod ports;
mod recollection;
mod service;
mod state;
mod updates;
mod upkeep;
mod wiring;

pub use forget::{Forgotten, bare_config, forget};
pub use gateway::{GatewayError, run};
pub use log::start as start_log;
pub(crate) use minds::detector;
pub use state::StateError;

use crate::db::Migration;

/// Every module's changes of the database's layout, in the order of the floors.
pub const MIGRATIONS: &[&[Migration]] = &[
    crate::timeline::MIGRATIONS,
    crate::bus::MIGRATIONS,
    crate::session::MIGRATIONS,
    crate::memory::MIGRATIONS,
    crate::policy::MIGRATIONS,
    crate::approval::MIGRATIONS,
    crate::settings::MIGRATIONS,
    crate::scheduler::MIGRATIONS,
    crate::home::MIGRATIONS,
    crate::recall::MIGRATIONS,
    crate::agent::MIGRATIONS,
    crate::webuser::MIGRATIONS,
    crate::group::MIGRATIONS,
    crate::orchestrator::MIGRATIONS,
    crate::knowledge::MIGRATIONS,
];
