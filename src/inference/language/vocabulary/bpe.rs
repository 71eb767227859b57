//! Byte-level BPE: words are bytes, joined in the order in which the pairs were learned.

use crate::inference::language::vocabulary::VocabularyError;
use crate::inference::language::vocabulary::merge::{Symbol, merge};
use crate::inference::language::vocabulary::pieces::{Pieces, push_mapped};
use crate::inference::language::vocabulary::split::Splitter;
use crate::inference::weights::gguf::Gguf;

#[derive(Debug)]
pub(super) struct Bpe {
    splitter: Splitter,
    /// The token of each byte.
    bytes: [Option<u32>; 256],
    /// By both tokens.
    merges: Vec<Merge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Merge {
    left: u32,
    right: u32,
    rank: u32,
    token: u32,
}

impl Bpe {
    pub(super) fn read(gguf: &Gguf, pieces: &Pieces, pre: &str) -> Result<Self, VocabularyError> {
        let splitter = Splitter::of(pre)?;
        let texts = gguf.texts("tokenizer.ggml.merges").ok_or(VocabularyError::Missing("merges"))?;
        let mut merges = Vec::with_capacity(texts.len());
        for (rank, text) in texts.enumerate() {
            // Neither half contains a space: GPT-2 writes it as a letter.
            let Some((left, right)) = text.split_once(' ') else { continue };
            merges.extend(found(pieces, left, right, rank as u32));
        }
        merges.sort_unstable();
        merges.dedup_by_key(|merge| (merge.left, merge.right));
        let bytes = std::array::from_fn(|byte| pieces.find(&[byte as u8]));
        Ok(Self { splitter, bytes, merges })
    }

    pub(super) fn tokens(&self, pieces: &Pieces, text: &str, out: &mut Vec<u32>) {
        let mut symbols = Vec::new();
        self.splitter.words(text, &mut |word: &str| {
            // Llama 3 takes whole words where they exist; for others the merges lead to the same token.
            if let Some(token) = pieces.find(word.as_bytes()).filter(|token| !pieces.is_special(*token)) {
                out.push(token);
                return;
            }
            symbols.clear();
            symbols.extend(word.bytes().enumerate().map(|(start, byte)| Symbol {
                start,
                len: 1,
                token: self.bytes[usize::from(byte)],
            }));
            merge(&mut symbols, |left, right| self.join(left, right));
            out.extend(symbols.iter().filter_map(|symbol| symbol.token.or(pieces.unknown())));
        });
    }

    fn join(&self, left: &Symbol, right: &Symbol) -> Option<(i64, u32)> {
        let pair = (left.token?, right.token?);
        let place = self.merges.binary_search_by_key(&pair, |merge| (merge.left, merge.right)).ok()?;
        let merge = &self.merges[place];
        Some((merge.rank.into(), merge.token))
    }
}

fn found(pieces: &Pieces, left: &str, right: &str, rank: u32) -> Option<Merge> {
    let (mut whole, mut second) = (Vec::new(), Vec::new());
    push_mapped(left, &mut whole);
    push_mapped(right, &mut second);
    let left = pieces.find(&whole)?;
    let right = pieces.find(&second)?;
    whole.extend(second);
    Some(Merge { left, right, rank, token: pieces.find(&whole)? })
}
