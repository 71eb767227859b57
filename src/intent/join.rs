//! Several commands in one sentence: "turn off the lamps and close the blinds".

use super::kind::{Intent, IntentKind, Order};
use super::language::Language;
use super::matcher::{Context, Recognition, hear};
use super::normalize::Sentence;
use super::vocabulary::{Row, Vocabulary};

/// Places where a sentence may be parted; with more of them it is a story.
const BREAKS_MAX: usize = 3;

/// A sentence that means nothing as a whole, in parts that each have to be a command.
pub(super) struct Joined<'a> {
    pub language: &'a Language,
    pub vocabulary: &'a Vocabulary,
    pub sentence: &'a Sentence<'a>,
    pub context: &'a Context,
}

/// The end of one part and the beginning of the next.
type Break = (usize, usize);

impl Joined<'_> {
    pub fn recognize(&self, recent: &[Row]) -> Option<Recognition> {
        let breaks = self.breaks();
        if breaks.is_empty() || breaks.len() > BREAKS_MAX || self.sentence.is_cut() {
            return None;
        }
        let orders = self.orders(0, &breaks, recent)?;
        let kind = IntentKind::Several { orders };
        Some(Recognition::Intent(Intent { language: self.language.id.clone(), kind }))
    }

    fn breaks(&self) -> Vec<Break> {
        let len = self.sentence.len();
        let mut breaks: Vec<Break> = Vec::new();
        for at in 1..len {
            let after = self.language.and.skip(self.sentence, at, len);
            let begins_a_word = breaks.last().is_none_or(|(_, taken)| at >= *taken);
            if begins_a_word && after < len && (after > at || self.sentence.after_comma(at)) {
                breaks.push((at, after));
            }
        }
        breaks
    }

    /// The commands from token `from` on; the first part is as long as it can be, but not all there is.
    fn orders(&self, from: usize, breaks: &[Break], recent: &[Row]) -> Option<Vec<Order>> {
        for (index, (to, after)) in breaks.iter().enumerate().rev() {
            let Some(first) = self.order(from, *to, recent) else { continue };
            let touched: Vec<Row> = first.targets.iter().filter_map(|id| self.vocabulary.row_of(id)).collect();
            let rest = self.order(*after, self.sentence.len(), &touched).map(|last| vec![last]);
            if let Some(rest) = rest.or_else(|| self.orders(*after, &breaks[index + 1..], &touched)) {
                return Some(std::iter::once(first).chain(rest).collect());
            }
        }
        None
    }

    fn order(&self, from: usize, to: usize, recent: &[Row]) -> Option<Order> {
        let part = self.sentence.filtered(|index| (from..to).contains(&index));
        let heard = hear(self.language, self.vocabulary, &part, self.context, recent);
        match heard.filter(|(score, _)| *score >= 0)?.1 {
            Recognition::Intent(Intent { kind: IntentKind::Command(order), .. }) => Some(order),
            _ => None,
        }
    }
}
