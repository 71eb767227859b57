//! The one way in: rates per sender, then the bus.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::base::clock::Clock;
use crate::bus::{Accepted, Answered, Bus, BusError, Progress};
use crate::domain::message::Inbound;
use crate::policy::{Admission, RateLimits, Rates};

#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error("messages come faster than allowed; wait {} s", retry_after.as_secs().max(1))]
    TooFast { retry_after: Duration },
    #[error("the message is empty")]
    Empty,
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Handle for edges; clones share the rates.
#[derive(Clone)]
pub struct Intake {
    bus: Bus,
    clock: Clock,
    rates: Arc<Mutex<RateLimits>>,
}

impl Intake {
    pub fn new(bus: Bus, clock: Clock, rates: Rates) -> Self {
        Self { bus, clock, rates: Arc::new(Mutex::new(RateLimits::new(rates))) }
    }

    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// As [`Bus::accept`].
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted, IntakeError> {
        self.admit(&inbound)?;
        Ok(self.bus.accept(inbound).await?)
    }

    /// As [`Bus::ask`].
    pub async fn ask(
        &self,
        inbound: Inbound,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<(Accepted, oneshot::Receiver<Answered>), IntakeError> {
        self.admit(&inbound)?;
        Ok(self.bus.ask(inbound, progress).await?)
    }

    fn admit(&self, inbound: &Inbound) -> Result<(), IntakeError> {
        if inbound.content.trim().is_empty() {
            return Err(IntakeError::Empty);
        }
        let mut rates = self.rates.lock().expect("invariant: nobody panics while holding the rates");
        match rates.admit(&inbound.sender_id, inbound.origin, self.clock.now()) {
            Admission::Admitted => Ok(()),
            Admission::Refused { retry_after } => Err(IntakeError::TooFast { retry_after }),
        }
    }
}
