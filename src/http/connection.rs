//! One client's connection: whole requests read in time, judged by their heads, answered one after the other.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::base::shutdown::Shutdown;
use crate::http::Method;
use crate::http::backend::BackendError;
use crate::http::door::Door;
use crate::http::exchange::{self, Answer, Aside, Caller};
use crate::http::head::{self, Chunked, Framing, Head, Refusal};
use crate::http::message::{Body, Response};
use crate::http::route::Judged;

/// What a client may still send after a refusal, so that it reads the answer instead of a reset.
const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Further requests taken in while an answer streams.
const AHEAD_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Connection<'a> {
    pub door: &'a Door,
    pub caller: Caller,
    pub id: u64,
}

/// Why a connection ends.
enum End {
    /// The client left, or was too slow to deserve an answer.
    Silent,
    Refused(Refusal),
}

/// Whether another request may follow on the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Close,
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Silent
    }
}

impl Connection<'_> {
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, shutdown: &Shutdown) {
        let mut buffer = BytesMut::with_capacity(2048);
        loop {
            let outcome = match self.next_head(&mut stream, &mut buffer, shutdown).await {
                Ok(head) => self.one_request(&mut stream, &mut buffer, &head).await,
                Err(end) => Err(end),
            };
            self.door.slots.idles(self.id);
            match outcome {
                Ok(Next::Request) if !shutdown.is_triggered() => {}
                Ok(_) => break,
                Err(End::Silent) => return,
                Err(End::Refused(refusal)) => {
                    let _ = self.refuse(&mut stream, refusal).await;
                    break;
                }
            }
        }
        self.linger(&mut stream, buffer).await;
    }

    /// Waits for a whole head. Until it is there the connection idles, however often a byte drips in.
    async fn next_head<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        buffer: &mut BytesMut,
        shutdown: &Shutdown,
    ) -> Result<Head, End> {
        let config = &self.door.config;
        let mut deadline = Instant::now() + config.idle_timeout;
        let mut has_begun = false;
        loop {
            // A line end before a request is left over from some clients (RFC 9112 §2.2).
            while buffer.starts_with(b"\r\n") {
                buffer.advance(2);
            }
            if !buffer.is_empty() && !has_begun {
                has_begun = true;
                deadline = Instant::now() + config.head_timeout;
            }
            if let Some(head) = head::take_head(buffer).map_err(End::Refused)? {
                return if self.door.slots.works(self.id) { Ok(head) } else { Err(End::Silent) };
            }
            let read = tokio::select! {
                read = timeout_at(deadline, stream.read_buf(buffer)) => read,
                () = shutdown.triggered(), if !has_begun => return Err(End::Silent),
            };
            match read {
                Ok(Ok(count)) if count > 0 => {}
                Ok(_) => return Err(End::Silent),
                Err(_) if has_begun => {
                    return Err(End::Refused(Refusal { status: 408, sentence: "the request's head took too long" }));
                }
                Err(_) => return Err(End::Silent),
            }
        }
    }

    /// Serves one request.
    async fn one_request<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        buffer: &mut BytesMut,
        head: &Head,
    ) -> Result<Next, End> {
        let config = &self.door.config;
        if head.wants_upgrade {
            return Err(End::Refused(Refusal { status: 426, sentence: "nothing to upgrade to on this port" }));
        }
        let next = if head.keeps_alive { Next::Request } else { Next::Close };
        // Strangers are turned away before anything of theirs is kept or reaches the parser.
        let judged = match self.door.backend.judge(head, self.caller) {
            Ok(judged) => judged,
            Err(refusal) => return self.turn_away(stream, head, refusal).await,
        };
        if matches!(head.framing, Framing::Length(length) if length > judged.body_bytes_max) {
            return Err(End::Refused(head::TOO_LARGE));
        }
        if head.expects_continue && head.framing != Framing::Length(0) {
            self.write(stream, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let patience = config.body_timeout + patience_for(head.framing);
        let body = timeout(patience, read_body(stream, buffer, head.framing, judged.body_bytes_max))
            .await
            .unwrap_or(Err(End::Refused(Refusal { status: 408, sentence: "the request's body took too long" })))?;
        let answer = match self.answer(stream, buffer, head, (body, judged)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(error = crate::base::error::chain(&error), "A request could not be answered.");
                let (status, sentence) = match error {
                    BackendError::Lost { .. } => (502, "the answer was lost; the request may have been carried out"),
                    BackendError::Busy => (503, "the house is busy; try again in a moment"),
                    _ => (503, "the house cannot answer right now"),
                };
                return Err(End::Refused(Refusal { status, sentence }));
            }
        };
        self.relay(stream, buffer, head, answer).await?;
        Ok(next)
    }

    /// Waits for the answer, and lets the route know when nobody waits with us any more.
    async fn answer<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        buffer: &mut BytesMut,
        head: &Head,
        (body, judged): (Bytes, Judged),
    ) -> Result<Answer, BackendError> {
        let left = Shutdown::default();
        let aside = Aside { body, left: left.clone() };
        let exchange = self.door.backend.exchange(head, aside, self.caller, judged.is_known);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => return answer,
            _ = client_left(stream, buffer) => left.trigger(),
        }
        // What was begun may still have to be finished; and some clients close their half and wait.
        exchange.await
    }

    /// Gives the guard's answer. A body that was not read would be taken for the next request, so it ends the connection.
    async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        head: &Head,
        refusal: Response,
    ) -> Result<Next, End> {
        let has_next = head.keeps_alive && head.framing == Framing::Length(0);
        let head = Head { keeps_alive: has_next, ..head.clone() };
        self.relay(stream, &mut BytesMut::new(), &head, exchange::direct(refusal)).await?;
        Ok(if has_next { Next::Request } else { Next::Close })
    }

    async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        buffer: &mut BytesMut,
        head: &Head,
        answer: Answer,
    ) -> Result<(), End> {
        let mut wire = response_head(&answer, head.keeps_alive);
        let (mut pieces, is_marked) = match answer.body {
            Body::Bytes(body) => {
                wire.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
                if head.method != Method::Head {
                    wire.extend_from_slice(&body);
                }
                return self.write(stream, &wire).await;
            }
            Body::Stream(pieces) => (pieces, false),
            Body::Whole(pieces) => (pieces, true),
        };
        // HTTP/1.0 knows no chunks; there the end of the connection is the end of the body.
        wire.extend_from_slice(if head.is_old { b"\r\n" } else { b"transfer-encoding: chunked\r\n\r\n" });
        self.write(stream, &wire).await?;
        if head.method == Method::Head {
            return Ok(());
        }
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                end = client_left(stream, buffer) => return Err(end),
            };
            match piece {
                Some(piece) if !piece.is_empty() && head.is_old => self.write(stream, &piece).await?,
                Some(piece) if !piece.is_empty() => self.write(stream, &chunk(&piece)).await?,
                Some(_) if !is_marked => {}
                // Half a body must not look whole: the connection is cut.
                None if is_marked => return Err(End::Silent),
                _ if head.is_old => return Ok(()),
                _ => return self.write(stream, b"0\r\n\r\n").await,
            }
        }
    }

    async fn refuse<S: AsyncWrite + Unpin>(&self, stream: &mut S, refusal: Refusal) -> Result<(), End> {
        let body = format!("{{\"error\":\"{}\"}}\n", refusal.sentence);
        let extra = match refusal.status {
            426 => "upgrade: HTTP/1.1\r\n",
            503 => "retry-after: 1\r\n",
            _ => "",
        };
        let wire = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{extra}connection: close\r\n\r\n{body}",
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

    /// Closes so that the client can read what was said: with bytes unread the kernel would reset the connection.
    async fn linger<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut S, mut buffer: BytesMut) {
        let read_rest = async {
            stream.shutdown().await?;
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                buffer.clear();
                buffer.reserve(4096);
                match stream.read_buf(&mut buffer).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Ok::<_, std::io::Error>(())
        };
        let _ = timeout(self.door.config.linger, read_rest).await;
    }
}

/// Returns when the client has left; what it sends meanwhile is kept for later.
async fn client_left<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> End {
    loop {
        if buffer.len() >= AHEAD_BYTES_MAX {
            std::future::pending::<()>().await;
        }
        match stream.read_buf(buffer).await {
            Ok(count) if count > 0 => {}
            _ => return End::Silent,
        }
    }
}

/// A file over a slow radio takes its time: a second for each 128 KiB that it says it has.
fn patience_for(framing: Framing) -> Duration {
    const BYTES_PER_SECOND_MIN: usize = 128 * 1024;
    match framing {
        Framing::Length(length) => Duration::from_secs((length / BYTES_PER_SECOND_MIN) as u64),
        Framing::Chunked => Duration::ZERO,
    }
}

async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    framing: Framing,
    bytes_max: usize,
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
            let mut chunked = Chunked::new(bytes_max);
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
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
