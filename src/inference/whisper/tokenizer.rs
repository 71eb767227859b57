//! Words to tokens and back, and the tokens that are no words: languages, tasks, times.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::Tokenizer;

use crate::base::error::chain;
use crate::inference::tokenizer;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::shape::{JSON_BYTES_MAX, read_bounded};

/// Times that a model can say: 0.00 to 30.00 in steps of 0.02 seconds.
const TIMES: u32 = 1501;
/// Seconds between two times.
pub const TIME_STEP_S: f64 = 0.02;
/// Sounds that people write down and nobody says (OpenAI's `non_speech_tokens`): used when a model brings no list of its own.
const SIGNS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪ ♩ ♪ ♫ ♬ ♭ ♮ ♯";

/// The words of a model and its special tokens.
#[derive(Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    /// Tokens below are text.
    pub end: u32,
    pub start: u32,
    pub transcribe: u32,
    pub translate: Option<u32>,
    pub previous: u32,
    pub no_speech: u32,
    pub no_times: u32,
    /// The token of 0.00 seconds; the other times follow.
    pub first_time: u32,
    /// Codes such as `en` and their tokens, in the model's order. Empty when the model knows English only.
    pub languages: Vec<(String, u32)>,
}

impl Vocabulary {
    /// From `tokenizer.json`; `size` is what the model can say.
    pub fn read(path: &Path, size: usize) -> Result<Self, WhisperError> {
        let bytes = read_bounded(path, JSON_BYTES_MAX)?;
        let misfit = |fault: String| WhisperError::Tokenizer { path: path.to_owned(), fault };
        let tokenizer = tokenizer::read(&bytes).map_err(|error| misfit(chain(&error)))?.tokenizer;
        let id = |text: &str| tokenizer.token_to_id(text).filter(|id| (*id as usize) < size);
        let need = |text: &str| id(text).ok_or_else(|| misfit(format!("{text} is not among its {size} tokens")));
        let (end, start, no_times) =
            (need("<|endoftext|>")?, need("<|startoftranscript|>")?, need("<|notimestamps|>")?);
        let transcribe = need("<|transcribe|>")?;
        let (previous, translate) = (need("<|startofprev|>")?, id("<|translate|>"));
        // Older files call it by its first use.
        let no_speech = id("<|nospeech|>").or_else(|| id("<|nocaptions|>"));
        let no_speech = no_speech.ok_or_else(|| misfit("it has no token for silence".to_owned()))?;
        let first_time = no_times + 1;
        if first_time as usize + TIMES as usize > size {
            return Err(misfit(format!("it has no room for {TIMES} times")));
        }
        if [start, transcribe, previous, no_speech, no_times].iter().any(|token| *token < end) {
            return Err(misfit("its special tokens are not after the text".to_owned()));
        }
        let languages = languages(&tokenizer, start + 1, transcribe.min(translate.unwrap_or(transcribe)));
        Ok(Self { tokenizer, end, start, transcribe, translate, previous, no_speech, no_times, first_time, languages })
    }

    pub fn language_token(&self, code: &str) -> Option<u32> {
        self.languages.iter().find(|(known, _)| known == code).map(|(_, token)| *token)
    }

    /// The words of some tokens; everything that is no word is left out, and a character that was cut shows as `\u{FFFD}`.
    pub fn text(&self, tokens: &[u32]) -> String {
        let words: Vec<u32> = tokens.iter().copied().filter(|token| *token < self.end).collect();
        self.tokenizer.decode(&words, true).unwrap_or_default()
    }

    /// Tokens of a text, without any special ones.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let encoded = self.tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec());
        encoded.unwrap_or_default().into_iter().filter(|token| *token < self.end).collect()
    }

    /// Tokens of signs that nobody says, for models without a list of their own.
    pub fn signs(&self) -> Vec<u32> {
        let mut tokens = Vec::new();
        for sign in SIGNS.split(' ') {
            for text in [sign.to_owned(), format!(" {sign}")] {
                let found = self.tokens(&text);
                // Music has no token of its own: its first byte stands for it.
                if found.len() == 1 || "♩♪♫♬♭♮♯".contains(sign) {
                    tokens.extend(found.first());
                }
            }
        }
        for text in [" -", " '"] {
            tokens.extend(self.tokens(text).first());
        }
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    /// Tokens that no text begins with: a lone space, and the end.
    pub fn not_first(&self) -> Vec<u32> {
        self.tokens(" ").first().copied().into_iter().chain([self.end]).collect()
    }

    /// Special tokens that are never part of an answer.
    pub fn never_said(&self) -> Vec<u32> {
        let tasks = [self.start, self.transcribe, self.previous, self.no_speech, self.no_times];
        tasks.into_iter().chain(self.translate).chain(self.languages.iter().map(|(_, token)| *token)).collect()
    }
}

fn languages(tokenizer: &Tokenizer, from: u32, to: u32) -> Vec<(String, u32)> {
    let code = |token: u32| {
        let text = tokenizer.id_to_token(token)?;
        let code = text.strip_prefix("<|")?.strip_suffix("|>")?;
        let is_code = (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase());
        is_code.then(|| (code.to_owned(), token))
    };
    (from..to).filter_map(code).collect()
}

/// Codes of languages that people give by name.
pub fn code_of(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let names: HashMap<&str, &str> = HashMap::from([
        ("english", "en"),
        ("german", "de"),
        ("deutsch", "de"),
        ("french", "fr"),
        ("spanish", "es"),
        ("italian", "it"),
        ("dutch", "nl"),
        ("portuguese", "pt"),
        ("polish", "pl"),
        ("russian", "ru"),
        ("ukrainian", "uk"),
        ("turkish", "tr"),
        ("chinese", "zh"),
        ("japanese", "ja"),
        ("korean", "ko"),
        ("arabic", "ar"),
        ("hindi", "hi"),
        ("swedish", "sv"),
        ("danish", "da"),
        ("norwegian", "no"),
        ("finnish", "fi"),
        ("czech", "cs"),
        ("greek", "el"),
        ("hebrew", "he"),
        ("hungarian", "hu"),
        ("romanian", "ro"),
    ]);
    match names.get(name.as_str()) {
        Some(code) => (*code).to_owned(),
        // `de-AT` is German.
        None => name.split(['-', '_']).next().unwrap_or_default().to_owned(),
    }
}
