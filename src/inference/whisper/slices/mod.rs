//! Whisper on the processor: plain slices of floats and the kernels, nothing in between.
//!
//! A general tensor library spends more time between the products than in them when a token is said: here every weight is packed
//! once, keys and values are written where the next product reads them, and nothing is allocated per layer that a step before
//! has not allocated.

mod decoder;
mod encoder;
mod linear;
mod past;

use std::sync::Arc;

use rayon::ThreadPool;

use crate::inference::kernel::f32_matrix::{Finish, Packed, Rows, RowsMut, multiply_on_all};
use crate::inference::whisper::engine::{Engine, Step};
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::mel::Mel;
use crate::inference::whisper::names;
use crate::inference::whisper::shape::Shape;
use crate::inference::whisper::weights::Weights;

use decoder::{Capture, Decoder};
use encoder::Encoder;
use linear::Linear;
use past::Past;

pub use linear::Precision;

/// A model in memory.
#[derive(Debug)]
pub struct Slices {
    shape: Shape,
    encoder: Encoder,
    decoder: Decoder,
    pool: Arc<ThreadPool>,
}

/// Keys and values of one layer's cross attention, by head.
#[derive(Debug)]
pub struct Heard {
    positions: usize,
    layers: Vec<Vec<Memory>>,
}

/// Keys and values of one head.
#[derive(Debug, Clone)]
struct Memory {
    keys: Packed,
    values: Packed,
}

impl Memory {
    fn new(width: usize, positions: usize) -> Self {
        Self { keys: Packed::zeros(width, positions), values: Packed::zeros(positions, width) }
    }

    fn put(&mut self, position: usize, key: &[f32], value: &[f32]) {
        self.keys.put_column(position, key);
        self.values.put_step(position, value);
    }
}

impl Slices {
    pub fn load(
        weights: &Weights,
        shape: &Shape,
        precision: Precision,
        pool: Arc<ThreadPool>,
    ) -> Result<Self, WhisperError> {
        let encoder = Encoder::load(weights, shape, precision)?;
        let decoder = Decoder::load(weights, shape, precision)?;
        Ok(Self { shape: shape.clone(), encoder, decoder, pool })
    }

    #[cfg(test)]
    pub fn is_kept_in(&self, precision: Precision) -> bool {
        self.decoder.is_kept_in(precision)
    }

    #[cfg(test)]
    /// The encoder's output: `d_model` floats per position.
    pub fn encode(&self, mel: &Mel) -> Vec<f32> {
        self.pool.install(|| self.encoder.run(mel))
    }
}

impl Engine for Slices {
    type Heard = Heard;
    type Tape = Past;

    fn vocabulary(&self) -> usize {
        self.shape.vocab_size
    }

    fn positions(&self) -> usize {
        self.shape.max_target_positions
    }

    fn hear(&self, mel: &Mel) -> Result<Heard, WhisperError> {
        Ok(self.pool.install(|| self.decoder.listen(&self.encoder.run(mel))))
    }

    fn tape(&self) -> Past {
        Past::new(&self.shape)
    }

    fn say(&self, heard: &Heard, tape: &mut Past, steps: &[Step], wanted: &[usize]) -> Result<Vec<f32>, WhisperError> {
        Ok(self.pool.install(|| self.decoder.say(heard, tape, steps, wanted)))
    }

    fn keep(&self, tape: &mut Past, from: &[usize]) -> Result<(), WhisperError> {
        tape.keep(from);
        Ok(())
    }

    fn attend(&self, heard: &Heard, tokens: &[u32], heads: &[(usize, usize)]) -> Result<Vec<f32>, WhisperError> {
        let steps: Vec<_> = tokens.iter().map(|token| Step { lane: 0, token: *token }).collect();
        let mut capture = Capture::new(heads, steps.len(), heard.positions);
        self.pool.install(|| self.decoder.run(heard, &mut self.tape(), &steps, Some(&mut capture)));
        Ok(capture.shares)
    }
}

/// Weight and bias of a layer normalization.
#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    fn load(weights: &Weights, name: &str, width: usize) -> Result<Self, WhisperError> {
        let weight = weights.floats(&format!("{name}.weight"), &[width])?;
        Ok(Self { weight, bias: weights.floats(&format!("{name}.bias"), &[width])? })
    }

    /// Normalizes every row of `from` into `to`.
    fn apply(&self, from: &[f32], to: &mut [f32]) {
        let width = self.weight.len();
        for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
            crate::inference::kernel::f32_vector::layer_norm(from, &self.weight, &self.bias, to);
        }
    }
}

/// The two products and the activation between them that end every layer; the result is added to `hidden`.
#[derive(Debug)]
struct FeedForward {
    norm: Norm,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    fn load(weights: &Weights, layer: &str, sizes: [usize; 2], precision: Precision) -> Result<Self, WhisperError> {
        let ([width, inner], [up, down]) = (sizes, names::FEED_FORWARD);
        Ok(Self {
            norm: Norm::load(weights, &format!("{layer}.{}", names::FEED_FORWARD_NORM), width)?,
            up: Linear::load(weights, &[&format!("{layer}.{up}")], [inner, width], precision)?,
            down: Linear::load(weights, &[&format!("{layer}.{down}")], [width, inner], precision)?,
        })
    }

    /// `normal` and `inner` are scratch: as long as `hidden`, and as many rows of the inner width.
    fn apply(&self, hidden: &mut [f32], normal: &mut [f32], inner: &mut [f32]) {
        self.norm.apply(hidden, normal);
        self.up.apply(normal, inner, Finish::Gelu);
        self.down.apply(inner, hidden, Finish::Add);
    }
}

/// A convolution over time of three steps, as the product it is: rows that overlap times `[3 * inputs, outputs]`.
#[derive(Debug)]
struct Convolution {
    matrix: Packed,
    stride: usize,
}

impl Convolution {
    fn load(weights: &Weights, name: &str, sizes: [usize; 2], stride: usize) -> Result<Self, WhisperError> {
        let [outputs, inputs] = sizes;
        let kernel = weights.floats(&format!("{name}.weight"), &[outputs, inputs, 3])?;
        let mut rows = vec![0.0; kernel.len()];
        for (row, kernel) in rows.chunks_exact_mut(3 * inputs).zip(kernel.chunks_exact(3 * inputs)) {
            for (input, taps) in kernel.chunks_exact(3).enumerate() {
                for (tap, value) in taps.iter().enumerate() {
                    row[tap * inputs + input] = *value;
                }
            }
        }
        let bias = weights.floats(&format!("{name}.bias"), &[outputs])?;
        Ok(Self { matrix: Packed::from_weights(&rows, 3 * inputs).with_bias(&bias), stride })
    }

    /// `from` has a row of zeros before and after; `to` gets `count` rows.
    fn apply(&self, from: &[f32], count: usize, to: &mut [f32]) {
        let inputs = self.matrix.depth() / 3;
        let rows = Rows { data: from, stride: self.stride * inputs, count };
        let to = RowsMut { data: to, stride: self.matrix.width() };
        multiply_on_all(rows, self.matrix.whole(), to, Finish::Gelu);
    }
}
