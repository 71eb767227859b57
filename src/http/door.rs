//! The door: takes connections, keeps them within bounds of number, time and size, and passes complete requests on.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::base::shutdown::Shutdown;
use crate::http::backend::{Answer, Backend, Caller};
use crate::http::head::{self, Chunked, Framing, Head, Refusal};
use crate::http::message::Body;
use crate::http::{Config, Method};

/// Wait after the accept loop met a full table of file descriptors.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// What one address is served with.
pub(super) struct Door {
    pub config: Config,
    pub backend: Arc<Backend>,
    pub tls: Option<TlsAcceptor>,
    pub slots: Arc<Slots>,
}

/// Connections by number, so that the longest idle one can make room.
#[derive(Default)]
pub(super) struct Slots {
    table: Mutex<Table>,
    pub emptied: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    slots: HashMap<u64, Slot>,
}

struct Slot {
    peer: IpAddr,
    /// Since when it waits for a request; none while one is worked on.
    idle_since: Option<Instant>,
    close: Arc<Notify>,
}

impl Slots {
    /// A place for a connection of `peer`; the longest idle one is asked to leave when there is none. `None`: all are busy.
    fn take(&self, peer: IpAddr, config: &Config) -> Option<(u64, Arc<Notify>)> {
        let mut table = self.lock();
        let of_peer = table.slots.values().filter(|slot| slot.peer == peer).count();
        let crowded = of_peer >= config.connections_per_address_max;
        if crowded || table.slots.len() >= config.connections_max {
            let idle = table.slots.iter().filter(|(_, slot)| !crowded || slot.peer == peer);
            let longest = idle.filter_map(|(id, slot)| Some((slot.idle_since?, *id))).min();
            let (_, id) = longest?;
            if let Some(slot) = table.slots.remove(&id) {
                slot.close.notify_one();
            }
        }
        table.next += 1;
        let (id, close) = (table.next, Arc::new(Notify::new()));
        table.slots.insert(id, Slot { peer, idle_since: Some(Instant::now()), close: close.clone() });
        Some((id, close))
    }

    fn set_idle(&self, id: u64, idle: bool) {
        if let Some(slot) = self.lock().slots.get_mut(&id) {
            slot.idle_since = idle.then(Instant::now);
        }
    }

    fn give_back(&self, id: u64) {
        let mut table = self.lock();
        table.slots.remove(&id);
        if table.slots.values().all(|slot| slot.idle_since.is_some()) {
            self.emptied.notify_one();
        }
    }

    /// Requests that are worked on now.
    pub(super) fn busy_len(&self) -> usize {
        self.lock().slots.values().filter(|slot| slot.idle_since.is_none()).count()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let Some((id, close)) = self.slots.take(peer.ip(), &self.config) else {
            // Nobody idles; closing at once is the quickest way to say so.
            return;
        };
        let _ = stream.set_nodelay(true);
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            let serve = self.serve(stream, peer.ip(), id, &shutdown);
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

struct Connection<'a> {
    door: &'a Door,
    caller: Caller,
    id: u64,
}

/// Why a connection ends.
enum End {
    /// The client left, or was too slow to deserve an answer.
    Silent,
    Refused(Refusal),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Silent
    }
}

impl Connection<'_> {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, shutdown: &Shutdown) {
        let mut buffer = BytesMut::with_capacity(2048);
        loop {
            let waited = tokio::select! {
                waited = self.first_bytes(&mut stream, &mut buffer) => waited,
                () = shutdown.triggered() => return,
            };
            if waited.is_err() {
                return;
            }
            self.door.slots.set_idle(self.id, false);
            let outcome = self.one_request(&mut stream, &mut buffer).await;
            self.door.slots.set_idle(self.id, true);
            match outcome {
                Ok(true) if !shutdown.is_triggered() => {}
                Ok(_) | Err(End::Silent) => break,
                Err(End::Refused(refusal)) => {
                    let _ = self.refuse(&mut stream, refusal).await;
                    break;
                }
            }
        }
        let _ = timeout(self.door.config.write_timeout, stream.shutdown()).await;
    }

    /// Waits for the beginning of a request.
    async fn first_bytes<S: AsyncRead + Unpin>(&self, stream: &mut S, buffer: &mut BytesMut) -> Result<(), End> {
        if !buffer.is_empty() {
            return Ok(());
        }
        match timeout(self.door.config.idle_timeout, stream.read_buf(buffer)).await {
            Ok(Ok(count)) if count > 0 => Ok(()),
            _ => Err(End::Silent),
        }
    }

    /// Serves one request; whether the connection may be used again.
    async fn one_request<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        buffer: &mut BytesMut,
    ) -> Result<bool, End> {
        let config = &self.door.config;
        let head = timeout(config.head_timeout, read_head(stream, buffer))
            .await
            .unwrap_or(Err(End::Refused(Refusal { status: 408, sentence: "the request's head took too long" })))?;
        if head.wants_upgrade {
            return Err(End::Refused(Refusal { status: 426, sentence: "nothing to upgrade to on this port" }));
        }
        if head.expects_continue && head.framing != Framing::Length(0) {
            timeout(config.write_timeout, stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"))
                .await
                .map_err(|_| End::Silent)??;
        }
        let body = timeout(config.body_timeout, read_body(stream, buffer, head.framing))
            .await
            .unwrap_or(Err(End::Refused(Refusal { status: 408, sentence: "the request's body took too long" })))?;
        let answer = match self.door.backend.exchange(&head, &body, self.caller).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(error = crate::base::error::chain(&error), "A request could not be answered.");
                return Err(End::Refused(Refusal { status: 503, sentence: "the house cannot answer right now" }));
            }
        };
        self.relay(stream, &head, answer).await?;
        Ok(head.keeps_alive)
    }

    async fn relay<S: AsyncWrite + Unpin>(&self, stream: &mut S, head: &Head, answer: Answer) -> Result<(), End> {
        let is_streamed = matches!(answer.body, Body::Stream(_));
        let mut wire = response_head(&answer, head.keeps_alive);
        match &answer.body {
            Body::Bytes(body) => {
                wire.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
                if head.method != Method::Head {
                    wire.extend_from_slice(body);
                }
            }
            Body::Stream(_) => wire.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
        }
        self.write(stream, &wire).await?;
        let Body::Stream(mut pieces) = answer.body else { return Ok(()) };
        if !is_streamed || head.method == Method::Head {
            return Ok(());
        }
        while let Some(piece) = pieces.recv().await {
            if !piece.is_empty() {
                self.write(stream, &chunk(&piece)).await?;
            }
        }
        self.write(stream, b"0\r\n\r\n").await
    }

    async fn refuse<S: AsyncWrite + Unpin>(&self, stream: &mut S, refusal: Refusal) -> Result<(), End> {
        let body = format!("{{\"error\":\"{}\"}}\n", refusal.sentence);
        let upgrade = if refusal.status == 426 { "upgrade: HTTP/1.1\r\n" } else { "" };
        let wire = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{upgrade}connection: close\r\n\r\n{body}",
            refusal.status,
            reason(refusal.status),
            body.len()
        );
        self.write(stream, wire.as_bytes()).await
    }

    async fn write<S: AsyncWrite + Unpin>(&self, stream: &mut S, bytes: &[u8]) -> Result<(), End> {
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        timeout(self.door.config.write_timeout, write).await.map_err(|_| End::Silent)??;
        Ok(())
    }
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<Head, End> {
    loop {
        // A line end before a request is left over from some clients (RFC 9112 §2.2).
        while buffer.starts_with(b"\r\n") {
            buffer.advance(2);
        }
        if let Some(head) = head::take_head(buffer).map_err(End::Refused)? {
            return Ok(head);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(End::Silent);
        }
    }
}

async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    framing: Framing,
) -> Result<Bytes, End> {
    match framing {
        Framing::Length(length) => {
            while buffer.len() < length {
                if stream.read_buf(buffer).await? == 0 {
                    return Err(End::Silent);
                }
            }
            Ok(buffer.split_to(length).freeze())
        }
        Framing::Chunked => {
            let mut chunked = Chunked::default();
            loop {
                if let Some(body) = chunked.take(buffer).map_err(End::Refused)? {
                    return Ok(body);
                }
                if stream.read_buf(buffer).await? == 0 {
                    return Err(End::Silent);
                }
            }
        }
    }
}

fn response_head(answer: &Answer, keeps_alive: bool) -> Vec<u8> {
    let mut wire = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status)).into_bytes();
    for (name, value) in &answer.headers {
        let is_ours = name.starts_with("x-door-");
        let is_framing = matches!(name.as_str(), "connection" | "content-length" | "transfer-encoding" | "server");
        if !is_ours && !is_framing {
            wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }
    wire.extend_from_slice(if keeps_alive { b"connection: keep-alive\r\n" } else { b"connection: close\r\n" });
    wire
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    let mut wire = format!("{:x}\r\n", piece.len()).into_bytes();
    wire.extend_from_slice(piece);
    wire.extend_from_slice(b"\r\n");
    wire
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
