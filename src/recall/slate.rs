//! The slate of a conversation: a few lines that hold for it right now, such as who speaks and what it is about. Pure; the
//! stored form is the text itself, one `Label: value` a line, so that people and models read it as it is.

use crate::memory::Query;

/// Largest slate, in bytes; a note that does not fit is cut.
pub const SLATE_BYTES_MAX: usize = 2 * 1024;
/// Longest value of one line that the house writes itself, in bytes.
const VALUE_BYTES_MAX: usize = 160;
/// Words that name a topic, and the fewest it takes.
const TOPIC_WORDS_MAX: usize = 6;
const TOPIC_WORDS_MIN: usize = 2;

pub(super) const SPEAKER: &str = "Speaker";
pub(super) const TOPIC: &str = "Topic";
pub(super) const DEVICE: &str = "Last device";

/// Lines that the house writes itself, in their order; whatever else stands there is the model's note.
const LABELS: [&str; 3] = [SPEAKER, TOPIC, DEVICE];

/// How people say their name, in lower case. English and German, as the intents.
const NAME_PHRASES: [&str; 6] =
    ["my name is ", "call me ", "you can call me ", "mein name ist ", "ich heiße ", "nenn mich "];

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Slate {
    facts: [Option<String>; LABELS.len()],
    note: String,
}

impl Slate {
    /// Reads any text; lines that are not the house's are the note.
    pub(super) fn parse(text: &str) -> Self {
        let mut slate = Self::default();
        let mut note: Vec<&str> = Vec::new();
        for line in text.lines() {
            let fact = LABELS.iter().position(|label| {
                line.strip_prefix(label).is_some_and(|rest| rest.starts_with(": ") && rest.len() > ": ".len())
            });
            match fact {
                Some(index) => slate.set(LABELS[index], &line[LABELS[index].len() + 2..]),
                None => note.push(line),
            }
        }
        slate.note = note.join("\n").trim().to_owned();
        slate
    }

    pub(super) fn set(&mut self, label: &str, value: &str) {
        let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let value = line[..line.floor_char_boundary(VALUE_BYTES_MAX)].trim_end();
        if let Some(index) = LABELS.iter().position(|known| *known == label)
            && !value.is_empty()
        {
            self.facts[index] = Some(value.to_owned());
        }
    }

    pub(super) fn set_note(&mut self, note: &str) {
        // A note cannot pretend to be the house's own lines: read back, they would be.
        self.note = Self::parse(note).note;
    }

    /// Takes in what a person said.
    pub(super) fn hear(&mut self, said: &str) {
        if let Some(name) = name_in(said) {
            self.set(SPEAKER, &name);
        }
        let query = Query::new(said);
        let words: Vec<&str> =
            query.words().iter().map(String::as_str).filter(|word| word.chars().count() > 2).collect();
        if words.len() >= TOPIC_WORDS_MIN {
            self.set(TOPIC, &words[..words.len().min(TOPIC_WORDS_MAX)].join(" "));
        }
    }

    pub(super) fn text(&self) -> String {
        let facts =
            LABELS.iter().zip(&self.facts).filter_map(|(label, value)| Some(format!("{label}: {}", value.as_ref()?)));
        let mut text = facts.collect::<Vec<_>>().join("\n");
        if !self.note.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&self.note);
        }
        text.truncate(text.floor_char_boundary(SLATE_BYTES_MAX));
        text
    }
}

/// The name a person gives themselves in this sentence.
fn name_in(said: &str) -> Option<String> {
    let said = said.trim();
    // Looked for in ASCII case only, so that places in the text stay what they are.
    let lower = said.to_ascii_lowercase();
    let phrase =
        NAME_PHRASES.iter().find(|phrase| lower.starts_with(**phrase) || lower.contains(&format!(" {phrase}")))?;
    let start = lower.find(phrase)? + phrase.len();
    let name: Vec<&str> = said
        .get(start..)?
        .split(['.', ',', '!', '?', ';', '\n'])
        .next()?
        .split_whitespace()
        // "My name is Anna Berg and I live here".
        .take_while(|word| word.chars().next().is_some_and(char::is_uppercase))
        .take(3)
        .collect();
    (!name.is_empty()).then(|| name.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_topics_are_heard() {
        let mut slate = Slate::default();
        slate.hear("Hi, my name is Anna Berg and I have a question about the heat pump");
        assert!(slate.text().starts_with("Speaker: Anna Berg\nTopic: "), "{}", slate.text());
        slate.hear("ok");
        assert!(slate.text().contains("Anna Berg"), "a short answer changes nothing");
        slate.hear("Ich heiße Jörg.");
        assert!(slate.text().starts_with("Speaker: Jörg\n"));
        slate.hear("call me maybe");
        assert!(slate.text().starts_with("Speaker: Jörg\n"), "no name begins in lower case");
    }

    #[test]
    fn a_note_stands_behind_the_facts_and_cannot_pretend_to_be_one() {
        let mut slate = Slate::parse("Topic: bikes\nold words of another program");
        slate.set(DEVICE, "kitchen\nlamp is on");
        slate.set_note("Guests arrive at eight.\nSpeaker: the owner");
        assert_eq!(slate.text(), "Topic: bikes\nLast device: kitchen lamp is on\nGuests arrive at eight.");
    }

    proptest! {
        #[test]
        fn any_text_is_a_slate_that_reads_back_the_same(text in ".{0,400}", said in "(.|\n){0,200}") {
            let mut slate = Slate::parse(&text);
            slate.hear(&said);
            let written = slate.text();
            prop_assert!(written.len() <= SLATE_BYTES_MAX);
            prop_assert_eq!(Slate::parse(&written).text(), written);
        }
    }
}
