//! Plain text in the encodings that people's files have: UTF-8, UTF-16 with its mark, and the old Western one byte per letter.

use super::{Document, Section};

/// Part of all characters that may be control characters in a text.
const CONTROL_PERCENT_MAX: usize = 2;
/// Looked at to tell a text from anything else, in bytes.
const LOOK_BYTES: usize = 64 * 1024;

pub(super) fn read(bytes: &[u8]) -> Document {
    Document { title: String::new(), sections: vec![Section { heading: String::new(), text: decode(bytes) }] }
}

/// Never fails: what is no UTF is read as Windows-1252's common subset, Latin-1.
pub(super) fn decode(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], join: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| join(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            // A text cut within a character, or with a stray byte, is still UTF-8.
            Err(error) if error.valid_up_to() * 10 >= bytes.len() * 9 => String::from_utf8_lossy(bytes).into_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        },
    }
}

/// Whether this is text at all: no zero bytes (outside UTF-16) and hardly any control characters.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(LOOK_BYTES)];
    if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
        return true;
    }
    let controls = head.iter().filter(|byte| **byte < 0x20 && !matches!(**byte, b'\n' | b'\r' | b'\t' | 0x0C)).count();
    !head.contains(&0) && controls * 100 <= head.len() * CONTROL_PERCENT_MAX
}
