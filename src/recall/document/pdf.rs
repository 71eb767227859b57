//! PDF to pages. The parser panics on files that are odd; each page is tried for itself, so that one bad page does not hide the
//! others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{Document as Pdf, PlainTextOutput, output_doc_page};

use super::{Document, DocumentError, Section};

/// Pages that are read.
const PAGES_MAX: usize = 5_000;
/// What the trailer of an encrypted file has.
const ENCRYPT: &[u8] = b"/Encrypt";

pub(super) fn read(bytes: &[u8]) -> Result<Document, DocumentError> {
    let broken = || DocumentError::Broken { kind: "PDF".to_owned() };
    // The parser meets what it cannot decrypt with all kinds of errors, and with panics.
    let is_locked = bytes.windows(ENCRYPT.len()).any(|window| window == ENCRYPT);
    let loaded = shielded(|| Pdf::load_mem(bytes)).and_then(Result::ok);
    let mut pdf = loaded.ok_or_else(|| if is_locked { DocumentError::Encrypted } else { broken() })?;
    if pdf.is_encrypted() {
        // Many are locked against changes only, with an empty password for readers.
        let opened = shielded(|| pdf.decrypt("")).is_some_and(|result| result.is_ok());
        if !opened {
            return Err(DocumentError::Encrypted);
        }
    }
    let numbers: Vec<u32> = shielded(|| pdf.get_pages().into_keys().take(PAGES_MAX).collect()).ok_or_else(broken)?;
    let pages_len = numbers.len();
    let mut sections = Vec::new();
    let mut failed = 0;
    for number in numbers {
        match shielded(|| page(&pdf, number)).flatten() {
            Some(text) => sections.push(Section { heading: format!("page {number}"), text: joined(&text) }),
            None => failed += 1,
        }
    }
    if pages_len == 0 || failed == pages_len {
        return Err(if is_locked { DocumentError::Encrypted } else { broken() });
    }
    Ok(Document { title: String::new(), sections })
}

fn page(pdf: &Pdf, number: u32) -> Option<String> {
    let mut text = String::new();
    output_doc_page(pdf, &mut PlainTextOutput::new(&mut text), number).ok()?;
    Some(text)
}

/// Runs `work`; none when it panicked.
fn shielded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Lines of a column joined to paragraphs: a blank line ends one, and a word divided at the end of a line is put together.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            if !joined.is_empty() && !joined.ends_with("\n\n") {
                joined.push_str("\n\n");
            }
            continue;
        }
        let divides = joined.ends_with('-') && line.starts_with(char::is_lowercase);
        if divides {
            joined.pop();
        } else if !joined.is_empty() && !joined.ends_with('\n') {
            joined.push(' ');
        }
        joined.push_str(line);
    }
    joined
}
