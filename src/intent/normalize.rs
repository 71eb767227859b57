//! A sentence or a household name as folded tokens: width, case, diacritics, ß/ss, ä/ae and punctuation do not matter afterwards.

use unicode_normalization::UnicodeNormalization;

/// Tokens that are looked at; what follows can only be the tail of a free text.
pub const TOKENS_MAX: usize = 60;
/// Bytes of text that are looked at, enough for 400 characters of any script.
pub const TEXT_BYTES_MAX: usize = 1600;
/// A longer run without a break is no word of any sentence we know.
const TOKEN_BYTES_MAX: usize = 200;

/// Folded tokens side by side without spaces, so that "Küchen Lampe" and "Küchenlampe" read the same from token to token.
pub struct Sentence<'t> {
    raw: &'t str,
    joined: String,
    tokens: Vec<Token>,
    cut: bool,
}

struct Token {
    folded_start: usize,
    folded_end: usize,
    raw_start: usize,
    raw_end: usize,
    after_comma: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Letter,
    Digit,
    Symbol,
    /// Belongs to the word around it but is not written down: apostrophes, soft hyphens, variation selectors.
    Silent,
    Comma,
    Break,
}

impl<'t> Sentence<'t> {
    pub fn new(raw: &'t str) -> Self {
        let mut sentence = Self { raw, joined: String::new(), tokens: Vec::new(), cut: false };
        let mut at = 0;
        let mut after_comma = false;
        while let Some(first) = raw[at..].chars().next() {
            let class = class(first);
            let end = match class {
                Class::Letter => word_end(raw, at),
                Class::Digit => number_end(raw, at),
                Class::Break if negative_number(raw, at) => number_end(raw, at + first.len_utf8()),
                _ => at + first.len_utf8(),
            };
            after_comma |= class == Class::Comma;
            let is_token = matches!(class, Class::Letter | Class::Digit | Class::Symbol)
                || (class == Class::Break && end > at + first.len_utf8());
            if is_token {
                let full = sentence.tokens.len() == TOKENS_MAX || end > TEXT_BYTES_MAX || end - at > TOKEN_BYTES_MAX;
                if full {
                    sentence.cut = true;
                    break;
                }
                sentence.push(at, end, after_comma);
                after_comma = false;
            }
            at = end;
        }
        sentence
    }

    /// The tokens for which `keep` holds, as a sentence of their own.
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Sentence<'t> {
        let mut sentence = Sentence {
            raw: self.raw,
            joined: String::with_capacity(self.joined.len()),
            tokens: Vec::new(),
            cut: self.cut,
        };
        for (index, token) in self.tokens.iter().enumerate().filter(|(index, _)| keep(*index)) {
            let folded_start = sentence.joined.len();
            sentence.joined.push_str(self.token(index));
            sentence.tokens.push(Token { folded_start, folded_end: sentence.joined.len(), ..*token });
        }
        sentence
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// True when the text goes on after the last token.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    pub fn token(&self, index: usize) -> &str {
        &self.joined[self.tokens[index].folded_start..self.tokens[index].folded_end]
    }

    /// Folded text from token `from` up to `to`, without spaces.
    pub fn span(&self, from: usize, to: usize) -> &str {
        if from >= to {
            return "";
        }
        &self.joined[self.tokens[from].folded_start..self.tokens[to - 1].folded_end]
    }

    /// The whole folded text without spaces.
    pub fn joined(&self) -> &str {
        &self.joined
    }

    pub fn after_comma(&self, index: usize) -> bool {
        self.tokens[index].after_comma
    }

    /// What the person wrote from token `from` up to `to`.
    pub fn written(&self, from: usize, to: usize) -> &'t str {
        if from >= to {
            return "";
        }
        &self.raw[self.tokens[from].raw_start..self.tokens[to - 1].raw_end]
    }

    /// What the person wrote from token `from` to the end of the text.
    pub fn written_from(&self, from: usize) -> &'t str {
        let start = self.tokens.get(from).map_or(self.raw.len(), |token| token.raw_start);
        self.raw[start..].trim_end()
    }

    fn push(&mut self, start: usize, end: usize, after_comma: bool) {
        let folded_start = self.joined.len();
        fold_into(&self.raw[start..end], &mut self.joined);
        if self.joined.len() > folded_start {
            self.tokens.push(Token {
                folded_start,
                folded_end: self.joined.len(),
                raw_start: start,
                raw_end: end,
                after_comma,
            });
        }
    }
}

/// Last character class decides where a word ends; apostrophes inside a word do not end it.
fn word_end(raw: &str, start: usize) -> usize {
    let mut end = start;
    for (offset, character) in raw[start..].char_indices() {
        match class(character) {
            Class::Letter => end = start + offset + character.len_utf8(),
            Class::Silent => {}
            _ => break,
        }
        if offset > TOKEN_BYTES_MAX {
            break;
        }
    }
    end
}

/// Digits with single `.`, `,` or `:` between them.
fn number_end(raw: &str, start: usize) -> usize {
    let mut end = start;
    let mut rest = raw[start..].char_indices().peekable();
    while let Some((offset, character)) = rest.next() {
        if offset > TOKEN_BYTES_MAX {
            break;
        }
        if class(character) == Class::Digit {
            end = start + offset + character.len_utf8();
        } else if !(matches!(character, '.' | ',' | ':') && rest.peek().is_some_and(|(_, next)| next.is_ascii_digit()))
        {
            break;
        }
    }
    end
}

/// A minus sign that begins a number: "-5", but not the hyphen of "20-30" or "Lampe-2".
fn negative_number(raw: &str, at: usize) -> bool {
    let mut rest = raw[at..].chars();
    matches!(rest.next(), Some('-' | '−'))
        && rest.next().is_some_and(|next| next.is_ascii_digit())
        && raw[..at].chars().next_back().is_none_or(char::is_whitespace)
}

fn class(character: char) -> Class {
    match character {
        '\''
        | '’'
        | '‘'
        | 'ʼ'
        | '´'
        | '`'
        | '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => Class::Silent,
        // Combining marks stand for themselves only where no letter precedes them; folding drops them anyway.
        '\u{300}'..='\u{36f}' => Class::Letter,
        ',' | ';' | '、' | '，' => Class::Comma,
        '%' | '&' | '+' | '#' | '@' | '$' | '=' => Class::Symbol,
        _ if character.is_ascii_punctuation() || character.is_whitespace() || character.is_control() => Class::Break,
        '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{3004}' | '\u{3008}'..='\u{3020}' | '¿' | '¡' | '«' | '»' | '−' => {
            Class::Break
        }
        _ if character.is_numeric() => Class::Digit,
        _ if character.is_alphabetic() => Class::Letter,
        _ => Class::Symbol,
    }
}

/// Appends `text` folded: compatibility forms composed, case and diacritics gone, German umlauts in one spelling.
fn fold_into(text: &str, folded: &mut String) {
    let start = folded.len();
    if text.is_ascii() {
        folded.extend(
            text.chars()
                .filter(|character| class(*character) != Class::Silent)
                .map(|character| character.to_ascii_lowercase()),
        );
    } else {
        // Upper case first: it turns ß into SS and unites the forms of sigma and i.
        let cased = text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        // Compatibility forms of some marks stand on a space of their own.
        let is_kept = |character: &char| {
            let is_mark = ('\u{300}'..='\u{36f}').contains(character);
            !is_mark && !character.is_whitespace() && class(*character) != Class::Silent
        };
        folded.extend(cased.nfkd().filter(is_kept).map(without_stroke));
    }
    if text.starts_with('−') {
        folded.replace_range(start..start + '−'.len_utf8(), "-");
    }
    if folded[start..].contains(',') {
        let dotted = folded[start..].replace(',', ".");
        folded.replace_range(start.., &dotted);
    }
    one_umlaut_spelling(folded, start);
}

/// Letters whose stroke or missing dot is no mark that could be taken off.
fn without_stroke(letter: char) -> char {
    match letter {
        'ł' => 'l',
        'ø' => 'o',
        'đ' => 'd',
        'ħ' => 'h',
        'ı' => 'i',
        'æ' => 'a',
        'œ' => 'o',
        _ => letter,
    }
}

/// `ae`, `oe`, `ue` become the bare vowel, as the diacritic did, except after a vowel or q, where they are two sounds ("neue").
fn one_umlaut_spelling(folded: &mut String, start: usize) {
    let bytes = folded.as_bytes();
    let double = |at: usize| bytes[at] == b'e' && at > start && matches!(bytes[at - 1], b'a' | b'o' | b'u');
    let sounded = |at: usize| at >= start + 2 && matches!(bytes[at - 2], b'a' | b'e' | b'q' | b'o' | b'u');
    let drops: Vec<usize> = (start..bytes.len()).filter(|at| double(*at) && !sounded(*at)).collect();
    for at in drops.into_iter().rev() {
        folded.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let sentence = Sentence::new(text);
        let tokens: Vec<&str> = (0..sentence.len()).map(|index| sentence.token(index)).collect();
        assert_eq!(tokens.join(" "), expected, "{text}");
    }

    #[test]
    fn spelling_differences_fold_away() {
        check("Küche", "kuche");
        check("Kueche", "kuche");
        check("Ku\u{308}che", "kuche");
        check("Straßen-LAMPE", "strassen lampe");
        check("Łódź Smørrebrød Œuvre", "lodz smorrebrod ouvre");
        check("What’s up?", "whats up");
        check("Anna's lamp!", "annas lamp");
        check("neue blaue Quelle", "neue blaue quelle");
        check("ｌａｍｐ　１２", "lamp 12");
    }

    #[test]
    fn numbers_times_and_symbols_are_tokens_of_their_own() {
        check("to 21,5°C at 18:30", "to 21.5 ° c at 18:30");
        check("40% or 7pm, 1h30", "40 % or 7 pm 1 h 30");
        check("-5 20-30", "-5 20 30");
        check("🎄 tree❤️", "🎄 tree ❤");
    }

    #[test]
    fn long_text_is_cut_and_its_tail_stays_readable() {
        let text = format!("remember {}", "word ".repeat(10_000));
        let sentence = Sentence::new(&text);
        assert!(sentence.is_cut());
        assert_eq!(sentence.len(), TOKENS_MAX);
        assert_eq!(sentence.written_from(1).len(), 49_999);
        assert!(Sentence::new(&"a".repeat(300_000)).is_cut());
    }

    proptest::proptest! {
        #[test]
        fn tokens_cover_only_the_text_and_folding_twice_changes_nothing(text in "\\PC{0,80}") {
            let sentence = Sentence::new(&text);
            for index in 0..sentence.len() {
                proptest::prop_assert!(text.contains(sentence.written(index, index + 1)));
            }
            let folded = sentence.joined().to_owned();
            proptest::prop_assert!(folded.chars().all(|character| !character.is_whitespace()));
        }
    }
}
