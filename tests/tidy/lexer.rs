//! Takes Rust text apart just enough: code, comments and string literals, each at its place.

/// Rust text, taken apart. `code` is as long as the text, with comments and the insides of literals blanked.
pub struct Parts {
    pub code: String,
    /// Offset and inside of every string literal.
    pub strings: Vec<(usize, String)>,
    /// Offset and text of every comment, with its slashes.
    pub comments: Vec<(usize, String)>,
}

/// Where the lexer stands.
struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    code: Vec<u8>,
    strings: Vec<(usize, String)>,
    comments: Vec<(usize, String)>,
}

pub fn take_apart(text: &str) -> Parts {
    let bytes = text.as_bytes();
    let mut lexer = Lexer { text, bytes, at: 0, code: bytes.to_vec(), strings: Vec::new(), comments: Vec::new() };
    while lexer.at < bytes.len() {
        lexer.step();
    }
    let code = String::from_utf8(lexer.code).expect("only ASCII was written over");
    Parts { code, strings: lexer.strings, comments: lexer.comments }
}

impl Lexer<'_> {
    fn step(&mut self) {
        let rest = &self.bytes[self.at..];
        match rest[0] {
            b'/' if rest.starts_with(b"//") => self.comment(find(rest, b"\n").unwrap_or(rest.len())),
            b'/' if rest.starts_with(b"/*") => self.comment(block_len(rest)),
            b'"' => self.string(1, 0),
            b'r' | b'b' | b'c' if !self.follows_word() => self.prefixed(),
            b'\'' => self.quote(),
            _ => self.at += 1,
        }
    }

    fn follows_word(&self) -> bool {
        self.at > 0 && is_word(self.bytes[self.at - 1])
    }

    fn comment(&mut self, len: usize) {
        self.comments.push((self.at, self.text[self.at..self.at + len].to_owned()));
        self.blank(self.at, self.at + len);
        self.at += len;
    }

    /// A literal such as `b"..."`, `r#"..."#`, `br"..."`; anything else is a word that begins with the letter.
    fn prefixed(&mut self) {
        let rest = &self.bytes[self.at..];
        let letters = rest.iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
        let hashes = rest[letters..].iter().take_while(|byte| **byte == b'#').count();
        let is_raw = rest[..letters].contains(&b'r');
        let is_string = letters <= 2 && rest.get(letters + hashes) == Some(&b'"') && (is_raw || hashes == 0);
        if is_string && is_raw {
            self.raw_string(letters + hashes + 1, hashes);
        } else if is_string {
            self.string(letters + 1, 0);
        } else if letters == 1 && rest[0] == b'b' && rest.get(1) == Some(&b'\'') {
            self.at += 1;
            self.quote();
        } else {
            self.at += letters;
        }
    }

    fn raw_string(&mut self, opening_len: usize, hashes: usize) {
        let closing = format!("\"{}", "#".repeat(hashes));
        let start = self.at + opening_len;
        let len = find(&self.bytes[start..], closing.as_bytes()).unwrap_or(self.bytes.len() - start);
        self.literal(start, start + len, closing.len());
    }

    fn string(&mut self, opening_len: usize, from: usize) {
        let start = self.at + opening_len;
        let mut end = start + from;
        while end < self.bytes.len() && self.bytes[end] != b'"' {
            end += if self.bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.literal(start, end.min(self.bytes.len()), 1);
    }

    fn literal(&mut self, start: usize, end: usize, closing_len: usize) {
        self.strings.push((start, self.text[start..end].to_owned()));
        self.blank(start, end);
        self.at = (end + closing_len).min(self.bytes.len());
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        let rest = &self.text[self.at + 1..];
        let mut characters = rest.char_indices();
        let len = match characters.next() {
            Some((_, '\\')) => rest[2..].find('\'').map(|end| end + 2),
            Some((_, first)) if rest[first.len_utf8()..].starts_with('\'') => Some(first.len_utf8()),
            _ => None,
        };
        match len {
            Some(len) => {
                self.blank(self.at + 1, self.at + 1 + len);
                self.at += len + 2;
            }
            None => self.at += 1,
        }
    }

    fn blank(&mut self, from: usize, to: usize) {
        self.code[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Words of blanked code or of SQL with their offsets; every other visible character is a word of its own.
pub fn words(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|byte| is_word(**byte)).count().max(1);
        if !bytes[at].is_ascii_whitespace() {
            found.push((at, &text[at..at + len]));
        }
        at += len;
    }
    found
}

/// Offset just behind the bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return offset + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Length of the block comment that `text` begins with; they nest.
fn block_len(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

#[test]
fn comments_and_the_insides_of_literals_are_no_code() {
    let parts =
        take_apart("a // b\n/* c /* d */ e */ f(\"g\\\"h\", 'i', '\\'', r#\"j\"k\"#, b'l', b\"m\", &'n str) // o");
    let left: String = parts.code.split_whitespace().collect();
    assert_eq!(left, "af(\"\",'','',r#\"\"#,b'',b\"\",&'nstr)");
    let strings: Vec<&str> = parts.strings.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(strings, ["g\\\"h", "j\"k", "m"]);
    assert_eq!(parts.comments.len(), 3);
}
