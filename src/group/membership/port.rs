//! What the membership needs from the house: a group's plan, made of what was said about it.

use crate::group::hub;
use crate::group::membership::Words;
use crate::link::kafka::{Address, AddressError, SecurityError};

/// A group that can be joined.
pub struct Plan {
    pub config: hub::Config,
    /// Where the brokers are.
    pub address: Address,
}

/// What is wrong; the texts are for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("group_name: one word of letters, digits, dots, dashes and underscores, of 100 at most")]
    Name,
    #[error("kafka_brokers cannot be read")]
    Brokers { source: AddressError },
    #[error("the way to the brokers cannot be secured")]
    Security { source: SecurityError },
    #[error("{text}")]
    Configuration { text: String },
}

/// Knows the configuration, and the house that joins.
pub trait Blueprint: Send + Sync + 'static {
    /// What the configuration file says.
    fn file(&self) -> Words;

    fn plan(&self, words: &Words) -> Result<Plan, PlanError>;
}
