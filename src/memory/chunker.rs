//! Cuts long texts into pieces that a chunk and a model can take: at headings, else between paragraphs, lines, sentences, words.

use std::ops::Range;

/// How texts are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Longest piece, in bytes. At least [`PIECE_BYTES_MIN`] is used.
    pub bytes_max: usize,
    /// Most that a piece repeats of the one before it, in bytes, so that a thought that was cut is whole in one of them.
    pub overlap_bytes: usize,
    pub form: Form,
}

impl Default for Cut {
    fn default() -> Self {
        Self { bytes_max: 1_000, overlap_bytes: 120, form: Form::Plain }
    }
}

/// What headings look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Plain,
    /// Lines that begin with `#`, outside fenced code.
    Markdown,
}

/// A piece of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Bytes of the text; begins and ends between characters and with something visible.
    pub range: Range<usize>,
    /// The headings above it, outermost first, joined by ` > `; empty without headings.
    pub heading: String,
}

/// Smallest bound that is kept: fewer bytes would not hold a word.
pub const PIECE_BYTES_MIN: usize = 64;
/// Longest heading that is carried along, in bytes.
const HEADING_BYTES_MAX: usize = 120;
/// A cut at a better place is preferred when the piece is at least this part (1/n) of its bound.
const FULL_PART: usize = 2;

/// Cuts `text` into pieces that together hold everything visible of it, in order. Time grows with its length.
pub fn split(text: &str, cut: &Cut) -> Vec<Piece> {
    let bytes_max = cut.bytes_max.max(PIECE_BYTES_MIN);
    let overlap_max = cut.overlap_bytes.min(bytes_max / 4);
    let mut pieces = Vec::new();
    for section in sections(text, cut.form) {
        let mut start = section.range.start;
        let mut covered = start;
        while let Some(range) = visible(text, start..section.range.end).filter(|range| range.end > covered) {
            let end = if range.len() <= bytes_max { range.end } else { cut_before(text, range.start, bytes_max) };
            let end = end.max(next_char(text, covered.max(range.start)));
            let Some(piece) = visible(text, range.start..end) else { break };
            covered = end;
            pieces.push(Piece { range: piece, heading: section.heading.clone() });
            if end >= section.range.end {
                break;
            }
            start = overlap_start(text, range.start, end, overlap_max);
        }
    }
    pieces
}

struct Section {
    range: Range<usize>,
    heading: String,
}

/// The text from heading to heading.
fn sections(text: &str, form: Form) -> Vec<Section> {
    let mut sections = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut is_code = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if form == Form::Markdown && (trimmed.starts_with("```") || trimmed.starts_with("~~~")) {
            is_code = !is_code;
        }
        if form == Form::Markdown
            && !is_code
            && let Some((level, title)) = heading(trimmed)
        {
            sections.push(Section { range: start..at, heading: joined(&path) });
            start = at;
            path.retain(|(above, _)| *above < level);
            path.push((level, title));
        }
        at += line.len();
    }
    sections.push(Section { range: start..text.len(), heading: joined(&path) });
    sections
}

/// Level and title of a Markdown heading.
fn heading(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    ((1..=6).contains(&level) && title.starts_with([' ', '\t']))
        .then(|| (level, title.trim().trim_end_matches('#').trim()))
}

fn joined(path: &[(usize, &str)]) -> String {
    let titles: Vec<&str> = path.iter().map(|(_, title)| *title).filter(|title| !title.is_empty()).collect();
    let mut all = titles.join(" > ");
    all.truncate(all.floor_char_boundary(HEADING_BYTES_MAX));
    all
}

/// The range without white space around it; none when nothing else is in it.
fn visible(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    let end = range.end - (part.len() - part.trim_end().len());
    (start < end).then_some(start..end)
}

/// The best place to end a piece that begins at `start`, at most `bytes_max` later; between characters.
fn cut_before(text: &str, start: usize, bytes_max: usize) -> usize {
    let limit = text.floor_char_boundary(start + bytes_max);
    let window = &text[start..limit];
    let enough = window.len() / FULL_PART;
    let places: [fn(&str) -> Option<usize>; 4] = [
        |window| window.rfind("\n\n").map(|at| at + 2),
        |window| window.rfind('\n').map(|at| at + 1),
        sentence_end,
        |window| window.rfind(char::is_whitespace).map(|at| at + window[at..].chars().next().map_or(1, char::len_utf8)),
    ];
    let found = places.iter().find_map(|place| place(window).filter(|end| *end >= enough));
    found.map_or(limit, |end| start + end)
}

/// Behind the last sentence of a window.
fn sentence_end(window: &str) -> Option<usize> {
    let mut end = None;
    let mut chars = window.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let behind = at + c.len_utf8();
        match c {
            '.' | '!' | '?' | '…' if chars.peek().is_some_and(|(_, next)| next.is_whitespace()) => end = Some(behind),
            // Sentences of Chinese and Japanese, which no space follows.
            '。' | '！' | '？' => end = Some(behind),
            _ => {}
        }
    }
    end
}

/// Where the next piece begins: a little before `end`, at a word, and behind the start of the piece that ended there.
fn overlap_start(text: &str, start: usize, end: usize, overlap_max: usize) -> usize {
    let earliest = text.ceil_char_boundary(end.saturating_sub(overlap_max)).max(next_char(text, start)).min(end);
    let window = &text[earliest..end];
    match sentence_end(window).or_else(|| window.find(char::is_whitespace)) {
        Some(at) if !window[at..].trim().is_empty() => earliest + at,
        _ => end,
    }
}

fn next_char(text: &str, at: usize) -> usize {
    text.ceil_char_boundary((at + 1).min(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::fuzz::{Dice, Seed, run};

    fn texts<'t>(text: &'t str, cut: &Cut) -> Vec<&'t str> {
        split(text, cut).into_iter().map(|piece| &text[piece.range]).collect()
    }

    #[test]
    fn short_texts_are_one_piece_and_empty_ones_none() {
        let cut = Cut::default();
        assert_eq!(texts("  The bike lock is 1234.\n", &cut), ["The bike lock is 1234."]);
        assert!(split("", &cut).is_empty());
        assert!(split(" \n\t\u{3000}", &cut).is_empty());
    }

    #[test]
    fn markdown_is_cut_at_headings_and_pieces_know_them() {
        let text = "intro\n# House\nhot\n## Cellar\ncold\n```\n# no heading\n```\n#hashtag\n# Garden ##\ngreen";
        let pieces = split(text, &Cut { form: Form::Markdown, ..Cut::default() });
        let found: Vec<(&str, &str)> =
            pieces.iter().map(|piece| (piece.heading.as_str(), &text[piece.range.clone()])).collect();
        assert_eq!(
            found,
            [
                ("", "intro"),
                ("House", "# House\nhot"),
                ("House > Cellar", "## Cellar\ncold\n```\n# no heading\n```\n#hashtag"),
                ("Garden", "# Garden ##\ngreen"),
            ]
        );
    }

    #[test]
    fn long_texts_are_cut_between_paragraphs_and_sentences() {
        let text = format!(
            "{}\n\n{} {}",
            "a".repeat(80),
            "First sentence here.",
            "Second one that is longer than that. ".repeat(4)
        );
        let cut = Cut { bytes_max: 100, overlap_bytes: 0, form: Form::Plain };
        let pieces = texts(&text, &cut);
        assert_eq!(pieces[0], "a".repeat(80));
        assert!(pieces[1..].iter().all(|piece| piece.ends_with('.')), "{pieces:?}");
    }

    #[test]
    fn a_megabyte_without_a_space_is_cut_all_the_same() {
        let text = "語".repeat(350_000);
        let pieces = split(&text, &Cut::default());
        assert!(pieces.iter().all(|piece| piece.range.len() <= 1_000));
        assert_eq!(pieces.iter().map(|piece| piece.range.len()).sum::<usize>(), text.len());
    }

    /// Pieces hold everything visible, in order and within bounds.
    fn check(text: &str, cut: &Cut) {
        let mut covered = 0;
        for Piece { range, .. } in split(text, cut) {
            assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end), "{range:?}");
            assert!(range.len() <= cut.bytes_max.max(PIECE_BYTES_MIN) && !range.is_empty(), "{range:?}");
            assert!(range.start >= covered || range.end > covered, "every piece brings something new");
            if range.start > covered {
                assert!(text[covered..range.start].trim().is_empty(), "lost {:?}", &text[covered..range.start]);
            }
            covered = covered.max(range.end);
        }
        assert!(text[covered..].trim().is_empty(), "lost {:?}", &text[covered..]);
    }

    #[test]
    fn no_damage_to_a_document_loses_a_word_of_it() {
        let document = "# House \u{1f3e0}\n\nThe bike lock is 1234. Größe: 12 m².\r\n```\n# no heading\n```\n\u{3000}語語語語、\
            語語。\n## Cellar ##\n\n- cold\n- damp!\u{300}\n\n# Garden\ngreen? \tYes... No\u{2028}end";
        let letters = format!("{}\n{}", "a".repeat(300), "語 ".repeat(90));
        let seeds =
            [document, &document.repeat(4), &letters].map(|text| Seed::new(text.as_bytes().to_vec(), text.len()));
        run(&seeds, |number, bytes| {
            let mut dice = Dice::of(number);
            let form = if dice.below(2) == 0 { Form::Plain } else { Form::Markdown };
            let cut = Cut { bytes_max: dice.below(400), overlap_bytes: dice.below(200), form };
            check(&String::from_utf8_lossy(&bytes), &cut);
        });
    }

    proptest! {
        #[test]
        fn pieces_hold_everything_visible_in_order_and_within_bounds(
            text in "([a-z]{1,12}[ .!?\n#]{1,3}|\n\n|[ä語🦀\u{300}]{1,40}|# [a-z]{1,9}\n|```\n){0,80}",
            bytes_max in 0_usize..300,
            overlap_bytes in 0_usize..200,
            is_markdown: bool,
        ) {
            let form = if is_markdown { Form::Markdown } else { Form::Plain };
            check(&text, &Cut { bytes_max, overlap_bytes, form });
        }

        #[test]
        fn any_text_can_be_split(text in ".{0,400}", bytes_max in 0_usize..100) {
            split(&text, &Cut { bytes_max, overlap_bytes: 50, form: Form::Markdown });
        }
    }
}
