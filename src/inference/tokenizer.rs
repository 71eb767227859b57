//! Reading `tokenizer.json`, which comes from strangers: what it would do to a text is looked at before the library builds it, and
//! where the library panics, that is an error.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::Tokenizer;

/// How many times longer a text may become before it is cut into tokens. Published tables of characters make up to 33 bytes of one,
/// and three of a space.
const GROWTH_MAX: u64 = 256;
/// Steps that change a text; published tokenizers have up to six.
const STEPS_MAX: u32 = 32;
/// What one step may put before a text, in bytes.
const PREFIX_BYTES_MAX: usize = 64;
/// Longest description of the special tokens around a text, in bytes of JSON. It repeats some of itself, so its square is what it
/// may take; published ones have 1,500.
const TEMPLATE_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("it is not the JSON it should be")]
    Json { source: serde_json::Error },
    #[error("it may make a text more than {GROWTH_MAX} times as long")]
    Growth,
    #[error("it changes a text in more than {STEPS_MAX} steps")]
    Steps,
    #[error("it puts more than {PREFIX_BYTES_MAX} bytes before a text")]
    Prefix,
    #[error("its template has {bytes} bytes, more than {TEMPLATE_BYTES_MAX}")]
    Template { bytes: usize },
    #[error("its table of characters is damaged")]
    Characters,
    #[error("the library refuses it")]
    Build { source: Box<dyn Error + Send + Sync> },
    #[error("the library panicked")]
    Panicked,
}

/// A tokenizer, and how many times longer than it was a text may become in it.
pub(super) struct Read {
    pub tokenizer: Tokenizer,
    pub growth: u64,
}

/// Builds a tokenizer from the bytes of its file.
pub(super) fn read(bytes: &[u8]) -> Result<Read, TokenizerError> {
    let growth = growth(bytes)?;
    let tokenizer = shielded(|| Tokenizer::from_bytes(bytes))?.map_err(|source| TokenizerError::Build { source })?;
    Ok(Read { tokenizer, growth })
}

/// Runs what the library does with a tokenizer that nobody has proven sound.
pub(super) fn shielded<T>(work: impl FnOnce() -> T) -> Result<T, TokenizerError> {
    // What it was at is given up, so nobody sees it half done; its caches are only tried, never waited for.
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| TokenizerError::Panicked)
}

/// The parts that may lengthen a text; the words are left out.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
}

fn growth(bytes: &[u8]) -> Result<u64, TokenizerError> {
    let file: File = serde_json::from_slice(bytes).map_err(|source| TokenizerError::Json { source })?;
    let template = file.post_processor.to_string().len();
    if template > TEMPLATE_BYTES_MAX {
        return Err(TokenizerError::Template { bytes: template });
    }
    let mut all = Steps { count: 0, growth: 1 };
    all.add(&file.normalizer)?;
    all.add(&file.pre_tokenizer)?;
    Ok(all.growth)
}

/// The steps that were looked at.
struct Steps {
    count: u32,
    growth: u64,
}

impl Steps {
    /// Looks at a step and those inside it. The kind of a step is not asked for: whatever has the fields may be read as it.
    fn add(&mut self, step: &Value) -> Result<(), TokenizerError> {
        for inside in ["normalizers", "pretokenizers"] {
            step[inside].as_array().into_iter().flatten().try_for_each(|step| self.add(step))?;
        }
        self.count += 1;
        if self.count > STEPS_MAX {
            return Err(TokenizerError::Steps);
        }
        if step["prepend"].as_str().is_some_and(|prefix| prefix.len() > PREFIX_BYTES_MAX) {
            return Err(TokenizerError::Prefix);
        }
        let mut times = replacement(&step["pattern"], &step["content"]);
        if let Some(table) = step["precompiled_charsmap"].as_str() {
            times = times.max(longest_characters(table)?);
        }
        if step["type"] == "ByteLevel" {
            // Every byte becomes a letter of one or two.
            times = times.max(2);
        }
        self.growth = self.growth.saturating_mul(times);
        if self.growth > GROWTH_MAX { Err(TokenizerError::Growth) } else { Ok(()) }
    }
}

/// How many times longer a text becomes in which every `pattern` is replaced.
fn replacement(pattern: &Value, content: &Value) -> u64 {
    let Some(content) = content.as_str() else { return 1 };
    // An expression may fit nothing at all, before every byte and behind the last one.
    let times = match pattern["String"].as_str() {
        Some(pattern) => content.len().div_ceil(pattern.len().max(1)),
        None => content.len() + 1,
    };
    (times as u64).max(1)
}

/// The longest that a character may become, in bytes. Format of SentencePiece's `precompiled_charsmap`: length of a trie in bytes
/// (u32, little endian), the trie, and what characters become, each ended by a zero.
fn longest_characters(table: &str) -> Result<u64, TokenizerError> {
    let bytes = STANDARD.decode(table).map_err(|_| TokenizerError::Characters)?;
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or(TokenizerError::Characters)?;
    // The library allocates what is said here before it looks for it.
    let texts = rest.get(u32::from_le_bytes(*len) as usize..).ok_or(TokenizerError::Characters)?;
    let longest = texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0);
    Ok((longest as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(normalizer: &Value) -> Result<u64, TokenizerError> {
        growth(json!({"normalizer": normalizer}).to_string().as_bytes())
    }

    fn doubling(times: usize) -> Value {
        let step = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        json!({"type": "Sequence", "normalizers": vec![step; times]})
    }

    /// A table that says of itself that its trie has `len` bytes.
    fn table(len: u32, rest: &[u8]) -> Value {
        json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode([&len.to_le_bytes()[..], rest].concat())})
    }

    #[test]
    fn steps_that_each_double_a_text_are_refused_before_one_is_lost_in_them() {
        assert_eq!(of(&doubling(8)).expect("a little"), 256);
        assert!(matches!(of(&doubling(9)), Err(TokenizerError::Growth)));
        assert!(matches!(of(&json!({"normalizers": [doubling(5), doubling(5)]})), Err(TokenizerError::Growth)));
        let bytes = vec![json!({"type": "ByteLevel"}); 9];
        let split = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": bytes}}).to_string();
        assert!(matches!(growth(split.as_bytes()), Err(TokenizerError::Growth)));
        let nothing = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "x".repeat(300)});
        assert!(matches!(of(&nothing), Err(TokenizerError::Growth)));
        assert!(matches!(of(&json!({"normalizers": vec![json!({"type": "NFC"}); 33]})), Err(TokenizerError::Steps)));
        assert!(matches!(of(&json!({"type": "Prepend", "prepend": "x".repeat(65)})), Err(TokenizerError::Prefix)));
    }

    #[test]
    fn tables_of_characters_are_measured_and_lies_about_their_length_refused() {
        assert_eq!(of(&table(4, b"\0\0\0\0abc\0de\0")).expect("a table"), 3);
        assert!(matches!(of(&table(u32::MAX, b"\0\0\0\0abc\0")), Err(TokenizerError::Characters)));
        assert!(matches!(of(&table(0, &[b'x'; 300])), Err(TokenizerError::Growth)));
        for broken in ["", "AAA=", "%"] {
            let table = json!({"type": "Precompiled", "precompiled_charsmap": broken});
            assert!(matches!(of(&table), Err(TokenizerError::Characters)), "{broken:?}");
        }
        // Its trie has no root; the library looks for it.
        assert!(
            read(
                json!({"normalizer": table(0, b""), "model": {"type": "WordPiece", "vocab": {"a": 0}}})
                    .to_string()
                    .as_bytes()
            )
            .is_err()
        );
    }

    #[test]
    fn a_template_is_bounded_because_its_parts_multiply() {
        let template = json!({"post_processor": {"type": "TemplateProcessing", "single": vec!["[CLS]"; 4_000]}});
        assert!(matches!(growth(template.to_string().as_bytes()), Err(TokenizerError::Template { .. })));
        assert!(matches!(growth("[".repeat(400).as_bytes()), Err(TokenizerError::Json { .. })));
    }
}
