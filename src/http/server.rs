//! One table of routes on one address: door, parser, supervision.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::base::shutdown::Shutdown;
use crate::base::trim;
use crate::http::backend::{Backend, BackendError, connections_possible};
use crate::http::door::Door;
use crate::http::listen::{ListenError, Listeners};
use crate::http::route::Router;
use crate::http::slots::Slots;
use crate::http::tls::{self, TlsError};

/// How often the parser behind the door is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
const SETTLED_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Config {
    /// A short word for threads and sockets.
    pub name: &'static str,
    pub host: IpAddr,
    /// 0 takes any free port.
    pub port: u16,
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// A directory of ours for the parser's socket.
    pub run_dir: PathBuf,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    /// For a whole head, from its first byte.
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// For one write to a client that does not read.
    pub write_timeout: Duration,
    /// How long a client may go on sending after a refusal, so that it reads the answer instead of a reset.
    pub linger: Duration,
    /// A request that no worker has taken by then is taken back and sent over another connection, which has twice as long.
    pub take_timeout: Duration,
}

impl Config {
    pub fn new(name: &'static str, host: IpAddr, port: u16, run_dir: impl Into<PathBuf>) -> Self {
        Self {
            name,
            host,
            port,
            tls: None,
            run_dir: run_dir.into(),
            connections_max: 1024,
            connections_per_address_max: 256,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            take_timeout: Duration::from_millis(50),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Backend(#[from] BackendError),
}

pub struct Server;

impl Server {
    /// Opens the address and serves `router` until shutdown. Must be called inside a runtime.
    pub fn start<S: Send + Sync + 'static>(
        mut config: Config,
        listeners: &mut Listeners,
        router: Arc<Router<S>>,
        shutdown: Shutdown,
    ) -> Result<ServerHandle, ServerError> {
        let listener = listeners.open(config.host, config.port)?;
        let address = listener
            .local_addr()
            .map_err(|source| ListenError::Bind { address: SocketAddr::new(config.host, config.port), source })?;
        let tls = config.tls.as_ref().map(|(cert, key)| tls::acceptor(cert, key)).transpose()?;
        let backend = Backend::start(&config, router)?;
        let slots: Arc<Slots> = Arc::default();
        let is_encrypted = tls.is_some();
        config.connections_max = connections_possible(config.connections_max);
        let door = Arc::new(Door { config, backend: backend.clone(), tls, slots: slots.clone() });
        tokio::spawn(door.run(listener, shutdown.clone()));
        tokio::spawn(supervise(backend.clone(), shutdown));
        Ok(ServerHandle { address, backend, slots, is_encrypted })
    }
}

async fn supervise(backend: Arc<Backend>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
            () = shutdown.triggered() => return,
        }
        backend.sweep();
        if let Err(error) = backend.replace_if_dead().await {
            tracing::error!(error = crate::base::error::chain(&error), "The request parser could not be replaced.");
        }
        // The parser's threads end a little later. In an idle house nobody needs their code until the next look.
        tokio::time::sleep(SETTLED_AFTER).await;
        trim::code();
    }
}

/// A running server.
#[derive(Clone)]
pub struct ServerHandle {
    address: SocketAddr,
    backend: Arc<Backend>,
    slots: Arc<Slots>,
    is_encrypted: bool,
}

impl ServerHandle {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where people point their browsers to.
    pub fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        if self.address.ip().is_unspecified() {
            format!("{scheme}://127.0.0.1:{}", self.address.port())
        } else {
            format!("{scheme}://{}", self.address)
        }
    }

    /// Whether the door and what is behind it answer; for the watchdog.
    pub async fn probe(&self) -> bool {
        const LIMIT: Duration = Duration::from_secs(2);
        if !self.backend.is_alive().await {
            return false;
        }
        if self.is_encrypted {
            // The handshake needs a name that is ours to know; that the port takes connections is what is left to ask.
            return matches!(tokio::time::timeout(LIMIT, TcpStream::connect(self.reachable())).await, Ok(Ok(_)));
        }
        let ask = async {
            let mut stream = TcpStream::connect(self.reachable()).await?;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
            let mut answer = [0_u8; 12];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 "))
        };
        matches!(tokio::time::timeout(LIMIT, ask).await, Ok(Ok(true)))
    }

    /// Returns when no request is worked on any more; the caller bounds the wait.
    pub async fn drained(&self) {
        while self.slots.busy_len() > 0 {
            tokio::select! {
                () = self.slots.emptied.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    /// Ends the parser after the last request.
    pub fn stop(&self) {
        self.backend.stop();
    }

    fn reachable(&self) -> SocketAddr {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                IpAddr::from([127, 0, 0, 1])
            } else {
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
            });
        }
        address
    }

    #[cfg(test)]
    pub(super) fn break_parser(&self) {
        self.backend.break_accepting();
    }

    #[cfg(test)]
    pub(super) fn forget_idle(&self) {
        self.backend.forget_idle();
    }

    #[cfg(test)]
    pub(super) fn connections_len(&self) -> usize {
        self.slots.len()
    }
}
