//! The network: tokens in, the likelihood of every next token out.

use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::inference::kernel::quant::{Matrix, Vectors, multiply};
use crate::inference::language::attention::{Heads, attend};
use crate::inference::language::cache::Cache;
use crate::inference::language::rope::{Angles, Turn};
use crate::inference::language::shape::{Architecture, Shape};
use crate::inference::language::weights::{Layer, Linear, Weights, WeightsError};
use crate::inference::weights::gguf::Gguf;

/// Rows that one thread takes at a time.
const ROWS_PER_TASK_MIN: usize = 32;

#[derive(Debug)]
pub struct Model {
    pub shape: Shape,
    weights: Weights,
    tokens: usize,
    angles: Angles,
    window_angles: Option<Angles>,
}

/// Memory of one pass, kept between passes.
#[derive(Debug, Default)]
pub struct Scratch {
    state: Vec<f32>,
    normed: Vec<f32>,
    vectors: Vectors,
    products: Vec<f32>,
    turned: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    turns: Vec<Turn>,
    window_turns: Vec<Turn>,
}

impl Model {
    pub fn read(gguf: Arc<Gguf>, tokens: usize, shape: Shape) -> Result<Self, WeightsError> {
        let weights = Weights::read(gguf, &shape, tokens)?;
        let factors = weights.rope_factors.as_deref();
        let angles = Angles::new(&shape.rope, shape.rope.base, factors);
        let window_angles = shape.window.as_ref().map(|window| {
            let unscaled = crate::inference::language::shape::Rope { divisor: 1.0, ..shape.rope.clone() };
            Angles::new(&unscaled, window.base, None)
        });
        Ok(Self { shape, weights, tokens, angles, window_angles })
    }

    /// Reads `tokens` at positions from `start` on, into the cache; with `logits`, tells how likely each token is to follow the
    /// last one.
    pub fn pass(
        &self,
        tokens: &[u32],
        start: usize,
        cache: &mut Cache,
        scratch: &mut Scratch,
        logits: Option<&mut Vec<f32>>,
    ) {
        let width = self.shape.width;
        cache.reserve(start + tokens.len());
        scratch.state.resize(tokens.len() * width, 0.0);
        let embedding = self.weights.matrix(&self.weights.embedding);
        let scale = self.shape.embedding_scale();
        for (token, state) in tokens.iter().zip(scratch.state.chunks_exact_mut(width)) {
            embedding.read_row((*token as usize).min(self.tokens - 1), state);
            if scale != 1.0 {
                state.iter_mut().for_each(|value| *value *= scale);
            }
        }
        let positions = start..start + tokens.len();
        scratch.turns = positions.clone().map(|position| self.angles.at(position)).collect();
        if let Some(angles) = &self.window_angles {
            scratch.window_turns = positions.map(|position| angles.at(position)).collect();
        }
        for (number, layer) in self.weights.layers.iter().enumerate() {
            self.attention(number, layer, start, cache, scratch);
            self.feed_forward(layer, scratch);
        }
        let Some(logits) = logits else { return };
        let last = &scratch.state[(tokens.len() - 1) * width..];
        scratch.normed.clear();
        scratch.normed.extend_from_slice(last);
        self.norm(&mut scratch.normed, width, &self.weights.norm);
        scratch.vectors.set(&scratch.normed, width);
        self.project(&[&self.weights.head], &scratch.vectors, &mut scratch.turned, logits);
    }

    fn attention(&self, number: usize, layer: &Layer, start: usize, cache: &mut Cache, scratch: &mut Scratch) {
        let shape = &self.shape;
        self.normed(scratch, &layer.attention_norm);
        let all = [&layer.query, &layer.key, &layer.value];
        self.project(&all, &scratch.vectors, &mut scratch.turned, &mut scratch.products);
        let is_windowed = shape.is_windowed(number);
        let (angles, turns) = match &self.window_angles {
            Some(angles) if is_windowed => (angles, &scratch.window_turns),
            _ => (&self.angles, &scratch.turns),
        };
        let (queries, keys) = (shape.query_width(), shape.kv_width());
        for (token, products) in scratch.products.chunks_exact_mut(queries + 2 * keys).enumerate() {
            let (query, rest) = products.split_at_mut(queries);
            let (key, value) = rest.split_at_mut(keys);
            if let Some(weight) = &layer.query_norm {
                self.norm(query, shape.head_width, weight);
            }
            if let Some(weight) = &layer.key_norm {
                self.norm(key, shape.head_width, weight);
            }
            angles.apply(&turns[token], query, shape.head_width);
            angles.apply(&turns[token], key, shape.head_width);
            cache.write(number, start + token, key, value);
        }
        let heads = Heads {
            heads: shape.heads,
            head_width: shape.head_width,
            per_kv_head: shape.heads / shape.kv_heads,
            stride: queries + 2 * keys,
            start,
            window: shape.window.as_ref().filter(|_| is_windowed).map(|window| window.tokens),
        };
        attend(&heads, &scratch.products, cache.layer(number), &mut scratch.mixed);
        scratch.vectors.set(&scratch.mixed, queries);
        self.project(&[&layer.output], &scratch.vectors, &mut scratch.turned, &mut scratch.products);
        self.add(scratch, layer.after_attention.as_deref());
    }

    fn feed_forward(&self, layer: &Layer, scratch: &mut Scratch) {
        let hidden = self.shape.hidden;
        self.normed(scratch, &layer.feed_norm);
        let both = [&layer.gate, &layer.up];
        self.project(&both, &scratch.vectors, &mut scratch.turned, &mut scratch.products);
        scratch.inner.clear();
        for products in scratch.products.chunks_exact(2 * hidden) {
            let (gate, up) = products.split_at(hidden);
            let activate = if self.shape.architecture == Architecture::Gemma3 { gelu } else { silu };
            scratch.inner.extend(gate.iter().zip(up).map(|(gate, up)| activate(*gate) * up));
        }
        scratch.vectors.set(&scratch.inner, hidden);
        self.project(&[&layer.down], &scratch.vectors, &mut scratch.turned, &mut scratch.products);
        self.add(scratch, layer.after_feed.as_deref());
    }

    /// The state, normed, becomes the vectors that are multiplied next.
    fn normed(&self, scratch: &mut Scratch, weight: &[f32]) {
        scratch.normed.clear();
        scratch.normed.extend_from_slice(&scratch.state);
        self.norm(&mut scratch.normed, self.shape.width, weight);
        scratch.vectors.set(&scratch.normed, self.shape.width);
    }

    /// Adds the last products to the state.
    fn add(&self, scratch: &mut Scratch, norm: Option<&[f32]>) {
        if let Some(weight) = norm {
            self.norm(&mut scratch.products, self.shape.width, weight);
        }
        for (state, product) in scratch.state.iter_mut().zip(&scratch.products) {
            *state += product;
        }
    }

    /// Root-mean-square norm of every `width` elements.
    fn norm(&self, values: &mut [f32], width: usize, weight: &[f32]) {
        for values in values.chunks_exact_mut(width) {
            let square: f32 = values.iter().map(|value| value * value).sum();
            let scale = 1.0 / (square / width as f32 + self.shape.norm_epsilon).sqrt();
            for (value, weight) in values.iter_mut().zip(weight) {
                *value *= scale * weight;
            }
        }
    }

    /// All products of some matrices with the vectors: `out[vector][row]`, the matrices' rows one after another.
    fn project(&self, parts: &[&Linear], vectors: &Vectors, turned: &mut Vec<f32>, out: &mut Vec<f32>) {
        let count = vectors.count();
        let rows: usize = parts.iter().map(|part| part.rows()).sum();
        let target = if count == 1 { &mut *out } else { &mut *turned };
        target.resize(rows * count, 0.0);
        let mut tasks: Vec<(Matrix<'_>, &mut [f32])> = Vec::new();
        let mut rest = target.as_mut_slice();
        let share = rows.div_ceil(rayon::current_num_threads() * 4).max(ROWS_PER_TASK_MIN);
        for part in parts {
            let matrix = self.weights.matrix(part);
            let mut first = 0;
            while first < matrix.rows {
                let end = (first + share).min(matrix.rows);
                let (mine, others) = rest.split_at_mut((end - first) * count);
                tasks.push((matrix.slice(first..end), mine));
                rest = others;
                first = end;
            }
        }
        tasks.into_par_iter().for_each(|(matrix, out)| multiply(&matrix, vectors, out));
        if count > 1 {
            transpose(turned, rows, count, out);
        }
        let mut first = 0;
        for part in parts {
            if let Some(bias) = &part.bias {
                for products in out.chunks_exact_mut(rows) {
                    let products = &mut products[first..first + part.rows()];
                    products.iter_mut().zip(bias).for_each(|(product, bias)| *product += bias);
                }
            }
            first += part.rows();
        }
    }
}

/// `[rows][count]` to `[count][rows]`.
fn transpose(from: &[f32], rows: usize, count: usize, to: &mut Vec<f32>) {
    to.resize(rows * count, 0.0);
    for (row, values) in from.chunks_exact(count).enumerate() {
        for (vector, value) in values.iter().enumerate() {
            to[vector * rows + row] = *value;
        }
    }
}

fn silu(value: f32) -> f32 {
    value / (1.0 + (-value).exp())
}

/// The approximation by tanh, as Gemma was trained with.
fn gelu(value: f32) -> f32 {
    let inner = 0.797_884_6 * (value + 0.044_715 * value * value * value);
    0.5 * value * (1.0 + inner.tanh())
}
