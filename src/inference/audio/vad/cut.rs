//! Speech without the silence around it, and the way back to when it was said.

use std::ops::Range;

use crate::inference::audio::seconds;
use crate::inference::transcript::Transcript;

/// Stretches of a recording, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cut {
    /// One channel at 16 kHz.
    pub samples: Vec<f32>,
    /// Where each stretch begins here and in the recording, in samples.
    starts: Vec<(usize, usize)>,
}

impl Cut {
    /// The stretches `spans` of `samples`.
    pub fn of(samples: &[f32], spans: &[Range<usize>]) -> Self {
        let mut cut = Self::default();
        for span in spans {
            cut.push(&samples[span.clone()], span.start);
        }
        cut
    }

    /// Appends a stretch that begins at sample `at` of the recording.
    pub fn push(&mut self, samples: &[f32], at: usize) {
        self.starts.push((self.samples.len(), at));
        self.samples.extend_from_slice(samples);
    }

    /// Appends what comes later in the recording.
    pub(super) fn append(&mut self, later: Self) {
        let here = self.samples.len();
        self.starts.extend(later.starts.iter().map(|(at, there)| (here + at, *there)));
        self.samples.extend_from_slice(&later.samples);
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// When in the recording what is `at_s` seconds into the cut begins.
    pub fn start_s(&self, at_s: f64) -> f64 {
        self.moved(at_s, |begin| begin <= at_s + TIME_ERROR_S)
    }

    /// When in the recording what is `at_s` seconds into the cut ends: at the seam of two stretches, the end of the first.
    pub fn end_s(&self, at_s: f64) -> f64 {
        self.moved(at_s, |begin| begin < at_s - TIME_ERROR_S)
    }

    fn moved(&self, at_s: f64, is_before: impl Fn(f64) -> bool) -> f64 {
        let part = self.starts.iter().rposition(|(here, _)| is_before(seconds(*here))).unwrap_or(0);
        let Some((here, there)) = self.starts.get(part) else { return at_s };
        let end = self.starts.get(part + 1).map_or(self.samples.len(), |(next, _)| *next);
        // Models say times beyond the end; those stay within the stretch.
        seconds(*there) + (at_s - seconds(*here)).clamp(0.0, seconds(end - here))
    }

    /// Puts the times of a transcript of the cut to where they are in the recording.
    pub fn restore(&self, transcript: &mut Transcript) {
        for segment in &mut transcript.segments {
            segment.start_s = self.start_s(segment.start_s);
            segment.end_s = self.end_s(segment.end_s).max(segment.start_s);
            for word in segment.words.iter_mut().flatten() {
                word.start_s = self.start_s(word.start_s);
                word.end_s = self.end_s(word.end_s).max(word.start_s);
            }
        }
    }
}

/// Times of models are no exact numbers of samples.
const TIME_ERROR_S: f64 = 0.001;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inference::transcript::{Segment, Word};

    #[test]
    fn times_go_back_to_where_they_were() {
        let recording = vec![0.1; 10 * 16_000];
        // One second from 2 s on, two seconds from 6 s on.
        let cut = Cut::of(&recording, &[2 * 16_000..3 * 16_000, 6 * 16_000..8 * 16_000]);
        assert_eq!(cut.samples.len(), 3 * 16_000);
        for (at_s, start_s, end_s) in
            [(0.0, 2.0, 2.0), (0.5, 2.5, 2.5), (1.0, 6.0, 3.0), (1.5, 6.5, 6.5), (3.0, 8.0, 8.0), (9.0, 8.0, 8.0)]
        {
            assert_eq!((cut.start_s(at_s), cut.end_s(at_s)), (start_s, end_s), "{at_s}");
        }
        let word = Word { start_s: 0.2, end_s: 0.9, ..Word::default() };
        let segment = Segment { start_s: 0.0, end_s: 1.0, words: Some(vec![word]), ..Segment::default() };
        let mut transcript = Transcript { segments: vec![segment], ..Transcript::default() };
        cut.restore(&mut transcript);
        let segment = &transcript.segments[0];
        assert_eq!((segment.start_s, segment.end_s), (2.0, 3.0));
        assert_eq!(segment.words.as_ref().map(|words| (words[0].start_s, words[0].end_s)), Some((2.2, 2.9)));
    }

    #[test]
    fn nothing_cut_out_moves_nothing() {
        assert_eq!(Cut::default().start_s(3.0), 3.0);
    }

    proptest! {
        #[test]
        fn later_in_the_cut_is_later_in_the_recording(
            lens in proptest::collection::vec((1_usize..5_000, 1_usize..5_000), 1..6), a in 0.0_f64..3.0, b in 0.0_f64..3.0
        ) {
            let (mut spans, mut at) = (Vec::new(), 0);
            for (gap, len) in lens {
                spans.push(at + gap..at + gap + len);
                at += gap + len;
            }
            let cut = Cut::of(&vec![0.0; at], &spans);
            let (early, late) = (a.min(b), a.max(b));
            prop_assert!(cut.start_s(early) <= cut.start_s(late) + 1e-9);
            prop_assert!(cut.end_s(early) <= cut.end_s(late) + 1e-9);
            prop_assert!(cut.end_s(late) <= seconds(at) + 1e-9 && cut.end_s(late) <= cut.start_s(late) + 1e-9);
        }
    }
}
