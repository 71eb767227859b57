//! The loop that owns the registry.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::base::id::EntityId;
use crate::base::shutdown::Shutdown;
use crate::db::Db;
use crate::domain::event::Event;
use crate::domain::household::{Action, CommandResult, Household};
use crate::home::command::{self, Command, Wanted};
use crate::home::registry::{Effect, Registry};
use crate::home::{Config, HomeError, Request, edit, store};
use crate::link::mqtt::{Incoming, MqttHandle, Qos, Retain, Route, Subscriptions};
use crate::timeline;

/// How often changed states are written down: often enough for a restart, seldom enough for flash.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Messages handled before the snapshot is renewed.
const BATCH_LEN: usize = 64;
/// Far away, for a timer that is not needed.
const NEVER: Duration = Duration::from_secs(3600);

pub(super) struct Driver {
    pub registry: Registry,
    pub db: Db,
    pub clock: Clock,
    pub config: Config,
    pub snapshot: watch::Sender<Arc<Household>>,
    pub broker: Option<Broker>,
}

pub(super) struct Broker {
    handle: MqttHandle,
    subscriptions: Subscriptions,
}

/// A batch of commands on its way; answered when every entity is settled or its time is up.
struct Batch {
    waiting: Vec<(EntityId, Progress)>,
    reply: oneshot::Sender<Vec<(EntityId, CommandResult)>>,
    deadline: Instant,
}

enum Progress {
    Ended(CommandResult),
    /// Taken by the broker; the device has not shown it yet.
    Sent(Wanted),
}

/// What the publishing of a batch came to.
struct Published {
    results: Vec<(EntityId, Result<Wanted, CommandResult>)>,
    reply: oneshot::Sender<Vec<(EntityId, CommandResult)>>,
}

impl Driver {
    pub(super) async fn run(
        mut self,
        broker: Option<(MqttHandle, Route)>,
        mut requests: mpsc::Receiver<Request>,
        shutdown: Shutdown,
    ) {
        let mut incoming = None;
        if let Some((handle, route)) = broker {
            let subscriptions = route.subscriptions;
            if let Err(error) = subscriptions.add(self.registry.topics()) {
                tracing::warn!(error = chain(&error), "A device's topic cannot be subscribed to.");
            }
            self.broker = Some(Broker { handle, subscriptions });
            incoming = Some(route.incoming);
        }
        let (published, mut publications) = mpsc::channel::<Published>(super::REQUESTS_LEN);
        let mut batches: VecDeque<Batch> = VecDeque::new();
        let mut unsaved: BTreeSet<EntityId> = BTreeSet::new();
        let mut save_at = Instant::now() + SAVE_INTERVAL;
        loop {
            let next_deadline = batches.iter().map(|batch| batch.deadline).min();
            tokio::select! {
                message = next_message(&mut incoming) => {
                    let touched = self.take_messages(message, &mut incoming).await;
                    self.settle(&mut batches);
                    unsaved.extend(touched);
                }
                Some(request) = requests.recv() => match request {
                    Request::Command { commands, reply } => self.send(commands, reply, published.clone()),
                    Request::Edit { edit, reply } => {
                        let _ = reply.send(self.edit(edit).await);
                    }
                },
                Some(sent) = publications.recv() => {
                    batches.push_back(self.await_confirmation(sent));
                    self.settle(&mut batches);
                }
                () = tokio::time::sleep_until(next_deadline.unwrap_or_else(|| Instant::now() + NEVER)) => {
                    self.settle(&mut batches);
                }
                () = tokio::time::sleep_until(save_at) => {
                    self.save(&mut unsaved).await;
                    save_at = Instant::now() + SAVE_INTERVAL;
                }
                () = shutdown.triggered() => break,
            }
        }
        self.save(&mut unsaved).await;
    }

    /// Handles a message and those that wait behind it; returns the entities they touched.
    async fn take_messages(
        &mut self,
        first: Incoming,
        incoming: &mut Option<mpsc::Receiver<Incoming>>,
    ) -> Vec<EntityId> {
        let mut touched = Vec::new();
        let mut changes = Vec::new();
        let mut next = Some(first);
        for _ in 0..BATCH_LEN {
            let Some(Incoming { message, .. }) = next else { break };
            match self.registry.announce(&message.topic, &message.payload) {
                Ok(effect) => {
                    if effect.changed {
                        changes.push(if message.payload.is_empty() {
                            store::Change::DocumentGone(message.topic.to_string())
                        } else {
                            store::Change::Document(message.topic.to_string(), message.payload.to_vec())
                        });
                    }
                    self.subscribe(effect);
                }
                Err(why) => {
                    tracing::warn!(peer = %message.topic, error = why, "A discovery document was not understood.");
                }
            }
            touched.extend(self.registry.message(&message.topic, &message.payload, self.clock.now()));
            next = incoming.as_mut().and_then(|incoming| incoming.try_recv().ok());
        }
        if let Some(Incoming { message, .. }) = next {
            touched.extend(self.registry.message(&message.topic, &message.payload, self.clock.now()));
        }
        if !changes.is_empty() {
            self.store(changes).await;
        }
        self.publish_snapshot();
        touched
    }

    fn subscribe(&self, effect: Effect) {
        let Some(broker) = &self.broker else { return };
        broker.subscriptions.remove(effect.unsubscribe.iter().map(String::as_str));
        if let Err(error) = broker.subscriptions.add(effect.subscribe) {
            tracing::warn!(error = chain(&error), "A device's topic cannot be subscribed to.");
        }
    }

    async fn store(&self, changes: Vec<store::Change>) {
        let now = self.clock.now();
        let stored = self.db.write(move |tx| changes.iter().try_for_each(|change| store::apply(tx, change, now))).await;
        if let Err(error) = stored {
            tracing::error!(error = chain(&error), "What devices announced could not be stored.");
        }
    }

    fn publish_snapshot(&self) {
        self.snapshot.send_replace(Arc::new(self.registry.household()));
    }

    /// Words the commands and publishes them beside the loop, each entity's messages in order.
    fn send(
        &self,
        commands: Vec<(EntityId, Action)>,
        reply: oneshot::Sender<Vec<(EntityId, CommandResult)>>,
        published: mpsc::Sender<Published>,
    ) {
        let worded: Vec<(EntityId, Result<Command, CommandResult>)> = commands
            .into_iter()
            .map(|(id, action)| {
                let command = self.word(&id, &action);
                (id, command)
            })
            .collect();
        let handle = self.broker.as_ref().map(|broker| broker.handle.clone());
        tokio::spawn(async move {
            let sent = worded.into_iter().map(|(id, command)| {
                let handle = handle.clone();
                async move {
                    let result = match (command, handle) {
                        (Ok(command), Some(handle)) => publish(&handle, command).await,
                        (Ok(_), None) => Err(CommandResult::NotConnected),
                        (Err(result), _) => Err(result),
                    };
                    (id, result)
                }
            });
            let results = futures_util::future::join_all(sent).await;
            // The loop ends before its senders only at shutdown; the caller hears that from its dropped channel.
            let _ = published.send(Published { results, reply }).await;
        });
    }

    fn word(&self, id: &EntityId, action: &Action) -> Result<Command, CommandResult> {
        let Some(entity) = self.registry.entity(id) else {
            return Err(CommandResult::NotSupported { what: "it is gone".to_owned() });
        };
        command::encode(entity, &self.registry.state(id), action).map_err(|what| CommandResult::NotSupported { what })
    }

    fn await_confirmation(&self, published: Published) -> Batch {
        let waiting = published.results.into_iter().map(|(id, result)| {
            let progress = match result {
                Err(result) => Progress::Ended(result),
                Ok(_) if !self.registry.is_available(&id) => Progress::Ended(CommandResult::Unavailable),
                Ok(Wanted::Nothing) => Progress::Ended(CommandResult::Confirmed),
                Ok(_) if !self.registry.reports(&id) => Progress::Ended(CommandResult::NotConfirmed),
                Ok(wanted) => Progress::Sent(wanted),
            };
            (id, progress)
        });
        Batch {
            waiting: waiting.collect(),
            reply: published.reply,
            deadline: Instant::now() + self.config.confirm_wait,
        }
    }

    /// Answers every batch that is complete or late. A device that already is as it shall be is confirmed at once.
    fn settle(&self, batches: &mut VecDeque<Batch>) {
        let now = Instant::now();
        for _ in 0..batches.len() {
            let Some(mut batch) = batches.pop_front() else { break };
            for (id, progress) in &mut batch.waiting {
                if let Progress::Sent(wanted) = progress
                    && command::is_granted(wanted, &self.registry.state(id))
                {
                    *progress = Progress::Ended(CommandResult::Confirmed);
                } else if let Progress::Sent(_) = progress
                    && now >= batch.deadline
                {
                    *progress = Progress::Ended(CommandResult::NotConfirmed);
                }
            }
            if batch.waiting.iter().all(|(_, progress)| matches!(progress, Progress::Ended(_))) {
                let results = batch.waiting.into_iter().map(|(id, progress)| match progress {
                    Progress::Ended(result) => (id, result),
                    Progress::Sent(_) => (id, CommandResult::NotConfirmed),
                });
                // The caller may have left.
                let _ = batch.reply.send(results.collect());
            } else {
                batches.push_back(batch);
            }
        }
    }

    async fn edit(&mut self, edit: edit::Edit) -> Result<(), HomeError> {
        let changes = self.registry.edit(&edit)?;
        let now = self.clock.now();
        let event = Event {
            content: format!("The home was changed: {}", summary(&edit)),
            ..Event::system("HOME", crate::base::id::TraceId::random(), now, "HOME_CHANGED")
        };
        let stored = self.db.write(move |tx| {
            changes.iter().try_for_each(|change| store::apply(tx, change, now))?;
            timeline::append(tx, &event).map(drop)
        });
        let result = stored.await.map_err(|source| HomeError::Store { source });
        self.publish_snapshot();
        result
    }

    async fn save(&self, unsaved: &mut BTreeSet<EntityId>) {
        if unsaved.is_empty() {
            return;
        }
        let states: Vec<_> =
            std::mem::take(unsaved).into_iter().map(|id| (id.clone(), self.registry.state(&id))).collect();
        let now = self.clock.now();
        if let Err(error) = self.db.write(move |tx| store::save_states(tx, &states, now)).await {
            tracing::error!(error = chain(&error), "The devices' last states could not be stored.");
        }
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

async fn publish(handle: &MqttHandle, command: Command) -> Result<Wanted, CommandResult> {
    for publication in command.publications {
        let sent = handle.publish(&publication.topic, publication.payload, Qos::AtLeastOnce, Retain::No).await;
        if let Err(error) = sent {
            tracing::warn!(error = chain(&error), "A command did not reach the broker.");
            return Err(match error {
                crate::link::mqtt::MqttError::NotConnected => CommandResult::NotConnected,
                _ => CommandResult::NotConfirmed,
            });
        }
    }
    Ok(command.wanted)
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
