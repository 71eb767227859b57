//! The MQTT link: one connection to the home's broker, shared by everything that speaks MQTT. Bytes in, bytes out.
//!
//! Messages are handed to *routes* (one per consumer) by topic filter. A route that wants every message (QoS 1) acknowledges by
//! hand, after its commit; its session lives in the broker while we are away. A route that wants the present (QoS 0, retained
//! state) is subscribed anew on each connection, so the broker repeats what is retained. A slow consumer of the first
//! kind never holds up one of the second: what does not fit stays with the broker until the next connection.
//!
//! A publish whose PUBACK did not come before the connection broke is reported as [`MqttError::Unconfirmed`] and is never sent
//! again by the link: a lamp must not switch hours later.
//!
//! Absent on purpose: QoS 2, MQTT 5, knowledge of topics. rumqttc's own TCP and TLS are not used; [`tunnel`] says why and does
//! that part.

mod accounts;
mod address;
mod drive;
mod ledger;
mod route;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod topic;
mod tunnel;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, LastWill, MqttOptions, Transport};
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use crate::base::error::chain;
use crate::base::secret::Secret;
use crate::base::shutdown::Shutdown;

pub use accounts::{ACCOUNTS_FILE, Account, BROKER_PORT, accounts};
pub use address::{Address, AddressError, Encryption};
pub use ledger::AckToken;
pub use route::{Incoming, Message, Reliability, Route, RouteConfig, Subscriptions};

use ledger::{Ledger, Waiter};
use route::Table;

/// Publishes on their way at the same time; one more waits.
pub const PUBLISHES_OPEN_MAX: usize = 64;
/// Largest payload that is published or handed on, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Largest packet the connection survives; what lies between the two is dropped without breaking the connection.
const PACKET_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Requests for filters that wait at the same time, so that a flood of announcements leaves room for the rest.
const FILTER_REQUESTS_MAX: usize = 16;
/// Requests between the handles and the connection: every publish, every acknowledgement, and one packet's worth of filters
/// beyond their limit.
const REQUESTS_LEN: usize = PUBLISHES_OPEN_MAX + ledger::UNACKED_MAX + FILTER_REQUESTS_MAX + drive::FILTERS_PER_PACKET;
/// rumqttc's own window; wider than ours so that it never stops acknowledgements behind publishes.
const IN_FLIGHT_MAX: u16 = 2 * PUBLISHES_OPEN_MAX as u16;

#[derive(Clone, Debug)]
pub struct Config {
    pub address: Address,
    /// Stable over restarts: the broker keeps the session under it.
    pub client_id: String,
    /// Win over those in the address.
    pub username: Option<String>,
    pub password: Option<Secret<String>>,
    /// PEM file of the authorities that may have signed the broker's certificate; the system's when absent.
    pub ca_file: Option<PathBuf>,
    pub keep_alive: Duration,
    pub connect_timeout: Duration,
    /// What the broker says for us when we vanish, and also when we stop.
    pub last_will: Option<Will>,
    /// A directory of ours for a socket.
    pub run_dir: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Will {
    pub topic: String,
    pub payload: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retain {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qos {
    AtMostOnce,
    AtLeastOnce,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkState {
    Connecting {
        attempt: u32,
        /// Why the last attempt or connection failed; may be shown.
        error: Option<String>,
    },
    Connected {
        session_present: bool,
        /// Counts connections, so that a watcher sees each one.
        connection: u64,
    },
    Stopped,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MqttError {
    #[error("there is no connection to the broker; nothing was sent")]
    NotConnected,
    #[error("the connection broke before the broker confirmed; it may have arrived")]
    Unconfirmed,
    #[error("`{topic}` cannot be published to")]
    Topic { topic: String },
    #[error("`{filter}` cannot be subscribed to")]
    Filter { filter: String },
    #[error("a payload of {bytes} bytes is larger than {PAYLOAD_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the message belongs to an earlier connection; the broker sends it again")]
    Superseded,
    #[error("a stable client id is needed")]
    ClientId,
    #[error("could not open the way to the broker at {}: {reason}", path.display())]
    Socket { path: PathBuf, reason: String },
    #[error("could not prepare TLS to the broker: {reason}")]
    Tls { reason: String },
}

/// Clones share the connection.
#[derive(Clone)]
pub struct MqttHandle {
    shared: Arc<Shared>,
}

struct Shared {
    client: AsyncClient,
    ledger: Mutex<Ledger>,
    routes: Mutex<Table>,
    permits: Arc<Semaphore>,
    state: watch::Sender<LinkState>,
    /// Asks the loop for a new connection.
    reconnect: Notify,
}

/// Begins to connect and goes on for ever; must be called inside a runtime. The routes come back in the order given.
pub fn start(
    config: Config,
    routes: Vec<RouteConfig>,
    shutdown: Shutdown,
) -> Result<(MqttHandle, Vec<Route>), MqttError> {
    if config.client_id.is_empty() {
        return Err(MqttError::ClientId);
    }
    let (options, tunnel) = connection_options(&config, &shutdown)?;
    let (client, mut event_loop) = AsyncClient::new(options, REQUESTS_LEN);
    event_loop.network_options.set_tcp_nodelay(true);
    event_loop.network_options.set_connection_timeout(config.connect_timeout.as_secs().max(1));
    let (table, inboxes) = Table::new(&routes)?;
    let shared = Arc::new(Shared {
        client,
        ledger: Mutex::default(),
        routes: Mutex::new(table),
        permits: Arc::new(Semaphore::new(PUBLISHES_OPEN_MAX)),
        state: watch::Sender::new(LinkState::Connecting { attempt: 0, error: None }),
        reconnect: Notify::new(),
    });
    tokio::spawn(drive::run(event_loop, Arc::clone(&shared), tunnel, shutdown));
    let routes = inboxes
        .into_iter()
        .enumerate()
        .map(|(index, incoming)| Route { incoming, subscriptions: Subscriptions::new(Arc::clone(&shared), index) })
        .collect();
    Ok((MqttHandle { shared }, routes))
}

impl MqttHandle {
    /// With QoS 1 returns once the broker confirmed, with QoS 0 once it was written to the socket.
    pub async fn publish(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        qos: Qos,
        retain: Retain,
    ) -> Result<(), MqttError> {
        if !topic::is_topic(topic) {
            return Err(MqttError::Topic { topic: topic.to_owned() });
        }
        let payload = payload.into();
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(MqttError::TooLarge { bytes: payload.len() });
        }
        if !self.is_connected() {
            return Err(MqttError::NotConnected);
        }
        let permit = Arc::clone(&self.shared.permits).acquire_owned().await.map_err(|_| MqttError::NotConnected)?;
        let (done, outcome) = oneshot::channel();
        self.send(topic, payload, (qos, retain), Waiter { done, _permit: permit })?;
        outcome.await.unwrap_or(Err(MqttError::Unconfirmed))
    }

    /// Sends the PUBACK, as soon as those of all earlier messages are sent. An error means that the broker delivers the message again.
    pub fn ack(&self, token: AckToken) -> Result<(), MqttError> {
        let mut ledger = self.shared.ledger();
        let ready = ledger.ack(&token).ok_or(MqttError::Superseded)?;
        self.shared.send_acks(&mut ledger, &ready);
        if ledger.wants_reconnect() {
            self.shared.reconnect.notify_one();
        }
        Ok(())
    }

    pub fn is_connected(&self) -> bool {
        matches!(*self.shared.state.borrow(), LinkState::Connected { .. })
    }

    pub fn link_state(&self) -> watch::Receiver<LinkState> {
        self.shared.state.subscribe()
    }

    fn send(&self, topic: &str, payload: Bytes, (qos, retain): (Qos, Retain), waiter: Waiter) -> Result<(), MqttError> {
        let qos = match qos {
            Qos::AtMostOnce => rumqttc::QoS::AtMostOnce,
            Qos::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        };
        // Under one lock, so that waiters stand in the order of the requests.
        let mut ledger = self.shared.ledger();
        if !ledger.is_connected() {
            return Err(MqttError::NotConnected);
        }
        // `try_publish` would copy the payload into a Vec and back; this is what it does otherwise.
        self.shared
            .client
            .try_publish(topic, qos, retain == Retain::Yes, payload)
            .map_err(|_| MqttError::NotConnected)?;
        ledger.publish_queued(waiter);
        Ok(())
    }
}

impl Shared {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn routes(&self) -> std::sync::MutexGuard<'_, Table> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes changed filters on, as far as they have room; the loop takes the rest when it has sent some. Without a connection
    /// nothing is passed on: the next one begins with all filters.
    fn push_changes(&self) {
        let mut ledger = self.ledger();
        let mut routes = self.routes();
        while ledger.is_connected() && routes.has_changes() && ledger.filter_requests() < FILTER_REQUESTS_MAX {
            let changes = routes.take_some_changes(drive::FILTERS_PER_PACKET);
            for request in drive::requests(changes.clone()) {
                if self.push_filters(request).is_err() {
                    // Subscribing or unsubscribing once more does no harm.
                    routes.put_back(changes);
                    return;
                }
                ledger.filters_queued(1);
            }
        }
    }

    fn push_filters(&self, request: rumqttc::Request) -> Result<(), rumqttc::ClientError> {
        match request {
            rumqttc::Request::Subscribe(subscribe) => self.client.try_subscribe_many(subscribe.filters),
            rumqttc::Request::Unsubscribe(unsubscribe) => {
                unsubscribe.topics.into_iter().try_for_each(|topic| self.client.try_unsubscribe(topic))
            }
            _ => Ok(()),
        }
    }

    /// The ledger is proof that nobody else sends acknowledgements at the same time.
    fn send_acks(&self, ledger: &mut Ledger, pkids: &[u16]) {
        for pkid in pkids {
            let mut publish = rumqttc::Publish::new("", rumqttc::QoS::AtLeastOnce, Vec::new());
            publish.pkid = *pkid;
            match self.client.try_ack(&publish) {
                Ok(()) => ledger.ack_queued(),
                // The queue holds every possible acknowledgement, so this connection is beyond repair.
                Err(_) => self.reconnect.notify_one(),
            }
        }
    }
}

fn connection_options(
    config: &Config,
    shutdown: &Shutdown,
) -> Result<(MqttOptions, Option<tunnel::Tunnel>), MqttError> {
    let address = &config.address;
    let (mut options, tunnel) = match tunnel::open(config, shutdown.clone()) {
        Ok(tunnel) => {
            let mut options = MqttOptions::new(&config.client_id, tunnel.socket_path.to_string_lossy(), 0);
            options.set_transport(Transport::Unix);
            (options, Some(tunnel))
        }
        // As with a path that is too long for a socket; it goes without, only slower.
        Err(error @ MqttError::Socket { .. }) if address.encryption == Encryption::Plain => {
            tracing::warn!(error = chain(&error), "Answers of the broker may come some milliseconds later.");
            (MqttOptions::new(&config.client_id, address.bracketed_host(), address.port), None)
        }
        Err(error) => return Err(error),
    };
    options.set_keep_alive(config.keep_alive.max(Duration::from_secs(1)));
    options.set_clean_session(false);
    options.set_manual_acks(true);
    options.set_inflight(IN_FLIGHT_MAX);
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    if let Some(username) = config.username.as_ref().or(address.username.as_ref()) {
        let password = config.password.as_ref().unwrap_or(&address.password);
        options.set_credentials(username, password.reveal());
    }
    if let Some(will) = &config.last_will {
        options.set_last_will(LastWill::new(&will.topic, will.payload.as_bytes(), rumqttc::QoS::AtLeastOnce, true));
    }
    Ok((options, tunnel))
}

impl Config {
    pub fn new(address: Address, client_id: impl Into<String>, run_dir: impl Into<PathBuf>) -> Self {
        Self {
            address,
            client_id: client_id.into(),
            username: None,
            password: None,
            ca_file: None,
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            last_will: None,
            run_dir: run_dir.into(),
        }
    }
}
