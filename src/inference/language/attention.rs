//! Attention over the cache: every head of every token looks back at what was read before it.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::inference::kernel::f32_vector::softmax;
use crate::inference::kernel::half_rows::{mix, products};
use crate::inference::language::cache::CacheLayer;

/// Heads that look back together, at the same keys.
const TOGETHER: usize = 4;

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

/// `out[head that has keys][token][head that shares them]`; the queries of a token are the first elements of each stride.
pub fn attend(heads: &Heads, queries: &[f32], cache: &CacheLayer, out: &mut Vec<f32>) {
    let tokens = queries.len() / heads.stride;
    let per_kv_head = tokens * heads.per_kv_head * heads.head_width;
    out.resize(tokens * heads.heads * heads.head_width, 0.0);
    out.par_chunks_exact_mut(per_kv_head).enumerate().for_each(|(kv_head, out)| {
        let some = out.par_chunks_mut(TOGETHER * heads.head_width).enumerate();
        some.for_each_init(Buffers::default, |buffers, (number, out)| {
            look_back(heads, queries, cache, (kv_head, number * TOGETHER), (buffers, out));
        });
    });
}

/// What [`attend`] put down for a token, in the order of its heads.
pub fn gather(heads: &Heads, mixed: &[f32], token: usize, out: &mut [f32]) {
    let width = heads.per_kv_head * heads.head_width;
    let per_kv_head = mixed.len() / heads.heads * heads.per_kv_head;
    for (out, mixed) in out.chunks_exact_mut(width).zip(mixed.chunks_exact(per_kv_head)) {
        out.copy_from_slice(&mixed[token * width..(token + 1) * width]);
    }
}

#[derive(Default)]
struct Buffers {
    queries: Vec<f32>,
    scores: Vec<f32>,
}

/// Some heads from `first` on, counted through all tokens.
fn look_back(
    heads: &Heads,
    queries: &[f32],
    cache: &CacheLayer,
    (kv_head, first): (usize, usize),
    (buffers, out): (&mut Buffers, &mut [f32]),
) {
    let (width, count) = (heads.head_width, out.len() / heads.head_width);
    let token_of = |number: usize| (first + number) / heads.per_kv_head;
    buffers.queries.clear();
    for number in 0..count {
        let head = kv_head * heads.per_kv_head + (first + number) % heads.per_kv_head;
        buffers.queries.extend_from_slice(&queries[token_of(number) * heads.stride + head * width..][..width]);
    }
    let seen = |number: usize| {
        let end = heads.start + token_of(number) + 1;
        heads.window.map_or(0, |window| end.saturating_sub(window))..end
    };
    // All of them look at what any of them sees; what one does not see gets no share.
    let all = seen(0).start..seen(count - 1).end;
    buffers.scores.resize(count * all.len(), 0.0);
    products(&buffers.queries, cache.keys(kv_head, all.start, all.end), width, &mut buffers.scores);
    let scale = 1.0 / (width as f32).sqrt();
    for (number, scores) in buffers.scores.chunks_exact_mut(all.len()).enumerate() {
        let (start, end) = (seen(number).start - all.start, seen(number).end - all.start);
        scores[..start].fill(0.0);
        scores[end..].fill(0.0);
        softmax(&mut scores[start..end], scale);
    }
    mix(&buffers.scores, cache.values(kv_head, all.start, all.end), width, out);
}
