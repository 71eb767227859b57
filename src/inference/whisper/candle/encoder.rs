//! The encoder: two convolutions, then layers in which every position listens to every other.

use candle_core::{Result, Tensor};

use crate::inference::whisper::candle::{FeedForward, Linear, Norm, Source, heads, mixed, shares};
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::mel::Mel;
use crate::inference::whisper::names::{self, CONVOLUTIONS, ENCODER_NORM, TO_SELF};
use crate::inference::whisper::shape::Shape;

#[derive(Debug)]
pub struct Encoder {
    /// Heads, and numbers in each.
    heads: [usize; 2],
    first: Convolution,
    second: Convolution,
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
    feed_forward: FeedForward,
}

#[derive(Debug)]
struct Convolution {
    /// `[outputs, inputs, 3]`.
    kernel: Tensor,
    /// `[1, outputs, 1]`.
    bias: Tensor,
    stride: usize,
}

impl Convolution {
    fn load(
        source: &Source<'_>,
        name: &str,
        sizes: [usize; 2],
        stride: usize,
    ) -> std::result::Result<Self, WhisperError> {
        let [outputs, inputs] = sizes;
        let kernel = source.tensor(&format!("{name}.weight"), &[outputs, inputs, 3])?;
        let bias = source.tensor(&format!("{name}.bias"), &[outputs])?.reshape((1, outputs, 1))?;
        Ok(Self { kernel, bias, stride })
    }

    /// `[1, inputs, frames]` to `[1, outputs, frames / stride]`.
    fn apply(&self, frames: &Tensor) -> Result<Tensor> {
        frames.conv1d(&self.kernel, 1, self.stride, 1, 1)?.broadcast_add(&self.bias)?.gelu_erf()
    }
}

impl Encoder {
    pub(super) fn load(source: &Source<'_>, shape: &Shape) -> std::result::Result<Self, WhisperError> {
        let (width, inner) = (shape.d_model, shape.encoder_ffn_dim);
        let mut layers = Vec::with_capacity(shape.encoder_layers);
        for index in 0..shape.encoder_layers {
            let layer = names::encoder_layer(index);
            let sides = [TO_SELF.queries, TO_SELF.keys, TO_SELF.values];
            layers.push(Layer {
                norm: Norm::load(source, &format!("{layer}.{}", TO_SELF.norm), width)?,
                queries_keys_values: Linear::load(source, &layer, &sides, [width, width])?,
                out: Linear::load(source, &layer, &[TO_SELF.out], [width, width])?,
                feed_forward: FeedForward::load(source, &layer, [width, inner])?,
            });
        }
        let places = names::audio_places(source.weights, shape)?;
        let [first, second] = CONVOLUTIONS;
        Ok(Self {
            heads: [shape.encoder_attention_heads, width / shape.encoder_attention_heads],
            first: Convolution::load(source, first, [width, shape.num_mel_bins], 1)?,
            second: Convolution::load(source, second, [width, width], 2)?,
            places: source.put(places, &[shape.max_source_positions, width])?,
            layers,
            norm: Norm::load(source, ENCODER_NORM, width)?,
        })
    }

    /// `[positions, width]`; there are half as many positions as frames.
    pub(super) fn run(&self, mel: &Mel) -> Result<Tensor> {
        let positions = (mel.frames() / 2).min(self.places.dim(0)?);
        let heard = &mel.values[..2 * positions * mel.bands];
        let frames = Tensor::from_slice(heard, (1, 2 * positions, mel.bands), self.places.device())?;
        let frames = frames.transpose(1, 2)?.contiguous()?.to_dtype(self.places.dtype())?;
        let hidden = self.second.apply(&self.first.apply(&frames)?)?.squeeze(0)?.t()?.contiguous()?;
        let mut hidden = (hidden + self.places.narrow(0, 0, positions)?)?;
        for layer in &self.layers {
            hidden = layer.run(&hidden, self.heads)?;
        }
        self.norm.apply(&hidden)
    }
}

impl Layer {
    fn run(&self, hidden: &Tensor, sizes: [usize; 2]) -> Result<Tensor> {
        let width = hidden.dim(1)?;
        let all = self.queries_keys_values.apply(&self.norm.apply(hidden)?)?;
        let (queries, keys) = (heads(&all, 0, sizes)?, heads(&all, width, sizes)?);
        let found = mixed(&shares(&queries, &keys, None)?, &heads(&all, 2 * width, sizes)?)?;
        self.feed_forward.apply(&(hidden + self.out.apply(&found)?)?)
    }
}
