//! From a folder to a model in memory: numbers first, then whether it fits, then the weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::inference::device::Device;
use crate::inference::weights::Kept;
use crate::inference::whisper::candle::Candle;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::mel::MelMaker;
use crate::inference::whisper::shape::{Habits, Shape};
use crate::inference::whisper::slices::{Precision, Slices};
use crate::inference::whisper::tokenizer::Vocabulary;
use crate::inference::whisper::trial::Trial;
use crate::inference::whisper::weights::Weights;
use crate::inference::whisper::{Model, Parts, Whisper};

const MIB: u64 = 1024 * 1024;
/// Memory that is left to everybody else.
const SPARE_BYTES: u64 = 64 * MIB;
/// The one size that English-only models have.
const ENGLISH_VOCABULARY: usize = 51_864;

/// Where a model is and how it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Holds `config.json`, `tokenizer.json`, perhaps `generation_config.json`, and weights.
    pub folder: PathBuf,
    /// The file of weights in it; the one there is when it is not given.
    pub weights: Option<String>,
    pub device: Device,
    pub precision: Precision,
    /// 0 for one per processor.
    pub threads: usize,
    /// Where it is kept how this model hears in a trimmed context (see `trial`); without, it is found out each time.
    pub trial: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            weights: None,
            device: Device::Cpu,
            precision: Precision::Auto,
            threads: 0,
            trial: None,
        }
    }
}

/// What a model will need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    pub weights_bytes: u64,
    /// Beside the weights, while it works on a window.
    pub working_bytes: u64,
}

impl Estimate {
    pub fn total_bytes(self) -> u64 {
        self.weights_bytes + self.working_bytes
    }

    /// For the model of a folder; reads its `config.json` only.
    pub fn of(folder: &Path, precision: Precision) -> Result<Self, WhisperError> {
        Ok(Self::for_shape(&Shape::read(&folder.join("config.json"))?, precision))
    }

    fn for_shape(shape: &Shape, precision: Precision) -> Self {
        let parameters = shape.parameters();
        let weights_bytes = match precision {
            // Eight bits, and a scale and a sum of four bytes each per 32.
            Precision::Int8 => parameters + parameters / 4,
            Precision::F16 => 2 * parameters,
            Precision::Auto | Precision::F32 => 4 * parameters,
        };
        Self { weights_bytes, working_bytes: shape.working_bytes(1) }
    }
}

pub(super) fn load(config: &Config) -> Result<Whisper, WhisperError> {
    let file = |name: &str| config.folder.join(name);
    let shape = Shape::read(&file("config.json"))?;
    let habits = Habits::read(&file("generation_config.json"), &shape)?;
    let vocabulary = Vocabulary::read(&file("tokenizer.json"), shape.vocab_size)?;
    let device = config.device.open().map_err(|source| WhisperError::Device { source })?;
    let weights = Weights::open(&config.folder, config.weights.as_deref())?;
    let precision = match config.precision {
        Precision::Auto => match weights.kept() {
            Kept::Floats => Precision::F32,
            Kept::Halves => Precision::F16,
            Kept::Blocks => Precision::Int8,
        },
        chosen => chosen,
    };
    let mut estimate = Estimate::for_shape(&shape, precision);
    if !device.is_cpu() {
        // There all numbers have 16 bits.
        estimate.weights_bytes = 2 * shape.parameters();
    }
    if let Some(free) = free_bytes()
        && free < estimate.total_bytes() + SPARE_BYTES
    {
        return Err(WhisperError::Memory { needed_mib: estimate.total_bytes() / MIB, free_mib: free / MIB });
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.threads)
        .thread_name(|index| format!("whisper-{index}"))
        .build()
        .map_err(|source| WhisperError::Threads { source })?;
    let pool = Arc::new(pool);
    let model = match device.is_cpu() {
        true => Model::Slices(Box::new(Slices::load(&weights, &shape, precision, Arc::clone(&pool))?)),
        false => Model::Candle(Box::new(Candle::load(&weights, &shape, &device)?)),
    };
    let is_multilingual = habits.is_multilingual.unwrap_or(shape.vocab_size != ENGLISH_VOCABULARY);
    let alignment = match &habits.alignment_heads {
        Some(heads) if !heads.is_empty() => heads.clone(),
        // As OpenAI for models that say nothing: all heads of the upper half.
        _ => (shape.decoder_layers / 2..shape.decoder_layers)
            .flat_map(|layer| (0..shape.decoder_attention_heads).map(move |head| (layer, head)))
            .collect(),
    };
    let mel = MelMaker::new(shape.num_mel_bins);
    Ok(Whisper {
        model,
        parts: Parts {
            shape,
            habits,
            vocabulary,
            mel,
            is_multilingual,
            alignment,
            pool,
            trial: Trial::open(config.trial.as_deref()),
        },
    })
}

/// Memory that can be had without swapping; none where the system does not say.
fn free_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
