//! Text of files: what kind a file is, its sections, and pieces of a size that a memory holds. Pure, except [`apart`], which
//! reads hostile formats in a process of their own: a PDF parser that loops, recurses or swallows the memory must not take the
//! house with it.

mod apart;
mod cut;
mod html;
mod markdown;
mod pdf;
mod plain;
mod walk;

pub use apart::{COMMAND, read_apart, serve};
pub use cut::pieces;
pub use walk::{FoundFile, Walked, walk};

use serde::{Deserialize, Serialize};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most text kept of one file, in bytes; a book has about one million.
pub const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest heading, in bytes.
const HEADING_BYTES_MAX: usize = 200;

/// What a file is read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Text,
    Markdown,
    Html,
    Pdf,
}

impl Kind {
    /// By what the file begins with, then by its name's ending; none for what is no document.
    pub fn of(name: &str, bytes: &[u8]) -> Option<Self> {
        let head = &bytes[..bytes.len().min(1024)];
        if head.windows(5).any(|window| window == b"%PDF-") {
            return Some(Self::Pdf);
        }
        let ending = name.rsplit(['/', '\\']).next()?.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let by_name = match ending.as_deref() {
            Some("pdf") => Some(Self::Pdf),
            Some("md" | "markdown" | "mdown" | "mkd") => Some(Self::Markdown),
            Some("html" | "htm" | "xhtml") => Some(Self::Html),
            Some(ending) if TEXT_ENDINGS.contains(&ending) => Some(Self::Text),
            _ => None,
        };
        if by_name.is_some() {
            return by_name;
        }
        let head = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
        if head.starts_with("<!doctype html") || head.starts_with("<html") {
            return Some(Self::Html);
        }
        plain::is_text(bytes).then_some(Self::Text)
    }

    /// Whether its parser is big enough to be kept in a process of its own.
    pub const fn is_read_apart(self) -> bool {
        matches!(self, Self::Html | Self::Pdf)
    }
}

/// Endings of files that are plain text for our purposes.
const TEXT_ENDINGS: &[&str] = &[
    "txt", "text", "log", "csv", "tsv", "json", "yaml", "yml", "toml", "ini", "conf", "cfg", "rst", "adoc", "org",
    "tex", "srt", "vtt", "xml", "eml", "ics", "vcf",
];

/// Text under a heading.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Section {
    /// The path of headings, outermost first, such as `Heating > Boiler`; `page 3` in a PDF; empty where there is none.
    pub heading: String,
    pub text: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Document {
    /// What the document calls itself; empty when it does not.
    pub title: String,
    pub sections: Vec<Section>,
}

impl Document {
    /// Bytes of all its text.
    pub fn bytes(&self) -> usize {
        self.sections.iter().map(|section| section.text.len()).sum()
    }
}

/// Why a file could not be read. The text is meant for the person whose file it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum DocumentError {
    #[error("it is empty")]
    Empty,
    #[error("it has {bytes} bytes; a document may have {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error("it is no text, Markdown, HTML or PDF")]
    Unknown,
    #[error("it is encrypted; save a copy without a password")]
    Encrypted,
    #[error("it holds pictures of pages but no text; run it through a text recognition (OCR) first")]
    NoText,
    #[error("it is damaged or no {kind} at all")]
    Broken { kind: String },
    #[error("reading it took too long or too much memory")]
    TooHard,
    #[error("the program that reads documents could not be started")]
    NoReader,
}

/// Reads a file's text. Blocks, and may take seconds for a PDF; hostile files belong into [`read_apart`].
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Document, DocumentError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(DocumentError::TooLarge { bytes: bytes.len() as u64, bytes_max: FILE_BYTES_MAX as u64 });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(DocumentError::Empty);
    }
    let mut document = match kind {
        Kind::Text => plain::read(bytes),
        Kind::Markdown => markdown::read(&plain::decode(bytes)),
        Kind::Html => html::read(bytes)?,
        Kind::Pdf => pdf::read(bytes)?,
    };
    tidy(&mut document);
    if document.sections.is_empty() {
        return Err(if kind == Kind::Pdf { DocumentError::NoText } else { DocumentError::Empty });
    }
    Ok(document)
}

/// Drops what says nothing and what is beyond the bounds.
fn tidy(document: &mut Document) {
    let mut left = TEXT_BYTES_MAX;
    document.title = one_line(&document.title);
    for section in &mut document.sections {
        section.heading = one_line(&section.heading);
        let text: String = section.text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        let text = text.trim();
        section.text = text[..text.floor_char_boundary(left)].to_owned();
        left -= section.text.len();
    }
    document.sections.retain(|section| section.text.chars().any(char::is_alphanumeric));
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line[..line.floor_char_boundary(HEADING_BYTES_MAX)].trim_end().to_owned()
}

#[cfg(test)]
mod tests;
