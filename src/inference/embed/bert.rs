//! BERT on candle: the same network as the ONNX file's, from the published safetensors, on the CPU or a CUDA device.
//!
//! Architecture: Devlin et al. 2018, with the names of transformers' `BertModel`; RoBERTa's family differs in where positions
//! begin. Query, key and value are one matrix here, and the scale of the scores is in its weights already.

use std::path::Path;

use candle_core::{D, Device, IndexOp, Result, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};

use super::description::Shape;
use super::error::{LoadError, RunError};
use super::network::Batch;
use super::weights::Weights;

/// Deepest network that is believed.
const LAYERS_MAX: usize = 256;
/// What published files have before the names.
const PREFIXES: [&str; 4] = ["", "bert.", "roberta.", "model."];
/// Stands in for minus infinity where attention must not look; infinity itself makes rows of padding not-numbers.
const MASKED: f32 = -1e9;

#[derive(Clone, Copy)]
enum Activation {
    GeluErf,
    GeluTanh,
    Relu,
}

pub(super) struct Bert {
    words: Tensor,
    positions: Tensor,
    /// Row of token type zero, the only one that single texts have.
    kind: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    activation: Activation,
    device: Device,
}

struct Norm {
    scale: Tensor,
    shift: Tensor,
    epsilon: f32,
}

/// `x @ weight + bias`; the weight lies as `[inputs, outputs]`.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

struct Layer {
    query_key_value: Linear,
    attended: Linear,
    attended_norm: Norm,
    wide: Linear,
    narrow: Linear,
    norm: Norm,
}

impl Bert {
    /// Reads the weights at `path`; their shapes must be those of `shape`.
    pub(super) fn load(path: &Path, shape: &Shape, device: Device) -> std::result::Result<Self, LoadError> {
        let activation = match shape.hidden_act.as_str() {
            "gelu" => Activation::GeluErf,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => return Err(LoadError::Unsupported { what: format!("activation {other:?}") }),
        };
        if shape.num_hidden_layers > LAYERS_MAX {
            return Err(LoadError::Unsupported { what: format!("a network of {} layers", shape.num_hidden_layers) });
        }
        let first = "embeddings.word_embeddings.weight";
        let weights = Weights::open(path, device.clone(), (first, &PREFIXES))?;
        let size = shape.hidden_size;
        let words = weights.tensor(first, &[0, size])?;
        let positions =
            weights.tensor("embeddings.position_embeddings.weight", &[shape.max_position_embeddings, size])?;
        let kinds = weights.tensor("embeddings.token_type_embeddings.weight", &[0, size])?;
        let network = |source| LoadError::Network { source };
        let offset = shape.position_offset();
        let layers = (0..shape.num_hidden_layers).map(|index| Layer::load(&weights, shape, index));
        Ok(Self {
            layers: layers.collect::<std::result::Result<_, _>>()?,
            norm: Norm::load(&weights, "embeddings.LayerNorm", shape)?,
            words,
            positions: positions.i(offset..).map_err(network)?,
            kind: kinds.i(0).map_err(network)?,
            heads: shape.num_attention_heads,
            activation,
            device,
        })
    }

    pub(super) fn dims(&self) -> usize {
        self.words.dims().last().copied().unwrap_or(0)
    }

    /// One vector for each token: `rows * columns * dims` values.
    pub(super) fn run(&self, batch: &Batch) -> std::result::Result<Vec<f32>, RunError> {
        // Not every device checks this by itself.
        let words = self.words.dim(0).unwrap_or(0);
        if let Some(id) = batch.ids.iter().find(|id| usize::try_from(**id).map_or(true, |id| id >= words)) {
            return Err(RunError::Word { id: *id, words });
        }
        self.forward(batch)
            .and_then(|states| states.flatten_all()?.to_vec1())
            .map_err(|source| RunError::Network { source })
    }

    fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let (rows, columns) = (batch.rows(), batch.columns);
        let ids = Tensor::from_slice(&batch.ids, rows * columns, &self.device)?;
        let words = self.words.index_select(&ids, 0)?.reshape((rows, columns, ()))?;
        let places = self.positions.narrow(0, 0, columns)?.broadcast_add(&self.kind)?;
        let mut states = self.norm.forward(&words.broadcast_add(&places)?)?;
        let mask = self.mask(batch)?;
        for layer in &self.layers {
            states = layer.forward(&states, mask.as_ref(), self.heads, self.activation)?;
        }
        Ok(states)
    }

    /// What is added to scores, `[rows, 1, 1, columns]`; `None` when nothing is padding.
    fn mask(&self, batch: &Batch) -> Result<Option<Tensor>> {
        if batch.lengths.iter().all(|length| *length == batch.columns) {
            return Ok(None);
        }
        let values: Vec<f32> = batch.mask().iter().map(|real| if *real == 1 { 0.0 } else { MASKED }).collect();
        Tensor::from_vec(values, (batch.rows(), 1, 1, batch.columns), &self.device).map(Some)
    }
}

impl Layer {
    fn load(weights: &Weights, shape: &Shape, index: usize) -> std::result::Result<Self, LoadError> {
        let (name, size) = (format!("encoder.layer.{index}"), shape.hidden_size);
        let network = |source| LoadError::Network { source };
        let part = |part: &str| Linear::load(weights, &format!("{name}.attention.self.{part}"), [size, size]);
        let (query, key, value) = (part("query")?, part("key")?, part("value")?);
        let scale = 1.0 / ((size / shape.num_attention_heads) as f64).sqrt();
        let query_key_value = Linear::beside([query.scaled(scale).map_err(network)?, key, value]).map_err(network)?;
        let attended = Linear::load(weights, &format!("{name}.attention.output.dense"), [size, size])?;
        let wide = Linear::load(weights, &format!("{name}.intermediate.dense"), [size, 0])?;
        let middle = wide.bias.elem_count();
        Ok(Self {
            query_key_value,
            attended,
            attended_norm: Norm::load(weights, &format!("{name}.attention.output.LayerNorm"), shape)?,
            wide,
            narrow: Linear::load(weights, &format!("{name}.output.dense"), [middle, size])?,
            norm: Norm::load(weights, &format!("{name}.output.LayerNorm"), shape)?,
        })
    }

    fn forward(&self, states: &Tensor, mask: Option<&Tensor>, heads: usize, activation: Activation) -> Result<Tensor> {
        let context = self.attention(states, mask, heads)?;
        let states = self.attended_norm.forward(&(self.attended.forward(&context)? + states)?)?;
        let wide = self.wide.forward(&states)?;
        let wide = match activation {
            Activation::GeluErf => wide.gelu_erf()?,
            Activation::GeluTanh => wide.gelu()?,
            Activation::Relu => wide.relu()?,
        };
        self.norm.forward(&(self.narrow.forward(&wide)? + states)?)
    }

    fn attention(&self, states: &Tensor, mask: Option<&Tensor>, heads: usize) -> Result<Tensor> {
        let (rows, columns, size) = states.dims3()?;
        // [rows, columns, 3, heads, size of a head] to three of [rows, heads, columns, size of a head].
        let parts = self.query_key_value.forward(states)?.reshape((rows, columns, 3, heads, size / heads))?;
        let part = |index: usize| parts.i((.., .., index))?.transpose(1, 2)?.contiguous();
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let scores = query.matmul(&key.t()?)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        softmax_last_dim(&scores)?.matmul(&value)?.transpose(1, 2)?.reshape((rows, columns, size))
    }
}

impl Linear {
    /// The weight lies as `[outputs, inputs]` in files. A zero in `sides` (inputs, outputs) stands for any size.
    fn load(weights: &Weights, name: &str, [inputs, outputs]: [usize; 2]) -> std::result::Result<Self, LoadError> {
        let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        let outputs = weight.dim(0).map_err(|source| LoadError::Network { source })?;
        let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
        let weight = weight.t().and_then(|weight| weight.contiguous());
        Ok(Self { weight: weight.map_err(|source| LoadError::Network { source })?, bias })
    }

    fn scaled(&self, factor: f64) -> Result<Self> {
        Ok(Self { weight: (&self.weight * factor)?, bias: (&self.bias * factor)? })
    }

    /// One matrix that does the work of three.
    fn beside(parts: [Self; 3]) -> Result<Self> {
        let weight = Tensor::cat(&parts.each_ref().map(|part| &part.weight), 1)?;
        Ok(Self { weight, bias: Tensor::cat(&parts.each_ref().map(|part| &part.bias), 0)? })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let (rows, columns, size) = input.dims3()?;
        let output = input.reshape((rows * columns, size))?.matmul(&self.weight)?.broadcast_add(&self.bias)?;
        output.reshape((rows, columns, self.weight.dim(D::Minus1)?))
    }
}

impl Norm {
    fn load(weights: &Weights, name: &str, shape: &Shape) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            scale: weights.tensor(&format!("{name}.weight"), &[shape.hidden_size])?,
            shift: weights.tensor(&format!("{name}.bias"), &[shape.hidden_size])?,
            epsilon: shape.layer_norm_eps as f32,
        })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        layer_norm(&input.contiguous()?, &self.scale, &self.shift, self.epsilon)
    }
}
