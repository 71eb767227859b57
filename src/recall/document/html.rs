//! HTML to sections, by way of the text that a reader would see.

use html2text::config;

use super::{Document, DocumentError, Section};

/// Columns of the rendered text: wide, so that paragraphs stay lines.
const COLUMNS: usize = 2_000;
/// How far into a file a title is looked for, in bytes.
const TITLE_BYTES: usize = 64 * 1024;

pub(super) fn read(bytes: &[u8]) -> Result<Document, DocumentError> {
    let text = super::plain::decode(bytes);
    let rendered = config::plain().link_footnotes(false).no_table_borders().string_from_read(text.as_bytes(), COLUMNS);
    let rendered = rendered.map_err(|_| DocumentError::Broken { kind: "HTML".to_owned() })?;
    let mut document = Document { title: title(&text), sections: Vec::new() };
    let mut section = Section { heading: String::new(), text: String::new() };
    for line in rendered.lines() {
        match heading(line) {
            Some(heading) => {
                let next = Section { heading: heading.to_owned(), text: String::new() };
                document.sections.push(std::mem::replace(&mut section, next));
            }
            None => {
                section.text.push_str(line.trim_end());
                section.text.push('\n');
            }
        }
    }
    document.sections.push(section);
    Ok(document)
}

/// Headings are rendered as in Markdown.
fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    ((1..=6).contains(&level) && rest.starts_with(' ')).then(|| rest.trim())
}

fn title(text: &str) -> String {
    let head = text[..text.floor_char_boundary(TITLE_BYTES)].to_ascii_lowercase();
    let title = || {
        let start = head.find("<title")?;
        let start = start + head[start..].find('>')? + 1;
        let end = start + head[start..].find("</title")?;
        text.get(start..end)
    };
    title().unwrap_or_default().replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
}
