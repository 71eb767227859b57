//! What a model's folder says about it: sizes, pooling, prefixes, lengths. Small JSON files, read before anything large.
//!
//! Read in this order, later ones fill what earlier ones left open: what the caller knows, `embedding.json` (ours), `1_Pooling/config.json`,
//! `sentence_bert_config.json` and `config_sentence_transformers.json` (sentence-transformers), `config.json` (transformers).

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::error::LoadError;
use super::pool::Pooling;

/// Largest JSON file that describes a model.
const DESCRIPTION_BYTES_MAX: u64 = 1024 * 1024;
/// Widest vectors that are believed.
const DIMS_MAX: usize = 8_192;
/// Longest input that is believed, in tokens.
const TOKENS_MAX: usize = 8_192;
/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 1_024;
/// Bytes at both ends of the weights that tell models without a name apart.
const SAMPLE_BYTES: u64 = 64 * 1024;

/// The network's shape, as transformers' `config.json` names it.
#[derive(Debug, Clone, Deserialize)]
pub struct Shape {
    pub model_type: String,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    #[serde(default = "default_act")]
    pub hidden_act: String,
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub pad_token_id: u32,
}

fn default_act() -> String {
    "gelu".to_owned()
}

fn default_eps() -> f64 {
    1e-12
}

impl Shape {
    /// Positions before the first token: RoBERTa's family counts from behind the padding token.
    pub(super) fn position_offset(&self) -> usize {
        match self.model_type.as_str() {
            "roberta" | "xlm-roberta" => self.pad_token_id as usize + 1,
            _ => 0,
        }
    }
}

/// Everything that decides which vector a text gets, apart from the weights.
#[derive(Debug, Clone)]
pub struct Description {
    pub shape: Shape,
    pub pooling: Pooling,
    /// Tokens of one window, special ones included.
    pub tokens_max: usize,
    pub query_prefix: String,
    pub passage_prefix: String,
    /// The name of the vector space, when the folder gives one: quantized and full variants of a model share it.
    space: Option<String>,
}

/// What somebody who knows the model says about it: the catalog it was installed from, or `embedding.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hints {
    /// The name of the vector space: quantized and full variants of a model share it.
    pub space: Option<String>,
    pub pooling: Option<Pooling>,
    pub query_prefix: Option<String>,
    pub passage_prefix: Option<String>,
    /// Tokens of one window, special ones included.
    pub tokens_max: Option<usize>,
}

impl Hints {
    /// What is said here, and what `other` says about the rest.
    fn or(&self, other: Self) -> Self {
        Self {
            space: self.space.clone().or(other.space),
            pooling: self.pooling.or(other.pooling),
            query_prefix: self.query_prefix.clone().or(other.query_prefix),
            passage_prefix: self.passage_prefix.clone().or(other.passage_prefix),
            tokens_max: self.tokens_max.or(other.tokens_max),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingFile {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LengthFile {
    max_seq_length: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptFile {
    prompts: HashMap<String, String>,
}

impl Description {
    /// Reads the description in `folder`; `hints` go before what stands there.
    pub fn read(folder: &Path, hints: &Hints) -> Result<Self, LoadError> {
        let path = folder.join("config.json");
        let shape: Shape = json(&path)?.ok_or_else(|| LoadError::Read {
            path: path.clone(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })?;
        check(&path, &shape)?;
        let ours = hints.or(json(&folder.join("embedding.json"))?.unwrap_or_default());
        let lengths: LengthFile = json(&folder.join("sentence_bert_config.json"))?.unwrap_or_default();
        let mut prompts: PromptFile = json(&folder.join("config_sentence_transformers.json"))?.unwrap_or_default();
        let mut prompt = |names: &[&str]| names.iter().find_map(|name| prompts.prompts.remove(*name));
        let positions = shape.max_position_embeddings - shape.position_offset();
        let tokens_max = ours.tokens_max.or(lengths.max_seq_length).unwrap_or(positions).clamp(3, positions);
        let description = Self {
            pooling: ours.pooling.map_or_else(|| pooling(folder), Ok)?,
            tokens_max: tokens_max.min(TOKENS_MAX),
            query_prefix: ours.query_prefix.or_else(|| prompt(&["query"])).unwrap_or_default(),
            passage_prefix: ours.passage_prefix.or_else(|| prompt(&["passage", "document"])).unwrap_or_default(),
            space: ours.space,
            shape,
        };
        for (field, text) in
            [("query_prefix", &description.query_prefix), ("passage_prefix", &description.passage_prefix)]
        {
            if text.len() > PREFIX_BYTES_MAX {
                let value = format!("{} bytes long", text.len());
                return Err(LoadError::Value { path: folder.join("embedding.json"), field, value });
            }
        }
        Ok(description)
    }

    /// Width of the vectors.
    pub fn dims(&self) -> usize {
        self.shape.hidden_size
    }

    /// A name of the vector space: vectors of one fingerprint may be compared, others not. Without a name in the folder it comes
    /// from the ends of `weights`.
    pub fn fingerprint(&self, weights: &Path) -> Result<String, LoadError> {
        let mut digest = Sha256::new();
        match &self.space {
            Some(space) => digest.update(space.as_bytes()),
            None => digest.update(sample(weights).map_err(|source| LoadError::Read { path: weights.into(), source })?),
        }
        let rest = format!(
            "\0{}\0{:?}\0{}\0{}\0{}",
            self.dims(),
            self.pooling,
            self.tokens_max,
            self.query_prefix,
            self.passage_prefix
        );
        digest.update(rest.as_bytes());
        let name = self.space.as_deref().unwrap_or("unnamed");
        Ok(format!("{name}/{}/{}", self.dims(), hexadecimal(&digest.finalize()[..8])))
    }
}

/// Lower-case hexadecimal.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The length of a file and the bytes at its ends.
fn sample(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut sample = bytes.to_le_bytes().to_vec();
    Read::by_ref(&mut file).take(SAMPLE_BYTES).read_to_end(&mut sample)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(SAMPLE_BYTES)))?;
    file.take(SAMPLE_BYTES).read_to_end(&mut sample)?;
    Ok(sample)
}

fn check(path: &Path, shape: &Shape) -> Result<(), LoadError> {
    let refuse =
        |field, value: usize| Err(LoadError::Value { path: path.to_path_buf(), field, value: value.to_string() });
    if !matches!(shape.model_type.as_str(), "bert" | "roberta" | "xlm-roberta") {
        return Err(LoadError::Unsupported { what: format!("a network of type {:?}", shape.model_type) });
    }
    if shape.hidden_size == 0 || shape.hidden_size > DIMS_MAX {
        return refuse("hidden_size", shape.hidden_size);
    }
    if shape.num_attention_heads == 0 || !shape.hidden_size.is_multiple_of(shape.num_attention_heads) {
        return refuse("num_attention_heads", shape.num_attention_heads);
    }
    if !shape.layer_norm_eps.is_finite() || shape.layer_norm_eps < 0.0 {
        return Err(LoadError::Value {
            path: path.to_path_buf(),
            field: "layer_norm_eps",
            value: shape.layer_norm_eps.to_string(),
        });
    }
    if shape.max_position_embeddings < shape.position_offset().saturating_add(3) {
        return refuse("max_position_embeddings", shape.max_position_embeddings);
    }
    Ok(())
}

fn pooling(folder: &Path) -> Result<Pooling, LoadError> {
    let Some(file) = json::<PoolingFile>(&folder.join("1_Pooling/config.json"))? else { return Ok(Pooling::Mean) };
    match (file.pooling_mode_mean_tokens, file.pooling_mode_cls_token) {
        (true, false) => Ok(Pooling::Mean),
        (false, true) => Ok(Pooling::Cls),
        _ => Err(LoadError::Unsupported { what: "pooling that is neither the mean nor the first token".to_owned() }),
    }
}

/// A JSON file; `None` when there is none.
fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LoadError> {
    let Some(bytes) = bytes(path, DESCRIPTION_BYTES_MAX)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| LoadError::Json { path: path.into(), source })
}

/// A file of at most `bytes_max`; `None` when there is none.
pub(super) fn bytes(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, LoadError> {
    let read = |source| LoadError::Read { path: PathBuf::from(path), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read(error)),
    };
    let size = file.metadata().map_err(read)?.len();
    if size > bytes_max {
        return Err(LoadError::TooLarge { path: path.into(), bytes: size, bytes_max });
    }
    let mut content = Vec::new();
    file.take(bytes_max).read_to_end(&mut content).map_err(read)?;
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, proptest};
    use std::fs;

    const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 64, "vocab_size": 100}"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    fn read(files: &[(&str, &str)]) -> Result<Description, LoadError> {
        Description::read(folder(files).path(), &Hints::default())
    }

    #[test]
    fn config_alone_means_the_mean_over_all_positions() {
        let found = read(&[("config.json", CONFIG)]).unwrap();
        assert_eq!((found.dims(), found.tokens_max, found.pooling), (32, 64, Pooling::Mean));
        assert_eq!(found.query_prefix, "");
    }

    #[test]
    fn files_of_sentence_transformers_are_understood_and_ours_go_first() {
        let theirs = [
            ("config.json", CONFIG),
            ("1_Pooling/config.json", r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length": 48}"#),
            ("config_sentence_transformers.json", r#"{"prompts": {"query": "query: ", "document": "passage: "}}"#),
        ];
        let found = read(&theirs).unwrap();
        assert_eq!((found.tokens_max, found.pooling), (48, Pooling::Cls));
        assert_eq!((found.query_prefix.as_str(), found.passage_prefix.as_str()), ("query: ", "passage: "));
        let ours = r#"{"space": "x", "pooling": "mean", "query_prefix": "", "tokens_max": 1000}"#;
        let mut files = theirs.to_vec();
        files.push(("embedding.json", ours));
        let found = read(&files).unwrap();
        assert_eq!((found.tokens_max, found.pooling, found.query_prefix.as_str()), (64, Pooling::Mean, ""));
        let hints = Hints { pooling: Some(Pooling::Cls), tokens_max: Some(32), ..Hints::default() };
        let found = Description::read(folder(&files).path(), &hints).unwrap();
        assert_eq!((found.tokens_max, found.pooling, found.query_prefix.as_str()), (32, Pooling::Cls, ""));
    }

    #[test]
    fn impossible_descriptions_are_refused_with_the_field() {
        for (from, to, field) in [
            ("32", "0", "hidden_size"),
            ("32", "1000000000000", "hidden_size"),
            ("4,", "0,", "num_attention_heads"),
            ("4,", "5,", "num_attention_heads"),
            ("64", "2", "max_position_embeddings"),
        ] {
            let error = read(&[("config.json", &CONFIG.replacen(from, to, 1))]).unwrap_err();
            assert!(matches!(&error, LoadError::Value { field: found, .. } if *found == field), "{error}");
        }
        let error = read(&[("config.json", &CONFIG.replace("bert", "gpt2"))]).unwrap_err();
        assert!(error.to_string().contains("gpt2"));
        assert!(matches!(read(&[]), Err(LoadError::Read { .. })));
        assert!(matches!(read(&[("config.json", "{")]), Err(LoadError::Json { .. })));
    }

    #[test]
    fn variants_of_a_named_space_share_its_fingerprint_and_others_do_not() {
        let named = folder(&[
            ("config.json", CONFIG),
            ("embedding.json", r#"{"space": "a"}"#),
            ("one", "weights"),
            ("two", "others!"),
        ]);
        let found = Description::read(named.path(), &Hints::default()).unwrap();
        let of = |description: &Description, name| description.fingerprint(&named.path().join(name)).unwrap();
        assert_eq!(of(&found, "one"), of(&found, "two"));
        assert!(of(&found, "one").starts_with("a/32/"));
        let unnamed = Description { space: None, ..found.clone() };
        assert_ne!(of(&unnamed, "one"), of(&unnamed, "two"));
        let pooled = Description { pooling: Pooling::Cls, ..found.clone() };
        assert_ne!(of(&found, "one"), of(&pooled, "one"));
        assert!(unnamed.fingerprint(&named.path().join("none")).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_description_or_an_error(bytes in prop::collection::vec(0_u8..255, 0..200), cut in 0_usize..160) {
            let mut content = CONFIG.as_bytes()[..cut.min(CONFIG.len())].to_vec();
            content.extend(bytes);
            let folder = folder(&[]);
            fs::write(folder.path().join("config.json"), content).unwrap();
            let _ = Description::read(folder.path(), &Hints::default());
        }
    }
}
