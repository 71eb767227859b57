//! The encoder: two convolutions, then layers in which every position listens to every other.

use rayon::prelude::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator, ParallelSliceMut};

use crate::inference::kernel::f32_matrix::{Finish, Rows, RowsMut, multiply};
use crate::inference::kernel::f32_vector::softmax;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::mel::Mel;
use crate::inference::whisper::names::{self, CONVOLUTIONS, ENCODER_NORM, TO_SELF};
use crate::inference::whisper::shape::Shape;
use crate::inference::whisper::slices::{Convolution, FeedForward, Linear, Memory, Norm, Precision};
use crate::inference::whisper::weights::Weights;

/// Positions whose scores are computed at once: with all 1500 that they listen to they fit in the second cache.
const POSITIONS_PER_TURN: usize = 24;

#[derive(Debug)]
pub struct Encoder {
    width: usize,
    heads: usize,
    inner: usize,
    first: Convolution,
    second: Convolution,
    /// `width` floats per position.
    places: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
}

#[derive(Debug)]
struct Layer {
    norm: Norm,
    queries_keys_values: Linear,
    out: Linear,
    feed_forward: FeedForward,
}

/// What a layer writes into, made once per window.
struct Scratch {
    normal: Vec<f32>,
    queries_keys_values: Vec<f32>,
    inner: Vec<f32>,
    memories: Vec<Memory>,
}

impl Encoder {
    pub fn load(weights: &Weights, shape: &Shape, precision: Precision) -> Result<Self, WhisperError> {
        let (width, inner) = (shape.d_model, shape.encoder_ffn_dim);
        let mut layers = Vec::with_capacity(shape.encoder_layers);
        for index in 0..shape.encoder_layers {
            let layer = names::encoder_layer(index);
            let within = |name: &str| format!("{layer}.{name}");
            let sides = [TO_SELF.queries, TO_SELF.keys, TO_SELF.values].map(within);
            let sides = sides.each_ref().map(String::as_str);
            layers.push(Layer {
                norm: Norm::load(weights, &within(TO_SELF.norm), width)?,
                queries_keys_values: Linear::load(weights, &sides, [width, width], precision)?,
                out: Linear::load(weights, &[&within(TO_SELF.out)], [width, width], precision)?,
                feed_forward: FeedForward::load(weights, &layer, [width, inner], precision)?,
            });
        }
        let [first, second] = CONVOLUTIONS;
        Ok(Self {
            width,
            heads: shape.encoder_attention_heads,
            inner,
            first: Convolution::load(weights, first, [width, shape.num_mel_bins], 1)?,
            second: Convolution::load(weights, second, [width, width], 2)?,
            places: names::audio_places(weights, shape)?,
            layers,
            norm: Norm::load(weights, ENCODER_NORM, width)?,
        })
    }

    /// `width` floats per position; there are half as many positions as frames.
    pub fn run(&self, mel: &Mel) -> Vec<f32> {
        let (frames, width) = (mel.frames(), self.width);
        let positions = (frames / 2).min(self.places.len() / width);
        let mut padded = vec![0.0; (2 * positions + 2) * mel.bands];
        let heard = 2 * positions * mel.bands;
        padded[mel.bands..mel.bands + heard].copy_from_slice(&mel.values[..heard]);
        let mut wide = vec![0.0; (2 * positions + 2) * width];
        self.first.apply(&padded, 2 * positions, &mut wide[width..]);
        let mut hidden = vec![0.0; positions * width];
        self.second.apply(&wide, positions, &mut hidden);
        for (value, place) in hidden.iter_mut().zip(&self.places) {
            *value += place;
        }
        let mut scratch = Scratch {
            normal: vec![0.0; positions * width],
            queries_keys_values: vec![0.0; positions * 3 * width],
            inner: vec![0.0; positions * self.inner],
            memories: vec![Memory::new(width / self.heads, positions); self.heads],
        };
        for layer in &self.layers {
            layer.run(&mut hidden, &mut scratch, width);
        }
        self.norm.apply(&hidden, &mut scratch.normal);
        scratch.normal
    }
}

impl Layer {
    fn run(&self, hidden: &mut [f32], scratch: &mut Scratch, width: usize) {
        self.norm.apply(hidden, &mut scratch.normal);
        self.queries_keys_values.apply(&scratch.normal, &mut scratch.queries_keys_values, Finish::Set);
        attend(&scratch.queries_keys_values, &mut scratch.memories, &mut scratch.normal, width);
        self.out.apply(&scratch.normal, hidden, Finish::Add);
        self.feed_forward.apply(hidden, &mut scratch.normal, &mut scratch.inner);
    }
}

/// Every position listens to all: `softmax(Q K / sqrt(head width)) V`, head by head, a few positions at a time, so that the scores
/// never leave the cache.
fn attend(queries_keys_values: &[f32], memories: &mut [Memory], to: &mut [f32], width: usize) {
    let head_width = width / memories.len();
    let positions = to.len() / width;
    memories.par_iter_mut().enumerate().for_each(|(head, memory)| {
        for (position, row) in queries_keys_values.chunks_exact(3 * width).enumerate() {
            let key = &row[width + head * head_width..][..head_width];
            memory.put(position, key, &row[2 * width + head * head_width..][..head_width]);
        }
    });
    let scale = 1.0 / (head_width as f32).sqrt();
    let turns = to.par_chunks_mut(POSITIONS_PER_TURN * width).enumerate();
    turns.for_each_init(
        || vec![0.0; POSITIONS_PER_TURN * positions],
        |scores, (turn, to)| {
            let count = to.len() / width;
            for (head, memory) in memories.iter().enumerate() {
                let first = &queries_keys_values[turn * POSITIONS_PER_TURN * 3 * width + head * head_width..];
                let queries = Rows { data: first, stride: 3 * width, count };
                multiply(queries, memory.keys.whole(), RowsMut { data: scores, stride: positions }, Finish::Set);
                for row in scores.chunks_exact_mut(positions).take(count) {
                    softmax(row, scale);
                }
                let shares = Rows { data: scores, stride: positions, count };
                let to = RowsMut { data: &mut to[head * head_width..], stride: width };
                multiply(shares, memory.values.whole(), to, Finish::Set);
            }
        },
    );
}
