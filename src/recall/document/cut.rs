//! Sections to pieces of a size that a memory holds and an embedding model reads whole.

use super::{Document, Section};
use crate::recall::source::Piece;

/// Largest text of a piece without its heading, in bytes. The small embedding models read about 256 word pieces.
const PIECE_BYTES_MAX: usize = 1_100;
/// A piece is closed at a paragraph's end once it has this much, in bytes.
const PIECE_BYTES_GOOD: usize = 700;
/// Longest tag, in bytes.
const TAG_BYTES_MAX: usize = 200;

/// The document in pieces, each with its heading above it: what a piece is about is often said there only.
pub fn pieces(document: &Document) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for section in &document.sections {
        let tags = if section.heading.is_empty() { &document.title } else { &section.heading };
        let tags = &tags[..tags.floor_char_boundary(TAG_BYTES_MAX)];
        for text in texts(section) {
            let content = if section.heading.is_empty() { text } else { format!("{}\n{text}", section.heading) };
            pieces.push(Piece { content, tags: tags.to_owned() });
        }
    }
    pieces
}

fn texts(section: &Section) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text = String::new();
    for paragraph in section.text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        for part in parts(paragraph) {
            if !text.is_empty() && (text.len() >= PIECE_BYTES_GOOD || text.len() + part.len() > PIECE_BYTES_MAX) {
                texts.push(std::mem::take(&mut text));
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(part);
        }
    }
    if !text.is_empty() {
        texts.push(text);
    }
    texts
}

/// A paragraph in parts that fit: ended at a line, else a sentence, else a word, else wherever a character ends.
fn parts(mut paragraph: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while paragraph.len() > PIECE_BYTES_MAX {
        let head = &paragraph[..paragraph.floor_char_boundary(PIECE_BYTES_MAX)];
        let sentence = head
            .rmatch_indices(['.', '!', '?', '。'])
            .find(|(at, mark)| head[at + mark.len()..].starts_with(char::is_whitespace) || *mark == "。");
        let end = head
            .rfind('\n')
            .or(sentence.map(|(at, mark)| at + mark.len()))
            .or_else(|| head.rfind(char::is_whitespace))
            .filter(|end| *end > 0)
            .unwrap_or(head.len());
        let (part, rest) = paragraph.split_at(end);
        parts.push(part.trim_end());
        paragraph = rest.trim_start();
    }
    if !paragraph.is_empty() {
        parts.push(paragraph);
    }
    parts.retain(|part| !part.is_empty());
    parts
}
