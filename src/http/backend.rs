//! tiny_http behind the door, on a Unix socket. It takes requests apart and hands them to the routes; it is probed and
//! replaced when it has died (its accept thread ends for good at the first error, such as no file descriptor being left).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::base::shutdown::Shutdown;
use crate::http::Config;
use crate::http::exchange::{
    Answer, Aside, Caller, DIRECT_BYTES_MAX, Facts, Streams, Tickets, read_answer, request_bytes,
};
use crate::http::head::Head;
use crate::http::message::{Request, Response};
use crate::http::route::{Desk, Judged};
use crate::http::worker::{PROBE_PATH, Worker};

/// Threads that take requests from tiny_http.
const WORKERS: usize = 2;
/// Idle connections kept to it; each costs a thread there.
const POOL_LEN: usize = 64;
/// Idle connections are closed after this, so that a burst does not cost memory for ever.
const POOL_IDLE_MAX: Duration = Duration::from_secs(10);
/// How long a request waits for its turn when too many are under way.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that a request is sent over at most.
const ATTEMPTS: u32 = 6;
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

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
    #[error("the answer to a request was lost")]
    Lost { source: Box<BackendError> },
    #[error("too many requests are under way")]
    Busy,
}

pub(super) struct Backend {
    name: &'static str,
    run_dir: PathBuf,
    take_timeout: Duration,
    desk: Arc<dyn Desk>,
    runtime: tokio::runtime::Handle,
    current: Mutex<Option<Instance>>,
    generation: AtomicU64,
    streams: Arc<Streams>,
    tickets: Arc<Tickets>,
    /// Requests inside tiny_http; each costs a thread and three file descriptors there.
    turns: Semaphore,
    replacing: tokio::sync::Mutex<()>,
}

/// One life of tiny_http.
struct Instance {
    path: PathBuf,
    server: Arc<tiny_http::Server>,
    pool: Vec<(UnixStream, Instant)>,
    #[cfg(test)]
    listener: std::os::unix::net::UnixListener,
}

impl Drop for Instance {
    fn drop(&mut self) {
        (0..WORKERS).for_each(|_| self.server.unblock());
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Backend {
    /// Must be called inside a runtime.
    pub(super) fn start(config: &Config, desk: Arc<dyn Desk>) -> Result<Arc<Self>, BackendError> {
        let backend = Self {
            name: config.name,
            run_dir: config.run_dir.clone(),
            take_timeout: config.take_timeout,
            desk,
            runtime: tokio::runtime::Handle::current(),
            current: Mutex::new(None),
            generation: AtomicU64::new(0),
            streams: Arc::default(),
            tickets: Arc::default(),
            turns: Semaphore::new(exchanges_max()),
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
        #[cfg(test)]
        let twin = listener.try_clone().map_err(failed)?;
        let server = tiny_http::Server::from_listener(listener, None)
            .map_err(|error| BackendError::Start { reason: error.to_string() })?;
        let server = Arc::new(server);
        for _ in 0..WORKERS {
            let worker = Worker {
                server: server.clone(),
                desk: self.desk.clone(),
                runtime: self.runtime.clone(),
                streams: self.streams.clone(),
                tickets: self.tickets.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("{}-desk", self.name)).stack_size(256 * 1024);
            thread.spawn(move || worker.run()).map_err(|source| BackendError::Thread { source })?;
        }
        Ok(Instance {
            path,
            server,
            pool: Vec::new(),
            #[cfg(test)]
            listener: twin,
        })
    }

    /// Decides on the head alone; what may come in, or the answer that turns it away.
    pub(super) fn judge(&self, head: &Head, caller: Caller) -> Result<Judged, Response> {
        let (path, query) = Head::path_and_query(&head.target);
        self.desk.judge(&Request {
            method: head.method,
            path,
            query,
            headers: head.headers.clone(),
            body: bytes::Bytes::new(),
            peer: caller.peer,
            params: Vec::new(),
            is_authenticated: false,
            is_encrypted: caller.is_encrypted,
            left: Shutdown::default(),
        })
    }

    /// Hands a complete request over and waits for its answer. It is tried twice only when nobody has taken it yet.
    pub(super) async fn exchange(
        &self,
        head: &Head,
        aside: Aside,
        caller: Caller,
        is_known: bool,
    ) -> Result<Answer, BackendError> {
        let turn = timeout(BUSY_TIMEOUT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(BackendError::Busy) };
        let mut error = BackendError::Busy;
        // A large body would keep tiny_http from handing the request out for as long as it is copied.
        let (body, aside) = match aside {
            Aside { body, left } if body.len() <= DIRECT_BYTES_MAX => (body, Aside { body: bytes::Bytes::new(), left }),
            large => (bytes::Bytes::new(), large),
        };
        for attempt in 0..ATTEMPTS {
            let ticket = self.tickets.issue(aside.clone());
            let wire = request_bytes(head, &body, &Facts { caller, is_known, ticket: ticket.id });
            let trying = self.try_exchange(&wire, attempt == 0);
            let mut trying = std::pin::pin!(trying);
            let tried = match timeout(self.take_timeout * (1 << attempt), &mut trying).await {
                Ok(tried) => Some(tried),
                // tiny_http counts a thread as free that another connection has just been given; this one would then wait
                // until some connection ends.
                Err(_) if self.tickets.take(ticket.id).is_some() => None,
                Err(_) => Some(trying.await),
            };
            match tried {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(failure)) if self.tickets.take(ticket.id).is_none() => {
                    return Err(BackendError::Lost { source: Box::new(failure) });
                }
                Some(Err(failure)) => error = failure,
                None => error = BackendError::Busy,
            }
            if may_be_dead(&error) || attempt + 2 >= ATTEMPTS {
                self.replace_if_dead().await?;
            }
        }
        Err(error)
    }

    async fn try_exchange(&self, wire: &[u8], is_reuse_fine: bool) -> Result<Answer, BackendError> {
        let failed = |source| BackendError::Exchange { source };
        let (path, pooled) = {
            let mut current = self.lock();
            let instance = current.as_mut().ok_or_else(|| failed(std::io::ErrorKind::NotConnected.into()))?;
            (instance.path.clone(), if is_reuse_fine { instance.pool.pop() } else { None })
        };
        let mut stream = match pooled {
            Some((stream, _)) => stream,
            None => UnixStream::connect(&path).await.map_err(failed)?,
        };
        stream.write_all(wire).await.map_err(failed)?;
        let answer = read_answer(&mut stream, &self.streams).await.map_err(failed)?;
        let mut current = self.lock();
        if let Some(instance) = current.as_mut()
            && instance.path == path
            && instance.pool.len() < POOL_LEN
        {
            instance.pool.push((stream, Instant::now()));
        }
        Ok(answer)
    }

    /// Closes connections that nobody used lately.
    pub(super) fn sweep(&self) {
        if let Some(instance) = self.lock().as_mut() {
            instance.pool.retain(|(_, since)| since.elapsed() < POOL_IDLE_MAX);
        }
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

    /// As if nobody had come for a while.
    #[cfg(test)]
    pub(super) fn forget_idle(&self) {
        if let Some(instance) = self.lock().as_mut() {
            instance.pool.clear();
        }
    }

    /// Makes tiny_http's next accept fail, which ends its thread.
    #[cfg(test)]
    pub(super) fn break_accepting(&self) {
        if let Some(instance) = self.lock().as_mut() {
            instance.pool.clear();
            rustix::net::shutdown(&instance.listener, rustix::net::Shutdown::Both).expect("a listener");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instance>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether tiny_http may be dead, not only slow.
fn may_be_dead(error: &BackendError) -> bool {
    matches!(error, BackendError::Exchange { .. })
}

/// How many requests may be inside tiny_http, so that both doors together leave file descriptors for everything else.
pub(super) fn exchanges_max() -> usize {
    (files_max() / 16).clamp(16, 256)
}

/// How many connections one of the two doors may hold, whatever was wished for.
pub(super) fn connections_possible(wanted: usize) -> usize {
    /// For the database, MQTT, models and logs.
    const RESERVED: usize = 128;
    let free = files_max().saturating_sub(RESERVED + 2 * 3 * exchanges_max());
    wanted.min((free / 2).max(16))
}

fn files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX / 16)
}
