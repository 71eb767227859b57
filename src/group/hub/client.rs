//! Producer and consumer while a broker can be reached, and what is said about ourselves: join, heartbeats, farewell.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::error::chain;
use crate::domain::peer::Identity;
use crate::group::connectivity::{ClientFactory, Connectivity, Fact, State};
use crate::group::outbox;
use crate::group::roster;
use crate::group::task::{self, Direction};
use crate::group::wire::{Action, Announce, Body, Topic};
use crate::knowledge;
use crate::link::kafka::{
    Address, Consumer, ConsumerConfig, OnTrouble, Outgoing, Producer, ProducerConfig, Reports, Start, TopicStart,
    Trouble,
};

use super::core::Core;
use super::say::{Said, undone};
use super::work::After;
use super::{fetch, hear, place, presence, relay};

/// Announcements as old as this still tell who belongs to the group.
const ROSTER_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Answers and facts of at most this age are read when we were never here before.
const STATE_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// A broker that can be reached acknowledges a heartbeat sooner, over any network of a home.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// A record that nobody acknowledges for so long is tried again.
const DELIVERY_MAX: Duration = Duration::from_secs(60);

/// The only owner of clients.
pub(super) struct Clients {
    core: Arc<Core>,
    address: Address,
    handle: Connectivity,
    running: Option<Running>,
}

struct Running {
    producer: Producer,
    /// Whether nothing waits that could be sent.
    idle: Arc<watch::Sender<bool>>,
    tasks: Vec<JoinHandle<()>>,
    /// What is being said about ourselves: one thing at a time, the last one counts.
    errand: Option<JoinHandle<()>>,
}

impl Running {
    fn send_off(&mut self, errand: impl Future<Output = ()> + Send + 'static) {
        if let Some(before) = self.errand.replace(tokio::spawn(errand)) {
            before.abort();
        }
    }
}

impl Drop for Running {
    // All of them hold the producer, which ends with its last holder.
    fn drop(&mut self) {
        self.tasks.iter().chain(&self.errand).for_each(JoinHandle::abort);
    }
}

impl Clients {
    pub(super) fn new(core: Arc<Core>, address: Address, handle: Connectivity) -> Self {
        Self { core, address, handle, running: None }
    }

    fn start(&self) -> Result<Running, String> {
        let pace = self.core.config.pace;
        let producer_config = ProducerConfig {
            queue_records_max: pace.window_rows_max,
            // What the window holds, and what librdkafka adds to each record.
            queue_bytes_max: usize::try_from(pace.window_bytes_max * 2).unwrap_or(usize::MAX),
            delivery_max: DELIVERY_MAX,
            ..ProducerConfig::default()
        };
        let (producer, reports): (Producer, Reports) =
            Producer::start(&self.address, &producer_config, self.on_trouble()).map_err(|error| chain(&error))?;
        let consumer_config = ConsumerConfig {
            group: self.core.config.consumer_group.clone(),
            topics: starts(&self.core),
            payload_bytes_max: self.core.config.wire.record_bytes_max,
            ..ConsumerConfig::default()
        };
        let clock = self.core.clock.clone();
        let consumer =
            Consumer::start(&self.address, consumer_config, clock, self.on_trouble()).map_err(|error| chain(&error))?;
        let idle = Arc::new(watch::Sender::new(false));
        let link = (self.handle.watch(), idle.clone());
        let tasks = vec![
            tokio::spawn(relay::run(self.core.clone(), producer.clone(), reports, link)),
            tokio::spawn(hear::run(self.core.clone(), consumer, self.handle.clone())),
            tokio::spawn(beat(self.core.clone(), producer.clone(), self.handle.clone())),
            tokio::spawn(presence::keep(self.core.clone(), producer.clone(), self.handle.clone())),
            tokio::spawn(place::tell(self.core.clone())),
            tokio::spawn(fetch::run(self.core.clone())),
        ];
        Ok(Running { producer, idle, tasks, errand: None })
    }
}

impl ClientFactory for Clients {
    fn create(&mut self) -> Result<(), String> {
        self.running = Some(self.start()?);
        Ok(())
    }

    fn destroy(&mut self) {
        self.running = None;
    }

    fn announce_join(&mut self, epoch: u64) {
        let Some(running) = &mut self.running else { return };
        let (core, handle, producer) = (self.core.clone(), self.handle.clone(), running.producer.clone());
        running.send_off(async move {
            let fact = match join(&core, &producer).await {
                Ok(()) => Fact::Joined { epoch },
                Err(error) => {
                    tracing::warn!(error, "This hub could not be announced to the group.");
                    Fact::JoinFailed { epoch }
                }
            };
            handle.tell(fact).await;
        });
    }

    fn drain(&mut self, within: Duration) {
        let Some(running) = &mut self.running else { return };
        let (core, handle, producer) = (self.core.clone(), self.handle.clone(), running.producer.clone());
        let idle = running.idle.clone();
        running.send_off(async move {
            // The last words were queued a moment ago; the relay looks once more.
            idle.send_replace(false);
            core.queued.notify_one();
            let mut is_idle = idle.subscribe();
            // What does not get away in time stays where it is.
            let _ = tokio::time::timeout(within, is_idle.wait_for(|is_idle| *is_idle)).await;
            producer.flush(within).await;
            handle.tell(Fact::Drained).await;
        });
    }

    fn announce_leave(&mut self, _: u64) {
        let Some(running) = &mut self.running else { return };
        let (core, handle, producer) = (self.core.clone(), self.handle.clone(), running.producer.clone());
        running.send_off(async move {
            if let Err(error) = announce(&core, &producer, Action::Leave).await {
                tracing::debug!(error, "The group was not told that this hub leaves.");
            }
            presence::stop(&core, &producer).await;
            handle.tell(Fact::Left).await;
        });
    }
}

impl Clients {
    fn on_trouble(&self) -> OnTrouble {
        let (handle, core) = (self.handle.clone(), self.core.clone());
        Arc::new(move |trouble| {
            let fact = match &trouble {
                Trouble::Gone => Fact::ConnectionLost,
                Trouble::Login(_) | Trouble::Tls(_) | Trouble::Fatal(_) => Fact::ClientUseless,
                // One connection of several, or all: a heartbeat will tell.
                Trouble::Broken(_) => {
                    core.greet.notify_one();
                    return;
                }
                _ => {
                    tracing::debug!(error = ?trouble, "The broker's client complains.");
                    return;
                }
            };
            handle.try_tell(fact);
        })
    }
}

/// Where the reading of each topic begins: state from its past, work from now on.
pub(super) fn starts(core: &Core) -> Vec<TopicStart> {
    let request_age_max = core.config.bounds.request_age_max;
    let names = core.topics_heard();
    let start_of = |name: &str| match core.config.topics.parse(name) {
        Some(Topic::Announce | Topic::Roster | Topic::Orchestrator) => Start::Within(ROSTER_AGE_MAX),
        Some(Topic::Requests | Topic::SkillRequests(_) | Topic::Onboarding) => Start::Within(request_age_max),
        Some(Topic::Direct | Topic::Responses | Topic::TaskStatus | Topic::SkillResponses(_)) => {
            Start::Within(STATE_AGE_MAX)
        }
        Some(Topic::MemoryShared | Topic::MemoryContext | Topic::Knowledge(_)) => Start::Beginning,
        Some(Topic::Traces | Topic::Audit) | None => Start::Now,
    };
    names.into_iter().map(|topic| TopicStart { start: start_of(&topic), topic }).collect()
}

/// A new epoch, the announcement, and what we say about ourselves besides.
async fn join(core: &Arc<Core>, producer: &Producer) -> Result<(), String> {
    let now = core.clock.now();
    let epoch = core.db.write(move |tx| outbox::begin_epoch(tx, now)).await.map_err(|error| chain(&error))?;
    core.roster().begin(epoch);
    announce(core, producer, Action::Join).await?;
    let shared = core.clone();
    let told = core.db.write(move |tx| {
        let (now, mut after) = (shared.clock.now(), After { queued: true, ..After::default() });
        shared.say_place(tx, now).map_err(undone)?;
        shared.say_skills(tx, now)?;
        shared.ask_in_if_gated(tx, &mut after)?;
        if shared.config.knowledge.is_enabled {
            knowledge::reconnected(tx)?;
        }
        Ok(after)
    });
    core.settle(told.await.map_err(|error| chain(&error))?);
    Ok(())
}

/// Says at once, or not at all, that we are here: an old announcement is worth nothing.
async fn announce(core: &Arc<Core>, producer: &Producer, action: Action) -> Result<(), String> {
    let counted = core.db.write(|tx| Ok((outbox::next_stamp(tx)?, task::open_len(tx, Direction::Incoming)?)));
    let (stamp, load) = counted.await.map_err(|error| chain(&error))?;
    let now = core.clock.now();
    let identity: Identity = core.identity(u32::try_from(load).unwrap_or(u32::MAX));
    let body = Body::Announce(Announce { action: action.as_str().to_owned(), identity: identity.into() });
    let about = format!("{}-{}", prefix(action), now.as_millis());
    let said = Said { topic: Topic::Announce, body, about: &about, to: None, key: None, deadline_at: None };
    let topic = core.config.topics.name(&Topic::Announce);
    let value = core.encoded(&core.draft(&said, stamp, now), &topic);
    let out = Outgoing { topic: &topic, key: Some(core.me().as_str().as_bytes()), payload: &value, headers: &[] };
    let sent = producer.send_one(&out).await.map_err(|error| chain(&error))?;
    sent.map(drop).map_err(|error| chain(&error))
}

/// KafClaw's prefixes of announcements' ids.
const fn prefix(action: Action) -> &'static str {
    match action {
        Action::Join => "join",
        Action::Leave => "leave",
        Action::Heartbeat => "hb",
    }
}

/// Heartbeats, regular and for whoever has just come; and the ageing of the roster. A heartbeat that nobody acknowledges tells
/// that the way to the broker is lost, also where no connection has broken.
async fn beat(core: Arc<Core>, producer: Producer, handle: Connectivity) {
    let mut status = handle.watch();
    loop {
        if status.wait_for(|status| matches!(status.state, State::Online { .. })).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(core.config.heartbeat) => {}
            () = core.greet.notified() => {}
        }
        match tokio::time::timeout(ACKNOWLEDGED_WITHIN, announce(&core, &producer, Action::Heartbeat)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error, "A heartbeat did not reach the broker."),
            Err(_) => {
                handle.tell(Fact::ConnectionLost).await;
                continue;
            }
        }
        let (shared, now) = (core.clone(), core.clock.now());
        let aged = core.db.write(move |tx| {
            let steps = shared.roster().next(roster::Fact::TimePassed, shared.moment());
            roster::apply(tx, &steps, shared.group(), now)?;
            if shared.config.knowledge.is_enabled {
                let context = shared.known(now);
                let applied = knowledge::tick(tx, &context)?;
                for event in &applied.events {
                    crate::timeline::append(tx, event)?;
                }
                shared.say_known(tx, applied.outgoing, now).map_err(undone)?;
            }
            Ok(())
        });
        if let Err(error) = aged.await {
            tracing::error!(error = chain(&error), "The group's roster could not be looked after.");
        }
        core.queued.notify_one();
    }
}
