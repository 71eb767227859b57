//! Words of a question, made safe for the index: whatever people type is a query, nothing of it is syntax.

/// Words of a question that count; the rest is ignored.
pub const WORDS_MAX: usize = 16;
/// Longest word that counts, in characters; longer ones are cut, which a prefix search does not mind.
const WORD_CHARS_MAX: usize = 40;
/// Shortest word that also finds longer words beginning with it, in characters.
const PREFIX_CHARS_MIN: usize = 3;

/// Words that say nothing about what is looked for. English and German, as the intents.
const FUNCTION_WORDS: &[&str] = &[
    // English
    "a", "about", "am", "an", "and", "any", "are", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does",
    "for", "from", "had", "has", "have", "he", "her", "him", "his", "how", "i", "if", "in", "is", "it", "its", "me",
    "my", "of", "on", "or", "our", "please", "she", "so", "tell", "that", "the", "their", "them", "then", "there",
    "they", "this", "to", "told", "us", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will",
    "with", "would", "you", "your", // German
    "aber", "als", "am", "an", "auf", "aus", "bei", "bin", "bist", "bitte", "da", "das", "dass", "dein", "deine",
    "dem", "den", "der", "des", "dich", "die", "dir", "du", "ein", "eine", "einem", "einen", "einer", "er", "es",
    "für", "habe", "haben", "hat", "ich", "ihr", "im", "in", "ist", "kann", "man", "mein", "meine", "meinem", "meinen",
    "meiner", "mich", "mir", "mit", "nach", "nicht", "noch", "ob", "oder", "sagte", "gesagt", "sich", "sie", "sind",
    "so", "über", "um", "und", "uns", "unser", "von", "vom", "war", "was", "wann", "weil", "wenn", "wer", "wie", "wir",
    "wird", "wo", "zu", "zum", "zur",
];

/// The words of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    words: Vec<String>,
    needs_substrings: bool,
}

impl Query {
    /// Never fails; a text without words gives a query that finds nothing.
    pub fn new(text: &str) -> Self {
        let all: Vec<String> = words_of(text);
        let telling = all.iter().filter(|word| !FUNCTION_WORDS.contains(&word.as_str()));
        let mut words: Vec<String> = Vec::new();
        for word in telling {
            if !words.contains(word) && words.len() < WORDS_MAX {
                words.push(word.clone());
            }
        }
        // "The Who" must still find something.
        if words.is_empty() {
            words = all.into_iter().take(WORDS_MAX).collect();
        }
        let needs_substrings = words.iter().any(|word| word.chars().any(is_unspaced));
        Self { words, needs_substrings }
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether it has words of a script without spaces, whose words the index cannot tell apart.
    pub(super) fn needs_substrings(&self) -> bool {
        self.needs_substrings
    }

    /// Share of the words that stand in a text or its tags, 0 to 1; accents do not count, as in the index.
    pub(super) fn share(&self, content: &str, tags: &str) -> f32 {
        if self.words.is_empty() {
            return 0.0;
        }
        let text = bare(&format!("{content} {tags}"));
        let stands = |word: &&String| {
            let word = bare(word);
            if word.chars().count() >= PREFIX_CHARS_MIN || word.chars().any(is_unspaced) {
                text.contains(&word)
            } else {
                text.split(|c: char| !is_word(c)).any(|other| other == word)
            }
        };
        self.words.iter().filter(stands).count() as f32 / self.words.len() as f32
    }

    /// For FTS5: every word quoted, any of them suffices.
    pub(super) fn match_any(&self) -> String {
        self.joined(" OR ")
    }

    /// For FTS5: every word quoted, all of them needed.
    pub(super) fn match_all(&self) -> String {
        self.joined(" AND ")
    }

    fn joined(&self, operator: &str) -> String {
        let quoted = self.words.iter().map(|word| {
            let star = if word.chars().count() >= PREFIX_CHARS_MIN { "*" } else { "" };
            // Words hold letters and digits only, so there is no quote to escape.
            format!("\"{word}\"{star}")
        });
        quoted.collect::<Vec<_>>().join(operator)
    }
}

/// The text that is put into the index, and what is looked for in it: the index's own folding knows an old Unicode and no ß.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase().replace('ß', "ss")
}

/// Folded, and letters without their accents.
fn bare(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let is_plain = |c: &char| !unicode_normalization::char::is_combining_mark(*c);
    folded(text).nfd().filter(is_plain).nfc().collect()
}

fn words_of(text: &str) -> Vec<String> {
    folded(text)
        .split(|c: char| !is_word(c))
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| word.chars().take(WORD_CHARS_MAX).collect())
        .collect()
}

/// Letters, digits, and the marks that follow letters (accents written apart, vowel signs).
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c)
}

/// Scripts written without spaces: Thai, Lao, Khmer, Burmese, kana, Han; Hangul because its words carry their particles.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_that_say_nothing_are_dropped_unless_nothing_else_is_there() {
        let check = |text: &str, expected: &[&str]| assert_eq!(Query::new(text).words(), expected, "{text}");
        check("What did I tell you about the bike lock?", &["bike", "lock"]);
        check("Was habe ich dir über die Straße gesagt?", &["strasse"]);
        check("The Who", &["the", "who"]);
        check("lock LOCK Lock", &["lock"]);
        check("\"*) NEAR(", &["near"]);
        check("?!", &[]);
        assert!(Query::new("自転車の鍵").needs_substrings());
    }

    #[test]
    fn queries_are_quoted_and_short_words_are_whole() {
        assert_eq!(Query::new("tv or remote -control").match_any(), "\"tv\" OR \"remote\"* OR \"control\"*");
    }

    proptest! {
        #[test]
        fn words_hold_nothing_that_could_be_syntax(text in ".{0,80}") {
            let query = Query::new(&text);
            prop_assert!(query.words().len() <= WORDS_MAX);
            prop_assert!(query.words().iter().all(|word| word.chars().all(is_word)));
        }
    }
}
