//! What the link owes and is owed, without I/O: which publishes wait for their PUBACK, and which messages still have to be
//! acknowledged, in the order in which they came (MQTT 3.1.1 §4.6 wants PUBACKs in that order).

use std::collections::{HashMap, VecDeque};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::MqttError;

/// Messages that were delivered to a route and not acknowledged yet. Brokers stop far earlier (mosquitto: at 20).
pub const UNACKED_MAX: usize = 512;

/// Proof that a message was delivered; hand it back to acknowledge. Losing it delays acknowledgements until the next connection.
#[derive(Debug)]
pub struct AckToken {
    epoch: u64,
    sequence: u64,
}

/// A publish on its way. The permit bounds how many there are.
pub struct Waiter {
    pub done: oneshot::Sender<Result<(), MqttError>>,
    /// Held, never read: it is given back with the waiter.
    pub _permit: OwnedSemaphorePermit,
}

#[derive(Default)]
pub struct Ledger {
    is_connected: bool,
    /// Grows with each connection; tokens of earlier ones are void because the broker sends those messages again.
    epoch: u64,
    queued: VecDeque<Waiter>,
    in_flight: HashMap<u16, Waiter>,
    unacked: VecDeque<Unacked>,
    next_sequence: u64,
    /// A message was left out because too many wait; nothing after it may be acknowledged on this connection.
    has_gap: bool,
    /// Acknowledgements that the connection has not taken yet.
    acks_queued: usize,
    /// SUBSCRIBE and UNSUBSCRIBE requests that the connection has not taken yet.
    filter_requests: usize,
}

struct Unacked {
    pkid: u16,
    is_acked: bool,
}

/// What to do with a message that wants an acknowledgement.
#[derive(Debug)]
pub enum Admission {
    Deliver(AckToken),
    /// Leave it with the broker; it comes again on the next connection.
    LeaveOut,
}

impl Ledger {
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub fn connected(&mut self) {
        self.is_connected = true;
        self.epoch += 1;
        self.unacked.clear();
        self.has_gap = false;
    }

    /// Ends every wait. What never left is `NotConnected`, what left without an answer is `Unconfirmed`.
    pub fn disconnected(&mut self) {
        self.is_connected = false;
        for waiter in self.queued.drain(..) {
            let _ = waiter.done.send(Err(MqttError::NotConnected));
        }
        for (_, waiter) in self.in_flight.drain() {
            let _ = waiter.done.send(Err(MqttError::Unconfirmed));
        }
        self.unacked.clear();
        self.filter_requests = 0;
        self.acks_queued = 0;
    }

    pub fn publish_queued(&mut self, waiter: Waiter) {
        self.queued.push_back(waiter);
    }

    /// The oldest queued publish went out under `pkid`; 0 means that no PUBACK will come.
    pub fn publish_sent(&mut self, pkid: u16) {
        let Some(waiter) = self.queued.pop_front() else { return };
        if pkid == 0 {
            let _ = waiter.done.send(Ok(()));
        } else {
            self.in_flight.insert(pkid, waiter);
        }
    }

    pub fn publish_acked(&mut self, pkid: u16) {
        if let Some(waiter) = self.in_flight.remove(&pkid) {
            let _ = waiter.done.send(Ok(()));
        }
    }

    pub fn ack_queued(&mut self) {
        self.acks_queued += 1;
    }

    pub fn ack_sent(&mut self) {
        self.acks_queued = self.acks_queued.saturating_sub(1);
    }

    /// Everything that was asked for has been sent, and confirmed where that is to be.
    pub fn is_even(&self) -> bool {
        self.queued.is_empty() && self.in_flight.is_empty() && self.acks_queued == 0
    }

    pub fn filters_queued(&mut self, requests: usize) {
        self.filter_requests += requests;
    }

    /// Also called for requests that went another way than the queue, hence the saturation.
    pub fn filters_sent(&mut self) {
        self.filter_requests = self.filter_requests.saturating_sub(1);
    }

    pub fn filter_requests(&self) -> usize {
        self.filter_requests
    }

    /// Nothing that was delivered waits for an acknowledgement.
    pub fn owes_nothing(&self) -> bool {
        self.unacked.is_empty()
    }

    pub fn received(&mut self, pkid: u16) -> Admission {
        if self.has_gap || self.unacked.len() >= UNACKED_MAX {
            self.has_gap = true;
            return Admission::LeaveOut;
        }
        self.unacked.push_back(Unacked { pkid, is_acked: false });
        let token = AckToken { epoch: self.epoch, sequence: self.next_sequence };
        self.next_sequence += 1;
        Admission::Deliver(token)
    }

    /// There was no room for a message: it and everything after it waits for the next connection.
    pub fn left_out(&mut self) {
        self.has_gap = true;
    }

    /// The packet ids that may be acknowledged now, in order. `None` when the token is of an earlier connection.
    pub fn ack(&mut self, token: &AckToken) -> Option<Vec<u16>> {
        if token.epoch != self.epoch || !self.is_connected {
            return None;
        }
        let oldest = self.next_sequence - self.unacked.len() as u64;
        let index = usize::try_from(token.sequence.checked_sub(oldest)?).ok()?;
        self.unacked.get_mut(index)?.is_acked = true;
        let mut ready = Vec::new();
        while self.unacked.front().is_some_and(|unacked| unacked.is_acked) {
            ready.extend(self.unacked.pop_front().map(|unacked| unacked.pkid));
        }
        Some(ready)
    }

    /// Everything delivered was dealt with, but some messages were left out: only a new connection brings them.
    pub fn wants_reconnect(&self) -> bool {
        self.is_connected && self.has_gap && self.unacked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use proptest::prelude::*;
    use tokio::sync::Semaphore;

    fn waiter(permits: &Arc<Semaphore>) -> (Waiter, oneshot::Receiver<Result<(), MqttError>>) {
        let (done, outcome) = oneshot::channel();
        let permit = Arc::clone(permits).try_acquire_owned().expect("a permit");
        (Waiter { done, _permit: permit }, outcome)
    }

    fn token(ledger: &mut Ledger, pkid: u16) -> AckToken {
        match ledger.received(pkid) {
            Admission::Deliver(token) => token,
            Admission::LeaveOut => panic!("there is room"),
        }
    }

    #[test]
    fn a_publish_resolves_on_its_own_puback() {
        let permits = Arc::new(Semaphore::new(4));
        let mut ledger = Ledger::default();
        ledger.connected();
        let (first, mut first_outcome) = waiter(&permits);
        let (second, mut second_outcome) = waiter(&permits);
        let (casual, mut casual_outcome) = waiter(&permits);
        for waiter in [first, second, casual] {
            ledger.publish_queued(waiter);
        }
        ledger.publish_sent(7);
        ledger.publish_sent(8);
        ledger.publish_sent(0);
        assert_eq!(casual_outcome.try_recv(), Ok(Ok(())));
        ledger.publish_acked(8);
        assert_eq!(second_outcome.try_recv(), Ok(Ok(())));
        assert!(first_outcome.try_recv().is_err());
        ledger.publish_acked(7);
        assert_eq!(first_outcome.try_recv(), Ok(Ok(())));
        assert_eq!(permits.available_permits(), 4);
    }

    #[test]
    fn a_lost_connection_tells_sent_from_unsent() {
        let permits = Arc::new(Semaphore::new(2));
        let mut ledger = Ledger::default();
        ledger.connected();
        let (sent, mut sent_outcome) = waiter(&permits);
        let (unsent, mut unsent_outcome) = waiter(&permits);
        ledger.publish_queued(sent);
        ledger.publish_queued(unsent);
        ledger.publish_sent(1);
        ledger.disconnected();
        assert_eq!(sent_outcome.try_recv(), Ok(Err(MqttError::Unconfirmed)));
        assert_eq!(unsent_outcome.try_recv(), Ok(Err(MqttError::NotConnected)));
        assert!(ledger.is_even());
    }

    #[test]
    fn tokens_of_an_earlier_connection_are_void() {
        let mut ledger = Ledger::default();
        ledger.connected();
        let old = token(&mut ledger, 1);
        ledger.disconnected();
        assert!(ledger.ack(&old).is_none());
        ledger.connected();
        let new = token(&mut ledger, 1);
        assert!(ledger.ack(&old).is_none());
        assert_eq!(ledger.ack(&new), Some(vec![1]));
    }

    #[test]
    fn too_many_unacknowledged_messages_are_left_to_the_broker() {
        let mut ledger = Ledger::default();
        ledger.connected();
        let tokens: Vec<AckToken> = (0..UNACKED_MAX).map(|number| token(&mut ledger, number as u16 + 1)).collect();
        assert!(matches!(ledger.received(9_999), Admission::LeaveOut));
        assert!(!ledger.wants_reconnect());
        for token in &tokens {
            assert!(ledger.ack(token).is_some());
        }
        assert!(matches!(ledger.received(9_999), Admission::LeaveOut));
        assert!(ledger.wants_reconnect());
        ledger.connected();
        assert!(matches!(ledger.received(1), Admission::Deliver(_)));
    }

    proptest! {
        /// Whatever the order in which consumers acknowledge, the wire sees the order of arrival, each once.
        #[test]
        fn pubacks_leave_in_the_order_of_arrival(order in Just((0..50_usize).collect::<Vec<_>>()).prop_shuffle()) {
            let mut ledger = Ledger::default();
            ledger.connected();
            let tokens: Vec<AckToken> = (0..50).map(|number| token(&mut ledger, number + 1)).collect();
            let mut wire = Vec::new();
            for index in order {
                wire.extend(ledger.ack(&tokens[index]).expect("a token of this connection"));
            }
            prop_assert_eq!(wire, (1..=50).collect::<Vec<u16>>());
        }
    }
}
