//! Texts to windows of token ids.
//!
//! A text that does not fit in one window becomes several, whose vectors are averaged by their tokens; what lies behind the last
//! allowed window is not read at all.

use std::path::Path;

use tokenizers::{Encoding, Tokenizer};

use super::description::{Description, bytes};
use super::error::{LoadError, RunError};

/// Largest tokenizer file: those of 250,000 words in a hundred languages have 17 MiB.
const TOKENIZER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a text that are looked at, for each token that will be used. Tokens of real text have four; a text of rarer bytes is
/// cut a little early.
const BYTES_PER_TOKEN: usize = 16;
/// A text that every tokenizer makes tokens of.
const SAMPLE: &str = "a1";

/// One row for the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Which text it belongs to.
    pub text: usize,
    pub ids: Vec<u32>,
}

/// A model's tokenizer, set to its windows.
pub(super) struct Splitter {
    tokenizer: Tokenizer,
    /// Special tokens before and behind the tokens of each window.
    before: Vec<u32>,
    behind: Vec<u32>,
    /// Tokens of text in one window.
    room: usize,
    windows_max: usize,
    bytes_max: usize,
}

impl Splitter {
    /// Reads `tokenizer.json` of `folder`.
    pub(super) fn load(folder: &Path, description: &Description, windows_max: usize) -> Result<Self, LoadError> {
        let path = folder.join("tokenizer.json");
        let content = bytes(&path, TOKENIZER_BYTES_MAX)?;
        let missing = || LoadError::Read { path: path.clone(), source: std::io::ErrorKind::NotFound.into() };
        let refuse = |source| LoadError::Tokenizer { path: path.clone(), source };
        let mut tokenizer = Tokenizer::from_bytes(content.ok_or_else(missing)?).map_err(refuse)?;
        // Published files pad and cut to what their makers once needed. The tokenizer's own windows lose tokens at the seams.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(refuse)?;
        let (before, behind) = specials(&tokenizer.encode_fast(SAMPLE, true).map_err(refuse)?);
        let count = before.len() + behind.len();
        if count >= description.tokens_max {
            return Err(LoadError::Unsupported { what: format!("a template of {count} special tokens") });
        }
        let windows_max = windows_max.max(1);
        let bytes_max = description.tokens_max.saturating_mul(windows_max).saturating_mul(BYTES_PER_TOKEN);
        Ok(Self { tokenizer, before, behind, room: description.tokens_max - count, windows_max, bytes_max })
    }

    /// The windows of text number `text`: at least one, at most as many as allowed, none empty.
    pub(super) fn windows(&self, text: usize, prefix: &str, content: &str) -> Result<Vec<Window>, RunError> {
        let content = head(content, self.bytes_max);
        let joined;
        let input = if prefix.is_empty() {
            content
        } else {
            joined = [prefix, content].concat();
            &joined
        };
        let encoding = self.tokenizer.encode_fast(input, false).map_err(|source| RunError::Tokens { source })?;
        let window = |tokens: &[u32]| Window { text, ids: [&self.before, tokens, &self.behind].concat() };
        let windows: Vec<Window> = encoding.get_ids().chunks(self.room).take(self.windows_max).map(window).collect();
        if !windows.is_empty() {
            return Ok(windows);
        }
        let mut empty = window(&[]);
        if empty.ids.is_empty() {
            // Without special tokens nothing is left of an empty text; any one token has a vector.
            empty.ids.push(0);
        }
        Ok(vec![empty])
    }
}

/// The special tokens before and behind those of a text.
fn specials(sample: &Encoding) -> (Vec<u32>, Vec<u32>) {
    let (ids, mask) = (sample.get_ids(), sample.get_special_tokens_mask());
    let is_text = |mask: &u32| *mask == 0;
    let first = mask.iter().position(is_text).unwrap_or(ids.len());
    let behind = mask.iter().rposition(is_text).map_or(ids.len(), |last| last + 1);
    (ids[..first].to_vec(), ids[behind..].to_vec())
}

/// The longest beginning of `text` that has at most `bytes_max` bytes.
fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::inference::embed::description::Hints;
    use crate::inference::embed::testing::tiny;
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    fn splitter(windows_max: usize) -> Splitter {
        let description = Description::read(&tiny(), &Hints::default()).unwrap();
        Splitter::load(&tiny(), &description, windows_max).unwrap()
    }

    /// [CLS] and [SEP] of the small tokenizer.
    const ENDS: (u32, u32) = (2, 3);

    #[test]
    fn a_short_text_is_one_window_and_an_empty_one_too() {
        let splitter = splitter(4);
        let windows = splitter.windows(7, "", "the lamp").unwrap();
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].text, 7);
        assert_eq!(splitter.windows(0, "", "").unwrap()[0].ids, [ENDS.0, ENDS.1]);
    }

    #[test]
    fn a_prefix_stands_before_the_text() {
        let splitter = splitter(4);
        assert_eq!(splitter.windows(0, "the ", "lamp").unwrap(), splitter.windows(0, "", "the lamp").unwrap());
    }

    #[test]
    fn a_megabyte_is_cut_before_it_is_split() {
        let splitter = splitter(2);
        let text = "lamp ".repeat(250_000);
        assert_eq!(splitter.windows(0, "", &text).unwrap().len(), 2);
        assert_eq!(head("a\u{fc}b", 2), "a");
        assert_eq!(head("abc", 9), "abc");
    }

    #[test]
    fn hostile_tokenizers_are_refused() {
        let description = Description::read(&tiny(), &Hints::default()).unwrap();
        let good = std::fs::read_to_string(tiny().join("tokenizer.json")).unwrap();
        let many = vec![serde_json::json!({"SpecialToken": {"id": "[CLS]", "type_id": 0}}); 70];
        let mut template: serde_json::Value = serde_json::from_str(&good).unwrap();
        template["post_processor"]["single"] = many.into();
        for content in ["", "{}", "[]", &good[..good.len() / 2], &template.to_string()] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("tokenizer.json"), content).unwrap();
            assert!(Splitter::load(folder.path(), &description, 1).is_err());
        }
        assert!(matches!(
            Splitter::load(tempfile::tempdir().unwrap().path(), &description, 1),
            Err(LoadError::Read { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_becomes_windows_that_fit(text in "(?s).{0,400}", windows_max in 1_usize..5) {
            let splitter = splitter(windows_max);
            let windows = splitter.windows(0, "", &text).unwrap();
            prop_assert!(!windows.is_empty() && windows.len() <= windows_max);
            for window in &windows {
                prop_assert!(window.ids.len() >= 2 && window.ids.len() <= 64);
                prop_assert_eq!((window.ids[0], window.ids[window.ids.len() - 1]), ENDS);
            }
        }

        #[test]
        fn windows_together_are_the_whole_text(words in 1_usize..200) {
            let splitter = splitter(100);
            let text = "lamp ".repeat(words);
            let windows = splitter.windows(0, "", &text).unwrap();
            let inside: usize = windows.iter().map(|window| window.ids.len() - 2).sum();
            prop_assert_eq!(inside, words);
            prop_assert!(windows[..windows.len() - 1].iter().all(|window| window.ids.len() == 64));
        }
    }
}
