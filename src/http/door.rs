//! The door: takes connections, keeps them within bounds of number, and survives a full table of file descriptors.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::base::shutdown::Shutdown;
use crate::http::Config;
use crate::http::backend::Backend;
use crate::http::connection::Connection;
use crate::http::exchange::Caller;
use crate::http::slots::Slots;

/// Wait after the accept loop met a full table of file descriptors.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// What one address is served with.
pub(super) struct Door {
    pub config: Config,
    pub backend: Arc<Backend>,
    pub tls: Option<TlsAcceptor>,
    pub slots: Arc<Slots>,
}

impl Door {
    /// Accepts until shutdown.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, shutdown: Shutdown) {
        // One descriptor in reserve: without it, a connection that cannot be accepted stays at the head of the queue.
        let mut reserve = File::open("/dev/null").ok();
        let mut is_exhausted = false;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.triggered() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    is_exhausted = false;
                    self.clone().admit(stream, peer, &shutdown);
                }
                Err(error) if matches!(error.raw_os_error(), Some(24 | 23)) => {
                    if !is_exhausted {
                        tracing::error!(error = %error, "No file descriptor is left; connections are turned away.");
                        is_exhausted = true;
                    }
                    drop(reserve.take());
                    let turned_away = timeout(Duration::from_millis(1), listener.accept()).await;
                    drop(turned_away);
                    reserve = File::open("/dev/null").ok();
                    tokio::time::sleep(EXHAUSTED_WAIT).await;
                }
                // The client has gone already.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    tracing::error!(error = %error, "A connection could not be accepted.");
                    tokio::time::sleep(EXHAUSTED_WAIT).await;
                }
            }
        }
    }

    fn admit(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, shutdown: &Shutdown) {
        let peer = peer.ip().to_canonical();
        let Some((id, close)) = self.slots.take(peer, &self.config) else {
            // Nobody idles; closing at once is the quickest way to say so.
            return;
        };
        let _ = stream.set_nodelay(true);
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            let serve = self.serve(stream, peer, id, &shutdown);
            tokio::select! {
                () = serve => {}
                () = close.notified() => {}
            }
            self.slots.give_back(id);
        });
    }

    async fn serve(&self, stream: TcpStream, peer: IpAddr, id: u64, shutdown: &Shutdown) {
        let connection = Connection { door: self, caller: Caller { peer, is_encrypted: self.tls.is_some() }, id };
        match &self.tls {
            None => connection.run(stream, shutdown).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(self.config.head_timeout, tls.accept(stream)).await {
                    connection.run(stream, shutdown).await;
                }
            }
        }
    }
}
