//! What each token stands for, and which token stands for a text.

use crate::inference::language::vocabulary::VocabularyError;
use crate::inference::weights::gguf::Gguf;

/// Largest vocabulary accepted; Gemma 3 has 262,144 tokens.
const TOKENS_MAX: usize = 1_000_000;
/// Bytes of all tokens together.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Debug)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    /// Tokens in the order of their bytes.
    sorted: Vec<u32>,
}

impl Pieces {
    pub(super) fn read(gguf: &Gguf, is_bpe: bool) -> Result<Self, VocabularyError> {
        let texts = gguf.texts("tokenizer.ggml.tokens").ok_or(VocabularyError::Missing("tokens"))?;
        let count = texts.len();
        if count == 0 || count > TOKENS_MAX {
            return Err(VocabularyError::Size(count));
        }
        let mut kinds: Vec<Kind> = match gguf.numbers("tokenizer.ggml.token_type") {
            Some(numbers) => numbers.map(|number| kind(number as i64)).collect(),
            None => Vec::new(),
        };
        kinds.resize(count, Kind::Normal);
        let mut pieces = Self { bytes: Vec::new(), ends: Vec::with_capacity(count), kinds, sorted: Vec::new() };
        for (token, text) in texts.enumerate() {
            let kind = pieces.kinds[token];
            match kind {
                Kind::Byte => pieces.bytes.push(byte_of(&text).unwrap_or(b'?')),
                Kind::Normal | Kind::Unused if is_bpe => push_mapped(&text, &mut pieces.bytes),
                Kind::Normal | Kind::Unused | Kind::UserDefined if !is_bpe => {
                    pieces.bytes.extend_from_slice(text.replace('\u{2581}', " ").as_bytes());
                }
                _ => pieces.bytes.extend_from_slice(text.as_bytes()),
            }
            if pieces.bytes.len() > BYTES_MAX {
                return Err(VocabularyError::Size(count));
            }
            pieces.ends.push(pieces.bytes.len() as u32);
        }
        // Bytes have letters as namesakes; a text is looked up among the others.
        let mut sorted: Vec<u32> =
            (0..count as u32).filter(|token| pieces.kinds[*token as usize] != Kind::Byte).collect();
        sorted.sort_by(|left, right| pieces.bytes(*left).cmp(pieces.bytes(*right)));
        pieces.sorted = sorted;
        Ok(pieces)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn kind(&self, token: u32) -> Kind {
        self.kinds.get(token as usize).copied().unwrap_or(Kind::Unused)
    }

    pub(super) fn is_special(&self, token: u32) -> bool {
        matches!(self.kind(token), Kind::Control | Kind::UserDefined | Kind::Unknown)
    }

    /// Empty for a token that does not exist.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        let Some(end) = self.ends.get(token as usize) else { return &[] };
        let start = if token == 0 { 0 } else { self.ends[token as usize - 1] };
        &self.bytes[start as usize..*end as usize]
    }

    pub(super) fn find(&self, bytes: &[u8]) -> Option<u32> {
        let place = self.sorted.binary_search_by(|token| self.bytes(*token).cmp(bytes)).ok()?;
        Some(self.sorted[place])
    }

    pub(super) fn byte_tokens(&self) -> [Option<u32>; 256] {
        let mut tokens = [None; 256];
        for token in (0..self.len() as u32).filter(|token| self.kind(*token) == Kind::Byte) {
            tokens[usize::from(self.bytes(token)[0])] = Some(token);
        }
        tokens
    }

    pub(super) fn unknown(&self) -> Option<u32> {
        (0..self.len() as u32).find(|token| self.kind(*token) == Kind::Unknown)
    }

    pub(super) fn specials_by_first_byte(&self) -> Vec<Vec<u32>> {
        let mut buckets = vec![Vec::new(); 256];
        for token in (0..self.len() as u32).filter(|token| self.is_special(*token)) {
            if let Some(first) = self.bytes(token).first() {
                buckets[usize::from(*first)].push(token);
            }
        }
        for bucket in &mut buckets {
            bucket.sort_by_key(|token| std::cmp::Reverse(self.bytes(*token).len()));
        }
        buckets
    }
}

fn kind(number: i64) -> Kind {
    match number {
        2 => Kind::Unknown,
        3 => Kind::Control,
        4 => Kind::UserDefined,
        5 => Kind::Unused,
        6 => Kind::Byte,
        _ => Kind::Normal,
    }
}

/// `<0x0A>`.
fn byte_of(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// GPT-2 writes bytes as letters: printable ones as themselves, the other 68 as `U+0100` and on.
pub(super) fn push_mapped(text: &str, out: &mut Vec<u8>) {
    for letter in text.chars() {
        match byte_of_letter(letter) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn byte_of_letter(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}
