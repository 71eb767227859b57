//! Words to tokens and back, as the model file says.
//!
//! Two families: byte-level BPE with ranked merges (`gpt2`: Llama 3, Qwen) and SentencePiece with scored pieces (`llama`:
//! Llama 2, Gemma, Phi). Control tokens in what people wrote are not control tokens: see [`Vocabulary::defuse`].

mod bpe;
mod merge;
mod pieces;
mod scored;
mod split;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::Utf8Stream;

use crate::inference::weights::gguf::Gguf;

use bpe::Bpe;
use pieces::{Kind, Pieces};
use scored::Scored;
use split::SplitError;

/// Stands inside a control token's text that is not meant as one. A noncharacter, which no text may contain.
const FUSE: char = '\u{fdd0}';
/// Texts of tokens after which a turn is over, whatever else the file says (llama.cpp, `llama-vocab.cpp`).
const ENDS: [&str; 10] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<EOT>",
    "</s>",
    "<eos>",
];

#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    #[error("the file has no {0}")]
    Missing(&'static str),
    #[error("the tokenizer family {0} is not supported; gpt2 and llama are")]
    Family(String),
    #[error("{0} tokens are too many or too few")]
    Size(usize),
    #[error("{what} names token {id}, which does not exist")]
    NoToken { what: &'static str, id: u64 },
    #[error("could not cut texts into words")]
    Split(#[from] SplitError),
}

/// All tokens of a model.
#[derive(Debug)]
pub struct Vocabulary {
    pieces: Pieces,
    family: Family,
    /// Tokens that are found in a text as they are, by their first byte, longest first.
    specials: Vec<Vec<u32>>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    /// Whether a text begins with `bos`.
    pub adds_bos: bool,
    ends: Vec<u32>,
}

#[derive(Debug)]
enum Family {
    Bpe(Bpe),
    Scored(Scored),
}

impl Vocabulary {
    pub fn read(gguf: &Gguf) -> Result<Self, VocabularyError> {
        let name = gguf.text("tokenizer.ggml.model").ok_or(VocabularyError::Missing("tokenizer"))?;
        let is_bpe = match name {
            "gpt2" => true,
            "llama" | "gemma" => false,
            other => return Err(VocabularyError::Family(other.chars().take(40).collect())),
        };
        let pieces = Pieces::read(gguf, is_bpe)?;
        let pre = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
        let family = if is_bpe {
            Family::Bpe(Bpe::read(gguf, &pieces, pre)?)
        } else {
            Family::Scored(Scored::read(gguf, &pieces))
        };
        let id = |what, key: &str| match gguf.count(key) {
            Some(id) if id >= pieces.len() as u64 => Err(VocabularyError::NoToken { what, id }),
            other => Ok(other.map(|id| id as u32)),
        };
        let bos = id("bos", "tokenizer.ggml.bos_token_id")?.or_else(|| (!is_bpe).then_some(1));
        let eos = id("eos", "tokenizer.ggml.eos_token_id")?.or_else(|| (!is_bpe).then_some(2));
        let eot = id("eot", "tokenizer.ggml.eot_token_id")?;
        let mut ends: Vec<u32> = eos.into_iter().chain(eot).collect();
        ends.extend(ENDS.iter().filter_map(|text| pieces.find(text.as_bytes())).filter(|id| pieces.is_special(*id)));
        ends.sort_unstable();
        ends.dedup();
        let adds_bos = gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(!is_bpe || split::adds_bos(pre));
        let specials = pieces.specials_by_first_byte();
        Ok(Self { pieces, family, specials, bos, eos, adds_bos, ends })
    }

    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether the turn is over after this token.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.binary_search(&token).is_ok()
    }

    /// Whether the token steers and says nothing.
    pub fn is_control(&self, token: u32) -> bool {
        self.pieces.kind(token) == Kind::Control
    }

    /// What a token stands for: its bytes in a text.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.pieces.bytes(token)
    }

    /// Text of a token, such as `<s>`; empty without one.
    pub fn text(&self, token: Option<u32>) -> String {
        token.map(|token| String::from_utf8_lossy(self.bytes(token)).into_owned()).unwrap_or_default()
    }

    /// The tokens of a text in which control tokens are meant as such. Nothing is put before or after.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while at < text.len() {
            match self.special_at(&text.as_bytes()[at..]) {
                Some(special) => {
                    self.plain(&text[start..at], &mut tokens);
                    tokens.push(special);
                    at += self.pieces.bytes(special).len();
                    start = at;
                }
                None => at += 1,
            }
        }
        self.plain(&text[start..], &mut tokens);
        tokens
    }

    /// The text with control tokens' names cut in two by a mark that [`Self::tokens`] takes out again, so that nobody can
    /// end a turn or speak as somebody else by writing such a name.
    pub fn defuse(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (at, letter) in text.char_indices() {
            if letter == FUSE {
                continue;
            }
            out.push(letter);
            let special = self.special_at(&text.as_bytes()[at..]);
            if special.is_some_and(|special| self.is_control(special)) {
                out.push(FUSE);
            }
        }
        out
    }

    fn special_at(&self, rest: &[u8]) -> Option<u32> {
        let candidates = &self.specials[usize::from(*rest.first()?)];
        candidates.iter().copied().find(|token| rest.starts_with(self.pieces.bytes(*token)))
    }

    fn plain(&self, text: &str, tokens: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let whole;
        let text = if text.contains(FUSE) {
            whole = text.replace(FUSE, "");
            &whole
        } else {
            text
        };
        match &self.family {
            Family::Bpe(bpe) => bpe.tokens(&self.pieces, text, tokens),
            Family::Scored(scored) => scored.tokens(&self.pieces, text, tokens),
        }
    }
}
