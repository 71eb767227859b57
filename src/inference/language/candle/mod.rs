//! The network on candle's tensors, for GPUs: the same shape and weights as `model`, only the arithmetic is candle's.
//!
//! Blocks of quantised weights stay blocks on the device. States, keys and values are floats of 32 bits: keys of some families are
//! so large that their products have no digits left in 16.

mod cache;
mod layer;
#[cfg(test)]
mod tests;
mod weights;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use candle_nn::ops::rms_norm;

use crate::inference::language::rope::{Angles, RopeTable};
use crate::inference::language::shape::Shape;
use crate::inference::language::weights::{Linear, Weights, WeightsError};
use crate::inference::weights::gguf::Gguf;

use cache::Cache;
use layer::Layer;
use weights::{Product, vector};

/// A model in a device's memory, with what it has read.
#[derive(Debug)]
pub struct Candle {
    pub shape: Shape,
    device: Device,
    /// In the mapped file; words are looked up there.
    words: Weights,
    tokens: usize,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Product,
    angles: Angles,
    window_angles: Option<Angles>,
    cache: Cache,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("could not bring the weights to the device")]
    Device(#[from] candle_core::Error),
}

/// What a pass knows of the tokens' places.
struct Places {
    start: usize,
    count: usize,
    turns: Turns,
    /// Nothing for a single token: all that was read is behind it.
    mask: Option<Tensor>,
    window: Option<WindowPlaces>,
}

/// The same in layers that do not look back at everything.
struct WindowPlaces {
    /// The first place that the first token sees.
    first: usize,
    turns: Turns,
    mask: Option<Tensor>,
}

/// Cosines and sines, `[tokens, pairs]` both.
struct Turns {
    cosines: Tensor,
    sines: Tensor,
}

impl Candle {
    /// `tokens` is the size of the vocabulary; `capacity` that of the cache.
    pub fn read(
        gguf: Arc<Gguf>,
        (shape, tokens): (Shape, usize),
        capacity: usize,
        device: &Device,
    ) -> std::result::Result<Self, LoadError> {
        let words = Weights::read(gguf, &shape, tokens)?;
        let product = |linear: &Linear| Product::load(words.matrix(linear), linear.bias.as_deref(), device);
        let layers = words.layers.iter().map(|layer| Layer::load(layer, &product, device)).collect::<Result<_>>()?;
        let (norm, head) = (vector(&words.norm, device)?, product(&words.head)?);
        let (angles, window_angles) = Angles::of(&shape, words.rope_factors.as_deref());
        let cache = Cache::new(&shape, capacity, device);
        let device = device.clone();
        Ok(Self { shape, device, words, tokens, layers, norm, head, angles, window_angles, cache })
    }

    /// Reads `tokens` at positions from `start` on, into the cache; with `logits`, tells how likely each token is to follow the
    /// last one.
    pub fn pass(&mut self, tokens: &[u32], start: usize, logits: Option<&mut Vec<f32>>) -> Result<()> {
        let places = self.places(start, tokens.len())?;
        let mut state = self.look_up(tokens)?;
        for (number, layer) in self.layers.iter().enumerate() {
            let memory = self.cache.layer(number);
            state = layer.attend(&self.shape, &state, memory, places.of_layer(&self.shape, number))?;
            state = layer.feed_forward(&self.shape, &state)?;
        }
        if let Some(logits) = logits {
            let last = state.narrow(0, tokens.len() - 1, 1)?.contiguous()?;
            let normed = rms_norm(&last, &self.norm, self.shape.norm_epsilon)?;
            *logits = self.head.apply(&normed)?.flatten_all()?.to_vec1()?;
        }
        Ok(())
    }

    /// Gives the memory of what was read back.
    pub fn clear(&mut self) {
        self.cache.clear();
    }

    /// `[tokens, width]`.
    fn look_up(&self, tokens: &[u32]) -> Result<Tensor> {
        let (width, embedding) = (self.shape.width, self.words.matrix(&self.words.embedding));
        let mut rows = vec![0.0; tokens.len() * width];
        for (token, row) in tokens.iter().zip(rows.chunks_exact_mut(width)) {
            embedding.read_row((*token as usize).min(self.tokens - 1), row);
        }
        Tensor::from_vec(rows, (tokens.len(), width), &self.device)? * f64::from(self.shape.embedding_scale())
    }

    fn places(&self, start: usize, count: usize) -> Result<Places> {
        let turns = |angles: &Angles| Turns::new(angles.table(start..start + count), count, &self.device);
        let window = match (&self.window_angles, &self.shape.window) {
            (Some(angles), Some(window)) => {
                let first = (start + 1).saturating_sub(window.tokens);
                let mask = mask(start..start + count, (first, window.tokens), &self.device)?;
                Some(WindowPlaces { first, turns: turns(angles)?, mask })
            }
            _ => None,
        };
        let mask = mask(start..start + count, (0, usize::MAX), &self.device)?;
        Ok(Places { start, count, turns: turns(&self.angles)?, mask, window })
    }
}

impl Turns {
    fn new(table: RopeTable, count: usize, device: &Device) -> Result<Self> {
        let pairs = table.cosines.len() / count;
        let tensor = |values| Tensor::from_vec(values, (count, pairs), device);
        Ok(Self { cosines: tensor(table.cosines)?, sines: tensor(table.sines)? })
    }
}

/// Where a layer's tokens are, and what they see.
#[derive(Clone, Copy)]
struct Sight<'a> {
    start: usize,
    /// The places that are looked at.
    first: usize,
    end: usize,
    turns: &'a Turns,
    /// `[tokens, end - first]`; what is not seen is minus infinity.
    mask: Option<&'a Tensor>,
}

impl Places {
    fn of_layer(&self, shape: &Shape, layer: usize) -> Sight<'_> {
        let (start, end) = (self.start, self.start + self.count);
        match &self.window {
            Some(window) if shape.is_windowed(layer) => {
                Sight { start, first: window.first, end, turns: &window.turns, mask: window.mask.as_ref() }
            }
            _ => Sight { start, first: 0, end, turns: &self.turns, mask: self.mask.as_ref() },
        }
    }
}

/// For tokens at `places`, which see `window` places with their own, what of the places from `first` on they see.
fn mask(places: Range<usize>, (first, window): (usize, usize), device: &Device) -> Result<Option<Tensor>> {
    if places.len() == 1 {
        return Ok(None);
    }
    let size = (places.len(), places.end - first);
    let mut values = vec![f32::NEG_INFINITY; size.0 * size.1];
    for (place, row) in places.zip(values.chunks_exact_mut(size.1)) {
        let oldest = (place + 1).saturating_sub(window).max(first);
        row[oldest - first..=place - first].fill(0.0);
    }
    Tensor::from_vec(values, size, device).map(Some)
}
