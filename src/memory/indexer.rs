//! The background work of the memory: every chunk gets its vector, in batches, whenever something was committed; a new model's
//! vectors replace the old ones when all are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::fill::{self, Counted, Waiting};
use super::generation::{self, Generation, State};
use super::port::{Embed, EmbedFailure, TextUse};
use super::schema;
use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::db::{Db, DbError};

/// Texts that the model gets together, and chunks that are stored together.
const BATCH_LEN: usize = 32;
/// Chunks of an older program that are indexed in one transaction.
const PIECE_LEN: u32 = 500;
/// What is committed close together is embedded together.
const GATHER: Duration = Duration::from_millis(100);
/// What every model takes.
const PLAIN_WORD: &str = "home";
/// First wait after a failure; doubles each time.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// What the indexer does, for people.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
pub struct Progress {
    /// The model whose vectors are being made or complete; empty before the first look.
    pub fingerprint: String,
    #[serde(flatten)]
    pub counted: Counted,
    /// Whether these vectors answer; otherwise the old model's do meanwhile.
    pub is_active: bool,
    /// Chunks per second of the running batch of work; zero at rest.
    pub per_second: f64,
    /// Why it waits, when it does.
    pub failure: Option<String>,
}

impl Progress {
    fn is_for(&self, generation: &Generation) -> bool {
        self.fingerprint == generation.fingerprint
            && self.failure.is_none()
            && self.is_active == (generation.state == State::Active)
    }
}

/// Gives vectors to chunks. One per house.
pub struct Indexer {
    db: Db,
    model: Arc<dyn Embed>,
    progress: watch::Sender<Progress>,
}

impl Indexer {
    pub fn new(db: Db, model: Arc<dyn Embed>) -> Self {
        Self { db, model, progress: watch::Sender::new(Progress::default()) }
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Works until the shutdown. What is not done then is done after the next start.
    pub async fn run(self, shutdown: Shutdown) {
        let mut committed = self.db.committed();
        let mut failures = 0;
        self.repair().await;
        loop {
            committed.mark_unchanged();
            let wait = match self.catch_up(&shutdown).await {
                Ok(()) => {
                    failures = 0;
                    None
                }
                Err(failure) => {
                    failures += 1;
                    self.note_failure(failures, &failure);
                    Some(BACKOFF.saturating_mul(1 << (failures - 1).min(16)).min(BACKOFF_MAX))
                }
            };
            let more = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    // A closed database ends the house anyway.
                    None if committed.changed().await.is_err() => shutdown.triggered().await,
                    None => tokio::time::sleep(GATHER).await,
                }
            };
            tokio::select! {
                () = shutdown.triggered() => return,
                () = more => {}
            }
        }
    }

    /// Does everything there is to do now. Where nothing is, it only reads: a commit of its own would wake it again.
    pub async fn catch_up(&self, shutdown: &Shutdown) -> Result<(), Failure> {
        while self.db.read(schema::has_missing).await? {
            self.db.write(|tx| schema::index_missing(tx, PIECE_LEN)).await?;
        }
        let mut generation = self.settled().await?;
        let started = Instant::now();
        let mut made = 0_usize;
        while !shutdown.is_triggered() {
            let number = generation.number;
            let waiting = self.db.read(move |conn| fill::waiting(conn, number, BATCH_LEN)).await?;
            if waiting.is_empty() {
                break;
            }
            made += waiting.len();
            let vectors = self.embedded(waiting).await?;
            if shutdown.is_triggered() {
                // Another model may be at work by now.
                return Ok(());
            }
            if !self.db.write(move |tx| fill::store(tx, number, vectors)).await? {
                // Somebody asked for another one meanwhile.
                generation = self.settled().await?;
            }
            self.note(&generation, made as f64 / started.elapsed().as_secs_f64().max(1e-3)).await?;
        }
        if generation.state == State::Filling {
            let done = generation.clone();
            self.db.write(move |tx| fill::finish(tx, &done)).await?;
        }
        let is_known = self.progress.borrow().is_for(&generation);
        if made > 0 || !is_known {
            self.note(&generation, 0.0).await?;
        }
        while !shutdown.is_triggered() && self.db.read(generation::has_retired).await? {
            self.db.write(generation::drop_retired).await?;
        }
        Ok(())
    }

    /// Checks what an unclean end or an older program left behind.
    async fn repair(&self) {
        match self.db.write(fill::repair).await {
            Ok(repaired) if repaired.words || repaired.vectors => tracing::warn!("The memory's index was made anew."),
            Ok(_) => {}
            Err(error) => tracing::error!(error = chain(&error), "The memory's index could not be checked."),
        }
    }

    async fn settled(&self) -> Result<Generation, Failure> {
        let (fingerprint, dims) = (self.model.fingerprint(), self.model.dims());
        let wanted = fingerprint.clone();
        if let Some(current) = self.db.read(move |conn| fill::current(conn, &wanted, dims)).await? {
            return Ok(current);
        }
        let begun = self.db.write(move |tx| fill::settle(tx, &fingerprint, dims)).await?;
        begun.ok_or_else(|| unavailable("its dimension cannot be stored"))
    }

    /// The vectors of a batch. When the model refuses the batch, each text is tried alone, so that one bad text costs only itself. A
    /// plain word tells whether it takes anything at all now: what was refused by a machine that does not work is not given up.
    async fn embedded(&self, waiting: Vec<Waiting>) -> Result<Vec<(Waiting, Option<Vec<f32>>)>, Failure> {
        let texts = waiting.iter().map(|chunk| chunk.content.clone()).collect();
        match self.model.embed(texts, TextUse::Passage).await {
            Ok(vectors) if vectors.len() == waiting.len() => {
                return Ok(waiting.into_iter().zip(vectors.into_iter().map(Some)).collect());
            }
            Ok(_) => return Err(unavailable("it gave another number of vectors than it got texts")),
            Err(EmbedFailure::Refused { .. }) => {}
            Err(failure) => return Err(Failure::Model(failure)),
        }
        let mut vectors = Vec::with_capacity(waiting.len());
        for chunk in waiting {
            let vector = match self.model.embed(vec![chunk.content.clone()], TextUse::Passage).await {
                Ok(made) => made.into_iter().next(),
                Err(EmbedFailure::Refused { .. }) => None,
                Err(failure) => return Err(Failure::Model(failure)),
            };
            vectors.push((chunk, vector));
        }
        if vectors.iter().any(|(_, vector)| vector.is_none()) {
            let plain = self.model.embed(vec![PLAIN_WORD.to_owned()], TextUse::Passage).await;
            plain.map_err(|failure| unavailable(&format!("it refuses any text: {}", chain(&failure))))?;
        }
        Ok(vectors)
    }

    async fn note(&self, generation: &Generation, per_second: f64) -> Result<(), DbError> {
        let number = generation.number;
        let now = move |conn: &rusqlite::Connection| Ok((fill::counted(conn, number)?, generation::active(conn)?));
        let (counted, active) = self.db.read(now).await?;
        self.progress.send_replace(Progress {
            fingerprint: generation.fingerprint.clone(),
            counted,
            is_active: active.is_some_and(|active| active.number == number),
            per_second,
            failure: None,
        });
        Ok(())
    }

    fn note_failure(&self, failures: u32, failure: &Failure) {
        let error = chain(failure);
        if failures == 1 {
            tracing::warn!(error, "Memories cannot be indexed by meaning for now.");
        }
        self.progress.send_modify(|progress| {
            progress.per_second = 0.0;
            progress.failure = Some(error);
        });
    }
}

fn unavailable(why: &str) -> Failure {
    Failure::Model(EmbedFailure::Unavailable { why: why.to_owned() })
}

/// Why the indexer stopped for a while.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("could not make vectors")]
    Model(#[source] EmbedFailure),
    #[error("could not read or store memories")]
    Db(#[from] DbError),
}
