//! Whisper on candle's tensors, for GPUs: the same network as `slices`, from the same weights.
//!
//! On a GPU everything is computed in 16-bit floats, but sums within norms and softmax, as the models were released for. On the
//! processor, where only tests run it, floats have 32 bits. Candle are never changed: a text that splits into two shares what
//! was said before.

mod decoder;
mod encoder;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};

use crate::inference::whisper::engine::{Engine, Step};
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::mel::Mel;
use crate::inference::whisper::names;
use crate::inference::whisper::shape::Shape;
use crate::inference::whisper::weights::Weights;

use decoder::{Decoder, Tape};
use encoder::Encoder;

/// Of all of Whisper's norms.
const EPSILON: f32 = 1e-5;

/// A model in a device's memory.
#[derive(Debug)]
pub struct Candle {
    shape: Shape,
    encoder: Encoder,
    decoder: Decoder,
}

/// Keys and values of each layer's cross attention.
#[derive(Debug)]
pub struct Heard {
    positions: usize,
    layers: Vec<Memory>,
}

/// Keys and values, `[heads, positions, head width]` both.
#[derive(Debug, Clone)]
struct Memory {
    keys: Tensor,
    values: Tensor,
}

impl Candle {
    /// With numbers of 16 bits on a GPU and of 32 on the processor.
    pub fn load(weights: &Weights, shape: &Shape, device: &Device) -> Result<Self, WhisperError> {
        let numbers = if device.is_cpu() { DType::F32 } else { DType::F16 };
        Self::load_as(weights, shape, (device, numbers))
    }

    fn load_as(weights: &Weights, shape: &Shape, numbers: (&Device, DType)) -> Result<Self, WhisperError> {
        let source = Source { weights, device: numbers.0, numbers: numbers.1 };
        let encoder = Encoder::load(&source, shape)?;
        let decoder = Decoder::load(&source, shape)?;
        Ok(Self { shape: shape.clone(), encoder, decoder })
    }
}

impl Engine for Candle {
    type Heard = Heard;
    type Tape = Tape;

    fn vocabulary(&self) -> usize {
        self.shape.vocab_size
    }

    fn positions(&self) -> usize {
        self.shape.max_target_positions
    }

    fn hear(&self, mel: &Mel) -> Result<Heard, WhisperError> {
        Ok(self.decoder.listen(&self.encoder.run(mel)?)?)
    }

    fn tape(&self) -> Tape {
        Tape::new()
    }

    fn say(&self, heard: &Heard, tape: &mut Tape, steps: &[Step], wanted: &[usize]) -> Result<Vec<f32>, WhisperError> {
        Ok(self.decoder.say(heard, tape, steps, wanted)?)
    }

    fn keep(&self, tape: &mut Tape, from: &[usize]) -> Result<(), WhisperError> {
        tape.keep(from);
        Ok(())
    }

    fn attend(&self, heard: &Heard, tokens: &[u32], heads: &[(usize, usize)]) -> Result<Vec<f32>, WhisperError> {
        Ok(self.decoder.attend(heard, tokens, heads)?)
    }
}

/// Where weights come from and what they become.
struct Source<'a> {
    weights: &'a Weights,
    device: &'a Device,
    numbers: DType,
}

impl Source<'_> {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Tensor, WhisperError> {
        let floats = self.weights.floats(name, dims)?;
        self.put(floats, dims)
    }

    fn put(&self, floats: Vec<f32>, dims: &[usize]) -> Result<Tensor, WhisperError> {
        Ok(Tensor::from_vec(floats, dims, &Device::Cpu)?.to_dtype(self.numbers)?.to_device(self.device)?)
    }
}

/// `y = x W + b`; one or several of the model's layers side by side.
#[derive(Debug)]
struct Linear {
    /// `[outputs, inputs]`.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Names within `layer`, each `[outputs, inputs]`, with their biases where they have one.
    fn load(source: &Source<'_>, layer: &str, names: &[&str], sizes: [usize; 2]) -> Result<Self, WhisperError> {
        let [outputs, inputs] = sizes;
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weight.extend(source.weights.floats(&format!("{layer}.{name}.weight"), &sizes)?);
            let name = format!("{layer}.{name}.bias");
            let zeros = || Ok(vec![0.0; outputs]);
            bias.extend(if source.weights.has(&name) { source.weights.floats(&name, &[outputs]) } else { zeros() }?);
        }
        let outputs = outputs * names.len();
        Ok(Self { weight: source.put(weight, &[outputs, inputs])?, bias: source.put(bias, &[outputs])? })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        rows.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn load(source: &Source<'_>, name: &str, width: usize) -> Result<Self, WhisperError> {
        let weight = source.tensor(&format!("{name}.weight"), &[width])?;
        Ok(Self { weight, bias: source.tensor(&format!("{name}.bias"), &[width])? })
    }

    fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        layer_norm(&rows.contiguous()?, &self.weight, &self.bias, EPSILON)
    }
}

/// What ends every layer; the result is added to `hidden`.
#[derive(Debug)]
struct FeedForward {
    norm: Norm,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    fn load(source: &Source<'_>, layer: &str, [width, inner]: [usize; 2]) -> Result<Self, WhisperError> {
        let [up, down] = names::FEED_FORWARD;
        Ok(Self {
            norm: Norm::load(source, &format!("{layer}.{}", names::FEED_FORWARD_NORM), width)?,
            up: Linear::load(source, layer, &[up], [inner, width])?,
            down: Linear::load(source, layer, &[down], [width, inner])?,
        })
    }

    fn apply(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let inner = self.up.apply(&self.norm.apply(hidden)?)?.gelu_erf()?;
        hidden + self.down.apply(&inner)?
    }
}

/// The columns from `first` on of `rows`, as heads: `[rows, ..]` to `[heads, rows, head width]`.
fn heads(rows: &Tensor, first: usize, [heads, head_width]: [usize; 2]) -> candle_core::Result<Tensor> {
    let columns = rows.narrow(1, first, heads * head_width)?.contiguous()?;
    columns.reshape(((), heads, head_width))?.transpose(0, 1)?.contiguous()
}

/// How much each row of `[heads, rows, head width]` listens to each position: `softmax(Q K / sqrt(head width))`, without what
/// the mask takes away.
fn shares(queries: &Tensor, keys: &Tensor, mask: Option<&Tensor>) -> candle_core::Result<Tensor> {
    // Before the product, so that it does not leave the range of 16 bits.
    let scale = 1.0 / (queries.dim(2)? as f64).sqrt();
    let scores = (queries * scale)?.matmul(&keys.t()?)?;
    softmax_last_dim(&match mask {
        Some(mask) => scores.broadcast_add(mask)?,
        None => scores,
    })
}

/// `[heads, rows, positions]` of shares with the values they are shares of: `[rows, width]`.
fn mixed(shares: &Tensor, values: &Tensor) -> candle_core::Result<Tensor> {
    shares.matmul(values)?.transpose(0, 1)?.contiguous()?.flatten_from(1)
}
