//! The loop that owns the registry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::base::id::EntityId;
use crate::base::shutdown::Shutdown;
use crate::db::Db;
use crate::domain::event::Event;
use crate::domain::household::{Action, CommandResult, Household};
use crate::home::command::encode;
use crate::home::confirm::{Before, Confirmations, Reply, Sent};
use crate::home::publish::{self, Published, Worded};
use crate::home::registry::{Effect, Registry};
use crate::home::{Config, HomeError, Request, edit, store};
use crate::link::mqtt::{Incoming, LinkState, MqttHandle, Route, Subscriptions};
use crate::timeline;

/// How often changed states are written down: often enough for a restart, seldom enough for flash.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Snapshots are at least this far apart while messages pour in; answers never wait for one.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(50);
/// Time in which a broker says all that it has kept.
const ROLL_CALL_AFTER: Duration = Duration::from_secs(60);
/// Messages handled in one go.
const BATCH_LEN: usize = 64;
/// Far away, for a timer that is not needed.
const NEVER: Duration = Duration::from_secs(3600);

pub(super) struct Driver {
    registry: Registry,
    db: Db,
    clock: Clock,
    snapshot: watch::Sender<Arc<Household>>,
    broker: Option<Broker>,
    confirmations: Confirmations,
    published: mpsc::Sender<Published>,
    timers: Timers,
    /// Entities with states that are not stored yet.
    unsaved: BTreeSet<EntityId>,
    /// The snapshot is behind the registry.
    is_behind: bool,
}

struct Broker {
    handle: MqttHandle,
    subscriptions: Subscriptions,
}

struct Timers {
    snapshot_at: Instant,
    save_at: Instant,
    roll_call_at: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        registry: Registry,
        db: Db,
        clock: Clock,
        snapshot: watch::Sender<Arc<Household>>,
        config: &Config,
    ) -> (Self, mpsc::Receiver<Published>) {
        let now = Instant::now();
        let (published, publications) = mpsc::channel(super::REQUESTS_LEN);
        let driver = Self {
            registry,
            db,
            clock,
            snapshot,
            broker: None,
            confirmations: Confirmations::new(config.confirm_wait),
            published,
            timers: Timers { snapshot_at: now, save_at: now + SAVE_INTERVAL, roll_call_at: None },
            unsaved: BTreeSet::new(),
            is_behind: false,
        };
        (driver, publications)
    }

    pub(super) async fn run(
        mut self,
        broker: Option<(MqttHandle, Route)>,
        mut requests: mpsc::Receiver<Request>,
        mut publications: mpsc::Receiver<Published>,
        shutdown: Shutdown,
    ) {
        let mut incoming = None;
        let mut link = None;
        if let Some((handle, route)) = broker {
            let mut states = handle.link_state();
            // Also the state at the start counts as a change.
            states.mark_changed();
            link = Some(states);
            incoming = Some(route.incoming);
            self.broker = Some(Broker { handle, subscriptions: route.subscriptions });
            self.subscribe(Effect { subscribe: self.registry.topics(), ..Effect::default() });
        }
        loop {
            let next_timer = self.next_timer();
            tokio::select! {
                message = next_message(&mut incoming) => self.take_messages(message, &mut incoming).await,
                request = requests.recv() => match request {
                    Some(Request::Command { commands, reply }) => self.send(commands, reply).await,
                    Some(Request::Edit { edit, reply }) => {
                        let _ = reply.send(self.edit(edit).await);
                    }
                    // Nobody holds the home any more.
                    None => break,
                },
                Some(sent) = publications.recv() => self.await_confirmation(sent),
                state = next_state(&mut link) => self.link_changed(&state),
                () = tokio::time::sleep_until(next_timer) => {}
                () = shutdown.triggered() => break,
            }
            self.answer();
            self.run_timers();
        }
        // Before the requests' channel closes, by which `Home::stopped` knows.
        if let Some(saving) = self.saving() {
            saving.await;
        }
    }

    /// Handles a message and those that wait behind it.
    async fn take_messages(&mut self, first: Incoming, incoming: &mut Option<mpsc::Receiver<Incoming>>) {
        let mut changes = Vec::new();
        let mut next = Some(first);
        let mut count = 0;
        while let Some(Incoming { message, .. }) = next {
            match self.registry.announce(&message.topic, &message.payload) {
                Ok(effect) => {
                    if effect.changed {
                        changes.push(if message.payload.is_empty() {
                            store::Change::DocumentGone(message.topic.to_string())
                        } else {
                            store::Change::Document(message.topic.to_string(), message.payload.to_vec())
                        });
                        changes.extend(effect.removed.iter().cloned().map(store::Change::StateGone));
                        self.is_behind = true;
                    }
                    self.subscribe(effect);
                }
                Err(why) => {
                    tracing::warn!(peer = %message.topic, error = why, "A discovery document was not understood.");
                }
            }
            let heard = self.registry.message(&message.topic, &message.payload, self.clock.now());
            self.is_behind |= heard.is_visible;
            self.unsaved.extend(heard.changed);
            count += 1;
            let waiting = incoming.as_mut().filter(|_| count < BATCH_LEN);
            next = waiting.and_then(|incoming| incoming.try_recv().ok());
        }
        if !changes.is_empty() {
            self.store(changes).await;
        }
    }

    fn subscribe(&self, effect: Effect) {
        let Some(broker) = &self.broker else { return };
        broker.subscriptions.remove(effect.unsubscribe.iter().map(String::as_str));
        for topic in effect.subscribe {
            // One at a time, so that one that is refused takes no others with it.
            if let Err(error) = broker.subscriptions.add([topic]) {
                tracing::warn!(error = chain(&error), "A device's topic cannot be subscribed to.");
            }
        }
    }

    async fn store(&self, changes: Vec<store::Change>) {
        let now = self.clock.now();
        let stored = self.db.write(move |tx| changes.iter().try_for_each(|change| store::apply(tx, change, now))).await;
        if let Err(error) = stored {
            tracing::error!(error = chain(&error), "What devices announced could not be stored.");
        }
    }

    fn link_changed(&mut self, state: &LinkState) {
        let is_connected = matches!(state, LinkState::Connected { .. });
        self.timers.roll_call_at = is_connected.then(|| Instant::now() + ROLL_CALL_AFTER);
    }

    /// Words the commands and publishes them beside the loop, each entity's messages in order.
    async fn send(&mut self, commands: Vec<(EntityId, Action)>, reply: Reply) {
        let worded: Vec<Worded> = commands
            .into_iter()
            .map(|(id, action)| {
                let worded = self.word(&id, &action);
                (id, worded)
            })
            .collect();
        let handle = self.broker.as_ref().map(|broker| broker.handle.clone());
        publish::start(handle, worded, reply, self.published.clone()).await;
    }

    fn word(
        &self,
        id: &EntityId,
        action: &Action,
    ) -> Result<(Vec<crate::home::command::Publication>, Sent), CommandResult> {
        let Some(entity) = self.registry.entity(id) else {
            return Err(CommandResult::NotSupported { what: "it is gone".to_owned() });
        };
        let command =
            encode(entity, &self.registry.state(id), action).map_err(|what| CommandResult::NotSupported { what })?;
        // Sent to what is unreachable, a command could wait at the broker and switch something hours later.
        if self.registry.is_offline(id) {
            return Err(CommandResult::Unavailable);
        }
        let before = Before::of(&self.registry, id, &command.wanted);
        Ok((command.publications, Sent { wanted: command.wanted, before }))
    }

    fn await_confirmation(&mut self, published: Published) {
        for (id, result) in &published.results {
            if let Ok(sent) = result
                && !self.registry.shows(id, &sent.wanted)
            {
                self.registry.assume(id, &sent.wanted, self.clock.now());
                self.is_behind = true;
            }
        }
        self.confirmations.begin(&self.registry, published.results, published.reply, Instant::now());
    }

    /// Answers what is complete or late; whoever is answered finds the new state in the snapshot.
    fn answer(&mut self) {
        let answers = self.confirmations.settle(&self.registry, Instant::now());
        if !answers.is_empty() {
            self.publish_snapshot();
        }
        for (reply, results) in answers {
            // The caller may have left.
            let _ = reply.send(results);
        }
    }

    fn publish_snapshot(&mut self) {
        if std::mem::take(&mut self.is_behind) {
            self.timers.snapshot_at = Instant::now() + SNAPSHOT_INTERVAL;
            self.snapshot.send_replace(Arc::new(self.registry.household()));
        }
    }

    async fn edit(&mut self, edit: edit::Edit) -> Result<(), HomeError> {
        let mut plan = self.registry.plan(&edit)?;
        let changes = std::mem::take(&mut plan.changes);
        let now = self.clock.now();
        let event = Event {
            content: format!("The home was changed: {}", summary(&edit)),
            ..Event::system("HOME", crate::base::id::TraceId::random(), now, "HOME_CHANGED")
        };
        let stored = self.db.write(move |tx| {
            changes.iter().try_for_each(|change| store::apply(tx, change, now))?;
            timeline::append(tx, &event).map(drop)
        });
        stored.await.map_err(|source| HomeError::Store { source })?;
        let effect = self.registry.adopt(plan);
        self.subscribe(effect);
        self.is_behind = true;
        self.publish_snapshot();
        Ok(())
    }

    fn next_timer(&self) -> Instant {
        let snapshot_at = self.is_behind.then_some(self.timers.snapshot_at);
        let save_at = (!self.unsaved.is_empty()).then_some(self.timers.save_at);
        let all = [snapshot_at, save_at, self.timers.roll_call_at, self.confirmations.next_deadline()];
        all.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + NEVER)
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        if self.timers.roll_call_at.is_some_and(|at| now >= at) {
            self.timers.roll_call_at = None;
            self.registry.call_roll();
            self.is_behind = true;
        }
        if self.is_behind && now >= self.timers.snapshot_at {
            self.publish_snapshot();
        }
        if now >= self.timers.save_at {
            self.timers.save_at = now + SAVE_INTERVAL;
            self.saving().map(tokio::spawn);
        }
    }

    /// Stores changed states, beside the loop.
    fn saving(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let ids = std::mem::take(&mut self.unsaved);
        if ids.is_empty() {
            return None;
        }
        let states: Vec<_> = ids
            .into_iter()
            .filter(|id| self.registry.entity(id).is_some())
            .map(|id| {
                let state = self.registry.state(&id);
                (id, state)
            })
            .collect();
        let (db, now) = (self.db.clone(), self.clock.now());
        Some(async move {
            if let Err(error) = db.write(move |tx| store::save_states(tx, &states, now)).await {
                tracing::error!(error = chain(&error), "The devices' last states could not be stored.");
            }
        })
    }
}

async fn next_message(incoming: &mut Option<mpsc::Receiver<Incoming>>) -> Incoming {
    match incoming {
        Some(receiver) => match receiver.recv().await {
            Some(message) => message,
            // The link has stopped; nothing more will come.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn next_state(link: &mut Option<watch::Receiver<LinkState>>) -> LinkState {
    match link {
        Some(states) => match states.changed().await {
            Ok(()) => states.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn summary(edit: &edit::Edit) -> String {
    match edit {
        edit::Edit::Device(edit) => format!("device {}", edit.id),
        edit::Edit::ForgetDevice(id) => format!("device {id} was forgotten"),
        edit::Edit::Room(edit) => format!("room {}", edit.id),
        edit::Edit::Group(edit) => format!("group {}", edit.name),
        edit::Edit::DeleteGroup(name) => format!("group {name} was deleted"),
    }
}
