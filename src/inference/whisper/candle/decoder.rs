//! The decoder: says one token after another, listening to what was said before and to what was heard.

use candle_core::{D, DType, Result, Tensor};

use crate::inference::whisper::candle::{FeedForward, Heard, Linear, Memory, Norm, Source, heads, mixed, shares};
use crate::inference::whisper::engine::Step;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::names::{self, DECODER_NORM, TEXT_PLACES, TO_HEARD, TO_SELF, WORDS};
use crate::inference::whisper::shape::Shape;

#[derive(Debug)]
pub struct Decoder {
    /// Heads, and numbers in each.
    heads: [usize; 2],
    /// `[vocabulary, width]`.
    words: Tensor,
    /// `[positions, width]`.
    places: Tensor,
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

/// Texts that are decoded side by side.
#[derive(Debug)]
pub struct Tape {
    lanes: Vec<Lane>,
}

/// One text.
#[derive(Debug, Clone, Default)]
struct Lane {
    len: usize,
    /// Nothing before the first token is said.
    layers: Vec<Memory>,
}

impl Tape {
    pub(super) fn new() -> Self {
        Self { lanes: vec![Lane::default()] }
    }

    /// Lane `i` becomes a copy of lane `from[i]`: the tensors themselves are shared.
    pub(super) fn keep(&mut self, from: &[usize]) {
        self.lanes = from.iter().map(|lane| self.lanes[*lane].clone()).collect();
    }
}

impl Lane {
    fn next_place(&mut self) -> u32 {
        self.len += 1;
        self.len as u32 - 1
    }

    /// All keys and values of a layer, with new ones after those that were there.
    fn push(&mut self, layer: usize, new: Memory) -> Result<&Memory> {
        if layer == self.layers.len() {
            self.layers.push(new);
        } else {
            let old = &self.layers[layer];
            let keys = Tensor::cat(&[&old.keys, &new.keys], 1)?;
            self.layers[layer] = Memory { keys, values: Tensor::cat(&[&old.values, &new.values], 1)? };
        }
        Ok(&self.layers[layer])
    }
}

/// Steps of one lane that follow one another.
struct Run {
    lane: usize,
    first: usize,
    count: usize,
    /// Takes the future away; nothing for a single step.
    mask: Option<Tensor>,
}

/// Shares of the cross attention that are kept for word times: the layers', then the heads' that were asked for.
type Capture<'a> = Option<&'a mut Vec<Tensor>>;

impl Decoder {
    pub(super) fn load(source: &Source<'_>, shape: &Shape) -> std::result::Result<Self, WhisperError> {
        let width = shape.d_model;
        let mut layers = Vec::with_capacity(shape.decoder_layers);
        for index in 0..shape.decoder_layers {
            layers.push(Layer::load(source, &names::decoder_layer(index), shape)?);
        }
        Ok(Self {
            heads: [shape.decoder_attention_heads, width / shape.decoder_attention_heads],
            words: source.tensor(WORDS, &[shape.vocab_size, width])?,
            places: source.tensor(TEXT_PLACES, &[shape.max_target_positions, width])?,
            layers,
            norm: Norm::load(source, DECODER_NORM, width)?,
        })
    }

    /// Keys and values that all tokens of a window will listen to, from the encoder's output.
    pub(super) fn listen(&self, encoded: &Tensor) -> Result<Heard> {
        let (positions, width) = encoded.dims2()?;
        let layers = self.layers.iter().map(|layer| {
            let both = layer.cross_keys_values.apply(encoded)?;
            Ok(Memory { keys: heads(&both, 0, self.heads)?, values: heads(&both, width, self.heads)? })
        });
        Ok(Heard { positions, layers: layers.collect::<Result<_>>()? })
    }

    /// Scores of what comes after each of the `wanted` steps.
    pub(super) fn say(&self, heard: &Heard, tape: &mut Tape, steps: &[Step], wanted: &[usize]) -> Result<Vec<f32>> {
        let hidden = self.run(heard, tape, steps, None)?;
        let wanted: Vec<u32> = wanted.iter().map(|row| *row as u32).collect();
        let wanted = Tensor::new(wanted, hidden.device())?;
        let normal = self.norm.apply(&hidden.index_select(&wanted, 0)?)?;
        normal.matmul(&self.words.t()?)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }

    /// For every token, head of `at` (layer, head) and audio position its share of the cross attention.
    pub(super) fn attend(&self, heard: &Heard, tokens: &[u32], at: &[(usize, usize)]) -> Result<Vec<f32>> {
        let steps: Vec<_> = tokens.iter().map(|token| Step { lane: 0, token: *token }).collect();
        let mut layers = Vec::new();
        self.run(heard, &mut Tape::new(), &steps, Some(&mut layers))?;
        let mut shares = vec![0.0; tokens.len() * at.len() * heard.positions];
        for (place, (layer, head)) in at.iter().enumerate() {
            let rows: Vec<Vec<f32>> = layers[*layer].get(*head)?.to_dtype(DType::F32)?.to_vec2()?;
            for (row, values) in rows.iter().enumerate() {
                shares[(row * at.len() + place) * heard.positions..][..heard.positions].copy_from_slice(values);
            }
        }
        Ok(shares)
    }

    /// The last layer's output, a row per step. Lanes remember the steps.
    fn run(&self, heard: &Heard, tape: &mut Tape, steps: &[Step], mut capture: Capture<'_>) -> Result<Tensor> {
        let device = self.words.device();
        let places: Vec<u32> = steps.iter().map(|step| tape.lanes[step.lane].next_place()).collect();
        let tokens: Vec<u32> = steps.iter().map(|step| step.token).collect();
        let words = self.words.index_select(&Tensor::new(tokens, device)?, 0)?;
        let mut hidden = (words + self.places.index_select(&Tensor::new(places.clone(), device)?, 0)?)?;
        let runs = self.runs(steps, &places)?;
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = self.attend_to_past((index, layer), &hidden, tape, &runs)?;
            hidden = self.attend_to_heard(layer, &hidden, &heard.layers[index], &mut capture)?;
            hidden = layer.feed_forward.apply(&hidden)?;
        }
        Ok(hidden)
    }

    /// Neighbors of one lane are computed together.
    fn runs(&self, steps: &[Step], places: &[u32]) -> Result<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run.lane == step.lane => run.count += 1,
                _ => runs.push(Run { lane: step.lane, first: index, count: 1, mask: None }),
            }
        }
        for run in runs.iter_mut().filter(|run| run.count > 1) {
            let before = places[run.first] as usize;
            let positions = before + run.count;
            let row = |row: usize| {
                (0..positions).map(move |place| if place > before + row { f32::NEG_INFINITY } else { 0.0 })
            };
            let mask: Vec<f32> = (0..run.count).flat_map(row).collect();
            let mask = Tensor::from_vec(mask, (run.count, positions), self.words.device())?;
            run.mask = Some(mask.to_dtype(self.words.dtype())?);
        }
        Ok(runs)
    }

    /// Every step listens to the steps before it in its lane and to itself.
    fn attend_to_past(
        &self,
        (index, layer): (usize, &Layer),
        hidden: &Tensor,
        tape: &mut Tape,
        runs: &[Run],
    ) -> Result<Tensor> {
        let width = hidden.dim(D::Minus1)?;
        let all = layer.queries_keys_values.apply(&layer.norm.apply(hidden)?)?;
        let mut found = Vec::with_capacity(runs.len());
        for run in runs {
            let rows = all.narrow(0, run.first, run.count)?;
            let new = Memory { keys: heads(&rows, width, self.heads)?, values: heads(&rows, 2 * width, self.heads)? };
            let memory = tape.lanes[run.lane].push(index, new)?;
            let shares = shares(&heads(&rows, 0, self.heads)?, &memory.keys, run.mask.as_ref())?;
            found.push(mixed(&shares, &memory.values)?);
        }
        hidden + layer.out.apply(&Tensor::cat(&found, 0)?)?
    }

    /// Every step listens to all that was heard.
    fn attend_to_heard(
        &self,
        layer: &Layer,
        hidden: &Tensor,
        memory: &Memory,
        capture: &mut Capture<'_>,
    ) -> Result<Tensor> {
        let queries = layer.cross_queries.apply(&layer.cross_norm.apply(hidden)?)?;
        let shares = shares(&heads(&queries, 0, self.heads)?, &memory.keys, None)?;
        let found = mixed(&shares, &memory.values)?;
        if let Some(layers) = capture {
            layers.push(shares);
        }
        hidden + layer.cross_out.apply(&found)?
    }
}

impl Layer {
    fn load(source: &Source<'_>, layer: &str, shape: &Shape) -> std::result::Result<Self, WhisperError> {
        let (width, inner) = (shape.d_model, shape.decoder_ffn_dim);
        let sides = [TO_SELF.queries, TO_SELF.keys, TO_SELF.values];
        Ok(Self {
            norm: Norm::load(source, &format!("{layer}.{}", TO_SELF.norm), width)?,
            queries_keys_values: Linear::load(source, layer, &sides, [width, width])?,
            out: Linear::load(source, layer, &[TO_SELF.out], [width, width])?,
            cross_norm: Norm::load(source, &format!("{layer}.{}", TO_HEARD.norm), width)?,
            cross_queries: Linear::load(source, layer, &[TO_HEARD.queries], [width, width])?,
            cross_keys_values: Linear::load(source, layer, &[TO_HEARD.keys, TO_HEARD.values], [width, width])?,
            cross_out: Linear::load(source, layer, &[TO_HEARD.out], [width, width])?,
            feed_forward: FeedForward::load(source, layer, [width, inner])?,
        })
    }
}
