//! The group at work: what is heard is applied, what is to be told is sent, what is asked of others is remembered.
//!
//! Who may do what: [`Group`] is the handle. While a broker can be reached [`client`] owns producer and consumer; [`hear`] applies each
//! record in one transaction and only then tells the broker; [`relay`] sends what waits in the outbox; [`work`] carries out what the
//! tasks' machines decide; [`time`] wakes tasks whose time has come. Without a broker nothing of this runs but the clock of open tasks.
//!
//! Absent on purpose: what a model is, and answers to answers.

mod admit;
mod ask;
mod asked;
mod client;
mod convert;
mod core;
mod hear;
mod know;
mod place;
mod port;
mod presence;
mod relay;
mod rest;
mod say;
mod time;
mod view;
mod work;

pub use self::core::Config;
pub use ask::{AskError, Asked, Order, Patience};
pub use know::{Known, Voted};
pub use place::{PlaceError, PlaceView, ZoneDraft, ZoneOrder};
pub use port::House;
pub use view::{MemberView, StatusView};

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::base::clock::Clock;
use crate::base::shutdown::Shutdown;
use crate::db::{Db, DbError};
use crate::group::connectivity::{BrokerProber, Connectivity, Fact, MissingTopics, Parts as ConnectivityParts};
use crate::link::kafka::Address;

use self::core::Core;

/// How long each step of a probe may take.
const PROBE_STEP_MAX: std::time::Duration = std::time::Duration::from_secs(8);

/// What the group stands on.
pub struct Parts {
    pub db: Db,
    pub clock: Clock,
    pub house: Arc<dyn House>,
    pub config: Config,
    /// Where the brokers are.
    pub address: Address,
    /// Makes waits differ from hub to hub.
    pub seed: u64,
    pub shutdown: Shutdown,
}

/// Handle; clones share it.
#[derive(Clone)]
pub struct Group {
    core: Arc<Core>,
    connectivity: Connectivity,
}

impl Group {
    /// Takes up what an earlier life left, and begins to look for a broker.
    pub async fn start(parts: Parts) -> Result<(Self, JoinHandle<()>), DbError> {
        let Parts { db, clock, house, config, address, seed, shutdown } = parts;
        let core = Arc::new(Core::load(db, clock.clone(), house, config).await?);
        let prober = BrokerProber {
            address: address.clone(),
            topics: core.config.topics.all(),
            missing: MissingTopics::Make,
            step_max: PROBE_STEP_MAX,
            clock,
        };
        let (client_core, config) = (core.clone(), core.config.connectivity.clone());
        let factory = Box::new(move |handle| client::Clients::new(client_core, address, handle));
        let (connectivity, driver) = Connectivity::start(ConnectivityParts {
            config,
            prober: Arc::new(prober),
            factory,
            epoch: core.epoch_at_start,
            seed,
        });
        connectivity.tell(Fact::Configured).await;
        tokio::spawn(rest::run(connectivity.clone()));
        tokio::spawn(time::keep(core.clone(), shutdown.clone()));
        let told = connectivity.clone();
        tokio::spawn(async move {
            shutdown.triggered().await;
            told.tell(Fact::Leave).await;
            told.tell(Fact::Shutdown).await;
        });
        Ok((Self { core, connectivity }, driver))
    }

    /// A model answers here from now on, or not any more.
    pub async fn think(&self, can_think: bool) {
        self.connectivity.tell(Fact::Thinking(can_think)).await;
    }
}
