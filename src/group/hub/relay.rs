//! What waits in the outbox, on its way to the broker. Runs while there is a producer and this member is announced.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::base::error::chain;
use crate::base::wait;
use crate::db::DbError;
use crate::domain::record::Class;
use crate::group::connectivity::{State, Status};
use crate::group::outbox::{self, Failure, Leased, Relay, Row};
use crate::group::task::outgoing;
use crate::link::kafka::{DeliveryError, Outgoing, Producer, Report, Reports, SendError};

use super::core::Core;
use super::work::After;

/// Reports that are stored in one transaction.
const REPORTS_AT_ONCE_MAX: usize = 2_000;
/// After an error of the database.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

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
    let mut sending = Sending {
        relay: Relay::online(core.config.pace, last_id, core.clock.now()),
        on_the_way: HashMap::new(),
        settled: Settled::default(),
        core,
        producer,
    };
    let mut heard = Vec::new();
    let mut storing = None;
    loop {
        let is_linked = is_linked(&link.borrow_and_update());
        if let Err(error) = sending.follow(is_linked).await {
            tracing::error!(error = chain(&error), "The group's outbox could not be read.");
            tokio::time::sleep(PAUSE).await;
        }
        // While one lot is being taken out of the outbox, the next is on its way.
        if storing.is_none() && !sending.settled.is_empty() {
            storing = Some(Box::pin(store(sending.core.clone(), std::mem::take(&mut sending.settled))));
        }
        idle.send_replace(sending.is_idle());
        let pause = sending.relay.wait(sending.core.clock.now());
        tokio::select! {
            count = reports.next(&mut heard, REPORTS_AT_ONCE_MAX) => {
                if count == 0 {
                    return;
                }
                sending.sort(heard.drain(..));
            }
            stored = when(&mut storing) => {
                storing = None;
                match stored {
                    Ok((after, ids)) => sending.done(after, ids),
                    // The rows are sent again with the next connection; receivers know them.
                    Err(error) => {
                        tracing::error!(error = chain(&error), "What the broker has could not be taken out of the outbox.");
                    }
                }
            }
            changed = link.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = sending.core.queued.notified() => {}
            () = wait::sleep(pause) => {}
        }
    }
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

struct Sending {
    core: Arc<Core>,
    producer: Producer,
    relay: Relay,
    on_the_way: HashMap<u64, OnTheWay>,
    /// Waits to be stored; as many at most as the producer may have.
    settled: Settled,
}

/// Whether the broker is within reach, as far as anybody knows; also while this member takes its leave.
fn is_linked(status: &Status) -> bool {
    matches!(status.state, State::Online { .. } | State::Draining { .. } | State::Leaving { .. })
}

impl Sending {
    /// Sends while there is a link; what is queued while there is none is backlog when it is back.
    async fn follow(&mut self, is_linked: bool) -> Result<(), DbError> {
        if !is_linked {
            self.relay.lost();
            return Ok(());
        }
        if !self.relay.is_linked() {
            let last_id = self.core.db.read(outbox::last_id).await?;
            self.relay.back(last_id, self.core.clock.now());
        }
        self.send().await
    }

    /// Whether nothing waits that could be sent.
    fn is_idle(&self) -> bool {
        self.relay.in_flight_len() == 0 && self.relay.has_caught_up()
    }

    /// Hands over whatever may go now.
    async fn send(&mut self) -> Result<(), DbError> {
        loop {
            let now = self.core.clock.now();
            let plan = self.relay.plan(now);
            if plan.is_empty() {
                return Ok(());
            }
            let batch = self.core.db.read(move |connection| outbox::read(connection, &plan)).await?;
            let rows = self.relay.lease(batch, now);
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.hand_over(row);
            }
        }
    }

    fn hand_over(&mut self, row: Row) {
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
    fn done(&mut self, after: After, ids: Vec<u64>) {
        self.core.settle(After { queued: false, ..after });
        ids.into_iter().for_each(|id| self.relay.done(id));
    }
}
