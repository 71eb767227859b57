//! A model's matrices by their part in it, every shape checked against the architecture.

use std::sync::Arc;

use crate::inference::kernel::quant::Matrix;
use crate::inference::language::shape::{Architecture, Shape};
use crate::inference::weights::gguf::{Gguf, Tensor};

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("the file has no tensor {0}")]
    Missing(String),
    #[error("tensor {name} is {columns} by {rows}, not {wanted_columns} by {wanted_rows}")]
    Shape { name: String, columns: usize, rows: usize, wanted_columns: usize, wanted_rows: usize },
}

#[derive(Debug)]
pub struct Weights {
    gguf: Arc<Gguf>,
    pub embedding: Linear,
    pub layers: Vec<Layer>,
    pub norm: Vec<f32>,
    pub head: Linear,
    /// Divisors of rotary frequencies: for all positions, or for texts beyond the trained length.
    pub rope_factors: Option<Vec<f32>>,
}

/// Some rows of a matrix, with what is added to each product.
#[derive(Clone, Debug)]
pub struct Linear {
    tensor: Tensor,
    first: usize,
    rows: usize,
    pub bias: Option<Vec<f32>>,
}

#[derive(Debug)]
pub struct Layer {
    pub attention_norm: Vec<f32>,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub query_norm: Option<Vec<f32>>,
    pub key_norm: Option<Vec<f32>>,
    pub output: Linear,
    /// Gemma's norm after attention.
    pub after_attention: Option<Vec<f32>>,
    pub feed_norm: Vec<f32>,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
    /// Gemma's norm after the feed-forward part.
    pub after_feed: Option<Vec<f32>>,
}

impl Linear {
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn part(&self, first: usize, rows: usize) -> Self {
        Self { tensor: self.tensor.clone(), first: self.first + first, rows, bias: None }
    }
}

impl Weights {
    /// `tokens` is the size of the vocabulary.
    pub fn read(gguf: Arc<Gguf>, shape: &Shape, tokens: usize) -> Result<Self, WeightsError> {
        let source = Source { gguf: &gguf, shape };
        let embedding = source.linear("token_embd", shape.width, tokens)?;
        let head = match gguf.tensor("output.weight") {
            Some(_) => source.linear("output", shape.width, tokens)?,
            None => embedding.clone(),
        };
        let layers = (0..shape.layers).map(|layer| source.layer(layer)).collect::<Result<_, _>>()?;
        let norm = source.floats("output_norm.weight", shape.width)?;
        let half = shape.rope.width / 2;
        let factors = ["rope_freqs.weight", "rope_factors_short.weight"];
        let factors = factors.iter().find(|name| gguf.tensor(name).is_some());
        let rope_factors = factors.map(|name| source.floats(name, half)).transpose()?;
        Ok(Self { embedding, layers, norm, head, rope_factors, gguf })
    }

    pub fn matrix(&self, linear: &Linear) -> Matrix<'_> {
        let tensor = &linear.tensor;
        let whole = Matrix::new(tensor.format, tensor.columns, tensor.rows, self.gguf.data(tensor))
            .expect("invariant: tensors were measured when the file was read");
        whole.slice(linear.first..linear.first + linear.rows)
    }
}

struct Source<'a> {
    gguf: &'a Gguf,
    shape: &'a Shape,
}

impl Source<'_> {
    fn tensor(&self, name: &str, columns: usize, rows: usize) -> Result<&Tensor, WeightsError> {
        let tensor = self.gguf.tensor(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        if (tensor.columns, tensor.rows) != (columns, rows) {
            return Err(WeightsError::Shape {
                name: name.to_owned(),
                columns: tensor.columns,
                rows: tensor.rows,
                wanted_columns: columns,
                wanted_rows: rows,
            });
        }
        Ok(tensor)
    }

    /// A vector as floats.
    fn floats(&self, name: &str, len: usize) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.tensor(name, len, 1)?;
        let mut floats = vec![0.0; len];
        if let Some(matrix) = Matrix::new(tensor.format, len, 1, self.gguf.data(tensor)) {
            matrix.read_row(0, &mut floats);
        }
        Ok(floats)
    }

    fn maybe_floats(&self, name: &str, len: usize) -> Result<Option<Vec<f32>>, WeightsError> {
        self.gguf.tensor(name).map(|_| self.floats(name, len)).transpose()
    }

    fn linear(&self, name: &str, columns: usize, rows: usize) -> Result<Linear, WeightsError> {
        let tensor = self.tensor(&format!("{name}.weight"), columns, rows)?.clone();
        let bias = self.maybe_floats(&format!("{name}.bias"), rows)?;
        Ok(Linear { tensor, first: 0, rows, bias })
    }

    fn layer(&self, number: usize) -> Result<Layer, WeightsError> {
        let shape = self.shape;
        let at = |name: &str| format!("blk.{number}.{name}");
        let weight = |name: &str| format!("blk.{number}.{name}.weight");
        let (width, queries, keys) = (shape.width, shape.query_width(), shape.kv_width());
        let (query, key, value) = if shape.architecture == Architecture::Phi3 {
            let all = self.linear(&at("attn_qkv"), width, queries + 2 * keys)?;
            (all.part(0, queries), all.part(queries, keys), all.part(queries + keys, keys))
        } else {
            let query = self.linear(&at("attn_q"), width, queries)?;
            (query, self.linear(&at("attn_k"), width, keys)?, self.linear(&at("attn_v"), width, keys)?)
        };
        let (gate, up) = if shape.architecture == Architecture::Phi3 {
            let both = self.linear(&at("ffn_up"), width, 2 * shape.hidden)?;
            (both.part(0, shape.hidden), both.part(shape.hidden, shape.hidden))
        } else {
            (self.linear(&at("ffn_gate"), width, shape.hidden)?, self.linear(&at("ffn_up"), width, shape.hidden)?)
        };
        Ok(Layer {
            attention_norm: self.floats(&weight("attn_norm"), width)?,
            query,
            key,
            value,
            query_norm: self.maybe_floats(&weight("attn_q_norm"), shape.head_width)?,
            key_norm: self.maybe_floats(&weight("attn_k_norm"), shape.head_width)?,
            output: self.linear(&at("attn_output"), queries, width)?,
            after_attention: self.maybe_floats(&weight("post_attention_norm"), width)?,
            feed_norm: self.floats(&weight("ffn_norm"), width)?,
            gate,
            up,
            down: self.linear(&at("ffn_down"), shape.hidden, width)?,
            after_feed: self.maybe_floats(&weight("post_ffw_norm"), width)?,
        })
    }
}
