//! From probabilities to stretches of speech: a state machine without sound.

use std::ops::Range;

use crate::inference::audio::vad::{Config, samples_of};

/// Takes one probability for each frame; gives a stretch, padded, when its end is certain.
#[derive(Debug)]
pub struct Spans {
    config: Config,
    frame_len: usize,
    /// Samples that were judged.
    at: usize,
    state: State,
    /// End of the stretch before, padding included.
    free_from: usize,
}

#[derive(Debug)]
enum State {
    Silence,
    Speech {
        start: usize,
        /// Behind the last frame that counted.
        end: usize,
        /// Samples of frames that were speech for certain.
        voiced: usize,
    },
}

impl Spans {
    pub fn new(config: &Config, frame_len: usize) -> Self {
        Self { config: config.clone(), frame_len, at: 0, state: State::Silence, free_from: 0 }
    }

    /// Judges the next frame.
    pub fn next(&mut self, probability: f32) -> Option<Range<usize>> {
        let (from, to) = (self.at, self.at + self.frame_len);
        self.at = to;
        let (starts, stays) =
            (probability >= self.config.start_probability, probability >= self.config.stay_probability);
        match &mut self.state {
            State::Silence if starts => self.state = State::Speech { start: from, end: to, voiced: self.frame_len },
            State::Silence => {}
            State::Speech { end, voiced, .. } if stays => {
                *end = to;
                *voiced += if starts { self.frame_len } else { 0 };
            }
            State::Speech { end, .. } if to - *end >= samples_of(self.config.silence_ms_min) => return self.finish(),
            State::Speech { .. } => {}
        }
        None
    }

    /// Ends the stretch that is open; the next frame may begin another.
    pub fn finish(&mut self) -> Option<Range<usize>> {
        let State::Speech { start, end, voiced } = std::mem::replace(&mut self.state, State::Silence) else {
            return None;
        };
        if voiced < samples_of(self.config.speech_ms_min) {
            return None;
        }
        let pad = samples_of(self.config.pad_ms);
        let span = start.saturating_sub(pad).max(self.free_from)..(end + pad).min(self.at.max(end));
        self.free_from = span.end;
        Some(span)
    }

    /// Where the stretch that is open begins, padding included; nothing before it will be asked for. Without one, where the
    /// earliest that may come begins.
    pub fn open_from(&self) -> usize {
        let pad = samples_of(self.config.pad_ms);
        let start = match self.state {
            State::Silence => self.at,
            State::Speech { start, .. } => start,
        };
        start.saturating_sub(pad).max(self.free_from)
    }

    /// Samples that were certain to be speech in the stretch that is open.
    pub fn voiced_len(&self) -> usize {
        match self.state {
            State::Silence => 0,
            State::Speech { voiced, .. } => voiced,
        }
    }

    /// Samples since anything counted as speech.
    pub fn pause_len(&self) -> usize {
        match self.state {
            State::Silence => 0,
            State::Speech { end, .. } => self.at - end,
        }
    }

    /// Samples that were judged.
    pub fn judged_len(&self) -> usize {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: usize = 320;

    /// Spans in frames of 20 ms; `#` is speech, `+` enough to stay, anything else silence.
    fn spans(frames: &str, config: &Config) -> Vec<(usize, usize)> {
        let mut spans = Spans::new(config, FRAME);
        let probability = |frame| match frame {
            '#' => 0.9,
            '+' => 0.4,
            _ => 0.1,
        };
        let mut found: Vec<_> = frames.chars().filter_map(|frame| spans.next(probability(frame))).collect();
        found.extend(spans.finish());
        found.into_iter().map(|span| (span.start / FRAME, span.end / FRAME)).collect()
    }

    fn config(speech: u32, silence: u32, pad: u32) -> Config {
        Config { speech_ms_min: speech * 20, silence_ms_min: silence * 20, pad_ms: pad * 20, ..Config::default() }
    }

    #[test]
    fn speech_is_cut_out_with_its_padding() {
        let check = |frames: &str, expected: &[(usize, usize)]| {
            assert_eq!(spans(frames, &config(2, 4, 1)), expected, "{frames}")
        };
        check("", &[]);
        check("..........", &[]);
        check("...####.....", &[(2, 8)]);
        check("####", &[(0, 4)]);
        check("..####.", &[(1, 7)]);
        // Too short to be speech, wherever it is.
        check("....#......", &[]);
        // A pause within a sentence, and one between two.
        check("..###...###.....", &[(1, 12)]);
        check("..###....###.....", &[(1, 6), (8, 13)]);
        // What would not start it keeps it going, and counts not as speech.
        check("..##+++....", &[(1, 8)]);
        check("..#++++....", &[]);
        check("..++++++....", &[]);
    }

    #[test]
    fn paddings_do_not_overlap() {
        assert_eq!(spans("##..##..", &config(1, 2, 5)), [(0, 4), (4, 8)]);
    }

    #[test]
    fn nothing_before_the_open_stretch_is_asked_for_later() {
        let mut spans = Spans::new(&config(1, 3, 2), FRAME);
        for probability in [0.0, 0.0, 0.0, 0.9, 0.9, 0.0] {
            spans.next(probability);
        }
        assert_eq!((spans.open_from(), spans.voiced_len(), spans.pause_len()), (FRAME, 2 * FRAME, FRAME));
    }

    proptest! {
        #[test]
        fn spans_are_in_order_within_the_recording_and_hold_all_that_was_certain(
            frames in proptest::collection::vec(prop_oneof![Just(0.0_f32), Just(0.4), Just(0.9), Just(f32::NAN)], 0..200),
            speech in 0_u32..6, silence in 1_u32..8, pad in 0_u32..6,
        ) {
            let config = config(speech, silence, pad);
            let mut machine = Spans::new(&config, FRAME);
            let (mut found, mut open_from) = (Vec::new(), 0);
            for probability in &frames {
                let span = machine.next(*probability);
                if let Some(span) = &span {
                    prop_assert!(span.start >= open_from);
                }
                found.extend(span);
                open_from = machine.open_from();
            }
            found.extend(machine.finish());
            let mut last = 0;
            for span in &found {
                prop_assert!(span.start >= last && span.start < span.end && span.end <= frames.len() * FRAME);
                last = span.end;
            }
            if speech <= 1 {
                for (at, probability) in frames.iter().enumerate() {
                    let is_in = found.iter().any(|span| span.contains(&(at * FRAME)));
                    let is_certain = *probability > 0.5;
                    prop_assert!(is_in || !is_certain);
                }
            }
        }
    }
}
