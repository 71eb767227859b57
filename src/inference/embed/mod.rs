//! Texts to vectors: what is close in meaning is close in space.
//!
//! [`Embedder`] is a handle; clones share one model on one thread. The model is loaded when somebody first asks and given back
//! after [`Config::idle`]. Callers that ask while the thread is busy are computed together; one alone never waits for others.
//! Vectors have length one, so that a dot product is a cosine. A text that does not fit in one window is split into up to
//! [`Config::windows_max`] windows, whose vectors are averaged by their tokens; what lies behind is ignored.
//!
//! With an int8 model a text's vector depends a little on its neighbors in a run (cosine above 0.99), because activations are
//! quantized together; full precision does not have this.
//!
//! Who may do what: the thread alone touches the model ([`engine`]). `load` chooses ONNX Runtime (`session`) or candle (`bert`).
//! Absent on purpose: where models come from, what is stored, chunking of documents.

mod bert;
mod description;
mod engine;
mod error;
mod load;
mod network;
mod plan;
mod pool;
mod queue;
mod session;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod weights;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::lane::{Lane, LaneError};
use crate::inference::device::Device;

pub use description::{Description, Hints};
pub use error::{EmbedError, LoadError, RunError};
pub use pool::Pooling;
pub use queue::Embedded;
pub use status::{Facts, State, Status};

use engine::Engine;
use queue::{Answer, Queue};
use status::Board;

/// Texts of one call.
pub const TEXTS_MAX: usize = 4_096;
/// Texts that are computed before others get their turn.
const TEXTS_PER_TURN: usize = 32;
/// Jobs waiting for the thread: every waiting request has one, and some are for rest.
const QUEUE_LEN: usize = 512;
/// Threads that are worth their memory and heat for sentences.
const THREADS_MAX: usize = 4;
/// Shortest wait between two looks whether the model is idle.
const REST_CHECK_MIN: Duration = Duration::from_millis(50);
/// After so long without a request, what the last ones needed is given back to the system; the model stays.
const QUIET: Duration = Duration::from_secs(2);
/// Longest wait between two looks at a loaded model: who used it meanwhile left something behind.
const LOOK: Duration = Duration::from_secs(60);

/// What a text is for: some models were trained to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextUse {
    /// Words to search with; goes before passages.
    Query,
    /// Words to be found.
    Passage,
}

/// Which programs may compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engines {
    /// ONNX Runtime if it and its file are here, else candle if its file is.
    #[default]
    Any,
    Onnx,
    Candle,
}

/// One field for each choice a person or the assembly has.
#[derive(Debug, Clone)]
pub struct Config {
    /// The model's name in the model store; for messages.
    pub id: String,
    /// `tokenizer.json`, `config.json` and the weights lie here.
    pub folder: PathBuf,
    /// The weights in `folder`; without, files of usual names.
    pub file: Option<String>,
    /// What is known about the model beside its folder; goes before what stands there.
    pub hints: Hints,
    /// Where ONNX Runtime may be, files or folders, best first; see [`crate::inference::onnx::places`].
    pub libraries: Vec<PathBuf>,
    pub engines: Engines,
    /// What computes, where the library can use it; the processor otherwise.
    pub device: Device,
    /// TensorRT on the GPU, which compiles for minutes at its first start, and keeps what came of it.
    pub tensor_rt: bool,
    /// Threads of one run; without, all cores up to four.
    pub threads: Option<usize>,
    /// Windows of one text; 1 cuts long texts off.
    pub windows_max: usize,
    /// The model is unloaded when nobody asked for so long; zero keeps it.
    pub idle: Duration,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: String::new(),
            folder: PathBuf::new(),
            file: None,
            hints: Hints::default(),
            libraries: Vec::new(),
            engines: Engines::Any,
            device: Device::Auto,
            tensor_rt: false,
            threads: None,
            windows_max: 4,
            idle: Duration::from_secs(15 * 60),
            clock: Clock::System,
        }
    }
}

impl Config {
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(|| cores().min(THREADS_MAX)).max(1)
    }

    fn description(&self) -> Result<Description, LoadError> {
        Description::read(&self.folder, &self.hints)
    }
}

impl Description {
    fn prefix(&self, use_: TextUse) -> &str {
        match use_ {
            TextUse::Query => &self.query_prefix,
            TextUse::Passage => &self.passage_prefix,
        }
    }
}

/// Handle to an embedding model; clones share it.
#[derive(Clone)]
pub struct Embedder {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    queue: Arc<Queue>,
    board: Arc<Board>,
    /// Started by the first request.
    lane: Mutex<Option<Lane<Engine>>>,
    is_watched: AtomicBool,
}

impl Embedder {
    /// Costs nothing: nothing is opened before the first request.
    pub fn new(config: Config) -> Self {
        let board = Arc::new(Board::new(config.id.clone()));
        let shared =
            Shared { config, queue: Arc::default(), board, lane: Mutex::new(None), is_watched: AtomicBool::new(false) };
        Self { shared: Arc::new(shared) }
    }

    /// One vector of length one and of [`Embedder::dims`] numbers for each text, in their order.
    ///
    /// Errors: [`EmbedError::Unavailable`] when the library or the model is not installed; [`EmbedError::Load`] when it is and
    /// does not work; [`EmbedError::TooMany`] beyond [`TEXTS_MAX`]; [`EmbedError::Busy`] when too many callers wait.
    pub async fn embed(&self, texts: Vec<String>, use_: TextUse) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed_counted(texts, use_).await.map(|embedded| embedded.vectors)
    }

    /// As [`Embedder::embed`], with the number of tokens.
    pub async fn embed_counted(&self, texts: Vec<String>, use_: TextUse) -> Result<Embedded, EmbedError> {
        if texts.len() > TEXTS_MAX {
            return Err(EmbedError::TooMany { texts: texts.len(), texts_max: TEXTS_MAX });
        }
        let mut all = Embedded { vectors: Vec::with_capacity(texts.len()), tokens: 0 };
        let mut texts = texts.into_iter();
        loop {
            let turn: Vec<String> = texts.by_ref().take(TEXTS_PER_TURN).collect();
            if turn.is_empty() {
                return Ok(all);
            }
            let turn = self.turn(turn, use_).await?;
            all.vectors.extend(turn.vectors);
            all.tokens += turn.tokens;
        }
    }

    /// Loads the model now instead of at the first request.
    pub async fn warm(&self) -> Result<(), EmbedError> {
        self.on_lane(Engine::warm).await?
    }

    /// Gives the model's memory back now; the next request loads it again.
    pub async fn unload(&self) -> Result<(), EmbedError> {
        self.on_lane(Engine::unload).await
    }

    /// Unloads the model if it is idle, and gives back what runs needed when it is quiet. Done by itself while the runtime of the
    /// first request lives; public for who wants to decide when to look.
    pub async fn rest(&self) -> Result<(), EmbedError> {
        match self.shared.idle_left() {
            Some(left) if left.is_zero() => self.unload().await,
            _ if self.shared.board.is_quiet(self.shared.config.clock.now(), QUIET) => self.on_lane(Engine::trim).await,
            _ => Ok(()),
        }
    }

    /// Width of the vectors, from the model's description; nothing is loaded for it.
    pub fn dims(&self) -> Result<usize, EmbedError> {
        self.describe().map(|description| description.dims())
    }

    /// The name of the vector space: vectors of one fingerprint may be compared, others not. Nothing is loaded for it.
    pub fn fingerprint(&self) -> Result<String, EmbedError> {
        let config = &self.shared.config;
        let description = self.describe()?;
        let weights = load::weights_file(config).ok_or_else(|| load::missing_model(config))?;
        description.fingerprint(&weights).map_err(|source| self.broken(source))
    }

    pub fn status(&self) -> Status {
        self.shared.board.status()
    }

    /// Whether a request would find a library and a model, as far as one can tell without loading.
    pub fn check(&self) -> Result<(), EmbedError> {
        load::choose(&self.shared.config).map(|_| ())
    }

    fn describe(&self) -> Result<Description, EmbedError> {
        let config = &self.shared.config;
        load::weights_file(config).ok_or_else(|| load::missing_model(config))?;
        config.description().map_err(|source| self.broken(source))
    }

    fn broken(&self, source: LoadError) -> EmbedError {
        EmbedError::Load { id: self.shared.config.id.clone(), source: Arc::new(source) }
    }

    async fn turn(&self, texts: Vec<String>, use_: TextUse) -> Answer {
        let mut answer = self.shared.queue.push(texts, use_)?;
        // Each look at the queue serves at least one request that waits, maybe not this one's at first.
        loop {
            let queue = self.shared.queue.clone();
            self.on_lane(move |engine| engine.serve(&queue)).await?;
            self.shared.watch();
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {}
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => {
                    return Err(lane_error(LaneError::Panicked { name: LANE }));
                }
            }
        }
    }

    async fn on_lane<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> Result<R, EmbedError> {
        let lane = self.shared.lane().map_err(lane_error)?;
        lane.call(job).await.map_err(lane_error)
    }
}

/// The thread's name.
const LANE: &str = "embed";

fn lane_error(source: LaneError) -> EmbedError {
    match source {
        LaneError::Full { queue_len, .. } => EmbedError::Busy { waiting: queue_len },
        other => EmbedError::Lane { source: Arc::new(other) },
    }
}

impl Shared {
    fn lane(&self) -> Result<Lane<Engine>, LaneError> {
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lane.as_ref() {
            return Ok(lane.clone());
        }
        let started = Lane::start(LANE, QUEUE_LEN, Engine::new(self.config.clone(), self.board.clone()))?;
        Ok(lane.insert(started).clone())
    }

    /// How long the loaded model may still be unused; `None` when none is loaded.
    fn idle_left(&self) -> Option<Duration> {
        let used_at = self.board.used_at()?;
        let unused = self.config.clock.now().since(used_at);
        Some(if self.config.idle.is_zero() { Duration::MAX } else { self.config.idle.saturating_sub(unused) })
    }

    /// When there is something to do for a loaded model; `None` when not before it is used again.
    fn next_look(&self) -> Option<Duration> {
        let left = self.idle_left()?;
        match (self.board.is_trimmed(), self.config.idle.is_zero()) {
            (true, true) => None,
            (true, false) => Some(left.clamp(REST_CHECK_MIN, LOOK)),
            (false, _) => Some(left.clamp(REST_CHECK_MIN, QUIET)),
        }
    }

    /// Starts the task that looks after a loaded model, unless there is one.
    fn watch(self: &Arc<Self>) {
        if self.is_watched.swap(true, Ordering::SeqCst) {
            return;
        }
        tokio::spawn(look_after(Arc::downgrade(self)));
    }
}

/// Ends when there is nothing left to look after, or the last handle is gone.
async fn look_after(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let Some(wait) = strong.next_look() else {
            strong.is_watched.store(false, Ordering::SeqCst);
            // Somebody may have used it just now and have seen that it was still watched.
            if strong.next_look().is_none() || strong.is_watched.swap(true, Ordering::SeqCst) {
                return;
            }
            continue;
        };
        drop(strong);
        tokio::time::sleep(wait).await;
        let Some(shared) = shared.upgrade() else { return };
        if let Err(error) = (Embedder { shared }).rest().await {
            tracing::warn!(error = %error, "The embedding model was not put to rest.");
        }
    }
}
