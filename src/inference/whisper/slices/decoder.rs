//! The decoder: says one token after another, listening to what was said before and to what was heard.

use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator, ParallelSliceMut,
};

use crate::inference::kernel::f32_matrix::{Finish, Part, Rows, RowsMut, multiply};
use crate::inference::kernel::f32_vector::softmax;
use crate::inference::whisper::engine::Step;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::names::{self, DECODER_NORM, TEXT_PLACES, TO_HEARD, TO_SELF, WORDS};
use crate::inference::whisper::shape::{Shape, TEXT_POSITIONS_MAX};
use crate::inference::whisper::slices::{FeedForward, Heard, Linear, Memory, Norm, Past, Precision};
use crate::inference::whisper::weights::Weights;

#[derive(Debug)]
pub struct Decoder {
    width: usize,
    heads: usize,
    inner: usize,
    /// A row per token; the same weights look tokens up and score them.
    words: Linear,
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
    cross_norm: Norm,
    cross_queries: Linear,
    cross_keys_values: Linear,
    cross_out: Linear,
    feed_forward: FeedForward,
}

/// Shares of the cross attention that are kept for word times: for every row and head, one per audio position.
pub struct Capture<'a> {
    heads: &'a [(usize, usize)],
    positions: usize,
    pub shares: Vec<f32>,
}

impl<'a> Capture<'a> {
    pub fn new(heads: &'a [(usize, usize)], rows: usize, positions: usize) -> Self {
        Self { heads, positions, shares: vec![0.0; rows * heads.len() * positions] }
    }

    fn keep(&mut self, layer: usize, head: usize, rows: &[f32]) {
        for (place, _) in self.heads.iter().enumerate().filter(|(_, wanted)| **wanted == (layer, head)) {
            for (row, shares) in rows.chunks_exact(self.positions).enumerate() {
                let start = (row * self.heads.len() + place) * self.positions;
                self.shares[start..start + self.positions].copy_from_slice(shares);
            }
        }
    }
}

/// What a layer writes into, made once per call.
struct Scratch {
    normal: Vec<f32>,
    queries_keys_values: Vec<f32>,
    inner: Vec<f32>,
    /// By head: a row of scores per step.
    scores: Vec<f32>,
    /// By head: a row per step.
    found: Vec<f32>,
}

/// Which layer is at work, on which steps, and where in its lane each of them is.
struct Said<'a> {
    layer: usize,
    steps: &'a [Step],
    places: &'a [usize],
}

impl Decoder {
    pub fn load(weights: &Weights, shape: &Shape, precision: Precision) -> Result<Self, WhisperError> {
        let width = shape.d_model;
        let words = weights.floats(WORDS, &[shape.vocab_size, width])?;
        let mut layers = Vec::with_capacity(shape.decoder_layers);
        for index in 0..shape.decoder_layers {
            layers.push(Layer::load(weights, &names::decoder_layer(index), shape, precision)?);
        }
        Ok(Self {
            width,
            heads: shape.decoder_attention_heads,
            inner: shape.decoder_ffn_dim,
            words: Linear::of(&words, &[], width, precision),
            places: weights.floats(TEXT_PLACES, &[shape.max_target_positions, width])?,
            layers,
            norm: Norm::load(weights, DECODER_NORM, width)?,
        })
    }

    #[cfg(test)]
    pub fn is_kept_in(&self, precision: Precision) -> bool {
        match self.words {
            Linear::Floats(_) => precision == Precision::F32,
            Linear::Halves(_) => precision == Precision::F16,
            Linear::Bytes(_) => precision == Precision::Int8,
        }
    }

    /// Keys and values that all tokens of a window will listen to, from the encoder's output.
    pub fn listen(&self, encoded: &[f32]) -> Heard {
        let (width, head_width) = (self.width, self.width / self.heads);
        let positions = encoded.len() / width;
        let mut both = vec![0.0; positions * 2 * width];
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            layer.cross_keys_values.apply(encoded, &mut both, Finish::Set);
            let memories = (0..self.heads).into_par_iter().map(|head| {
                let mut memory = Memory::new(head_width, positions);
                for (position, row) in both.chunks_exact(2 * width).enumerate() {
                    let start = head * head_width;
                    memory.put(position, &row[start..][..head_width], &row[width + start..][..head_width]);
                }
                memory
            });
            layers.push(memories.collect());
        }
        Heard { positions, layers }
    }

    /// Scores of what comes after each of the `wanted` steps.
    pub fn say(&self, heard: &Heard, past: &mut Past, steps: &[Step], wanted: &[usize]) -> Vec<f32> {
        let hidden = self.run(heard, past, steps, None);
        let mut normal = vec![0.0; wanted.len() * self.width];
        for (row, normal) in wanted.iter().zip(normal.chunks_exact_mut(self.width)) {
            self.norm.apply(&hidden[row * self.width..][..self.width], normal);
        }
        let mut scores = vec![0.0; wanted.len() * self.words.outputs()];
        self.words.apply(&normal, &mut scores, Finish::Set);
        scores
    }

    /// The last layer's output, a row per step. Lanes remember the steps.
    pub fn run(&self, heard: &Heard, past: &mut Past, steps: &[Step], mut capture: Option<&mut Capture>) -> Vec<f32> {
        let (width, rows) = (self.width, steps.len());
        let mut hidden = vec![0.0; rows * width];
        let mut places = Vec::with_capacity(rows);
        for (step, row) in steps.iter().zip(hidden.chunks_exact_mut(width)) {
            let lane = past.lane(step.lane);
            places.push(lane.len);
            self.words.row(step.token as usize, row);
            for (value, place) in row.iter_mut().zip(&self.places[lane.len * width..]) {
                *value += place;
            }
            lane.len += 1;
        }
        let mut scratch = Scratch {
            normal: vec![0.0; rows * width],
            queries_keys_values: vec![0.0; rows * 3 * width],
            inner: vec![0.0; rows * self.inner],
            scores: vec![0.0; self.heads * rows * heard.positions],
            found: vec![0.0; rows * width],
        };
        for (index, layer) in self.layers.iter().enumerate() {
            layer.attend_to_past(&mut hidden, &mut scratch, past, &Said { layer: index, steps, places: &places });
            layer.attend_to_heard(&mut hidden, &mut scratch, &heard.layers[index]);
            if let Some(capture) = capture.as_deref_mut() {
                for (head, scores) in scratch.scores.chunks_exact(rows * heard.positions).enumerate() {
                    capture.keep(index, head, scores);
                }
            }
            layer.feed_forward.apply(&mut hidden, &mut scratch.normal, &mut scratch.inner);
        }
        hidden
    }
}

impl Layer {
    fn load(weights: &Weights, layer: &str, shape: &Shape, precision: Precision) -> Result<Self, WhisperError> {
        let (width, inner) = (shape.d_model, shape.decoder_ffn_dim);
        let linear = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| format!("{layer}.{name}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Linear::load(weights, &names, [width, width], precision)
        };
        Ok(Self {
            queries_keys_values: linear(&[TO_SELF.queries, TO_SELF.keys, TO_SELF.values])?,
            out: linear(&[TO_SELF.out])?,
            cross_queries: linear(&[TO_HEARD.queries])?,
            cross_keys_values: linear(&[TO_HEARD.keys, TO_HEARD.values])?,
            cross_out: linear(&[TO_HEARD.out])?,
            norm: Norm::load(weights, &format!("{layer}.{}", TO_SELF.norm), width)?,
            cross_norm: Norm::load(weights, &format!("{layer}.{}", TO_HEARD.norm), width)?,
            feed_forward: FeedForward::load(weights, layer, [width, inner], precision)?,
        })
    }

    /// Every step listens to the steps before it in its lane and to itself.
    fn attend_to_past(&self, hidden: &mut [f32], scratch: &mut Scratch, past: &mut Past, said: &Said<'_>) {
        let width = self.norm.weight.len();
        self.norm.apply(hidden, &mut scratch.normal);
        self.queries_keys_values.apply(&scratch.normal, &mut scratch.queries_keys_values, Finish::Set);
        let rows = scratch.queries_keys_values.chunks_exact(3 * width).zip(scratch.normal.chunks_exact_mut(width));
        for (index, (row, found)) in rows.enumerate() {
            let place = said.places[index];
            let memories = &mut past.lane(said.steps[index].lane).layers[said.layer];
            let head_width = width / memories.len();
            for (head, memory) in memories.iter_mut().enumerate() {
                let start = head * head_width;
                memory.put(place, &row[width + start..][..head_width], &row[2 * width + start..][..head_width]);
                let mut scores = [0.0; TEXT_POSITIONS_MAX];
                let scores = &mut scores[..=place];
                let query = Rows { data: &row[start..start + head_width], stride: head_width, count: 1 };
                let to_heads = &mut found[start..start + head_width];
                listen(query, memory, place + 1, scores, RowsMut { data: to_heads, stride: head_width });
            }
        }
        self.out.apply(&scratch.normal, hidden, Finish::Add);
    }

    /// Every step listens to all that was heard.
    fn attend_to_heard(&self, hidden: &mut [f32], scratch: &mut Scratch, memories: &[Memory]) {
        let width = self.cross_norm.weight.len();
        let (head_width, rows) = (width / memories.len(), hidden.len() / width);
        self.cross_norm.apply(hidden, &mut scratch.normal);
        let queries = &mut scratch.queries_keys_values[..rows * width];
        self.cross_queries.apply(&scratch.normal, queries, Finish::Set);
        let positions = memories[0].keys.width();
        let heads = memories.par_iter().enumerate();
        let places = scratch.scores.par_chunks_exact_mut(rows * positions);
        let places = places.zip(scratch.found.par_chunks_exact_mut(rows * head_width));
        heads.zip(places).for_each(|((head, memory), (scores, found))| {
            let query = Rows { data: &queries[head * head_width..], stride: width, count: rows };
            listen(query, memory, positions, scores, RowsMut { data: found, stride: head_width });
        });
        for (head, found) in scratch.found.chunks_exact(rows * head_width).enumerate() {
            for (row, found) in found.chunks_exact(head_width).enumerate() {
                scratch.normal[row * width + head * head_width..][..head_width].copy_from_slice(found);
            }
        }
        self.cross_out.apply(&scratch.normal, hidden, Finish::Add);
    }
}

/// One head: `softmax(Q K / sqrt(width)) V` over the first `positions` of a memory.
fn listen(queries: Rows<'_>, memory: &Memory, positions: usize, scores: &mut [f32], to: RowsMut<'_>) {
    let width = memory.values.width();
    let keys = Part { matrix: &memory.keys, depth: width, width: positions };
    multiply(queries, keys, RowsMut { data: scores, stride: positions }, Finish::Set);
    for row in scores.chunks_exact_mut(positions) {
        softmax(row, 1.0 / (width as f32).sqrt());
    }
    let values = Part { matrix: &memory.values, depth: positions, width };
    let shares = Rows { data: scores, stride: positions, count: queries.count };
    multiply(shares, values, to, Finish::Set);
}
