//! What crosses the Unix socket between the door and tiny_http, and what goes around it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::base::shutdown::Shutdown;
use crate::http::Method;
use crate::http::head::Head;
use crate::http::message::{Body, Response};

/// Larger bodies go around the socket: writing them would block a thread of the runtime.
pub(super) const DIRECT_BYTES_MAX: usize = 32 * 1024;
/// Streams between a route and the door.
const STREAMS_MAX: usize = 2048;
pub(super) const PEER_HEADER: &str = "x-door-peer";
pub(super) const TLS_HEADER: &str = "x-door-encrypted";
pub(super) const KNOWN_HEADER: &str = "x-door-known";
pub(super) const TICKET_HEADER: &str = "x-door-ticket";
pub(super) const STREAM_HEADER: &str = "x-door-stream";

/// An answer as the door relays it.
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// An answer that never saw tiny_http.
pub(super) fn direct(response: Response) -> Answer {
    let headers = response.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    Answer { status: response.status, headers, body: response.body }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub peer: IpAddr,
    pub is_encrypted: bool,
}

/// What the door found out about a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub caller: Caller,
    /// Whether it brought a valid token or session.
    pub is_known: bool,
    pub ticket: u64,
}

/// Requests that tiny_http has not handed out yet. A worker acts only on a request whose ticket it could take, so a request
/// whose ticket is still here may be sent again without being carried out twice.
#[derive(Default)]
pub(super) struct Tickets {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Aside>>,
}

/// What belongs to a request and goes around tiny_http.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside {
    /// A large body; empty when the body went through the socket.
    pub body: Bytes,
    /// Given when the client has left.
    pub left: Shutdown,
}

/// A place in [`Tickets`]; dropping it takes the request back.
pub(super) struct Ticket<'a> {
    tickets: &'a Tickets,
    pub id: u64,
}

impl Tickets {
    pub(super) fn issue(&self, aside: Aside) -> Ticket<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, aside);
        Ticket { tickets: self, id }
    }

    /// What went aside, when the request was still waiting; nobody else can take it after this.
    pub(super) fn take(&self, id: u64) -> Option<Aside> {
        self.lock().remove(&id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Aside>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.tickets.take(self.id);
    }
}

/// Bodies on their way from a route to the door.
#[derive(Default)]
pub(super) struct Streams {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Body>>,
}

impl Streams {
    pub(super) fn leave(&self, stream: Body) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(id, stream);
        // Only a door that died between two lines leaves one behind.
        if waiting.len() > STREAMS_MAX
            && let Some(oldest) = waiting.keys().min().copied()
        {
            waiting.remove(&oldest);
        }
        id
    }

    fn fetch(&self, id: u64) -> Option<Body> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

/// The request as it goes to tiny_http, with the facts that tiny_http cannot know.
pub(super) fn request_bytes(head: &Head, body: &[u8], facts: &Facts) -> Vec<u8> {
    let mut wire = Vec::with_capacity(512 + body.len());
    let mut line = |text: &[&str]| {
        text.iter().for_each(|part| wire.extend_from_slice(part.as_bytes()));
        wire.extend_from_slice(b"\r\n");
    };
    // The door leaves the body of an answer to HEAD out itself.
    let method = if head.method == Method::Head { Method::Get } else { head.method };
    line(&[method.as_str(), " ", &in_ascii(&head.target), " HTTP/1.1"]);
    for (name, value) in &head.headers {
        let is_ours = name.starts_with("x-door-");
        let is_framing = matches!(
            name.as_str(),
            "connection" | "content-length" | "transfer-encoding" | "expect" | "te" | "upgrade"
        );
        if !is_ours && !is_framing {
            line(&[name, ": ", value]);
        }
    }
    line(&[PEER_HEADER, ": ", &facts.caller.peer.to_string()]);
    line(&[TICKET_HEADER, ": ", &facts.ticket.to_string()]);
    if facts.caller.is_encrypted {
        line(&[TLS_HEADER, ": 1"]);
    }
    if facts.is_known {
        line(&[KNOWN_HEADER, ": 1"]);
    }
    line(&["content-length: ", &body.len().to_string()]);
    line(&[]);
    wire.extend_from_slice(body);
    wire
}

pub(super) async fn read_answer(stream: &mut UnixStream, streams: &Streams) -> std::io::Result<Answer> {
    const HEADERS_MAX: usize = 64;
    const ANSWER_BYTES_MAX: usize = DIRECT_BYTES_MAX + 16 * 1024;
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut lines);
        let len = match parsed.parse(&buffer).map_err(|_| broken())? {
            httparse::Status::Complete(len) => len,
            httparse::Status::Partial if buffer.len() > ANSWER_BYTES_MAX => return Err(broken()),
            httparse::Status::Partial => continue,
        };
        let status = parsed.code.ok_or_else(broken)?;
        let headers: Vec<(String, String)> = parsed
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
            .collect();
        let number = |name: &str| {
            headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let length = number("content-length").and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let stream_id = number(STREAM_HEADER);
        let mut body = buffer.split_off(len);
        while body.len() < length {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = match stream_id {
            Some(id) => streams.fetch(id).ok_or_else(broken)?,
            None => Body::Bytes(body.freeze()),
        };
        return Ok(Answer { status, headers, body });
    }
}

/// tiny_http reads ASCII only; people type umlauts into addresses.
fn in_ascii(target: &str) -> String {
    if target.is_ascii() {
        return target.to_owned();
    }
    target
        .bytes()
        .map(|byte| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
