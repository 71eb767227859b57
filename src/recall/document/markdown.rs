//! Markdown to sections along its headings, without its marks.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Document, Section};

/// Deepest heading.
const LEVELS: usize = 6;

/// Grows sections from events.
#[derive(Default)]
struct Walk {
    document: Document,
    headings: [String; LEVELS],
    text: String,
    /// The heading that is being read, and its level from 0.
    heading: Option<(usize, String)>,
    /// Numbers of the ordered lists that are open; none for a bullet list.
    lists: Vec<Option<u64>>,
    cells: usize,
    is_metadata: bool,
}

pub(super) fn read(text: &str) -> Document {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut walk = Walk::default();
    for event in Parser::new_ext(text, options) {
        walk.take(event);
    }
    walk.flush();
    walk.document
}

impl Walk {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) => self.say(&text),
            Event::SoftBreak => self.say(" "),
            Event::HardBreak => self.say("\n"),
            // Markup inside Markdown is layout; its text comes as text.
            Event::Html(_) | Event::InlineHtml(_) | Event::Rule => {}
            Event::TaskListMarker(is_done) => self.say(if is_done { "[x] " } else { "[ ] " }),
            Event::FootnoteReference(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.flush();
                self.heading = Some((index(level), String::new()));
            }
            Tag::List(first) => {
                self.line();
                self.lists.push(first);
            }
            Tag::Item => {
                self.line();
                let marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let marker = format!("{number}. ");
                        *number = number.saturating_add(1);
                        marker
                    }
                    _ => "- ".to_owned(),
                };
                self.say(&marker);
            }
            Tag::TableRow | Tag::TableHead => self.cells = 0,
            Tag::TableCell => {
                if self.cells > 0 {
                    self.say(" | ");
                }
                self.cells += 1;
            }
            Tag::CodeBlock(_) => self.line(),
            Tag::MetadataBlock(_) => self.is_metadata = true,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => self.end_heading(),
            TagEnd::Paragraph if self.lists.is_empty() => self.say("\n\n"),
            TagEnd::List(_) => {
                self.lists.pop();
                self.line();
            }
            TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead | TagEnd::CodeBlock => self.line(),
            TagEnd::MetadataBlock(_) => self.is_metadata = false,
            _ => {}
        }
    }

    fn end_heading(&mut self) {
        let Some((level, text)) = self.heading.take() else { return };
        if level == 0 && self.document.title.is_empty() {
            self.document.title.clone_from(&text);
        }
        self.headings[level] = text;
        self.headings[level + 1..].iter_mut().for_each(String::clear);
    }

    fn say(&mut self, text: &str) {
        match &mut self.heading {
            _ if self.is_metadata => {}
            Some((_, heading)) => heading.push_str(text),
            None => self.text.push_str(text),
        }
    }

    /// Ends the line, if one has begun.
    fn line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        let path: Vec<&str> =
            self.headings.iter().map(|heading| heading.trim()).filter(|heading| !heading.is_empty()).collect();
        self.document.sections.push(Section { heading: path.join(" > "), text });
    }
}

fn index(level: HeadingLevel) -> usize {
    (level as usize).saturating_sub(1).min(LEVELS - 1)
}
