//! Attention over the cache: every head of every token looks back at what was read before it.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::inference::language::cache::CacheLayer;

pub struct Heads {
    pub heads: usize,
    pub head_width: usize,
    /// Heads that share keys and values.
    pub per_kv_head: usize,
    /// Elements from one token's queries to the next one's.
    pub stride: usize,
    /// Position of the first token.
    pub start: usize,
    /// How far a head looks back, itself included.
    pub window: Option<usize>,
}

/// `out[token][head]`; the queries of a token are the first elements of each stride.
pub fn attend(heads: &Heads, queries: &[f32], cache: &CacheLayer, out: &mut Vec<f32>) {
    let width = heads.head_width;
    let tokens = queries.len() / heads.stride;
    out.resize(tokens * heads.heads * width, 0.0);
    out.par_chunks_exact_mut(width).enumerate().for_each_init(Buffers::default, |buffers, (number, out)| {
        let (token, head) = (number / heads.heads, number % heads.heads);
        let query = &queries[token * heads.stride + head * width..][..width];
        let end = heads.start + token + 1;
        let first = heads.window.map_or(0, |window| end.saturating_sub(window));
        let kv_head = head / heads.per_kv_head;
        look_back(query, cache.keys(kv_head, first, end), cache.values(kv_head, first, end), buffers, out);
    });
}

#[derive(Default)]
struct Buffers {
    scores: Vec<f32>,
    row: Vec<f32>,
}

fn look_back(query: &[f32], keys: &[f16], values: &[f16], buffers: &mut Buffers, out: &mut [f32]) {
    let width = query.len();
    let scale = 1.0 / (width as f32).sqrt();
    buffers.row.resize(width, 0.0);
    buffers.scores.clear();
    for key in keys.chunks_exact(width) {
        key.convert_to_f32_slice(&mut buffers.row);
        let product: f32 = query.iter().zip(&buffers.row).map(|(query, key)| query * key).sum();
        buffers.scores.push(product * scale);
    }
    soften(&mut buffers.scores);
    out.fill(0.0);
    for (value, weight) in values.chunks_exact(width).zip(&buffers.scores) {
        value.convert_to_f32_slice(&mut buffers.row);
        for (out, value) in out.iter_mut().zip(&buffers.row) {
            *out += weight * value;
        }
    }
}

/// Softmax.
pub fn soften(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    let scale = 1.0 / sum;
    scores.iter_mut().for_each(|score| *score *= scale);
}
