//! The agent, put together: its tools and everything it reaches through ports.

use std::sync::Arc;

use crate::agent::{self, Agent, Decider};
use crate::app::gateway::GatewayError;
use crate::app::group::GroupPeers;
use crate::app::ports::{FetchPort, HealthPort, HomePort, MemoryPort, ModelPort, SchedulerPort};
use crate::app::wiring;
use crate::base::clock::Clock;
use crate::bus::Bus;
use crate::config::Config;
use crate::db::Db;
use crate::group::membership::Membership;
use crate::home::Home;
use crate::intent::Matcher;
use crate::link::http::Fetcher;
use crate::provider::Chain;
use crate::recall::Finder;
use crate::scheduler::Scheduler;
use crate::session::Sessions;
use crate::tool::{self, Registry};

/// What the agent shares with others.
pub(super) struct Shared<'a> {
    pub db: &'a Db,
    pub clock: &'a Clock,
    pub bus: &'a Bus,
    pub home: &'a Home,
    pub chain: &'a Arc<Chain>,
    pub scheduler: &'a Scheduler,
    pub decider: &'a Decider,
    pub matcher: &'a Arc<Matcher>,
    pub health: &'a Arc<HealthPort>,
    pub finder: &'a Arc<dyn Finder>,
}

/// What sentences and models can do here.
pub(super) fn tools(config: &Config, shared: &Shared<'_>) -> Result<Registry, GatewayError> {
    let devices: Arc<dyn tool::port::Devices> = Arc::new(HomePort(shared.home.clone()));
    let timers: Arc<dyn tool::port::Timers> = Arc::new(SchedulerPort(shared.scheduler.clone()));
    let memories: Arc<dyn tool::port::Memories> =
        Arc::new(MemoryPort { db: shared.db.clone(), finder: shared.finder.clone() });
    let files = tool::file::Files::start(wiring::files(config)).map_err(|source| GatewayError::Tools { source })?;
    let mut tools = files.tools();
    tools.extend(tool::device::tools(&devices));
    tools.extend(tool::timer::tools(&timers));
    tools.extend(tool::memory::tools(&memories));
    tools.push(Arc::new(tool::exec::Exec::new(wiring::exec(config), files)));
    let fetch =
        tool::http_fetch::HttpFetch::new(tool::http_fetch::Config::default(), Arc::new(FetchPort(Fetcher::default())));
    tools.push(Arc::new(fetch));
    tools.push(Arc::new(tool::delegate::Delegate::default()));
    Registry::new(tools).map_err(|source| GatewayError::Registry { source })
}

pub(super) fn agent(config: &Config, shared: &Shared<'_>, tools: Registry, membership: &Membership) -> Agent {
    let peers = Arc::new(GroupPeers { membership: membership.clone(), clock: shared.clock.clone() });
    Agent::new(agent::Parts {
        db: shared.db.clone(),
        clock: shared.clock.clone(),
        bus: shared.bus.clone(),
        sessions: Sessions::new(shared.db.clone(), Some(config.paths.sessions_dir.clone())),
        matcher: shared.matcher.clone(),
        tools,
        decider: shared.decider.clone(),
        ports: agent::Ports {
            mind: Arc::new(ModelPort(shared.chain.clone())),
            devices: Arc::new(HomePort(shared.home.clone())),
            reminders: Arc::new(SchedulerPort(shared.scheduler.clone())),
            health: shared.health.clone(),
            memories: shared.finder.clone(),
            peers,
        },
        config: wiring::agent(config),
    })
}
