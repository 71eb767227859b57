//! The loop that carries texts out, and what a channel has to offer for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use crate::base::error::chain;
use crate::base::fault;
use crate::base::shutdown::Shutdown;
use crate::bus::Bus;
use crate::bus::delivery::{self, Due};
use crate::domain::message::{DeliveryFailure, Outbound};

/// Texts on their way at the same time.
const IN_FLIGHT_MAX: usize = 32;
/// How often due retries are looked for when nothing else happens.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Why a text did not go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undelivered {
    /// It was tried; the attempt counts.
    Failed(DeliveryFailure),
    /// There is no connection to try it on. Nothing counts; [`Bus::wake_couriers`] when there is one.
    Offline,
}

/// A channel that can carry texts to people.
pub trait Courier: Send + Sync + 'static {
    /// Returns when the other side has taken the text.
    fn deliver<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// Couriers by channel name.
pub type Couriers = HashMap<&'static str, Arc<dyn Courier>>;

/// Carries texts out until shutdown: chats side by side, the texts of one chat in order.
pub async fn deliver_all(bus: Bus, couriers: Couriers, shutdown: Shutdown) {
    deliver_polling(bus, couriers, shutdown, POLL_INTERVAL).await;
}

/// As [`deliver_all`], looking for due retries at another interval.
pub(super) async fn deliver_polling(bus: Bus, couriers: Couriers, shutdown: Shutdown, interval: Duration) {
    let couriers = Arc::new(couriers);
    let mut in_flight: HashSet<i64> = HashSet::new();
    let mut attempts: JoinSet<Ended> = JoinSet::new();
    let mut set_aside = SetAside::default();
    loop {
        for due in read_due(&bus, &in_flight, &set_aside.rows).await {
            in_flight.insert(due.row);
            let (bus, couriers, wakes) = (bus.clone(), couriers.clone(), set_aside.wakes);
            attempts
                .spawn(async move { Ended { row: due.row, wakes, was_tried: attempt(&bus, &couriers, due).await } });
        }
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok(ended) => {
                    in_flight.remove(&ended.row);
                    if !ended.was_tried {
                        set_aside.add(&ended);
                    }
                }
                // Nobody knows which one it was; all are read again from the table.
                Err(_) if attempts.is_empty() => in_flight.clear(),
                Err(_) => {}
            },
            () = bus.shared.answered.notified() => set_aside.woken(),
            () = tokio::time::sleep(interval) => set_aside.woken(),
            () = shutdown.triggered() => break,
        }
    }
    // The caller bounds the wait.
    while attempts.join_next().await.is_some() {}
}

/// An attempt that is over.
struct Ended {
    row: i64,
    /// [`SetAside::wakes`] when it began.
    wakes: u64,
    was_tried: bool,
}

/// Rows whose channel is offline; tried again after a wake-up.
#[derive(Default)]
struct SetAside {
    rows: HashSet<i64>,
    /// Wake-ups so far.
    wakes: u64,
}

impl SetAside {
    /// Not one that began before the last wake-up: what it found may be over, and no second wake-up would come for it.
    fn add(&mut self, ended: &Ended) {
        if ended.wakes == self.wakes {
            self.rows.insert(ended.row);
        }
    }

    fn woken(&mut self) {
        self.rows.clear();
        self.wakes += 1;
    }
}

async fn read_due(bus: &Bus, in_flight: &HashSet<i64>, set_aside: &HashSet<i64>) -> Vec<Due> {
    if in_flight.len() >= IN_FLIGHT_MAX {
        return Vec::new();
    }
    let now = bus.clock.now();
    let limit = IN_FLIGHT_MAX + set_aside.len();
    match bus.db.read(move |connection| delivery::due(connection, now, limit)).await {
        Ok(due) => {
            let fresh = due.into_iter().filter(|due| !in_flight.contains(&due.row) && !set_aside.contains(&due.row));
            fresh.take(IN_FLIGHT_MAX - in_flight.len()).collect()
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "Waiting answers could not be read.");
            Vec::new()
        }
    }
}

/// One attempt; false when its channel is offline, so that nothing was tried.
async fn attempt(bus: &Bus, couriers: &Couriers, due: Due) -> bool {
    let outbound = &due.outbound;
    fault::point("delivery.before_send");
    let result = match couriers.get(outbound.channel.as_str()) {
        Some(courier) => courier.deliver(outbound).await,
        // Its channel was switched off after the message had come in.
        None => Err(Undelivered::Failed(DeliveryFailure::InvalidTargetOrPayload)),
    };
    let now = bus.clock.now();
    let stored = match result {
        Ok(()) => {
            fault::point("delivery.after_send");
            bus.db.write(move |tx| delivery::mark_sent(tx, &due, now)).await
        }
        Err(Undelivered::Offline) => return false,
        Err(Undelivered::Failed(failure)) => {
            tracing::warn!(trace_id = %outbound.trace_id, channel = %outbound.channel, attempt = due.attempts + 1,
                error = failure.reason(), "An answer could not be delivered.");
            bus.db.write(move |tx| delivery::mark_failed(tx, &due, failure, now).map(drop)).await
        }
    };
    if let Err(error) = stored {
        tracing::error!(error = chain(&error), "The fate of an answer could not be stored.");
        return false;
    }
    true
}
