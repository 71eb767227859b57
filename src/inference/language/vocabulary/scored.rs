//! SentencePiece: letters, joined to the piece with the best score, and bytes for what no piece covers.

use crate::inference::language::vocabulary::merge::{Symbol, merge};
use crate::inference::language::vocabulary::pieces::Pieces;
use crate::inference::weights::gguf::Gguf;

#[derive(Debug)]
pub(super) struct Scored {
    /// Of each token; low is good.
    ranks: Vec<i64>,
    bytes: [Option<u32>; 256],
    unknown: Option<u32>,
    adds_space: bool,
}

impl Scored {
    pub(super) fn read(gguf: &Gguf, pieces: &Pieces) -> Self {
        let mut ranks: Vec<i64> = match gguf.numbers("tokenizer.ggml.scores") {
            Some(scores) => scores.map(|score| rank(score as f32)).collect(),
            None => Vec::new(),
        };
        ranks.resize(pieces.len(), rank(0.0));
        let adds_space = gguf.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
        Self { ranks, bytes: pieces.byte_tokens(), unknown: pieces.unknown(), adds_space }
    }

    /// A text after a control token, or at the beginning, gets a space before it if the model was trained so.
    pub(super) fn tokens(&self, pieces: &Pieces, text: &str, out: &mut Vec<u32>) {
        let spaced;
        let text = if self.adds_space {
            spaced = format!(" {text}");
            &spaced
        } else {
            text
        };
        let symbol = |(start, letter): (usize, char)| {
            let len = letter.len_utf8();
            Symbol { start, len, token: pieces.find(&text.as_bytes()[start..start + len]) }
        };
        let mut symbols: Vec<Symbol> = text.char_indices().map(symbol).collect();
        merge(&mut symbols, |left, right| {
            let token = pieces.find(&text.as_bytes()[left.start..right.start + right.len])?;
            let is_plain = !pieces.is_special(token);
            is_plain.then(|| (self.ranks[token as usize], token))
        });
        for symbol in symbols {
            match symbol.token {
                Some(token) => out.push(token),
                None => {
                    let bytes = &text.as_bytes()[symbol.start..symbol.start + symbol.len];
                    out.extend(bytes.iter().filter_map(|byte| self.bytes[usize::from(*byte)].or(self.unknown)));
                }
            }
        }
    }
}

/// The order of scores, turned around.
fn rank(score: f32) -> i64 {
    let bits = i64::from(score.to_bits().cast_signed());
    if bits < 0 { bits & 0x7fff_ffff } else { -bits }
}
