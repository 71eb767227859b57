//! The numbers of a model (`config.json`) and its habits (`generation_config.json`), checked before anything is allocated by them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::inference::whisper::error::WhisperError;

/// Largest JSON file that is read; a tokenizer has 4 MB.
pub const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;
const LAYERS_MAX: usize = 64;
const WIDTH_MAX: usize = 4096;
const FEED_FORWARD_MAX: usize = 32_768;
const VOCABULARY_MAX: usize = 200_000;
pub const TEXT_POSITIONS_MAX: usize = 2048;
const HEAD_WIDTH_MAX: usize = 256;
/// Thirty seconds; every Whisper has it.
pub const AUDIO_POSITIONS_MAX: usize = 1500;

/// Dimensions, in Hugging Face's names.
#[derive(Debug, Clone, Deserialize)]
pub struct Shape {
    #[serde(default)]
    pub model_type: String,
    pub d_model: usize,
    pub encoder_layers: usize,
    pub decoder_layers: usize,
    pub encoder_attention_heads: usize,
    pub decoder_attention_heads: usize,
    pub encoder_ffn_dim: usize,
    pub decoder_ffn_dim: usize,
    pub num_mel_bins: usize,
    pub vocab_size: usize,
    #[serde(default = "audio_positions")]
    pub max_source_positions: usize,
    #[serde(default = "text_positions")]
    pub max_target_positions: usize,
    #[serde(default)]
    suppress_tokens: Option<Vec<i64>>,
    #[serde(default)]
    begin_suppress_tokens: Option<Vec<i64>>,
}

fn audio_positions() -> usize {
    AUDIO_POSITIONS_MAX
}

fn text_positions() -> usize {
    448
}

impl Shape {
    /// From `config.json`.
    pub fn read(path: &Path) -> Result<Self, WhisperError> {
        let shape: Self = read_json(path)?;
        shape.check().map_err(|fault| WhisperError::Shape { path: path.to_owned(), fault })?;
        Ok(shape)
    }

    fn check(&self) -> Result<(), String> {
        if self.model_type != "whisper" {
            return Err(format!("its model_type is `{}`", self.model_type.chars().take(40).collect::<String>()));
        }
        let bounds = [
            ("d_model", self.d_model, 1, WIDTH_MAX),
            ("encoder_layers", self.encoder_layers, 1, LAYERS_MAX),
            ("decoder_layers", self.decoder_layers, 1, LAYERS_MAX),
            ("encoder_attention_heads", self.encoder_attention_heads, 1, self.d_model),
            ("decoder_attention_heads", self.decoder_attention_heads, 1, self.d_model),
            ("encoder_ffn_dim", self.encoder_ffn_dim, 1, FEED_FORWARD_MAX),
            ("decoder_ffn_dim", self.decoder_ffn_dim, 1, FEED_FORWARD_MAX),
            ("num_mel_bins", self.num_mel_bins, 1, 256),
            ("vocab_size", self.vocab_size, 1, VOCABULARY_MAX),
            ("max_source_positions", self.max_source_positions, 50, AUDIO_POSITIONS_MAX),
            ("max_target_positions", self.max_target_positions, 16, TEXT_POSITIONS_MAX),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                return Err(format!("{name} is {value}; it may be {least} to {most}"));
            }
        }
        for heads in [self.encoder_attention_heads, self.decoder_attention_heads] {
            if !self.d_model.is_multiple_of(heads) || self.d_model / heads > HEAD_WIDTH_MAX {
                return Err(format!("{} does not divide into {heads} heads", self.d_model));
            }
        }
        Ok(())
    }

    /// Numbers in all matrices together.
    pub fn parameters(&self) -> u64 {
        let [width, vocabulary, bands] = [self.d_model, self.vocab_size, self.num_mel_bins].map(|size| size as u64);
        let encoder = self.encoder_layers as u64 * (4 * width * width + 2 * width * self.encoder_ffn_dim as u64);
        let decoder = self.decoder_layers as u64 * (8 * width * width + 2 * width * self.decoder_ffn_dim as u64);
        let positions = (self.max_source_positions + self.max_target_positions) as u64 * width;
        encoder + decoder + positions + vocabulary * width + 3 * width * (bands + width)
    }

    /// Bytes that one window needs beside the weights: keys and values of all layers, activations, scores.
    pub fn working_bytes(&self, lanes: usize) -> u64 {
        let [width, audio, text] =
            [self.d_model, self.max_source_positions, self.max_target_positions].map(|n| n as u64);
        let cross = self.decoder_layers as u64 * 2 * audio * width;
        let past = self.decoder_layers as u64 * 2 * text * width * lanes as u64;
        let encoder = audio * (8 * width + self.encoder_ffn_dim as u64) + 4 * audio * 64;
        4 * (cross + past + encoder + self.vocab_size as u64 * lanes as u64)
    }
}

/// Habits that the model was released with; all of them optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Habits {
    suppress_tokens: Option<Vec<i64>>,
    begin_suppress_tokens: Option<Vec<i64>>,
    pub max_initial_timestamp_index: Option<usize>,
    pub is_multilingual: Option<bool>,
    /// Layer and head of the cross attention that follows the words in time.
    pub alignment_heads: Option<Vec<(usize, usize)>>,
}

impl Habits {
    /// From `generation_config.json` where it is there; older models keep the lists in `config.json`.
    pub fn read(path: &Path, shape: &Shape) -> Result<Self, WhisperError> {
        let mut habits: Self = if path.exists() { read_json(path)? } else { Self::default() };
        habits.suppress_tokens = habits.suppress_tokens.or_else(|| shape.suppress_tokens.clone());
        habits.begin_suppress_tokens = habits.begin_suppress_tokens.or_else(|| shape.begin_suppress_tokens.clone());
        let is_there =
            |(layer, head): &(usize, usize)| *layer < shape.decoder_layers && *head < shape.decoder_attention_heads;
        if let Some(heads) = &mut habits.alignment_heads {
            heads.retain(is_there);
        }
        Ok(habits)
    }

    /// Tokens that are never said. -1 stood for a default list in older files.
    pub fn suppressed(&self, vocabulary: usize) -> Option<Vec<u32>> {
        known(self.suppress_tokens.as_deref(), vocabulary)
    }

    /// Tokens that are not said first.
    pub fn suppressed_at_begin(&self, vocabulary: usize) -> Option<Vec<u32>> {
        known(self.begin_suppress_tokens.as_deref(), vocabulary)
    }
}

fn known(tokens: Option<&[i64]>, vocabulary: usize) -> Option<Vec<u32>> {
    let tokens = tokens?;
    let in_range = |token: &i64| u32::try_from(*token).ok().filter(|token| (*token as usize) < vocabulary);
    Some(tokens.iter().filter_map(in_range).collect())
}

/// Reads a JSON file of bounded size.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, WhisperError> {
    serde_json::from_slice(&read_bounded(path, JSON_BYTES_MAX)?)
        .map_err(|source| WhisperError::Json { path: path.to_owned(), source })
}

/// A whole file, unless it is larger than `bytes_max`.
pub fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, WhisperError> {
    let failed = |source| WhisperError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(failed(std::io::Error::other("it is far too large for what it should be")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tiny() -> serde_json::Value {
        serde_json::json!({
            "model_type": "whisper", "d_model": 384, "encoder_layers": 4, "decoder_layers": 4,
            "encoder_attention_heads": 6, "decoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536,
            "num_mel_bins": 80, "vocab_size": 51865, "max_source_positions": 1500, "max_target_positions": 448,
            "suppress_tokens": [1, -1, 99_999_999],
        })
    }

    fn read(value: &serde_json::Value) -> Result<Shape, WhisperError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, value.to_string()).expect("a file");
        Shape::read(&path)
    }

    #[test]
    fn whisper_tiny_has_its_known_size() {
        let shape = read(&tiny()).expect("a shape");
        // 37.8 million with the small vectors that are not counted.
        assert_eq!(shape.parameters() / 100_000, 377);
        let habits = Habits::read(Path::new("/nowhere/generation_config.json"), &shape).expect("habits");
        assert_eq!(habits.suppressed(shape.vocab_size), Some(vec![1]));
        assert_eq!(habits.suppressed_at_begin(shape.vocab_size), None);
    }

    #[test]
    fn absurd_numbers_are_refused_with_their_name() {
        for (name, value) in [
            ("d_model", 1_000_000_000_u64),
            ("encoder_attention_heads", 5),
            ("vocab_size", u64::MAX),
            ("max_source_positions", 9_000),
            ("decoder_layers", 0),
        ] {
            let mut config = tiny();
            config[name] = value.into();
            assert!(read(&config).is_err(), "{name}");
        }
        let mut other = tiny();
        other["model_type"] = "llama".into();
        assert!(read(&other).expect_err("no whisper").to_string().contains("llama"));
        assert!(read(&serde_json::json!([1, 2])).is_err());
    }

    proptest! {
        #[test]
        fn whatever_a_config_says_its_estimate_does_not_overflow(numbers in proptest::collection::vec(any::<u16>(), 6)) {
            let mut config = tiny();
            let names = ["d_model", "encoder_layers", "encoder_ffn_dim", "vocab_size", "num_mel_bins", "max_target_positions"];
            for (name, number) in names.iter().zip(&numbers) {
                config[*name] = (*number).into();
            }
            if let Ok(shape) = read(&config) {
                prop_assert!(shape.parameters() + shape.working_bytes(16) < 1 << 40);
            }
        }
    }
}
