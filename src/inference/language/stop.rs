//! Texts that end an answer: they are found across the borders of pieces and never heard, not even in part.

/// Holds back what may become a stop string.
#[derive(Clone, Debug)]
pub struct Stops {
    stops: Vec<String>,
    held: String,
    is_over: bool,
}

impl Stops {
    /// Empty ones are none.
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(),
            held: String::new(),
            is_over: false,
        }
    }

    /// Whether a stop string has come.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// What may be heard now that `text` has come.
    pub fn push(&mut self, text: &str) -> String {
        if self.is_over {
            return String::new();
        }
        self.held.push_str(text);
        // The one that is complete first, so that it does not matter how the text is cut.
        let place = |stop: &String| self.held.find(stop.as_str()).map(|at| (at + stop.len(), at));
        if let Some((_, at)) = self.stops.iter().filter_map(place).min() {
            self.is_over = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// What was held back and turned out to be no stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` that begin `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len().saturating_sub(1));
    (1..=longest).rev().find(|len| stop.is_char_boundary(*len) && text.ends_with(&stop[..*len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn however_a_text_is_cut_the_same_is_heard(
            text in "[abé]{0,30}", stops in proptest::collection::vec("[abé]{0,4}", 0..3), size in 1_usize..5,
        ) {
            let real = stops.iter().filter(|stop| !stop.is_empty());
            let places = real.filter_map(|stop| text.find(stop.as_str()).map(|at| (at + stop.len(), at)));
            let end = places.min().map_or(text.len(), |(_, at)| at);
            let mut watch = Stops::new(&stops);
            let mut heard = String::new();
            let letters: Vec<char> = text.chars().collect();
            for piece in letters.chunks(size) {
                heard.push_str(&watch.push(&piece.iter().collect::<String>()));
            }
            heard.push_str(&watch.finish());
            prop_assert_eq!(heard, &text[..end]);
        }
    }
}
