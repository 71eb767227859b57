//! What a model file says of its architecture, checked once.

use crate::inference::weights::gguf::Gguf;

/// Families whose layers we know. Llama's includes Mistral, SmolLM and TinyLlama.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Phi3,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub architecture: Architecture,
    pub layers: usize,
    /// Elements of a token's vector between layers.
    pub width: usize,
    /// Elements of the inner vector of a feed-forward part.
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_width: usize,
    /// Tokens the model was trained to look back at.
    pub context: usize,
    pub norm_epsilon: f32,
    pub rope: Rope,
    /// A layer that is not global sees only this many tokens back.
    pub window: Option<Window>,
}

/// Rotary positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub base: f32,
    /// Of each head's elements, how many are turned.
    pub width: usize,
    /// Positions are divided by this.
    pub divisor: f32,
    pub style: RopeStyle,
    /// What turned vectors are multiplied with.
    pub magnitude: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeStyle {
    /// Element 2i with 2i+1; files of Llama's family are permuted for it.
    Neighbors,
    /// Element i with i + half.
    Halves,
}

/// Gemma's sliding windows.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub tokens: usize,
    /// Every so many layers one sees everything.
    pub global_every: usize,
    /// The rotary base of windowed layers.
    pub base: f32,
}

#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    #[error("the architecture {0} is not supported; llama, qwen2, qwen3, gemma3 and phi3 are")]
    Architecture(String),
    #[error("the file does not say its {0}")]
    Missing(String),
    #[error("{what} is {value}, which cannot be")]
    Value { what: String, value: f64 },
    #[error("positions scaled by {0} are not supported")]
    Scaling(String),
}

/// Bounds of every number in a shape, far beyond models that run in a home.
const LAYERS_MAX: u64 = 256;
const WIDTH_MAX: u64 = 65_536;
const HIDDEN_MAX: u64 = 262_144;
const HEADS_MAX: u64 = 1_024;
const HEAD_WIDTH_MAX: u64 = 1_024;
const CONTEXT_MAX: u64 = 16_777_216;

const SCALING: &str = "rope.scaling.type";

struct Reader<'a> {
    gguf: &'a Gguf,
    prefix: &'a str,
}

impl Reader<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// A whole number from 1 to `max`.
    fn count(&self, name: &str, max: u64) -> Result<Option<usize>, ShapeError> {
        match self.gguf.count(&self.key(name)) {
            Some(value) if value == 0 || value > max => {
                Err(ShapeError::Value { what: self.key(name), value: value as f64 })
            }
            other => Ok(other.map(|value| value as usize)),
        }
    }

    fn needed(&self, name: &str, max: u64) -> Result<usize, ShapeError> {
        self.count(name, max)?.ok_or_else(|| ShapeError::Missing(self.key(name)))
    }

    /// A positive finite number.
    fn number(&self, name: &str, default: f32) -> Result<f32, ShapeError> {
        let value = self.gguf.number(&self.key(name)).unwrap_or(f64::from(default));
        let narrow = value as f32;
        if narrow.is_finite() && narrow > 0.0 {
            Ok(narrow)
        } else {
            Err(ShapeError::Value { what: self.key(name), value })
        }
    }
}

impl Shape {
    pub fn read(gguf: &Gguf) -> Result<Self, ShapeError> {
        let prefix =
            gguf.text("general.architecture").ok_or_else(|| ShapeError::Missing("general.architecture".to_owned()))?;
        let architecture = match prefix {
            "llama" => Architecture::Llama,
            "qwen2" => Architecture::Qwen2,
            "qwen3" => Architecture::Qwen3,
            "gemma3" => Architecture::Gemma3,
            "phi3" => Architecture::Phi3,
            other => return Err(ShapeError::Architecture(other.chars().take(40).collect())),
        };
        let reader = Reader { gguf, prefix };
        let width = reader.needed("embedding_length", WIDTH_MAX)?;
        let heads = reader.needed("attention.head_count", HEADS_MAX)?;
        let kv_heads = reader.count("attention.head_count_kv", HEADS_MAX)?.unwrap_or(heads);
        let head_width = reader.count("attention.key_length", HEAD_WIDTH_MAX)?.unwrap_or(width / heads);
        let value_width = reader.count("attention.value_length", HEAD_WIDTH_MAX)?.unwrap_or(head_width);
        let is_possible = heads.is_multiple_of(kv_heads) && head_width > 0 && value_width == head_width;
        if !is_possible {
            return Err(ShapeError::Value { what: reader.key("attention.head_count_kv"), value: kv_heads as f64 });
        }
        Ok(Self {
            architecture,
            layers: reader.needed("block_count", LAYERS_MAX)?,
            width,
            hidden: reader.needed("feed_forward_length", HIDDEN_MAX)?,
            heads,
            kv_heads,
            head_width,
            context: context(&reader)?,
            norm_epsilon: reader.number("attention.layer_norm_rms_epsilon", 1e-5)?,
            rope: rope(&reader, architecture, head_width)?,
            window: window(&reader, architecture)?,
        })
    }

    pub fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// What a token's vector is multiplied with before the first layer.
    pub fn embedding_scale(&self) -> f32 {
        if self.architecture == Architecture::Gemma3 { (self.width as f32).sqrt() } else { 1.0 }
    }

    /// Whether a layer sees only the last tokens.
    pub fn is_windowed(&self, layer: usize) -> bool {
        self.window.as_ref().is_some_and(|window| !(layer + 1).is_multiple_of(window.global_every))
    }

    /// Bytes of keys and values for `tokens` tokens, at two bytes each.
    pub fn cache_bytes(&self, tokens: usize) -> u64 {
        (self.layers * self.kv_width() * 2 * 2) as u64 * tokens as u64
    }
}

/// Positions that are stretched beyond the trained length (`yarn`, `longrope`) are not used: a home's conversations are shorter, and
/// within that length nothing needs to be stretched.
fn context(reader: &Reader<'_>) -> Result<usize, ShapeError> {
    let whole = reader.needed("context_length", CONTEXT_MAX)?;
    let is_stretched = matches!(reader.gguf.text(&reader.key(SCALING)), Some("yarn" | "longrope"));
    let trained = reader.count("rope.scaling.original_context_length", CONTEXT_MAX)?;
    Ok(trained.filter(|_| is_stretched).map_or(whole, |trained| trained.min(whole)))
}

fn rope(reader: &Reader<'_>, architecture: Architecture, head_width: usize) -> Result<Rope, ShapeError> {
    let base = reader.number("rope.freq_base", 10_000.0)?;
    let width = reader.count("rope.dimension_count", HEAD_WIDTH_MAX)?.unwrap_or(head_width);
    if !width.is_multiple_of(2) || width > head_width {
        return Err(ShapeError::Value { what: reader.key("rope.dimension_count"), value: width as f64 });
    }
    let divisor = match reader.gguf.text(&reader.key(SCALING)) {
        None | Some("none" | "longrope" | "yarn") => 1.0,
        Some("linear") => reader.number("rope.scaling.factor", 1.0)?,
        Some(other) => return Err(ShapeError::Scaling(other.chars().take(40).collect())),
    };
    let style = if architecture == Architecture::Llama { RopeStyle::Neighbors } else { RopeStyle::Halves };
    let magnitude = reader.number("rope.scaling.attn_factor", 1.0)?;
    Ok(Rope { base, width, divisor, style, magnitude })
}

/// Gemma 3: five windowed layers, then one that sees everything (`llama-model.cpp`).
fn window(reader: &Reader<'_>, architecture: Architecture) -> Result<Option<Window>, ShapeError> {
    if architecture != Architecture::Gemma3 {
        return Ok(None);
    }
    let tokens = reader.count("attention.sliding_window", CONTEXT_MAX)?;
    let base = reader.number("rope.freq_base_swa", 10_000.0)?;
    Ok(tokens.map(|tokens| Window { tokens, global_every: 6, base }))
}
