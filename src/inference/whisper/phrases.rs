//! What was said about a window, cut into phrases by its times, and how far the recording is understood after it. No model.
//!
//! After transformers' `_retrieve_segment`, which is after OpenAI's `transcribe`.

/// Steps of time (0.02 s) in a window of thirty seconds.
pub const STEPS_MAX: u32 = 1500;

/// One phrase of a window, in steps of 0.02 s from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    pub start: u32,
    pub end: u32,
    /// Words and times.
    pub tokens: Vec<u32>,
}

/// Phrases, and where the next window begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub phrases: Vec<Phrase>,
    /// In steps of 0.02 s from the beginning of this window.
    pub next: u32,
}

/// Cuts `tokens`, said about a window with sound up to step `heard`; times are the tokens from `first_time` on.
pub fn cut(tokens: &[u32], first_time: u32, heard: u32) -> Cut {
    let is_time = |token: &u32| *token >= first_time;
    let step = |token: u32| token.saturating_sub(first_time).min(STEPS_MAX);
    let has_one_end = matches!(tokens, [.., word, time] if !is_time(word) && is_time(time));
    // A phrase ends where two times follow each other.
    let mut ends: Vec<usize> =
        (1..tokens.len()).filter(|at| is_time(&tokens[at - 1]) && is_time(&tokens[*at])).collect();
    let Some(last) = ends.last().copied() else {
        return whole(tokens, first_time, heard);
    };
    if has_one_end {
        ends.push(tokens.len());
    }
    let mut phrases = Vec::with_capacity(ends.len());
    let mut from = 0;
    for end in ends {
        let slice = &tokens[from..end];
        if let (Some(first), Some(close)) = (slice.first(), slice.last()) {
            let start = if is_time(first) { step(*first) } else { 0 };
            phrases.push(Phrase { start, end: step(*close).max(start), tokens: slice.to_vec() });
        }
        from = end;
    }
    // One time at the end: nobody speaks after it. Two: a phrase begins there that does not fit into this window.
    let next = if has_one_end { heard } else { step(tokens[last - 1]).min(heard) };
    Cut { phrases, next }
}

/// No phrase has ended: all of it is one, up to its last time if it has one.
fn whole(tokens: &[u32], first_time: u32, heard: u32) -> Cut {
    let start = match tokens.first() {
        Some(first) if *first >= first_time => (first - first_time).min(heard),
        _ => 0,
    };
    let last = tokens.iter().rev().find(|token| **token > first_time);
    let end = last.map_or(heard, |last| (last - first_time).min(STEPS_MAX));
    // The first time alone is not an end.
    let end = if end <= start { heard } else { end };
    let has_words = tokens.iter().any(|token| *token < first_time);
    let phrases = if has_words { vec![Phrase { start, end: end.max(start), tokens: tokens.to_vec() }] } else { vec![] };
    Cut { phrases, next: heard }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: u32 = 100;

    fn spans(cut: &Cut) -> Vec<(u32, u32, usize)> {
        cut.phrases.iter().map(|phrase| (phrase.start, phrase.end, phrase.tokens.len())).collect()
    }

    #[test]
    fn a_window_that_ends_in_silence_is_done() {
        let cut = cut(&[T, 1, 2, T + 50, T + 60, 3, T + 90], T, 1500);
        assert_eq!((spans(&cut), cut.next), (vec![(0, 50, 4), (60, 90, 3)], 1500));
    }

    #[test]
    fn a_phrase_that_does_not_fit_is_heard_again_in_the_next_window() {
        let cut = cut(&[T, 1, T + 50, T + 60, 2, T + 1400, T + 1410], T, 1500);
        assert_eq!((spans(&cut), cut.next), (vec![(0, 50, 3), (60, 1400, 3)], 1400));
        // Words after the last pair are dropped: they are cut in the middle.
        let unfinished = super::cut(&[T, 1, T + 50, T + 60, 2], T, 1500);
        assert_eq!((spans(&unfinished), unfinished.next), (vec![(0, 50, 3)], 50));
    }

    #[test]
    fn words_without_an_end_last_as_long_as_the_sound() {
        assert_eq!(spans(&cut(&[T, 1, 2], T, 700)), [(0, 700, 3)]);
        assert_eq!(spans(&cut(&[1, 2], T, 700)), [(0, 700, 2)]);
        assert_eq!(spans(&cut(&[T + 10, 1, T + 90], T, 700)), [(10, 90, 3)]);
        assert_eq!(cut(&[], T, 700), Cut { phrases: vec![], next: 700 });
        assert_eq!(cut(&[T], T, 700), Cut { phrases: vec![], next: 700 });
    }

    proptest! {
        #[test]
        fn phrases_lie_in_the_window_in_order_and_the_next_window_is_not_beyond_it(
            tokens in proptest::collection::vec(0_u32..T + 1501, 0..20), heard in 0_u32..1501
        ) {
            let cut = cut(&tokens, T, heard);
            prop_assert!(cut.next <= heard);
            prop_assert!(cut.phrases.iter().all(|phrase| phrase.start <= phrase.end && phrase.end <= 1500));
            let kept: Vec<u32> = cut.phrases.iter().flat_map(|phrase| phrase.tokens.clone()).collect();
            prop_assert!(tokens.starts_with(&kept));
        }
    }
}
