//! What a model thinks aloud, kept out of what it says: text between `<think>` and `</think>`, cut anywhere by the network.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Something to show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Piece {
    /// All that was shown before was a thought.
    pub is_restart: bool,
    pub text: String,
}

#[derive(Default, Debug)]
pub(super) struct Thoughts {
    /// Text that may turn out to be the beginning of a mark.
    held: String,
    is_thinking: bool,
    has_opened: bool,
}

impl Thoughts {
    pub(super) fn feed(&mut self, text: &str) -> Piece {
        self.held.push_str(text);
        let mut piece = Piece::default();
        while let Some((at, mark)) = self.next_mark() {
            if !self.is_thinking {
                piece.text.push_str(&self.held[..at]);
            }
            self.held.drain(..at + mark.len());
            // Some servers put the opening mark into the prompt, so that only the closing one comes back.
            if mark == CLOSE && !self.has_opened {
                piece = Piece { is_restart: true, text: String::new() };
            }
            self.has_opened = true;
            self.is_thinking = mark == OPEN;
        }
        let is_possible = |len: &usize| {
            [OPEN, CLOSE].iter().any(|mark| mark.get(..*len).is_some_and(|start| self.held.ends_with(start)))
        };
        let possible = (1..CLOSE.len()).rev().find(is_possible).unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - possible);
        let certain = std::mem::replace(&mut self.held, rest);
        if !self.is_thinking {
            piece.text.push_str(&certain);
        }
        piece
    }

    /// What was held back and turned out to be text.
    pub(super) fn end(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.is_thinking { String::new() } else { held }
    }

    fn next_mark(&self) -> Option<(usize, &'static str)> {
        let marks = if self.is_thinking { &[CLOSE][..] } else { &[OPEN, CLOSE] };
        marks.iter().filter_map(|mark| Some((self.held.find(mark)?, *mark))).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(pieces: &[&str]) -> String {
        let mut thoughts = Thoughts::default();
        let mut said = String::new();
        for piece in pieces {
            let piece = thoughts.feed(piece);
            if piece.is_restart {
                said.clear();
            }
            said += &piece.text;
        }
        said + &thoughts.end()
    }

    #[test]
    fn thoughts_are_left_out() {
        for (pieces, expected) in [
            (&["yes"][..], "yes"),
            (&["<think>hm</think>yes"], "yes"),
            (&["<th", "ink>hm</thi", "nk>yes"], "yes"),
            (&["a <b> </b> <think"], "a <b> </b> <think"),
            (&["hm, ", "well</think>", "yes"], "yes"),
            (&["a<think>b</think>c<think>d</think>e"], "ace"),
            (&["a<think>b</think>c</think>d"], "acd"),
            (&["<think>never ends"], ""),
            (&["1 < 2 <"], "1 < 2 <"),
        ] {
            assert_eq!(said(pieces), expected, "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(parts in proptest::collection::vec("<think>|</think>|<|[a-zä<> ]{1,4}", 0..8), cut in 1_usize..6) {
            let text = parts.concat();
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = chars.chunks(cut).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(said(&pieces), said(&[text.as_str()]));
        }
    }
}
