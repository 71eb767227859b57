//! What the embedder's thread owns: the loaded model, when there is one, and how requests become vectors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::Config;
use super::description::Description;
use super::error::{EmbedError, LoadError, RunError};
use super::network::{Batch, Network};
use super::plan::runs;
use super::pool::Blend;
use super::queue::{Answer, Queue, Request};
use super::status::{Board, Facts};
use super::tokens::{Splitter, Window};
use super::{TextUse, load};
use crate::base::clock::Timestamp;

/// A failed load is not tried again for so long; the reason is repeated instead.
const RETRY_AFTER_MS: u64 = 5_000;

pub(super) struct Engine {
    config: Config,
    board: Arc<Board>,
    loaded: Option<Loaded>,
    failed: Option<(Timestamp, EmbedError)>,
}

struct Loaded {
    description: Description,
    splitter: Splitter,
    network: Network,
}

impl Engine {
    pub(super) fn new(config: Config, board: Arc<Board>) -> Self {
        Self { config, board, loaded: None, failed: None }
    }

    /// Answers what waits in `queue`, as far as it is computed together.
    pub(super) fn serve(&mut self, queue: &Queue) {
        let requests = queue.take();
        if requests.is_empty() {
            return;
        }
        let result = self.embed(&requests);
        self.board.used(self.config.clock.now());
        match result {
            Ok(vectors) => {
                let mut vectors = vectors.into_iter();
                for request in requests {
                    let own = vectors.by_ref().take(request.texts.len()).collect();
                    // Nobody listens when the caller has left meanwhile.
                    let _ = request.answer.send(Ok(own));
                }
            }
            Err(error) => requests.into_iter().for_each(|request| {
                let _ = request.answer.send(Err(error.clone()));
            }),
        }
    }

    /// Gives the model's memory back; it is loaded again when somebody asks.
    pub(super) fn unload(&mut self) {
        if self.loaded.take().is_some() {
            self.board.unloaded();
            super::heap::trim();
            tracing::info!("The embedding model was unloaded.");
        }
    }

    /// Loads the model when it is not loaded.
    pub(super) fn warm(&mut self) -> Result<(), EmbedError> {
        self.loaded().map(|_| ())
    }

    /// The vectors of all texts of all requests, in order.
    fn embed(&mut self, requests: &[Request]) -> Answer {
        let id = self.config.id.clone();
        let loaded = self.loaded()?;
        let started = Instant::now();
        let outcome = loaded.embed(requests).map_err(|source| EmbedError::Run { id, source: Arc::new(source) });
        if let Ok((vectors, tokens)) = &outcome {
            self.board.computed(vectors.len(), *tokens, started.elapsed());
        }
        outcome.map(|(vectors, _)| vectors)
    }

    fn loaded(&mut self) -> Result<&mut Loaded, EmbedError> {
        if self.loaded.is_none() {
            self.refuse_what_just_failed()?;
            let outcome = self.load();
            self.failed = outcome.as_ref().err().map(|error| (self.config.clock.now(), error.clone()));
            if let Err(error) = &outcome {
                self.board.failed(error);
            }
            self.loaded = Some(outcome?);
        }
        Ok(self.loaded.as_mut().expect("invariant: just loaded"))
    }

    fn refuse_what_just_failed(&self) -> Result<(), EmbedError> {
        match &self.failed {
            // What was missing may have been installed since, and looking costs nothing.
            Some((at, error)) if !error.is_unavailable() => {
                let waited = self.config.clock.now().since(*at).as_millis() as u64;
                if waited < RETRY_AFTER_MS { Err(error.clone()) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn load(&self) -> Result<Loaded, EmbedError> {
        let started = Instant::now();
        let id = self.config.id.clone();
        let broken = |source| EmbedError::Load { id, source: Arc::new(source) };
        let choice = load::choose(&self.config)?;
        // Model files are the world's input, and not every reader of them refuses by itself.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.load_chosen(&choice)));
        let (loaded, provider) = outcome.unwrap_or(Err(LoadError::Panicked)).map_err(broken)?;
        super::heap::trim();
        let elapsed = started.elapsed();
        self.board.loaded(Facts {
            engine: choice.name(),
            provider,
            library: choice.library(),
            dims: loaded.description.dims(),
            threads: self.config.threads(),
            load_ms: elapsed.as_millis() as u64,
        });
        tracing::info!(elapsed_ms = elapsed.as_millis() as u64, "The embedding model was loaded.");
        Ok(loaded)
    }

    fn load_chosen(&self, choice: &load::Choice) -> Result<(Loaded, &'static str), LoadError> {
        let folder = &self.config.folder;
        let description = self.config.description()?;
        let splitter = Splitter::load(folder, &description, self.config.windows_max)?;
        let (network, provider) = choice.open(&self.config, &description)?;
        let mut loaded = Loaded { description, splitter, network };
        // The first run allocates and prepares; it also shows at once whether the network answers as it should.
        loaded.vectors([(TextUse::Query, "warm")].into_iter()).map_err(|source| LoadError::FirstRun { source })?;
        Ok((loaded, provider))
    }
}

impl Loaded {
    /// The vectors of all texts in order, and how many tokens they had.
    fn embed(&mut self, requests: &[Request]) -> Result<(Vec<Vec<f32>>, usize), RunError> {
        self.vectors(requests.iter().flat_map(|request| request.texts.iter().map(|text| (request.use_, text.as_str()))))
    }

    fn vectors<'a>(
        &mut self,
        texts: impl Iterator<Item = (TextUse, &'a str)>,
    ) -> Result<(Vec<Vec<f32>>, usize), RunError> {
        let mut windows: Vec<Window> = Vec::new();
        let mut count = 0;
        for (text, (use_, content)) in texts.enumerate() {
            windows.extend(self.splitter.windows(text, self.description.prefix(use_), content)?);
            count += 1;
        }
        let lengths: Vec<usize> = windows.iter().map(|window| window.ids.len()).collect();
        let mut blends: Vec<Blend> = (0..count).map(|_| Blend::default()).collect();
        for run in runs(&lengths) {
            let rows: Vec<&[u32]> = run.iter().map(|row| windows[*row].ids.as_slice()).collect();
            let batch = Batch::new(&rows, self.description.shape.pad_token_id);
            let pooled = self.network.run(&batch, self.description.pooling)?;
            for (row, vector) in run.into_iter().zip(pooled) {
                if !blends[windows[row].text].add(vector, lengths[row]) {
                    return Err(RunError::NoDirection);
                }
            }
        }
        let finished = blends.into_iter().map(|blend| blend.finish().ok_or(RunError::NoDirection));
        Ok((finished.collect::<Result<_, _>>()?, lengths.iter().sum()))
    }
}
