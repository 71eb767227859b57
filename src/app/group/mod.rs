//! The group in this house: the configuration's keys, and the ports between group, bus, agent and memory.

mod courier;
mod house;
mod keys;
mod peers;
mod plan;
mod upkeep;

pub(super) use courier::GroupCourier;
pub(super) use peers::GroupPeers;
pub(super) use upkeep::prune;

use std::sync::Arc;

use crate::app::gateway::GatewayError;
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::bus::Bus;
use crate::config::Config;
use crate::db::Db;
use crate::group::membership::{Membership, Parts};
use crate::provider::Chain;
use crate::tool::Registry;

use house::Household;
use plan::Planner;

/// What the group stands on.
pub(super) struct Ground<'a> {
    pub config: &'a Config,
    pub db: &'a Db,
    pub clock: &'a Clock,
    pub bus: &'a Bus,
    pub chain: &'a Arc<Chain>,
}

/// Where no group is configured and none was joined, nothing of it runs; it may be joined later.
pub(super) async fn start(ground: Ground<'_>, tools: &Registry) -> Result<Membership, GatewayError> {
    let mut seed = [0_u8; 8];
    // Without randomness hubs wait alike; that is no reason not to start.
    let _ = getrandom::fill(&mut seed);
    let parts = Parts {
        db: ground.db.clone(),
        clock: ground.clock.clone(),
        house: Arc::new(Household { bus: ground.bus.clone(), chain: ground.chain.clone() }),
        blueprint: Arc::new(Planner::new(ground.config, tools)?),
        seed: u64::from_le_bytes(seed),
    };
    Membership::start(parts).await.map_err(|error| GatewayError::Group { why: chain(&error) })
}
