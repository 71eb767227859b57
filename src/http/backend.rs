//! tiny_http behind the door, on a Unix socket. It takes requests apart and hands them to the routes; it is probed and
//! replaced when it has died (its accept thread ends for good at the first error, such as no file descriptor being left).

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::base::limits::BODY_BYTES_MAX;
use crate::http::Method;
use crate::http::head::Head;
use crate::http::message::{Body, Request, Response};

/// Threads that take requests from tiny_http.
const WORKERS: usize = 2;
/// Idle connections kept to it; each costs a thread there.
const POOL_LEN: usize = 64;
/// Larger bodies go around the socket: writing them would block a thread of the runtime.
const DIRECT_BYTES_MAX: usize = 32 * 1024;
/// Streams between a route and the door.
const STREAMS_MAX: usize = 2048;
const PROBE_PATH: &str = "/-/probe";
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const PEER_HEADER: &str = "x-door-peer";
const TLS_HEADER: &str = "x-door-encrypted";
const STREAM_HEADER: &str = "x-door-stream";

/// What answers requests, whatever its state's type.
pub(super) type Desk = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("could not open the socket {}", path.display())]
    Socket { path: PathBuf, source: std::io::Error },
    #[error("could not start the request parser: {reason}")]
    Start { reason: String },
    #[error("could not start a thread")]
    Thread { source: std::io::Error },
    #[error("could not reach the request parser")]
    Exchange { source: std::io::Error },
}

pub(super) struct Backend {
    name: &'static str,
    run_dir: PathBuf,
    desk: Desk,
    runtime: tokio::runtime::Handle,
    current: Mutex<Option<Instance>>,
    generation: AtomicU64,
    streams: Arc<Streams>,
    replacing: tokio::sync::Mutex<()>,
}

/// One life of tiny_http.
struct Instance {
    path: PathBuf,
    server: Arc<tiny_http::Server>,
    pool: Vec<UnixStream>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        (0..WORKERS).for_each(|_| self.server.unblock());
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Streams on their way from a route to the door.
#[derive(Default)]
struct Streams {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, mpsc::Receiver<Bytes>>>,
}

impl Streams {
    fn leave(&self, stream: mpsc::Receiver<Bytes>) -> u64 {
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

    fn fetch(&self, id: u64) -> Option<mpsc::Receiver<Bytes>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

/// An answer as the door relays it.
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// The facts that tiny_http cannot know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub peer: IpAddr,
    pub is_encrypted: bool,
}

impl Backend {
    /// Must be called inside a runtime.
    pub(super) fn start(name: &'static str, run_dir: &Path, desk: Desk) -> Result<Arc<Self>, BackendError> {
        let backend = Self {
            name,
            run_dir: run_dir.to_owned(),
            desk,
            runtime: tokio::runtime::Handle::current(),
            current: Mutex::new(None),
            generation: AtomicU64::new(0),
            streams: Arc::default(),
            replacing: tokio::sync::Mutex::new(()),
        };
        let instance = backend.new_instance()?;
        *backend.lock() = Some(instance);
        Ok(Arc::new(backend))
    }

    fn new_instance(&self) -> Result<Instance, BackendError> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let path = self.run_dir.join(format!("{}-{generation}.sock", self.name));
        let failed = |source| BackendError::Socket { path: path.clone(), source };
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let server = tiny_http::Server::from_listener(listener, None)
            .map_err(|error| BackendError::Start { reason: error.to_string() })?;
        let server = Arc::new(server);
        for _ in 0..WORKERS {
            let worker = Worker {
                server: server.clone(),
                desk: self.desk.clone(),
                runtime: self.runtime.clone(),
                streams: self.streams.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("{}-desk", self.name)).stack_size(256 * 1024);
            thread.spawn(move || worker.run()).map_err(|source| BackendError::Thread { source })?;
        }
        Ok(Instance { path, server, pool: Vec::new() })
    }

    /// Hands a complete request over and waits for its answer.
    pub(super) async fn exchange(&self, head: &Head, body: &[u8], caller: Caller) -> Result<Answer, BackendError> {
        let wire = request_bytes(head, body, caller);
        match self.try_exchange(&wire).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.replace_if_dead().await?;
                // A request that may have been carried out is not handed over twice.
                if head.method.is_safe() { self.try_exchange(&wire).await } else { self.try_exchange_anew(&wire).await }
            }
        }
    }

    async fn try_exchange(&self, wire: &[u8]) -> Result<Answer, BackendError> {
        let (path, pooled) = {
            let mut current = self.lock();
            match current.as_mut() {
                Some(instance) => (instance.path.clone(), instance.pool.pop()),
                None => return Err(BackendError::Exchange { source: std::io::ErrorKind::NotConnected.into() }),
            }
        };
        let failed = |source| BackendError::Exchange { source };
        let mut stream = match pooled {
            Some(stream) => stream,
            None => UnixStream::connect(&path).await.map_err(failed)?,
        };
        stream.write_all(wire).await.map_err(failed)?;
        let answer = read_answer(&mut stream, &self.streams).await.map_err(failed)?;
        let mut current = self.lock();
        if let Some(instance) = current.as_mut()
            && instance.path == path
            && instance.pool.len() < POOL_LEN
        {
            instance.pool.push(stream);
        }
        Ok(answer)
    }

    /// For a request with an effect: only a connection that was never used tells for sure that it was not carried out.
    async fn try_exchange_anew(&self, wire: &[u8]) -> Result<Answer, BackendError> {
        let failed = |source| BackendError::Exchange { source };
        let path = self.lock().as_ref().map(|instance| instance.path.clone());
        let path = path.ok_or_else(|| failed(std::io::ErrorKind::NotConnected.into()))?;
        let mut stream = UnixStream::connect(&path).await.map_err(failed)?;
        stream.write_all(wire).await.map_err(failed)?;
        read_answer(&mut stream, &self.streams).await.map_err(failed)
    }

    /// Whether tiny_http still takes connections and its workers answer.
    pub(super) async fn is_alive(&self) -> bool {
        let Some(path) = self.lock().as_ref().map(|instance| instance.path.clone()) else { return false };
        let probe = async {
            let mut stream = UnixStream::connect(&path).await?;
            let request = format!("GET {PROBE_PATH} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            read_answer(&mut stream, &self.streams).await
        };
        matches!(tokio::time::timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(answer)) if answer.status == 204)
    }

    /// Starts a new tiny_http when the present one has died.
    pub(super) async fn replace_if_dead(&self) -> Result<(), BackendError> {
        let _one_at_a_time = self.replacing.lock().await;
        if self.is_alive().await {
            return Ok(());
        }
        tracing::warn!("The request parser had died; a new one takes over.");
        let instance = self.new_instance()?;
        *self.lock() = Some(instance);
        Ok(())
    }

    /// Ends tiny_http; for shutdown, and for tests of the replacement.
    pub(super) fn stop(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instance>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request_bytes(head: &Head, body: &[u8], caller: Caller) -> Vec<u8> {
    let mut wire = Vec::with_capacity(512 + body.len());
    let mut line = |text: &[&str]| {
        text.iter().for_each(|part| wire.extend_from_slice(part.as_bytes()));
        wire.extend_from_slice(b"\r\n");
    };
    // The door leaves the body of an answer to HEAD out itself.
    let method = if head.method == Method::Head { Method::Get } else { head.method };
    line(&[method.as_str(), " ", &head.target, " HTTP/1.1"]);
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
    line(&[PEER_HEADER, ": ", &caller.peer.to_string()]);
    if caller.is_encrypted {
        line(&[TLS_HEADER, ": 1"]);
    }
    line(&["content-length: ", &body.len().to_string()]);
    line(&[]);
    wire.extend_from_slice(body);
    wire
}

async fn read_answer(stream: &mut UnixStream, streams: &Streams) -> std::io::Result<Answer> {
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
            Some(id) => Body::Stream(streams.fetch(id).ok_or_else(broken)?),
            None => Body::Bytes(body.freeze()),
        };
        return Ok(Answer { status, headers, body });
    }
}

/// A thread that takes requests from tiny_http and lets the runtime answer them.
struct Worker {
    server: Arc<tiny_http::Server>,
    desk: Desk,
    runtime: tokio::runtime::Handle,
    streams: Arc<Streams>,
}

impl Worker {
    fn run(self) {
        // An error is how the end is told.
        while let Ok(mut request) = self.server.recv() {
            if request.url() == PROBE_PATH {
                let _ = request.respond(tiny_http::Response::empty(204));
                continue;
            }
            let Some(read) = read_request(&mut request) else {
                let _ = request.respond(tiny_http::Response::empty(400));
                continue;
            };
            let (desk, streams) = (self.desk.clone(), self.streams.clone());
            self.runtime.spawn(async move {
                let response = desk(read).await;
                answer(request, response, &streams);
            });
        }
    }
}

fn read_request(request: &mut tiny_http::Request) -> Option<Request> {
    let method = Method::parse(request.method().as_str())?;
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|header| (header.field.as_str().as_str().to_ascii_lowercase(), header.value.as_str().to_owned()))
        .collect();
    let (path, query) = Head::path_and_query(request.url());
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let peer = find(PEER_HEADER)?.parse().ok()?;
    let is_encrypted = find(TLS_HEADER).is_some();
    let mut body = Vec::with_capacity(request.body_length().unwrap_or(0).min(BODY_BYTES_MAX));
    std::io::Read::read_to_end(&mut std::io::Read::take(request.as_reader(), BODY_BYTES_MAX as u64), &mut body).ok()?;
    Some(Request {
        method,
        path,
        query,
        headers,
        body: body.into(),
        peer,
        params: Vec::new(),
        is_authenticated: false,
        is_encrypted,
    })
}

fn answer(request: tiny_http::Request, response: Response, streams: &Streams) {
    let mut headers = response.headers;
    let body = match response.body {
        Body::Bytes(body) if body.len() <= DIRECT_BYTES_MAX => body,
        Body::Bytes(body) => {
            headers.push((STREAM_HEADER, streams.leave(pieces(body)).to_string()));
            Bytes::new()
        }
        Body::Stream(stream) => {
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
