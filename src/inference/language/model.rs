//! The network: tokens in, the likelihood of every next token out.

use std::sync::Arc;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::inference::kernel::f32_gated::{Gate, open, root_norm};
use crate::inference::kernel::quant::multiply;
use crate::inference::kernel::quant_vectors::Vectors;
use crate::inference::language::attention::{Heads, attend, gather};
use crate::inference::language::cache::Cache;
use crate::inference::language::rope::{Angles, Turn};
use crate::inference::language::shape::{Architecture, Shape};
use crate::inference::language::weights::{Layer, Linear, Weights, WeightsError};
use crate::inference::weights::gguf::Gguf;

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
    vectors: Vectors,
    products: Vec<f32>,
    mixed: Vec<f32>,
    turns: Vec<Turn>,
    window_turns: Vec<Turn>,
}

impl Model {
    pub fn read(gguf: Arc<Gguf>, tokens: usize, shape: Shape) -> Result<Self, WeightsError> {
        let weights = Weights::read(gguf, &shape, tokens)?;
        let (angles, window_angles) = Angles::of(&shape, weights.rope_factors.as_deref());
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
        self.normed(last, &self.weights.norm, &mut scratch.vectors);
        self.project(&[&self.weights.head], &scratch.vectors, logits);
    }

    fn attention(&self, number: usize, layer: &Layer, start: usize, cache: &mut Cache, scratch: &mut Scratch) {
        let shape = &self.shape;
        self.normed(&scratch.state, &layer.attention_norm, &mut scratch.vectors);
        self.project(&[&layer.query, &layer.key, &layer.value], &scratch.vectors, &mut scratch.products);
        let is_windowed = shape.is_windowed(number);
        let (angles, turns) = match &self.window_angles {
            Some(angles) if is_windowed => (angles, &scratch.window_turns),
            _ => (&self.angles, &scratch.turns),
        };
        let (queries, keys) = (shape.query_width(), shape.kv_width());
        let stride = queries + 2 * keys;
        scratch.products.par_chunks_exact_mut(stride).zip(turns).for_each(|(products, turn)| {
            let (query, rest) = products.split_at_mut(queries);
            let key = &mut rest[..keys];
            if let Some(weight) = &layer.query_norm {
                self.norm(query, shape.head_width, weight);
            }
            if let Some(weight) = &layer.key_norm {
                self.norm(key, shape.head_width, weight);
            }
            angles.apply(turn, query, shape.head_width);
            angles.apply(turn, key, shape.head_width);
        });
        for (token, products) in scratch.products.chunks_exact(stride).enumerate() {
            let (key, value) = products[queries..].split_at(keys);
            cache.write(number, start + token, key, value);
        }
        let heads = Heads {
            heads: shape.heads,
            head_width: shape.head_width,
            per_kv_head: shape.heads / shape.kv_heads,
            stride,
            start,
            window: shape.window.as_ref().filter(|_| is_windowed).map(|window| window.tokens),
        };
        attend(&heads, &scratch.products, cache.layer(number), &mut scratch.mixed);
        let mixed = &scratch.mixed;
        scratch.vectors.fill(mixed.len() / queries, queries, |token, out| gather(&heads, mixed, token, out));
        self.project(&[&layer.output], &scratch.vectors, &mut scratch.products);
        self.add(scratch, layer.after_attention.as_deref());
    }

    fn feed_forward(&self, layer: &Layer, scratch: &mut Scratch) {
        let hidden = self.shape.hidden;
        self.normed(&scratch.state, &layer.feed_norm, &mut scratch.vectors);
        self.project(&[&layer.gate, &layer.up], &scratch.vectors, &mut scratch.products);
        let gate = if self.shape.architecture == Architecture::Gemma3 { Gate::Gelu } else { Gate::Silu };
        let products = &scratch.products;
        scratch.vectors.fill(products.len() / (2 * hidden), hidden, |token, out| {
            let (shut, up) = products[token * 2 * hidden..(token + 1) * 2 * hidden].split_at(hidden);
            open(gate, shut, up, out);
        });
        self.project(&[&layer.down], &scratch.vectors, &mut scratch.products);
        self.add(scratch, layer.after_feed.as_deref());
    }

    /// States, normed, become the vectors that are multiplied next.
    fn normed(&self, states: &[f32], weight: &[f32], vectors: &mut Vectors) {
        let width = self.shape.width;
        vectors.fill(states.len() / width, width, |token, out| {
            out.copy_from_slice(&states[token * width..(token + 1) * width]);
            self.norm(out, width, weight);
        });
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
            root_norm(values, weight, self.shape.norm_epsilon);
        }
    }

    /// All products of some matrices with the vectors: `out[vector][row]`, the matrices' rows one after another.
    fn project(&self, parts: &[&Linear], vectors: &Vectors, out: &mut Vec<f32>) {
        let rows: usize = parts.iter().map(|part| part.rows()).sum();
        out.resize(rows * vectors.count(), 0.0);
        let matrices: Vec<_> = parts.iter().map(|part| self.weights.matrix(part)).collect();
        multiply(&matrices, vectors, out);
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
