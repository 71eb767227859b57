//! The inside of a JSON string: escapes that stand for something, and whole characters.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TextState {
    /// Before the quote.
    Before,
    Plain,
    Escape,
    /// After `\u`: digits so far, and whether the first was a `d`, after which only a lone half of a character could come.
    Hex {
        digits: u8,
        after_d: bool,
    },
    /// Within a character of several bytes: how many follow, and what the next one is at least and at most.
    Tail {
        left: u8,
        least: u8,
        most: u8,
    },
}

pub(super) enum TextStep {
    Next(TextState),
    /// The same, and a character is complete.
    Letter(TextState),
    Close,
    Refuse,
}

impl TextState {
    pub(super) fn push(self, byte: u8) -> TextStep {
        match (self, byte) {
            (Self::Before, b'"') => TextStep::Next(Self::Plain),
            (Self::Plain, b'"') => TextStep::Close,
            (Self::Plain, b'\\') => TextStep::Next(Self::Escape),
            (Self::Plain, 0x20..=0x7f) => TextStep::Letter(Self::Plain),
            (Self::Plain, _) => lead(byte),
            (Self::Escape, b'u') => TextStep::Next(Self::Hex { digits: 0, after_d: false }),
            (Self::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => TextStep::Letter(Self::Plain),
            (Self::Hex { digits: 1, after_d: true }, b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F') => TextStep::Refuse,
            (Self::Hex { digits: 3, .. }, _) if byte.is_ascii_hexdigit() => TextStep::Letter(Self::Plain),
            (Self::Hex { digits, .. }, _) if byte.is_ascii_hexdigit() => {
                TextStep::Next(Self::Hex { digits: digits + 1, after_d: digits == 0 && matches!(byte, b'd' | b'D') })
            }
            (Self::Tail { left, least, most }, _) if (least..=most).contains(&byte) => match left {
                1 => TextStep::Letter(Self::Plain),
                _ => TextStep::Next(Self::Tail { left: left - 1, least: 0x80, most: 0xbf }),
            },
            _ => TextStep::Refuse,
        }
    }
}

/// The first byte of a character of several (The Unicode Standard, table 3-7).
fn lead(byte: u8) -> TextStep {
    let (left, least, most) = match byte {
        0xc2..=0xdf => (1, 0x80, 0xbf),
        0xe0 => (2, 0xa0, 0xbf),
        0xe1..=0xec | 0xee | 0xef => (2, 0x80, 0xbf),
        0xed => (2, 0x80, 0x9f),
        0xf0 => (3, 0x90, 0xbf),
        0xf1..=0xf3 => (3, 0x80, 0xbf),
        0xf4 => (3, 0x80, 0x8f),
        _ => return TextStep::Refuse,
    };
    TextStep::Next(TextState::Tail { left, least, most })
}
