//! Threads that take requests out of tiny_http; tasks of the runtime answer them, so that no thread waits for a route.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::base::shutdown::Shutdown;
use crate::http::Method;
use crate::http::exchange::{
    Aside, DIRECT_BYTES_MAX, KNOWN_HEADER, PEER_HEADER, STREAM_HEADER, Streams, TICKET_HEADER, TLS_HEADER, Tickets,
};
use crate::http::head::Head;
use crate::http::message::{Body, Request, Response, error};
use crate::http::route::Desk;

/// Asked by the supervision and by nobody else.
pub(super) const PROBE_PATH: &str = "/-/probe";

/// A thread that takes requests from tiny_http and lets the runtime answer them.
pub(super) struct Worker {
    pub server: Arc<tiny_http::Server>,
    pub desk: Arc<dyn Desk>,
    pub runtime: tokio::runtime::Handle,
    pub streams: Arc<Streams>,
    pub tickets: Arc<Tickets>,
}

impl Worker {
    pub(super) fn run(self) {
        // An error is how the end is told.
        while let Ok(mut request) = self.server.recv() {
            if request.url() == PROBE_PATH {
                let _ = request.respond(tiny_http::Response::empty(204));
                continue;
            }
            let Some((mut read, ticket)) = read_request(&mut request) else {
                let _ = request.respond(tiny_http::Response::empty(400));
                continue;
            };
            let Some(Aside { body, left }) = self.tickets.take(ticket) else {
                // The door gave it up, or it does not come from the door.
                let _ = request.respond(tiny_http::Response::empty(403));
                continue;
            };
            read.left = left;
            if !body.is_empty() {
                read.body = body;
            }
            let (desk, streams) = (self.desk.clone(), self.streams.clone());
            self.runtime.spawn(async move {
                let response = match AssertUnwindSafe(desk.run(read)).catch_unwind().await {
                    Ok(response) => response,
                    // The panic itself is in the log already.
                    Err(_panic) => error(500, "the house made a mistake with this request", Some("the log says more")),
                };
                answer(request, response, &streams);
            });
        }
    }
}

fn read_request(request: &mut tiny_http::Request) -> Option<(Request, u64)> {
    let method = Method::parse(request.method().as_str())?;
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|header| (header.field.as_str().as_str().to_ascii_lowercase(), header.value.as_str().to_owned()))
        .collect();
    let (path, query) = Head::path_and_query(request.url());
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let peer = find(PEER_HEADER)?.parse().ok()?;
    let ticket = find(TICKET_HEADER)?.parse().ok()?;
    let (is_encrypted, is_authenticated) = (find(TLS_HEADER).is_some(), find(KNOWN_HEADER).is_some());
    // Larger ones come aside.
    let mut body = Vec::with_capacity(request.body_length().unwrap_or(0).min(DIRECT_BYTES_MAX));
    std::io::Read::read_to_end(&mut std::io::Read::take(request.as_reader(), DIRECT_BYTES_MAX as u64), &mut body)
        .ok()?;
    let request = Request {
        method,
        path,
        query,
        headers,
        body: body.into(),
        peer,
        params: Vec::new(),
        is_authenticated,
        is_encrypted,
        left: Shutdown::default(),
    };
    Some((request, ticket))
}

fn answer(request: tiny_http::Request, response: Response, streams: &Streams) {
    let mut headers = response.headers;
    let body = match response.body {
        Body::Bytes(body) if body.len() <= DIRECT_BYTES_MAX => body,
        Body::Bytes(body) => {
            headers.push((STREAM_HEADER, streams.leave(Body::Stream(pieces(body))).to_string()));
            Bytes::new()
        }
        stream => {
            headers.push((STREAM_HEADER, streams.leave(stream).to_string()));
            Bytes::new()
        }
    };
    let len = body.len();
    let headers = headers
        .iter()
        .filter_map(|(name, value)| tiny_http::Header::from_bytes(name.as_bytes(), value.as_bytes()).ok());
    let built = tiny_http::Response::new(
        tiny_http::StatusCode(response.status),
        headers.collect(),
        std::io::Cursor::new(body),
        Some(len),
        None,
    );
    // The door has left only when the whole house goes down.
    let _ = request.respond(built.with_chunked_threshold(usize::MAX));
}

/// A large body in pieces, all of them waiting at once: the memory is there already.
fn pieces(mut body: Bytes) -> mpsc::Receiver<Bytes> {
    const PIECE_BYTES: usize = 64 * 1024;
    let count = body.len().div_ceil(PIECE_BYTES);
    let (sender, receiver) = mpsc::channel(count.max(1));
    while !body.is_empty() {
        let piece = body.split_to(body.len().min(PIECE_BYTES));
        // The channel has room for all of them.
        let _ = sender.try_send(piece);
    }
    receiver
}
