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
    let couriers = Arc::new(couriers);
    let mut in_flight: HashSet<i64> = HashSet::new();
    let mut attempts: JoinSet<(i64, bool)> = JoinSet::new();
    // Rows whose channel is offline; tried again after a wake-up.
    let mut set_aside: HashSet<i64> = HashSet::new();
    loop {
        for due in read_due(&bus, &in_flight, &set_aside).await {
            in_flight.insert(due.row);
            let (bus, couriers) = (bus.clone(), couriers.clone());
            attempts.spawn(async move { (due.row, attempt(&bus, &couriers, due).await) });
        }
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok((row, tried)) => {
                    in_flight.remove(&row);
                    if !tried {
                        set_aside.insert(row);
                    }
                }
                // Nobody knows which one it was; all are read again from the table.
                Err(_) if attempts.is_empty() => in_flight.clear(),
                Err(_) => {}
            },
            () = bus.shared.answered.notified() => set_aside.clear(),
            () = tokio::time::sleep(POLL_INTERVAL) => set_aside.clear(),
            () = shutdown.triggered() => break,
        }
    }
    // The caller bounds the wait.
    while attempts.join_next().await.is_some() {}
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
