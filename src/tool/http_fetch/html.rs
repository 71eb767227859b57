//! A page as text: tags, scripts and styles go, blocks become lines. Not a parser; good enough to read.

/// Elements whose content is not for reading.
const SKIPPED: &[&str] = &["script", "style", "noscript", "template", "svg", "iframe"];
/// Elements that begin a new line.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "title",
    "tr",
    "ul",
];
/// Longest entity, without its ends.
const ENTITY_BYTES_MAX: usize = 10;

/// The readable text of `html`. Linear in its length; what is never closed is dropped.
pub(super) fn to_text(html: &str) -> String {
    let mut page = Page::default();
    let mut rest = html;
    while let Some(start) = rest.find(['<', '&']) {
        page.write(&rest[..start]);
        rest = &rest[start..];
        rest = if rest.starts_with('&') { page.entity(rest) } else { page.markup(rest) };
    }
    page.write(rest);
    page.text.trim_end().to_owned()
}

/// The text so far, with whitespace collapsed while it is written.
#[derive(Default)]
struct Page {
    text: String,
    wants_space: bool,
    wants_line: bool,
}

impl Page {
    fn write(&mut self, text: &str) {
        text.chars().for_each(|character| self.push(character));
    }

    fn push(&mut self, character: char) {
        if character.is_whitespace() {
            self.wants_space = true;
            return;
        }
        if character.is_control() {
            return;
        }
        if self.wants_line && !self.text.is_empty() {
            self.text.push('\n');
        } else if self.wants_space && !self.text.is_empty() {
            self.text.push(' ');
        }
        (self.wants_space, self.wants_line) = (false, false);
        self.text.push(character);
    }

    /// Takes an entity from the front of `rest`, or the ampersand alone.
    fn entity<'a>(&mut self, rest: &'a str) -> &'a str {
        let window = &rest[..rest.floor_char_boundary(ENTITY_BYTES_MAX + 2)];
        if let Some(end) = window.find(';')
            && let Some(character) = decoded(&window[1..end])
        {
            self.push(character);
            return &rest[end + 1..];
        }
        self.push('&');
        &rest[1..]
    }

    /// Takes a comment, a tag, or a skipped element with its content from the front of `rest`, or the bracket alone.
    fn markup<'a>(&mut self, rest: &'a str) -> &'a str {
        if let Some(comment) = rest.strip_prefix("<!--") {
            return comment.find("-->").map_or("", |end| &comment[end + 3..]);
        }
        let inner = &rest[1..];
        if !inner.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?')) {
            self.push('<');
            return inner;
        }
        let Some(end) = inner.find('>') else { return "" };
        let after = &inner[end + 1..];
        let is_closing = inner.starts_with('/');
        let name = inner.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        let name = name.to_ascii_lowercase();
        if BLOCKS.contains(&name.as_str()) {
            self.wants_line = true;
        } else if name == "td" || name == "th" {
            self.wants_space = true;
        }
        if !is_closing && SKIPPED.contains(&name.as_str()) { after_closing(after, &name) } else { after }
    }
}

/// What follows the tag that closes `name`.
fn after_closing<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(start) = rest.find("</") {
        rest = &rest[start + 2..];
        if rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

fn decoded(entity: &str) -> Option<char> {
    if let Some(number) = entity.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "euro" => '€',
        "deg" => '°',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_become_lines_of_text() {
        for (html, text) in [
            ("<h1>A</h1><p>b  c\n d</p>", "A\nb c d"),
            ("<script>if (a < b) { '</p>' }</script>x", "x"),
            ("<STYLE>p{}</Style >y", "y"),
            ("<!-- <p>no</p> -->z", "z"),
            ("a &amp; b &lt;c&gt; &#228;&#xe4; &nope; &", "a & b <c> ää &nope; &"),
            ("1 < 2 and 3 <4", "1 < 2 and 3 <4"),
            ("<ul><li>one<li>two</ul>", "one\ntwo"),
            ("<tr><td>1</td><td>2</td></tr>", "1 2"),
            ("<a href=\"x\">link</a>s", "links"),
            ("text<unclosed", "text"),
            ("<script>never closed", ""),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(html in "(<|>|&|/|;|#|!--|-->|script|p|ä| |.){0,40}") {
            let text = to_text(&html);
            prop_assert!(!text.contains("\n\n") && !text.contains("  "));
        }

        #[test]
        fn plain_words_stay(words in prop::collection::vec("[a-zäöü0-9.,]{1,8}", 0..8)) {
            prop_assert_eq!(to_text(&words.join(" \n")), words.join(" "));
        }
    }
}
