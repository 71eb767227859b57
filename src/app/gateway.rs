//! The life of a gateway: from the configuration to READY, and from a signal to the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::agent::Decider;
use crate::api::{self, Api, Readiness};
use crate::app::group::{self, GroupCourier};
use crate::app::minds::Minds;
use crate::app::ports::{FinderPort, HealthPort};
use crate::app::state::{self, Doors, StateError};
use crate::app::{MIGRATIONS, assembly, firing, log, recollection, service, updates, upkeep, wiring};
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::base::limits;
use crate::base::shutdown::Shutdown;
use crate::base::trim;
use crate::bus::{self, Bus, BusError};
use crate::channel::bridge::BridgeCourier;
use crate::channel::{Intake, mqtt as conversations};
use crate::config::{Config, Loaded};
use crate::dashboard::{self, Dashboard};
use crate::db::{self, Db};
use crate::group::membership::Membership;
use crate::home::{Home, HomeError, Vitals};
use crate::http::{Guard, Listeners, Router, Server, ServerHandle, openapi};
use crate::intent::Matcher;
use crate::link::mqtt::{self, ACCOUNTS_FILE, LinkState, MqttHandle, Qos, Reliability, Retain, Route, RouteConfig};
use crate::owner::Owner;
use crate::provider::Chain;
use crate::recall::Finder;
use crate::reset::ResetError;
use crate::scheduler::Scheduler;
use crate::tool;

/// Threads of the runtime: what blocks has lanes of its own.
const RUNTIME_THREADS: usize = 2;
/// How long each part has to come down; together less than [`limits::DRAIN_MAX`].
const PART_DRAIN_MAX: Duration = Duration::from_millis(1_500);
/// When what only the start needed can be given back: most of it soon, the rest when brokers and models have been looked for.
const SETTLED_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(9)];
/// How often Home Assistant hears how we are.
const VITALS_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Reset(#[from] ResetError),
    #[error("could not open the database")]
    Database { source: db::DbError },
    #[error("could not load the sentences")]
    Intents { source: crate::intent::IntentError },
    #[error("mqtt.url cannot be used")]
    BrokerAddress { source: mqtt::AddressError },
    #[error("could not prepare the connection to the broker")]
    Broker { source: mqtt::MqttError },
    #[error("could not read the memory's part of the configuration")]
    Memory { source: serde_json::Error },
    #[error("could not start the reader of documents")]
    Documents { source: crate::base::lane::LaneError },
    #[error("could not read the updates' part of the configuration")]
    Updates { source: serde_json::Error },
    #[error("could not read the channels of the configuration")]
    Channels { source: serde_json::Error },
    #[error("could not read the models' part of the configuration")]
    Models { source: serde_json::Error },
    #[error("could not start the thread that looks for models")]
    Shelf { source: crate::base::lane::LaneError },
    #[error("could not prepare the group: {why}")]
    Group { why: String },
    #[error("could not prepare the home")]
    Home { source: HomeError },
    #[error("could not take over waiting messages")]
    Bus { source: BusError },
    #[error("could not prepare the tools")]
    Tools { source: crate::base::lane::LaneError },
    #[error("two tools have one name")]
    Registry { source: tool::RegistryError },
    #[error(transparent)]
    Server(#[from] crate::http::ServerError),
    #[error("could not start the thread that knows the owner")]
    Owner { source: crate::base::lane::LaneError },
    #[error("could not start the runtime")]
    Runtime { source: std::io::Error },
}

impl GatewayError {
    /// Whether the database turned out to be damaged.
    fn is_damage(&self) -> bool {
        match self {
            Self::Database { source } | Self::Home { source: HomeError::Load { source } } => source.is_damage(),
            Self::Bus { source: BusError::Store { source } | BusError::Read { source } } => source.is_damage(),
            _ => false,
        }
    }
}

/// Runs a gateway until it is told to stop. `announce` gets the line that says where it is.
pub fn run(loaded: Loaded, announce: &mut dyn FnMut(&str)) -> Result<(), GatewayError> {
    let started = Instant::now();
    let config = loaded.config;
    log::start(config.log.level);
    state::prepare(&config.paths)?;
    let _lock = state::lock(&config.paths)?;
    let inherited = service::inherited_sockets();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_stack_size(512 * 1024)
        .enable_all()
        .build()
        .map_err(|source| GatewayError::Runtime { source })?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new().map_err(|source| GatewayError::Runtime { source })?;
        let mut listeners = Listeners::new(inherited);
        let house = match House::build(&config, &mut listeners, started).await {
            // Damage inside the file shows at the first use; opened again, it is checked as a whole and set aside.
            Err(error) if error.is_damage() => House::build(&config, &mut listeners, started).await?,
            built => built?,
        };
        announce(&house.greeting(&config));
        service::tell(&[("READY", "1"), ("STATUS", "The house is ready.")]);
        tracing::info!(
            elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "The house is ready."
        );
        tokio::spawn(async {
            for wait in SETTLED_AFTER {
                tokio::time::sleep(wait).await;
                trim::all();
            }
        });
        signals.wait().await;
        tracing::info!("Stopping.");
        service::tell(&[("STOPPING", "1"), ("STATUS", "Stopping.")]);
        tokio::select! {
            () = house.stop() => {}
            () = tokio::time::sleep(limits::DRAIN_MAX) => tracing::warn!("Not everything came down in time."),
            () = signals.wait() => tracing::warn!("Stopped at once."),
        }
        state::remove_doors(&config.paths);
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// SIGTERM and SIGINT, the same to us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Everything that runs, with the order in which it is taken down.
struct House {
    db: Db,
    doors: Vec<ServerHandle>,
    /// Nothing new comes in.
    edges: Shutdown,
    /// No new turn begins; running ones end.
    turns: Shutdown,
    /// Answers stop going out, then the links.
    links: Shutdown,
    dispatcher: JoinHandle<()>,
    courier: JoinHandle<()>,
    membership: Membership,
    home: Home,
    owner: Owner,
}

/// The broker's connection with its routes taken apart.
struct BrokerParts {
    handle: MqttHandle,
    home: Route,
    conversations: Route,
    birth: Route,
}

impl House {
    async fn build(config: &Config, listeners: &mut Listeners, started: Instant) -> Result<Self, GatewayError> {
        let clock = Clock::System;
        let (edges, turns, links) = (Shutdown::default(), Shutdown::default(), Shutdown::default());
        let db = Db::open(&db::Config::at(&config.paths.database), MIGRATIONS, &clock)
            .map_err(|source| GatewayError::Database { source })?;
        report(&db);
        let bus = Bus::open(db.clone(), clock.clone()).await.map_err(|source| GatewayError::Bus { source })?;
        let hub = wiring::hub(config);
        let broker = connect(config, &hub, &links)?;
        let handle = broker.as_ref().map(|broker| broker.handle.clone());
        let (home_route, talk) = match broker {
            Some(broker) => (Some((broker.handle.clone(), broker.home)), Some((broker.conversations, broker.birth))),
            None => (None, None),
        };
        let home = Home::start(db.clone(), clock.clone(), home_route, wiring::home(config, &hub), links.clone())
            .await
            .map_err(|source| GatewayError::Home { source })?;
        let matcher =
            Arc::new(Matcher::load(&wiring::intents(config)).map_err(|source| GatewayError::Intents { source })?);
        let (endpoints, problems) = wiring::endpoints(config);
        problems.iter().for_each(|problem| tracing::info!(error = problem, "A model is left out."));
        let meaning = recollection::meaning(config, &db, &clock, &edges).await?;
        let minds = Minds::start(config, &clock, meaning.clone(), &links)?;
        let options = wiring::model_options(config);
        let local = minds.local();
        let chain = Arc::new(Chain::with_local(endpoints, options, clock.clone(), &local));
        let scheduler = scheduler(config, &db, &clock, &bus, &matcher, handle.is_some());
        let decider = Decider::new(db.clone(), clock.clone(), bus.clone());
        let health: Arc<HealthPort> = Arc::new(HealthPort {
            started,
            home: home.clone(),
            broker: handle.clone(),
            chain: chain.clone(),
            bus: bus.clone(),
        });
        let recollection = recollection::Settings::of(config).map_err(|source| GatewayError::Memory { source })?;
        let finder: Arc<dyn Finder> =
            Arc::new(FinderPort { recall: meaning.recall(), relevance_min: recollection.search.min_score });
        let shared = assembly::Shared {
            db: &db,
            clock: &clock,
            bus: &bus,
            home: &home,
            chain: &chain,
            scheduler: &scheduler,
            decider: &decider,
            matcher: &matcher,
            health: &health,
            finder: &finder,
        };
        let tools = assembly::tools(config, &shared)?;
        let ground = group::Ground { config, db: &db, clock: &clock, bus: &bus, chain: &chain };
        let membership = group::start(ground, &tools).await?;
        let agent = assembly::agent(config, &shared, tools, &membership);
        let intake = Intake::new(bus.clone(), clock.clone(), wiring::rates(config));

        let dispatcher = tokio::spawn(bus.clone().run(Arc::new(agent), turns.clone()));
        tokio::spawn(decider.clone().run(turns.clone()));
        let condensing = recollection::condensing_chain(config, &recollection, &chain, &clock, &local);
        recollection::start(config, &recollection, &db, &clock, &condensing, &edges);
        if config.scheduler.enabled {
            tokio::spawn(scheduler.clone().run(edges.clone()));
        } else {
            tracing::warn!("scheduler.enabled is false: timers, reminders and jobs do not ring.");
        }
        let mut couriers = bus::Couriers::new();
        if let (Some(handle), Some((talk, birth))) = (&handle, talk) {
            let settings = wiring::conversations(config);
            let courier = conversations::MqttCourier::new(settings.clone(), handle.clone());
            couriers.insert(crate::domain::message::Channel::MQTT, Arc::new(courier));
            tokio::spawn(conversations::listen(settings, handle.clone(), talk, intake.clone(), edges.clone()));
            if config.mqtt.publish_discovery {
                tokio::spawn(introduce(hub, handle.clone(), birth, health.clone(), links.clone()));
            }
        }
        let answers = GroupCourier { membership: membership.clone(), db: db.clone() };
        couriers.insert(crate::domain::message::Channel::GROUP, Arc::new(answers));
        let bridges = wiring::bridges(config).map_err(|source| GatewayError::Channels { source })?;
        for bridge in &bridges {
            couriers.insert(bridge.channel, Arc::new(BridgeCourier::new(bridge.clone())));
        }
        let courier = tokio::spawn(bus::deliver_all(bus.clone(), couriers, links.clone()));
        tokio::spawn(upkeep::run(db.clone(), clock.clone(), config.retention.clone(), edges.clone()));

        let token = state::gateway_token(&config.paths, &config.gateway.auth_token)?;
        let owner =
            Owner::open(&config.paths.state_dir, clock.clone()).map_err(|source| GatewayError::Owner { source })?;
        let guard = Arc::new(Guard::new(wiring::guard(config, token), owner.clone(), clock.clone()));
        let readiness: Arc<dyn Readiness> =
            Arc::new(Checks { db: db.clone(), bus: bus.clone(), broker: handle.clone() });
        let api = Arc::new(Api {
            db: db.clone(),
            clock: clock.clone(),
            membership: membership.clone(),
            intake: intake.clone(),
            readiness: readiness.clone(),
            is_compat: config.gateway.compat,
            models: Arc::new(minds.clone()),
            embeddings: Arc::new(minds.clone()),
            speech: Arc::new(minds.clone()),
            talk: Arc::new(minds),
        });
        let mut entries = openapi::entries(&api::routes(), 18790);
        entries.extend(openapi::entries(&dashboard::routes(), 18791));
        let dashboard = Arc::new(Dashboard {
            db: db.clone(),
            clock: clock.clone(),
            intake: intake.clone(),
            bridges,
            decider,
            home: home.clone(),
            scheduler,
            chain,
            guard: guard.clone(),
            owner: owner.clone(),
            readiness,
            speech: api.speech.clone(),
            microphones: dashboard::Microphones::default(),
            broker: handle,
            membership: membership.clone(),
            is_orchestrator_enabled: config.section("/orchestrator/enabled").unwrap_or(false),
            started,
            agent_id: format!("kafclaw-{}", wiring::hostname()),
            run_dir: config.paths.run_dir.clone(),
            state_dir: config.paths.state_dir.clone(),
            broker_accounts: config.paths.home.join(ACCOUNTS_FILE),
            memory: recollection::desk(config, &recollection, &finder, &meaning)?,
            updates: updates::start(config, &clock, &edges)?,
            document: openapi::document(&entries, env!("CARGO_PKG_VERSION")),
        });
        let (chat_config, dashboard_config) = wiring::doors(config);
        let is_encrypted = dashboard_config.tls.is_some();
        let chat = Router::new(api::routes(), api, guard.clone()).with_uploads(api::UPLOADS);
        let chat = Server::start(chat_config, listeners, Arc::new(chat), edges.clone())?;
        let pages = Router::new(dashboard::routes(), dashboard, guard).with_uploads(dashboard::UPLOADS);
        let pages = Server::start(dashboard_config, listeners, Arc::new(pages), edges.clone())?;
        state::write_doors(
            &config.paths,
            &Doors {
                pid: std::process::id(),
                chat: chat.address().to_string(),
                dashboard: pages.address().to_string(),
                is_encrypted,
                onnx_runtime: std::env::var("ORT_DYLIB_PATH").ok(),
            },
        )?;
        let doors = vec![chat, pages];
        tokio::spawn(service::feed_watchdog(doors.clone(), edges.clone()));
        Ok(Self { db, doors, edges, turns, links, dispatcher, courier, membership, home, owner })
    }

    fn greeting(&self, config: &Config) -> String {
        let chat = &self.doors[0];
        let pages = &self.doors[1];
        let broker = if config.mqtt.enabled && !config.mqtt.url.is_empty() {
            "the broker of mqtt.url"
        } else {
            "none yet; set mqtt.url to see your devices"
        };
        format!(
            "KafClaw Edge {} is ready.\n  Dashboard  {}\n  Chat API   {}/chat\n  Devices    {broker}\n  Log in     {}",
            env!("CARGO_PKG_VERSION"),
            pages.url(),
            chat.url(),
            if self.owner.glance().has_password {
                "with your password"
            } else {
                "for the first time with the code that `kafclaw setup-code` shows"
            },
        )
    }

    /// Edges first, then turns, then what carries answers out, then the database.
    async fn stop(self) {
        self.edges.trigger();
        for door in &self.doors {
            let _ = tokio::time::timeout(PART_DRAIN_MAX, door.drained()).await;
        }
        self.turns.trigger();
        let _ = tokio::time::timeout(PART_DRAIN_MAX, self.dispatcher).await;
        self.links.trigger();
        let _ = tokio::time::timeout(PART_DRAIN_MAX, self.courier).await;
        // The home writes the last states down; the group hears a farewell.
        let home = tokio::time::timeout(PART_DRAIN_MAX, self.home.stopped());
        let _ = tokio::join!(home, tokio::time::timeout(PART_DRAIN_MAX, self.membership.stop()));
        self.doors.iter().for_each(ServerHandle::stop);
        self.db.close();
    }
}

/// Says what opening the database found.
fn report(db: &Db) {
    let found = db.report();
    if let Some(path) = &found.set_aside {
        tracing::error!(path = %path.display(), error = found.damage.as_deref().unwrap_or("unknown"),
            "The database was damaged. It was moved aside and an empty one took its place; restore a backup to get it back.");
    }
    if found.unclean {
        tracing::info!("The last run did not end in order; nothing that was acknowledged is lost.");
    }
    if let Some(path) = &found.copied_to {
        tracing::info!(path = %path.display(), "The database was copied before its layout changed.");
    }
    if let Some(restored) = &found.restored {
        tracing::error!(path = %restored.newer.display(),
            "The database was changed by a newer version. The copy from before it is used; what happened since is in the file that was moved aside.");
    }
}

fn connect(
    config: &Config,
    hub: &crate::home::HubFacts,
    links: &Shutdown,
) -> Result<Option<BrokerParts>, GatewayError> {
    let broker = wiring::broker(config, hub).map_err(|source| GatewayError::BrokerAddress { source })?;
    let Some(broker) = broker else { return Ok(None) };
    let birth = RouteConfig { reliability: Reliability::Present, filters: vec![hub.birth_topic()] };
    let routes = vec![wiring::home(config, hub).route(), wiring::conversations(config).route(), birth];
    let (handle, routes) =
        mqtt::start(broker, routes, links.clone()).map_err(|source| GatewayError::Broker { source })?;
    let mut routes = routes.into_iter();
    match (routes.next(), routes.next(), routes.next()) {
        (Some(home), Some(conversations), Some(birth)) => Ok(Some(BrokerParts { handle, home, conversations, birth })),
        _ => Ok(None),
    }
}

fn scheduler(config: &Config, db: &Db, clock: &Clock, bus: &Bus, matcher: &Arc<Matcher>, announces: bool) -> Scheduler {
    let port = firing::JobFiring {
        db: db.clone(),
        bus: bus.clone(),
        matcher: matcher.clone(),
        language: wiring::language(config),
        announces,
        runtime: tokio::runtime::Handle::current(),
    };
    Scheduler::new(db.clone(), clock.clone(), Arc::new(port), wiring::scheduler(config))
}

/// Shows the hub to Home Assistant: again after each connection and each of its restarts, and how it is, now and then.
async fn introduce(
    hub: crate::home::HubFacts,
    handle: MqttHandle,
    mut birth: Route,
    health: Arc<HealthPort>,
    shutdown: Shutdown,
) {
    let mut state = handle.link_state();
    // It may have connected before anybody looked.
    state.mark_changed();
    loop {
        let again = tokio::select! {
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                matches!(*state.borrow_and_update(), LinkState::Connected { .. })
            }
            message = birth.incoming.recv() => match message {
                Some(incoming) => incoming.message.payload.as_ref() == b"online",
                None => return,
            },
            () = tokio::time::sleep(VITALS_INTERVAL) => false,
            () = shutdown.triggered() => return,
        };
        let mut statements = Vec::new();
        if again {
            statements.extend([hub.announcement(), hub.online()]);
        }
        statements.push(hub.vitals(&vitals(&health)));
        for statement in statements {
            if let Err(error) = handle.publish(&statement.topic, statement.payload, Qos::AtLeastOnce, Retain::Yes).await
            {
                tracing::debug!(error = chain(&error), "The hub's state could not be published.");
            }
        }
    }
}

fn vitals(health: &HealthPort) -> Vitals {
    let celsius = std::fs::read_to_string("/sys/class/thermal/thermal_zone0/temp").ok();
    let celsius = celsius.and_then(|text| text.trim().parse::<f64>().ok()).map(|thousandths| thousandths / 1000.0);
    Vitals { uptime: health.started.elapsed(), queue_len: health.bus.open_len(), cpu_celsius: celsius }
}

/// What `/readyz` asks.
struct Checks {
    db: Db,
    bus: Bus,
    broker: Option<MqttHandle>,
}

/// Whether there is too little room for the next messages. A disk that cannot be asked is not held to be full.
fn is_full(database: &std::path::Path) -> bool {
    const FREE_BYTES_MIN: u64 = 1024 * 1024;
    let folder = database.parent().unwrap_or(database);
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES_MIN)
}

impl Readiness for Checks {
    fn checks(&self) -> BoxFuture<'_, Vec<(&'static str, String)>> {
        Box::pin(async {
            let database = match self.db.read(|conn| conn.query_row("SELECT 1", [], |_| Ok(()))).await {
                Ok(()) if is_full(self.db.path()) => "the disk is full".to_owned(),
                Ok(()) => "ok".to_owned(),
                Err(error) => error.to_string(),
            };
            let bus = if self.bus.open_len() < limits::TASKS_OPEN_MAX { "ok" } else { "busy" };
            let mqtt = match &self.broker {
                None => "off",
                Some(handle) if handle.is_connected() => "ok",
                Some(_) => "down",
            };
            vec![("database", database), ("bus", bus.to_owned()), ("mqtt", mqtt.to_owned())]
        })
    }
}
