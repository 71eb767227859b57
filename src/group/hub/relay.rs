//! What waits in the outbox, on its way to the broker. Runs while there is a producer and this member is announced.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::error::chain;
use crate::base::wait;
use crate::db::DbError;
use crate::domain::record::Class;
use crate::group::connectivity::{State, Status};
use crate::group::outbox::{self, Batch, Failure, Leased, Relay, Row};
use crate::group::task::outgoing;
use crate::link::kafka::{DeliveryError, Outgoing, Producer, Report, Reports, SendError};

use super::core::Core;
use super::work::After;

/// Reports that are stored in one transaction.
const REPORTS_AT_ONCE_MAX: usize = 2_000;
/// Records that are handed over before anything else is looked at.
const HANDED_AT_ONCE_MAX: usize = 512;
/// After an error of the database.
const PAUSE: Duration = Duration::from_secs(1);

/// A row that the producer has.
struct OnTheWay {
    leased: Leased,
    /// The task it asks for.
    task: Option<String>,
}

pub(super) async fn run(
    core: Arc<Core>,
    producer: Producer,
    mut reports: Reports,
    (mut link, idle): (watch::Receiver<Status>, Arc<watch::Sender<bool>>),
) {
    // Nothing goes before the announcement.
    if link.wait_for(is_linked).await.is_err() {
        return;
    }
    let last_id = match core.db.read(outbox::last_id).await {
        Ok(last_id) => last_id,
        Err(error) => return tracing::error!(error = chain(&error), "The group's outbox could not be read."),
    };
    let mut sending = Sending::new(core, producer, last_id);
    let mut heard = Vec::new();
    // While some rows are handed over, the next are read and those before are taken out of the outbox.
    let mut reading: Reading = None;
    let mut storing = None;
    loop {
        let is_linked = is_linked(&link.borrow_and_update());
        if let Err(error) = sending.follow(is_linked, &mut reading).await {
            unreadable(&error).await;
        }
        if storing.is_none() && !sending.settled.is_empty() {
            storing = Some(Box::pin(store(sending.core.clone(), std::mem::take(&mut sending.settled))));
        }
        sending.hand_over();
        idle.send_replace(reading.is_none() && sending.is_idle());
        let pause = sending.pause(reading.is_some());
        let is_handing = !sending.leased.is_empty();
        tokio::select! {
            biased;
            changed = link.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            batch = when(&mut reading) => {
                reading = None;
                sending.lease(batch).await;
            }
            stored = when(&mut storing) => {
                storing = None;
                sending.done(stored);
            }
            count = reports.next(&mut heard, REPORTS_AT_ONCE_MAX) => {
                if count == 0 {
                    return;
                }
                sending.sort(heard.drain(..));
            }
            () = sending.core.queued.notified() => sending.may_find = true,
            () = std::future::ready(()), if is_handing => {}
            () = wait::sleep(pause) => sending.may_find = true,
        }
    }
}

async fn unreadable(error: &DbError) {
    tracing::error!(error = chain(error), "The group's outbox could not be read.");
    tokio::time::sleep(PAUSE).await;
}

/// What comes of `future`; never, where there is none.
async fn when<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Rows that are over, with the tasks they asked for.
#[derive(Default)]
struct Settled {
    sent: Vec<Leased>,
    tasks: Vec<String>,
    /// No broker takes them.
    refused: Vec<Leased>,
}

impl Settled {
    fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.refused.is_empty()
    }
}

/// Takes rows that are over out of the outbox; returns what follows, and their numbers.
async fn store(core: Arc<Core>, settled: Settled) -> Result<(After, Vec<u64>), DbError> {
    let Settled { sent, tasks, refused } = settled;
    let ids = sent.iter().chain(&refused).map(|row| row.id).collect();
    let shared = core.clone();
    let written = core.db.write(move |tx| {
        let mut after = After::default();
        outbox::sent(tx, &sent)?;
        for row in refused {
            outbox::give_up(tx, row, "too large for the broker", shared.clock.now())?;
        }
        for task_id in tasks {
            shared.advance_ours(tx, &task_id, outgoing::Fact::Sent, &mut after)?;
        }
        Ok(after)
    });
    Ok((written.await?, ids))
}

/// What is being read of the outbox.
type Reading = Option<Pin<Box<dyn Future<Output = Result<Batch, DbError>> + Send>>>;

struct Sending {
    core: Arc<Core>,
    producer: Producer,
    relay: Relay,
    on_the_way: HashMap<u64, OnTheWay>,
    /// Waits to be stored; as many at most as the producer may have.
    settled: Settled,
    /// Waits to be handed over.
    leased: VecDeque<Row>,
    /// Taken out of the outbox; the relay hears it when nothing is being read. What is being read may still have these rows, and the
    /// relay would take them for new ones.
    stored: Vec<u64>,
    /// Whether reading may find anything that could not be read the last time.
    may_find: bool,
}

/// Whether the broker is within reach, as far as anybody knows; also while this member takes its leave.
fn is_linked(status: &Status) -> bool {
    matches!(status.state, State::Online { .. } | State::Draining { .. } | State::Leaving { .. })
}

impl Sending {
    fn new(core: Arc<Core>, producer: Producer, last_id: u64) -> Self {
        Self {
            relay: Relay::online(core.config.pace, last_id, core.clock.now()),
            on_the_way: HashMap::new(),
            settled: Settled::default(),
            leased: VecDeque::new(),
            stored: Vec::new(),
            may_find: true,
            core,
            producer,
        }
    }

    /// Reads while there is a link; what is queued while there is none is backlog when it is back.
    async fn follow(&mut self, is_linked: bool, reading: &mut Reading) -> Result<(), DbError> {
        if !is_linked {
            self.relay.lost();
            *reading = None;
        } else if !self.relay.is_linked() {
            let last_id = self.core.db.read(outbox::last_id).await?;
            self.relay.back(last_id, self.core.clock.now());
            self.may_find = true;
        }
        if reading.is_some() {
            return Ok(());
        }
        self.may_find |= !self.stored.is_empty();
        self.stored.drain(..).for_each(|id| self.relay.done(id));
        if is_linked && std::mem::take(&mut self.may_find) {
            let plan = self.relay.plan(self.core.clock.now());
            if !plan.is_empty() {
                let core = self.core.clone();
                *reading =
                    Some(Box::pin(
                        async move { core.db.read(move |connection| outbox::read(connection, &plan)).await },
                    ));
            }
        }
        Ok(())
    }

    async fn lease(&mut self, batch: Result<Batch, DbError>) {
        match batch {
            Ok(batch) => {
                let rows = self.relay.lease(batch, self.core.clock.now());
                self.may_find |= !rows.is_empty();
                self.leased.extend(rows);
            }
            Err(error) => {
                unreadable(&error).await;
                self.may_find = true;
            }
        }
    }

    /// Whether nothing waits that could be sent.
    fn is_idle(&self) -> bool {
        self.relay.in_flight_len() == 0 && self.relay.has_caught_up()
    }

    /// How long nothing has to be done unless something happens.
    fn pause(&self, is_reading: bool) -> Option<Duration> {
        if is_reading { None } else { self.relay.wait(self.core.clock.now()) }
    }

    fn hand_over(&mut self) {
        for _ in 0..HANDED_AT_ONCE_MAX {
            let Some(row) = self.leased.pop_front() else { return };
            self.hand(&row);
        }
    }

    fn hand(&mut self, row: &Row) {
        let record = &row.record;
        let out = Outgoing {
            topic: &record.topic,
            key: record.key.as_deref().map(str::as_bytes),
            payload: &record.value,
            headers: &[],
        };
        // Ids fit: they are row numbers.
        match self.producer.send(usize::try_from(row.id).unwrap_or(usize::MAX), &out) {
            Ok(()) => {
                let task = (record.class == Class::Request).then(|| record.key.clone()).flatten();
                self.on_the_way.insert(row.id, OnTheWay { leased: row.leased(), task });
            }
            Err(error) => {
                if !matches!(error, SendError::Full) {
                    tracing::warn!(error = %error, "A record could not be handed to the broker's client.");
                }
                self.relay.failed(row.id, Failure::Key, self.core.clock.now());
            }
        }
    }

    /// Tells what is over from what is to be tried again.
    fn sort(&mut self, reports: impl Iterator<Item = Report>) {
        for Report { token, outcome } in reports {
            let id = token as u64;
            let Some(row) = self.on_the_way.remove(&id) else { continue };
            match outcome {
                Ok(_) => {
                    self.settled.sent.push(row.leased);
                    self.settled.tasks.extend(row.task);
                }
                Err(DeliveryError::TooLarge) => self.settled.refused.push(row.leased),
                Err(error) => {
                    let failure = match error {
                        DeliveryError::TopicMissing | DeliveryError::Denied => Failure::Topic,
                        _ => Failure::Key,
                    };
                    self.relay.failed(id, failure, self.core.clock.now());
                }
            }
        }
    }

    /// These rows have left the outbox.
    fn done(&mut self, stored: Result<(After, Vec<u64>), DbError>) {
        match stored {
            Ok((after, ids)) => {
                self.core.settle(After { queued: false, ..after });
                self.stored.extend(ids);
            }
            // The rows are sent again with the next connection; receivers know them.
            Err(error) => {
                tracing::error!(error = chain(&error), "What the broker has could not be taken out of the outbox.");
            }
        }
    }
}
