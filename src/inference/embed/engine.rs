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
use super::queue::{Embedded, Queue, Request};
use super::status::{Board, Facts};
use super::tokens::{Splitter, Window};
use super::{TextUse, load};
use crate::base::clock::Timestamp;
use crate::base::error::chain;
use crate::base::trim;

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
            Ok(texts) => {
                let mut texts = texts.into_iter();
                for request in requests {
                    let own = texts.by_ref().take(request.texts.len());
                    // Nobody listens when the caller has left meanwhile.
                    let _ = request.answer.send(Ok(own.collect()));
                }
            }
            Err(error) => requests.into_iter().for_each(|request| {
                let _ = request.answer.send(Err(error.clone()));
            }),
        }
        self.renew();
    }

    /// Loads the model anew when what it keeps for each size of batch has become much.
    fn renew(&mut self) {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.network.is_outgrown()) {
            self.loaded = None;
            if let Err(error) = self.warm() {
                tracing::warn!(error = chain(&error), "The embedding model could not be loaded anew.");
            }
        }
    }

    /// Gives the model's memory back; it is loaded again when somebody asks.
    pub(super) fn unload(&mut self) {
        if self.loaded.take().is_some() {
            self.board.unloaded();
            trim::heap();
            tracing::info!("The embedding model was unloaded.");
        }
    }

    /// Gives back what runs needed and do not need any more.
    pub(super) fn trim(&mut self) {
        if let Some(Err(error)) = self.loaded.as_mut().map(|loaded| loaded.network.rest()) {
            tracing::warn!(error = chain(&error), "The embedding model did not give its memory back.");
        }
        trim::heap();
        self.board.trimmed();
    }

    /// Loads the model when it is not loaded.
    pub(super) fn warm(&mut self) -> Result<(), EmbedError> {
        self.loaded().map(|_| ())
    }

    /// The vector and the tokens of each text of all requests, in order.
    fn embed(&mut self, requests: &[Request]) -> Result<Vec<(Vec<f32>, usize)>, EmbedError> {
        let id = self.config.id.clone();
        let loaded = self.loaded()?;
        let started = Instant::now();
        let texts = requests.iter().flat_map(|request| request.texts.iter().map(|text| (request.use_, text.as_str())));
        let found = loaded.embed(texts).map_err(|source| EmbedError::Run { id, source: Arc::new(source) })?;
        let tokens = found.iter().map(|(_, tokens)| tokens).sum();
        self.board.computed(found.len(), tokens, started.elapsed());
        Ok(found)
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
        trim::heap();
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
        loaded.embed([(TextUse::Query, "warm")].into_iter()).map_err(|source| LoadError::FirstRun { source })?;
        Ok((loaded, provider))
    }
}

impl Loaded {
    /// The vector of each text, and how many tokens it had.
    fn embed<'a>(
        &mut self,
        texts: impl Iterator<Item = (TextUse, &'a str)>,
    ) -> Result<Vec<(Vec<f32>, usize)>, RunError> {
        let mut windows: Vec<Window> = Vec::new();
        let mut blends: Vec<(Blend, usize)> = Vec::new();
        for (use_, content) in texts {
            windows.extend(self.splitter.windows(blends.len(), self.description.prefix(use_), content)?);
            blends.push((Blend::default(), 0));
        }
        let lengths: Vec<usize> = windows.iter().map(|window| window.ids.len()).collect();
        for run in runs(&lengths) {
            let rows: Vec<&[u32]> = run.iter().map(|row| windows[*row].ids.as_slice()).collect();
            let batch = Batch::new(&rows, self.description.shape.pad_token_id);
            let pooled = self.network.run(&batch, self.description.pooling)?;
            for (row, vector) in run.into_iter().zip(pooled) {
                let (blend, tokens) = &mut blends[windows[row].text];
                *tokens += lengths[row];
                if !blend.add(vector, lengths[row]) {
                    return Err(RunError::NoDirection);
                }
            }
        }
        let finished = blends.into_iter().map(|(blend, tokens)| Some((blend.finish()?, tokens)));
        finished.collect::<Option<_>>().ok_or(RunError::NoDirection)
    }
}

impl FromIterator<(Vec<f32>, usize)> for Embedded {
    fn from_iter<I: IntoIterator<Item = (Vec<f32>, usize)>>(texts: I) -> Self {
        let (vectors, tokens): (Vec<_>, Vec<usize>) = texts.into_iter().unzip();
        Self { vectors, tokens: tokens.iter().sum() }
    }
}
