//! The loop that keeps the connection: polls rumqttc, routes what comes in, settles what went out, reconnects with patience.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{ConnectionError, Event, EventLoop, Outgoing, Packet, Publish, Request, Subscribe, SubscribeFilter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ledger::Admission;
use super::route::{Change, Incoming, Message, Reliability, Session};
use super::tunnel::Tunnel;
use super::{LinkState, PAYLOAD_BYTES_MAX, Shared};
use crate::base::shutdown::Shutdown;

const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A connection that held this long was a good one: the next failure begins with the shortest wait again.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Filters in one SUBSCRIBE packet.
pub(super) const FILTERS_PER_PACKET: usize = 50;
/// Time for acknowledgements and confirmations that are still open when we stop.
const FAREWELL_MAX: Duration = Duration::from_millis(1500);

pub async fn run(mut event_loop: EventLoop, shared: Arc<Shared>, tunnel: Option<Tunnel>, shutdown: Shutdown) {
    let mut link = Link { shared: Arc::clone(&shared), tunnel, connection: 0, attempt: 0, connected_at: None };
    let farewell = async {
        shutdown.triggered().await;
        let deadline = Instant::now() + FAREWELL_MAX;
        while !shared.ledger().is_even() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = link.keep_going(&mut event_loop) => {}
        // Dropping the socket without DISCONNECT lets the broker publish the last will, which says that we are gone.
        () = farewell => {}
    }
    shared.ledger().disconnected();
    shared.state.send_replace(LinkState::Stopped);
}

struct Link {
    shared: Arc<Shared>,
    tunnel: Option<Tunnel>,
    connection: u64,
    attempt: u32,
    connected_at: Option<Instant>,
}

/// Why polling paused.
enum Turn {
    Event(Event),
    Failed(ConnectionError),
    Reconnect,
    FiltersChanged,
}

impl Link {
    async fn keep_going(&mut self, event_loop: &mut EventLoop) {
        loop {
            match self.next_turn(event_loop).await {
                Turn::Event(Event::Incoming(Packet::ConnAck(connack))) => {
                    self.connected(event_loop, connack.session_present);
                }
                Turn::Event(event) => self.settle(event).await,
                Turn::FiltersChanged => push_changes(&mut event_loop.pending, self.shared.routes().take_changes()),
                Turn::Reconnect => self.lost(event_loop, None),
                Turn::Failed(error) => {
                    self.lost(event_loop, Some(&error));
                    tokio::time::sleep(self.backoff()).await;
                }
            }
        }
    }

    /// Filter changes that did not fit into rumqttc's queue (see `Shared::push_changes`) are looked at between events: its poll
    /// must not be dropped while it writes, so there is no select on them here.
    async fn next_turn(&self, event_loop: &mut EventLoop) -> Turn {
        if self.connected_at.is_some() && self.shared.routes().has_changes() {
            return Turn::FiltersChanged;
        }
        tokio::select! {
            polled = event_loop.poll() => match polled {
                Ok(event) => Turn::Event(event),
                Err(error) => Turn::Failed(error),
            },
            () = self.shared.reconnect.notified() => Turn::Reconnect,
        }
    }

    fn connected(&mut self, event_loop: &mut EventLoop, session_present: bool) {
        // A session that the broker remembers from an earlier process may lack filters of this one.
        let session = if session_present && self.connection > 0 { Session::Remembered } else { Session::New };
        self.connection += 1;
        self.connected_at = Some(Instant::now());
        push_changes(&mut event_loop.pending, self.shared.routes().on_connect(session));
        self.shared.ledger().connected();
        self.shared.state.send_replace(LinkState::Connected { session_present, connection: self.connection });
        tracing::info!("Connected to the broker.");
    }

    fn lost(&mut self, event_loop: &mut EventLoop, error: Option<&ConnectionError>) {
        if self.connected_at.take().is_some_and(|since| since.elapsed() >= STABLE_AFTER) {
            self.attempt = 0;
        }
        self.attempt = self.attempt.saturating_add(1);
        self.settle_rest(event_loop);
        let shown = self.describe(error);
        if self.attempt == 1 {
            tracing::warn!(
                error = shown.as_deref().unwrap_or("asked for a new connection"),
                "The broker is not connected."
            );
        }
        self.shared.state.send_replace(LinkState::Connecting { attempt: self.attempt, error: shown });
    }

    /// Settles what the dead connection still knew, and forgets the rest: nothing is sent again behind the caller's back.
    fn settle_rest(&self, event_loop: &mut EventLoop) {
        let mut ledger = self.shared.ledger();
        for event in event_loop.state.events.drain(..) {
            match event {
                Event::Outgoing(Outgoing::Publish(pkid)) => ledger.publish_sent(pkid),
                Event::Incoming(Packet::PubAck(ack)) => ledger.publish_acked(ack.pkid),
                _ => {}
            }
        }
        ledger.disconnected();
        // Under the ledger's lock nobody adds requests, so after this the queue is empty.
        event_loop.clean();
        event_loop.pending.clear();
        event_loop.state.collision = None;
    }

    async fn settle(&mut self, event: Event) {
        match event {
            Event::Incoming(Packet::Publish(publish)) => self.deliver(publish).await,
            Event::Incoming(Packet::PubAck(ack)) => self.shared.ledger().publish_acked(ack.pkid),
            Event::Outgoing(Outgoing::Publish(pkid)) => self.shared.ledger().publish_sent(pkid),
            Event::Outgoing(Outgoing::PubAck(_)) => self.shared.ledger().ack_sent(),
            Event::Outgoing(Outgoing::Subscribe(_) | Outgoing::Unsubscribe(_)) => self.shared.ledger().filters_sent(),
            Event::Incoming(Packet::SubAck(ack))
                if ack.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure) =>
            {
                tracing::warn!("The broker refused a subscription.");
            }
            _ => {}
        }
    }

    async fn deliver(&mut self, publish: Publish) {
        let wants_ack = publish.qos != rumqttc::QoS::AtMostOnce;
        let consumers: Vec<(Reliability, mpsc::Sender<Incoming>)> = if publish.payload.len() > PAYLOAD_BYTES_MAX {
            tracing::warn!(bytes = publish.payload.len(), "A message was too large and was dropped.");
            Vec::new()
        } else {
            self.shared.routes().consumers(&publish.topic).map(|(kind, sender)| (kind, sender.clone())).collect()
        };
        let message = Message {
            topic: publish.topic.as_str().into(),
            payload: publish.payload,
            is_retained: publish.retain,
            is_repeated: publish.dup,
            packet_id: publish.pkid,
        };
        let mut owner_found = false;
        for (reliability, sender) in consumers {
            if reliability == Reliability::Everything && wants_ack && !owner_found {
                owner_found = true;
                self.entrust(&sender, message.clone(), publish.pkid).await;
            } else {
                // Waiting here passes the pressure on to the broker; a consumer of the present never waits for the link.
                let _ = sender.send(Incoming { message: message.clone(), ack: None }).await;
            }
        }
        if wants_ack && !owner_found {
            self.dismiss(publish.pkid);
        }
    }

    /// Hands a message to whoever is going to acknowledge it. Without room it stays with the broker, unless the queue is full of
    /// messages that need no acknowledgement: nothing would bring it back then, so it waits.
    async fn entrust(&self, sender: &mpsc::Sender<Incoming>, message: Message, pkid: u16) {
        let is_hopeless = self.shared.ledger().owes_nothing();
        let slot = if is_hopeless { sender.reserve().await.ok() } else { sender.try_reserve().ok() };
        let mut ledger = self.shared.ledger();
        let Some(slot) = slot else {
            ledger.left_out();
            return;
        };
        if let Admission::Deliver(token) = ledger.received(pkid) {
            slot.send(Incoming { message, ack: Some(token) });
        }
    }

    /// Acknowledges what nobody is going to acknowledge.
    fn dismiss(&self, pkid: u16) {
        let mut ledger = self.shared.ledger();
        if let Admission::Deliver(token) = ledger.received(pkid) {
            let ready = ledger.ack(&token).unwrap_or_default();
            self.shared.send_acks(&mut ledger, &ready);
        }
    }

    fn describe(&self, error: Option<&ConnectionError>) -> Option<String> {
        let error = error?;
        let tunnel_error = self.tunnel.as_ref().and_then(Tunnel::take_error);
        Some(tunnel_error.unwrap_or_else(|| crate::base::error::chain(error)))
    }

    /// Doubles up to a limit; spread by a quarter so that a house of hubs does not come back in step.
    fn backoff(&self) -> Duration {
        let doubled = BACKOFF_MIN.saturating_mul(1 << self.attempt.saturating_sub(1).min(10)).min(BACKOFF_MAX);
        let mut random = [0_u8; 1];
        let _ = getrandom::fill(&mut random);
        doubled.mul_f64(0.75 + f64::from(random[0]) / 512.0)
    }
}

fn push_changes(pending: &mut VecDeque<Request>, changes: Vec<Change>) {
    pending.extend(requests(changes));
}

/// The packets that tell the broker about `changes`, in their order.
pub(super) fn requests(changes: Vec<Change>) -> VecDeque<Request> {
    let mut packets = VecDeque::new();
    let pending = &mut packets;
    let mut wanted = Vec::new();
    for change in changes {
        match change {
            Change::Subscribe(filter, Reliability::Present) => {
                wanted.push(SubscribeFilter::new(filter, rumqttc::QoS::AtMostOnce));
            }
            Change::Subscribe(filter, Reliability::Everything) => {
                wanted.push(SubscribeFilter::new(filter, rumqttc::QoS::AtLeastOnce));
            }
            Change::Unsubscribe(filter) => {
                flush(pending, &mut wanted);
                pending.push_back(Request::Unsubscribe(rumqttc::Unsubscribe::new(filter)));
            }
        }
        if wanted.len() >= FILTERS_PER_PACKET {
            flush(pending, &mut wanted);
        }
    }
    flush(pending, &mut wanted);
    packets
}

fn flush(pending: &mut VecDeque<Request>, wanted: &mut Vec<SubscribeFilter>) {
    if !wanted.is_empty() {
        pending.push_back(Request::Subscribe(Subscribe::new_many(std::mem::take(wanted))));
    }
}
