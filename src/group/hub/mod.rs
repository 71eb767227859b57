//! The group at work: what is heard is applied, what is to be told is sent, what is asked of others is remembered.
//!
//! Who may do what: [`Group`] is the handle. While a broker can be reached [`client`] owns producer and consumer; [`hear`] applies each
//! record in one transaction and only then tells the broker; [`relay`] sends what waits in the outbox; [`work`] carries out what the
//! tasks' machines decide; [`time`] wakes tasks whose time has come; [`leave`] ends what is open. Without a broker nothing of this
//! runs but the clock of open tasks, and all of it ends with its [`Life`].
//!
//! Absent on purpose: what a model is, and answers to answers.

mod admit;
mod ask;
mod asked;
mod client;
mod convert;
mod core;
mod fetch;
mod hear;
mod know;
mod leave;
mod onboard;
mod place;
mod port;
mod presence;
mod relay;
mod rest;
mod say;
mod sharing;
mod skills;
mod spool;
mod sweep;
#[cfg(test)]
mod testing;
mod time;
mod view;
mod watch;
mod work;

pub use self::core::Config;
pub use ask::{AskError, Asked, Order, Patience};
pub use fetch::Proxy;
pub use know::{Known, Voted};
pub use leave::call_off_alone;
pub use onboard::OnboardingView;
pub use place::{PlaceError, PlaceView, ZoneDraft, ZoneOrder};
pub use port::House;
pub use sharing::{NewItem, ShareError};
pub use skills::TopicError;
pub use spool::{Foreign, SpoolError};
pub use view::{MemberView, StatusView};

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::base::clock::Clock;
use crate::base::id::PeerId;
use crate::base::shutdown::Shutdown;
use crate::db::{Db, DbError};
use crate::group::connectivity::{
    BrokerProber, Connectivity, Fact, MissingTopics, Parts as ConnectivityParts, Probed, Prober, State, Status,
};
use crate::group::roster;
use crate::link::kafka::Address;

use self::core::Core;

/// How long each step of a probe may take.
const PROBE_STEP_MAX: Duration = Duration::from_secs(8);
/// Longer than draining and the farewell may take together.
const END_MAX: Duration = Duration::from_secs(10);

/// What the group stands on.
pub struct Parts {
    pub db: Db,
    pub clock: Clock,
    pub house: Arc<dyn House>,
    pub config: Config,
    /// Where the brokers are.
    pub address: Address,
    /// Shown to agents that produce through a proxy; blank for none.
    pub lfs_proxy_url: String,
    /// Makes waits differ from hub to hub.
    pub seed: u64,
}

/// Handle; clones share it.
#[derive(Clone)]
pub struct Group {
    core: Arc<Core>,
    connectivity: Connectivity,
}

/// What runs for a [`Group`], and ends with its membership.
pub struct Life {
    connectivity: Connectivity,
    /// Only for the clock of open tasks.
    shutdown: Shutdown,
    driver: JoinHandle<()>,
    keeper: JoinHandle<()>,
}

impl Life {
    /// Says farewell where somebody hears it, ends the clients, and returns when nothing runs any more.
    pub async fn end(mut self) {
        self.connectivity.tell(Fact::Leave).await;
        self.connectivity.tell(Fact::Shutdown).await;
        if tokio::time::timeout(END_MAX, &mut self.driver).await.is_err() {
            tracing::warn!("The group's clients did not end in time.");
            self.driver.abort();
        }
        self.shutdown.trigger();
        // It ends by itself, or was aborted with the runtime.
        let _ = (&mut self.keeper).await;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.driver.abort();
        self.shutdown.trigger();
    }
}

impl Group {
    /// Takes up what an earlier life left, and begins to look for a broker.
    pub async fn start(parts: Parts) -> Result<(Self, Life), DbError> {
        let (address, seed) = (parts.address.clone(), parts.seed);
        let core = Arc::new(Core::load(parts).await?);
        let (client_core, config) = (core.clone(), core.config.connectivity.clone());
        let factory = Box::new(move |handle| client::Clients::new(client_core, address, handle));
        let (connectivity, driver) = Connectivity::start(ConnectivityParts {
            config,
            prober: Arc::new(Door { core: core.clone() }),
            factory,
            epoch: core.epoch_at_start,
            seed,
        });
        connectivity.tell(Fact::Configured).await;
        tokio::spawn(rest::run(connectivity.clone()));
        let shutdown = Shutdown::default();
        let keeper = tokio::spawn(time::keep(core.clone(), connectivity.clone(), shutdown.clone()));
        tokio::spawn(sweep::keep(core.clone(), shutdown.clone()));
        tokio::spawn(watch::run(core.clone(), shutdown.clone()));
        let life = Life { connectivity: connectivity.clone(), shutdown, driver, keeper };
        Ok((Self { core, connectivity }, life))
    }

    /// Returns when it is known whether the broker can be reached, or after `wait_max`.
    pub async fn settled(&self, wait_max: Duration) {
        let mut status = self.connectivity.watch();
        let is_known = |status: &Status| matches!(status.state, State::Online { .. }) || status.failures > 0;
        // Nobody is told anything: whoever waits looks at the status.
        let _ = tokio::time::timeout(wait_max, status.wait_for(is_known)).await;
    }

    /// A person lets a member that left count as one again.
    pub async fn restored(&self, id: &PeerId) -> Result<(), DbError> {
        let (core, id, now) = (self.core.clone(), id.clone(), self.core.clock.now());
        let restored = self.core.db.write(move |tx| {
            let steps = core.roster().next(roster::Fact::Restored(id), core.moment());
            roster::apply(tx, &steps, core.group(), now)
        });
        restored.await?;
        // It may have been waiting for a word of ours.
        self.core.greet.notify_one();
        Ok(())
    }
}

/// Looks for a broker, and makes the topics that this hub needs at that time.
struct Door {
    core: Arc<Core>,
}

impl Prober for Door {
    async fn probe(&self) -> Probed {
        let prober = BrokerProber {
            address: self.core.address.clone(),
            topics: self.core.topics_heard(),
            missing: MissingTopics::Make,
            step_max: PROBE_STEP_MAX,
            clock: self.core.clock.clone(),
        };
        prober.probe().await
    }
}
