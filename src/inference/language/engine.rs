//! What a generator computes with: our own network on the processor, candle's on a GPU. Both remember what they have read.

use std::sync::Arc;

use rayon::ThreadPool;

use crate::inference::language::cache::Cache;
use crate::inference::language::candle::{Candle, LoadError};
use crate::inference::language::generator::LanguageError;
use crate::inference::language::model::{Model, Scratch};
use crate::inference::language::shape::Shape;
use crate::inference::weights::gguf::Gguf;

#[derive(Debug)]
pub enum Engine {
    Own(Box<Own>),
    Candle(Box<Candle>),
}

#[derive(Debug)]
pub struct Own {
    model: Model,
    cache: Cache,
    scratch: Scratch,
    pool: ThreadPool,
}

/// What a network is made of, whatever computes it.
pub struct Plan {
    pub gguf: Arc<Gguf>,
    pub shape: Shape,
    /// In the vocabulary.
    pub tokens: usize,
    /// Tokens of the longest conversation.
    pub capacity: usize,
}

impl Engine {
    /// On the processor, by so many threads; 0 for as many as there are processors.
    pub fn own(plan: Plan, threads: usize) -> Result<Self, LanguageError> {
        let cache = Cache::new(&plan.shape, plan.capacity);
        let model = Model::read(plan.gguf, plan.tokens, plan.shape)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("language-{number}"))
            .build()
            .map_err(LanguageError::Threads)?;
        Ok(Self::Own(Box::new(Own { model, cache, scratch: Scratch::default(), pool })))
    }

    pub fn candle(plan: Plan, device: &candle_core::Device) -> Result<Self, LanguageError> {
        let candle = Candle::read(plan.gguf, (plan.shape, plan.tokens), plan.capacity, device);
        candle.map(|candle| Self::Candle(Box::new(candle))).map_err(|error| match error {
            LoadError::Weights(error) => LanguageError::Weights(error),
            LoadError::Device(source) => LanguageError::Compute(source),
        })
    }

    pub fn shape(&self) -> &Shape {
        match self {
            Self::Own(own) => &own.model.shape,
            Self::Candle(candle) => &candle.shape,
        }
    }

    /// Reads `tokens` at positions from `start` on and remembers them; with `logits`, tells how likely each token is to follow the
    /// last one.
    pub fn pass(&mut self, tokens: &[u32], start: usize, logits: Option<&mut Vec<f32>>) -> Result<(), LanguageError> {
        match self {
            Self::Own(own) => {
                let Own { model, cache, scratch, pool } = &mut **own;
                pool.install(|| model.pass(tokens, start, cache, scratch, logits));
                Ok(())
            }
            Self::Candle(candle) => candle.pass(tokens, start, logits).map_err(LanguageError::Compute),
        }
    }

    /// Forgets what was read and gives its memory back.
    pub fn clear(&mut self) {
        match self {
            Self::Own(own) => own.cache.clear(),
            Self::Candle(candle) => candle.clear(),
        }
    }
}
