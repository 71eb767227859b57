//! One layer: attention over what was read, then the feed-forward part.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};

use crate::inference::language::candle::cache::Memory;
use crate::inference::language::candle::weights::{Product, vector};
use crate::inference::language::candle::{Sight, Turns};
use crate::inference::language::shape::{Architecture, RopeStyle, Shape};
use crate::inference::language::weights::{Layer as Named, Linear};

#[derive(Debug)]
pub struct Layer {
    attention_norm: Tensor,
    query: Product,
    key: Product,
    value: Product,
    query_norm: Option<Tensor>,
    key_norm: Option<Tensor>,
    output: Product,
    after_attention: Option<Tensor>,
    feed_norm: Tensor,
    gate: Product,
    up: Product,
    down: Product,
    after_feed: Option<Tensor>,
}

impl Layer {
    pub fn load(named: &Named, product: &dyn Fn(&Linear) -> Result<Product>, device: &Device) -> Result<Self> {
        let maybe = |values: &Option<Vec<f32>>| values.as_deref().map(|values| vector(values, device)).transpose();
        Ok(Self {
            attention_norm: vector(&named.attention_norm, device)?,
            query: product(&named.query)?,
            key: product(&named.key)?,
            value: product(&named.value)?,
            query_norm: maybe(&named.query_norm)?,
            key_norm: maybe(&named.key_norm)?,
            output: product(&named.output)?,
            after_attention: maybe(&named.after_attention)?,
            feed_norm: vector(&named.feed_norm, device)?,
            gate: product(&named.gate)?,
            up: product(&named.up)?,
            down: product(&named.down)?,
            after_feed: maybe(&named.after_feed)?,
        })
    }

    /// `state` is `[tokens, width]`, as is what comes of it.
    pub fn attend(&self, shape: &Shape, state: &Tensor, memory: &mut Memory, sight: Sight<'_>) -> Result<Tensor> {
        let normed = rms_norm(state, &self.attention_norm, shape.norm_epsilon)?;
        let heads = |product: &Product, heads: usize, norm: Option<&Tensor>| {
            let rows = product.apply(&normed)?.reshape(((), heads, shape.head_width))?;
            let heads = rows.transpose(0, 1)?.contiguous()?;
            norm.map_or(Ok(heads.clone()), |norm| rms_norm(&heads, norm, shape.norm_epsilon))
        };
        let query = turned(&heads(&self.query, shape.heads, self.query_norm.as_ref())?, shape, sight.turns)?;
        let key = turned(&heads(&self.key, shape.kv_heads, self.key_norm.as_ref())?, shape, sight.turns)?;
        memory.write(sight.start, &key, &heads(&self.value, shape.kv_heads, None)?)?;
        let (keys, values) = memory.read(sight.first..sight.end)?;
        let found = look_back(&query, &keys, &values, sight.mask)?;
        added(state, &self.output.apply(&found)?, self.after_attention.as_ref(), shape)
    }

    pub fn feed_forward(&self, shape: &Shape, state: &Tensor) -> Result<Tensor> {
        let normed = rms_norm(state, &self.feed_norm, shape.norm_epsilon)?;
        let gate = self.gate.apply(&normed)?;
        let gate = if shape.architecture == Architecture::Gemma3 { gate.gelu()? } else { gate.silu()? };
        let inner = (gate * self.up.apply(&normed)?)?;
        added(state, &self.down.apply(&inner)?, self.after_feed.as_ref(), shape)
    }
}

fn added(state: &Tensor, product: &Tensor, norm: Option<&Tensor>, shape: &Shape) -> Result<Tensor> {
    match norm {
        Some(norm) => state + rms_norm(product, norm, shape.norm_epsilon)?,
        None => state + product,
    }
}

/// The turned elements of every head of `[heads, tokens, head width]`; those beyond the rotary width stay.
fn turned(heads: &Tensor, shape: &Shape, turns: &Turns) -> Result<Tensor> {
    let (width, all) = (shape.rope.width, heads.dim(D::Minus1)?);
    let part = heads.narrow(D::Minus1, 0, width)?.contiguous()?.unsqueeze(0)?;
    let part = match shape.rope.style {
        RopeStyle::Neighbors => rope_i(&part, &turns.cosines, &turns.sines)?,
        RopeStyle::Halves => rope(&part, &turns.cosines, &turns.sines)?,
    };
    let part = part.squeeze(0)?;
    if width == all {
        Ok(part)
    } else {
        Tensor::cat(&[&part, &heads.narrow(D::Minus1, width, all - width)?], D::Minus1)
    }
}

/// `softmax(Q K / sqrt(head width)) V`, queries `[heads, tokens, head width]`, keys and values `[key heads, places, head width]`:
/// `[tokens, heads * head width]`. Heads that share keys lie side by side and become rows of one product.
fn look_back(query: &Tensor, keys: &Tensor, values: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let (heads, tokens, width) = query.dims3()?;
    let (kv_heads, places) = (keys.dim(0)?, keys.dim(1)?);
    let rows = (kv_heads, heads / kv_heads * tokens);
    let query = (query * (1.0 / (width as f64).sqrt()))?.reshape((rows.0, rows.1, width))?;
    let scores = query.matmul(&keys.t()?)?;
    let scores = match mask {
        Some(mask) => scores.reshape((heads, tokens, places))?.broadcast_add(mask)?,
        None => scores,
    };
    let shares = softmax_last_dim(&scores)?.reshape((rows.0, rows.1, places))?;
    let found = shares.matmul(values)?.reshape((heads, tokens, width))?;
    found.transpose(0, 1)?.contiguous()?.flatten_from(1)
}
