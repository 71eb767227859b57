//! What the tensors of a Whisper are called in Hugging Face's files, for whatever computes with them.

use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::shape::Shape;
use crate::inference::whisper::weights::Weights;

/// A row per token: `[vocabulary, width]`. The same matrix looks tokens up and scores them.
pub const WORDS: &str = "decoder.embed_tokens.weight";
/// A row per token of a text: `[positions, width]`.
pub const TEXT_PLACES: &str = "decoder.embed_positions.weight";
const AUDIO_PLACES: &str = "encoder.embed_positions.weight";
/// Over time, three steps wide; the second takes every other frame.
pub const CONVOLUTIONS: [&str; 2] = ["encoder.conv1", "encoder.conv2"];
/// After the last layers.
pub const ENCODER_NORM: &str = "encoder.layer_norm";
pub const DECODER_NORM: &str = "decoder.layer_norm";

/// One attention with the norm before it, within a layer.
#[derive(Debug)]
pub struct Attention {
    pub norm: &'static str,
    pub queries: &'static str,
    pub keys: &'static str,
    pub values: &'static str,
    pub out: &'static str,
}

/// To the layer's own positions.
pub const TO_SELF: Attention = Attention {
    norm: "self_attn_layer_norm",
    queries: "self_attn.q_proj",
    keys: "self_attn.k_proj",
    values: "self_attn.v_proj",
    out: "self_attn.out_proj",
};
/// To what was heard.
pub const TO_HEARD: Attention = Attention {
    norm: "encoder_attn_layer_norm",
    queries: "encoder_attn.q_proj",
    keys: "encoder_attn.k_proj",
    values: "encoder_attn.v_proj",
    out: "encoder_attn.out_proj",
};
/// What ends every layer: norm, product, activation, product.
pub const FEED_FORWARD_NORM: &str = "final_layer_norm";
pub const FEED_FORWARD: [&str; 2] = ["fc1", "fc2"];

pub fn encoder_layer(index: usize) -> String {
    format!("encoder.layers.{index}")
}

pub fn decoder_layer(index: usize) -> String {
    format!("decoder.layers.{index}")
}

/// What is added to each audio position, `d_model` floats for each; some files leave it to be computed.
pub fn audio_places(weights: &Weights, shape: &Shape) -> Result<Vec<f32>, WhisperError> {
    if weights.has(AUDIO_PLACES) {
        return weights.floats(AUDIO_PLACES, &[shape.max_source_positions, shape.d_model]);
    }
    Ok(sinusoids(shape.max_source_positions, shape.d_model))
}

/// Sines, then cosines, of wave lengths from two pi to ten thousand times that (OpenAI's `sinusoids`).
fn sinusoids(positions: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let step = 10_000_f64.ln() / (half as f64 - 1.0).max(1.0);
    let mut table = vec![0.0; positions * width];
    for (position, row) in table.chunks_exact_mut(width).enumerate() {
        for index in 0..half {
            let angle = position as f64 * (-step * index as f64).exp();
            row[index] = angle.sin() as f32;
            row[half + index] = angle.cos() as f32;
        }
    }
    table
}
