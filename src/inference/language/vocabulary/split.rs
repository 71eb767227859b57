//! Cuts a text into words before they are tokenized, as the model's training did.
//!
//! The patterns are those of `llama-vocab.cpp`, without their look-ahead: "white space that is not followed by a word, else white
//! space" is a run without its last character, which is then cut by hand. So the engine needs no backtracking and no text is slow.

use regex::Regex;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("the way {0} of cutting words is not known")]
    Unknown(String),
    #[error("the pattern of words does not compile")]
    Pattern(#[source] Box<regex::Error>),
}

#[derive(Debug)]
pub(super) struct Splitter {
    pattern: Regex,
    /// White space that ends in a line break is one word.
    keeps_line_breaks: bool,
    /// Every digit is cut out before words are looked for.
    cuts_digits: bool,
}

/// Whether models with this pre-tokenizer begin a text with `bos` when the file does not say.
pub(super) fn adds_bos(pre: &str) -> bool {
    matches!(pre, "llama3" | "llama-v3" | "llama-bpe" | "falcon3")
}

impl Splitter {
    pub(super) fn of(pre: &str) -> Result<Self, SplitError> {
        let (pattern, keeps_line_breaks, cuts_digits) = match pre {
            "default" | "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" => (GPT2, false, false),
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => (GPT2, false, true),
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "dbrx" | "smaug-bpe" => (LLAMA3, true, false),
            "qwen2" | "stablelm2" | "deepseek-r1-qwen" | "hunyuan" | "megrez" => (QWEN2, true, false),
            other => return Err(SplitError::Unknown(other.chars().take(40).collect())),
        };
        let pattern = Regex::new(pattern).map_err(|error| SplitError::Pattern(Box::new(error)))?;
        Ok(Self { pattern, keeps_line_breaks, cuts_digits })
    }

    pub(super) fn words(&self, text: &str, take: &mut dyn FnMut(&str)) {
        if !self.cuts_digits {
            return self.cut(text, take);
        }
        let mut start = 0;
        for (at, digit) in text.char_indices().filter(|(_, letter)| letter.is_numeric()) {
            self.cut(&text[start..at], take);
            start = at + digit.len_utf8();
            take(&text[at..start]);
        }
        self.cut(&text[start..], take);
    }

    fn cut(&self, text: &str, take: &mut dyn FnMut(&str)) {
        let mut at = 0;
        while let Some(found) = self.pattern.find_at(text, at) {
            if found.start() > at {
                take(&text[at..found.start()]);
            }
            let mut end = found.end();
            let word = found.as_str();
            let is_space = word.chars().all(char::is_whitespace);
            let is_line = self.keeps_line_breaks && word.ends_with(['\r', '\n']);
            if is_space && !is_line && end < text.len() {
                let last = word.chars().next_back().map_or(0, char::len_utf8);
                if last < word.len() {
                    end -= last;
                }
            }
            take(&text[found.start()..end]);
            at = end;
        }
        if at < text.len() {
            take(&text[at..]);
        }
    }
}
