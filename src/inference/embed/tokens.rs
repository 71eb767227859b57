//! Texts to windows of token ids.
//!
//! A text that does not fit in one window becomes several, whose vectors are averaged by their tokens; what lies behind the last
//! allowed window is not read at all.

use std::path::Path;

use tokenizers::{Encoding, Tokenizer};

use super::description::{Description, bytes};
use super::error::{LoadError, RunError};
use crate::inference::tokenizer::{self, Read, shielded};

/// Largest tokenizer file: those of 250,000 words in a hundred languages have 17 MiB.
const TOKENIZER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a text that are looked at, for each token that will be used. Tokens of real text have four; a text of rarer bytes is
/// cut a little early.
const BYTES_PER_TOKEN: usize = 16;
/// Most that a tokenizer may make of a text before it cuts it, in bytes; the library keeps 17 bytes for each.
const NORMALIZED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A text that every tokenizer makes tokens of.
const SAMPLE: &str = "a1";

/// One row for the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Which text it belongs to.
    pub text: usize,
    pub ids: Vec<u32>,
}

/// What `tokenizer.json` holds.
struct File<'a> {
    content: &'a [u8],
    path: &'a Path,
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
        let file = File { content: &content.ok_or_else(missing)?, path: &path };
        Self::of(&file, description, windows_max)
    }

    fn of(file: &File<'_>, description: &Description, windows_max: usize) -> Result<Self, LoadError> {
        let refuse = |source| LoadError::Tokenizer { path: file.path.into(), source };
        let Read { mut tokenizer, growth } = tokenizer::read(file.content).map_err(|error| refuse(error.into()))?;
        // Published files pad and cut to what their makers once needed. The tokenizer's own windows lose tokens at the seams.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(refuse)?;
        let sample = shielded(|| tokenizer.encode_fast(SAMPLE, true)).map_err(|error| refuse(error.into()))?;
        let (before, behind) = specials(&sample.map_err(refuse)?);
        let count = before.len() + behind.len();
        if count >= description.tokens_max {
            return Err(LoadError::Unsupported { what: format!("a template of {count} special tokens") });
        }
        let windows_max = windows_max.max(1);
        let bytes_max = description.tokens_max.saturating_mul(windows_max).saturating_mul(BYTES_PER_TOKEN);
        let bytes_max = bytes_max.min(NORMALIZED_BYTES_MAX / growth as usize);
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
        let encoded = shielded(|| self.tokenizer.encode_fast(input, false));
        let encoding =
            encoded.unwrap_or_else(|error| Err(error.into())).map_err(|source| RunError::Tokens { source })?;
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
    use crate::base::fuzz::{Seed, heap_peak, run};
    use crate::inference::embed::description::Hints;
    use crate::inference::embed::testing::tiny;
    use crate::inference::tokenizer::TokenizerError;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
    use serde_json::json;

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
        // The library looks for what the template names without asking whether it is there.
        let unnamed = good.replace(r#""special_tokens":{"[CLS]""#, r#""special_tokens":{"[CLT]""#);
        assert_ne!(unnamed, good);
        for content in ["", "{}", "[]", &good[..good.len() / 2], &template.to_string(), &unnamed] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("tokenizer.json"), content).unwrap();
            assert!(Splitter::load(folder.path(), &description, 1).is_err());
        }
        assert!(matches!(
            Splitter::load(tempfile::tempdir().unwrap().path(), &description, 1),
            Err(LoadError::Read { .. })
        ));
    }

    #[test]
    fn a_file_larger_than_any_tokenizer_is_not_read() {
        let description = Description::read(&tiny(), &Hints::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("tokenizer.json")).unwrap();
        // Nothing but a hole: a disk has no block of it.
        file.set_len(TOKENIZER_BYTES_MAX + 1).unwrap();
        let (refused, peak) = heap_peak(|| Splitter::load(folder.path(), &description, 1).err().unwrap());
        assert!(matches!(refused, LoadError::TooLarge { bytes, .. } if bytes == TOKENIZER_BYTES_MAX + 1), "{refused}");
        assert!(peak < 64 * 1024, "{peak} bytes of heap");
        file.set_len(TOKENIZER_BYTES_MAX).unwrap();
        assert!(matches!(Splitter::load(folder.path(), &description, 1), Err(LoadError::Tokenizer { .. })));
    }

    /// Small tokenizers of every kind that models of meanings come with.
    fn files() -> [Vec<u8>; 3] {
        let piece = |kind: &str, id: &str| json!({kind: {"id": id, "type_id": 0}});
        let bert = std::fs::read(tiny().join("tokenizer.json")).unwrap();
        let table = [&1024_u32.to_le_bytes()[..], &[0; 1024], b"abc\0de\0"].concat();
        let unigram = json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 2},
            "padding": {"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"},
            "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(table)},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
                {"type": "Strip", "strip_left": true, "strip_right": true}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true}]},
            "post_processor": {"type": "TemplateProcessing", "single": [piece("SpecialToken", "<s>"), piece("Sequence", "A")],
                "pair": [piece("Sequence", "A"), piece("Sequence", "B")],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
            "decoder": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
            "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": false, "vocab": [["<s>", 0.0], ["<pad>", 0.0],
                ["<unk>", -9.0], ["\u{2581}the", -1.5], ["\u{2581}", -2.0], ["lamp", -3.25], ["a", -4.0], ["1", -4.5]]},
        });
        let bpe = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "_"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}| ?\\p{L}+"}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": false}]},
            "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0],
                "trim_offsets": true, "add_prefix_space": true},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": "<s>", "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": {"<s>": 0, "</s>": 1, "a": 2, "l": 3, "m": 4, "p": 5, "la": 6, "mp": 7, "lamp": 8, "1": 9},
                "merges": [["l", "a"], ["m", "p"], ["la", "mp"]]},
        });
        [bert, unigram.to_string().into_bytes(), bpe.to_string().into_bytes()]
    }

    /// An expression that counts to hundreds becomes a machine of 16 MiB before its library refuses a larger one.
    const HEAP_BYTES_MAX: usize = 32 * 1024 * 1024;

    #[test]
    fn a_tokenizer_that_lies_is_refused_or_makes_windows_that_fit() {
        let description = Description::read(&tiny(), &Hints::default()).unwrap();
        let (text, path) =
            ("The lamp\u{fb01} \u{1f4a1}  costs 12345 a\u{301}. ".repeat(20), Path::new("tokenizer.json"));
        let mut read = [0; 3];
        let files = files();
        for content in &files {
            Splitter::of(&File { content, path }, &description, 2).unwrap().windows(0, "", &text).unwrap();
        }
        let seeds = files.map(|bytes| Seed::new(bytes.clone(), bytes.len()));
        run(&seeds, |number, content| {
            let file = File { content: &content, path };
            let (splitter, peak) = heap_peak(|| Splitter::of(&file, &description, 2));
            // Whatever prints a panic reads the program's symbols.
            let has_panicked = matches!(&splitter, Err(LoadError::Tokenizer { source, .. })
                if matches!(source.downcast_ref(), Some(TokenizerError::Panicked)));
            assert!(peak < HEAP_BYTES_MAX || has_panicked, "{peak} bytes of heap to read {} bytes", content.len());
            let Ok(splitter) = splitter else { return };
            read[(number % 3) as usize] += 1;
            let (windows, peak) = heap_peak(|| splitter.windows(0, "", &text));
            let Ok(windows) = windows else { return };
            assert!(peak < HEAP_BYTES_MAX, "{peak} bytes of heap to split {} bytes", text.len());
            assert!((1..=2).contains(&windows.len()));
            assert!(windows.iter().all(|window| (1..=64).contains(&window.ids.len())));
        });
        assert!(read.iter().all(|read| *read > 20), "{read:?} were read");
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
