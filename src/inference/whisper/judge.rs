//! Is what was decoded worth keeping? The guards of the paper (section 4.5), without a model.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

/// A run of this many tokens that comes back at once as often as [`REPEATS_MAX`] ends the text.
const RUN_MAX: usize = 12;
const REPEATS_MAX: usize = 6;
/// A single token may come back more often: "ha ha ha" is said.
const SINGLE_REPEATS_MAX: usize = 12;

/// Bounds beyond which a text is decoded again, warmer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guards {
    /// Bytes of the text per byte of its zlib stream: above it, the text repeats itself.
    pub compression_ratio_max: f32,
    /// Mean logarithm of the tokens' probabilities: below it, the model was guessing.
    pub logprob_min: f32,
    /// Probability of silence: above it, and when the model was guessing as well, nobody spoke.
    pub no_speech_max: f32,
}

impl Default for Guards {
    /// Those of OpenAI.
    fn default() -> Self {
        Self { compression_ratio_max: 2.4, logprob_min: -1.0, no_speech_max: 0.6 }
    }
}

/// What is known of a decoded window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    pub avg_logprob: f32,
    pub compression_ratio: f32,
    pub no_speech_prob: f32,
    /// Decoding was stopped because tokens came back again and again.
    pub is_stuck: bool,
}

/// What is done with a decoded window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// Nobody spoke; the text is dropped.
    Silence,
    /// Try again at a higher temperature, if there is one.
    Again,
}

impl Guards {
    pub fn judge(&self, figures: &Figures) -> Verdict {
        let is_guess = figures.avg_logprob < self.logprob_min || figures.avg_logprob.is_nan();
        if figures.no_speech_prob > self.no_speech_max && is_guess {
            return Verdict::Silence;
        }
        if is_guess || figures.is_stuck || figures.compression_ratio > self.compression_ratio_max {
            return Verdict::Again;
        }
        Verdict::Keep
    }
}

/// Bytes of a text per byte of its zlib stream at zlib's usual level; 0 for an empty text.
pub fn compression_ratio(text: &str) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.map_or(0.0, |bytes| text.len() as f32 / bytes.len() as f32)
}

/// Whether the end of the text is one run of tokens, again and again. Times are not part of it: they never repeat.
pub fn is_stuck(words: &[u32]) -> bool {
    (1..=RUN_MAX).any(|run| {
        let repeats = if run == 1 { SINGLE_REPEATS_MAX } else { REPEATS_MAX };
        let Some(start) = words.len().checked_sub(run * repeats) else { return false };
        let tail = &words[start..];
        tail.iter().zip(&tail[run..]).all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: Figures = Figures { avg_logprob: -0.3, compression_ratio: 1.2, no_speech_prob: 0.1, is_stuck: false };

    #[test]
    fn a_text_is_kept_unless_it_is_guessed_repeats_itself_or_nobody_spoke() {
        let judge = |figures: Figures| Guards::default().judge(&figures);
        assert_eq!(judge(GOOD), Verdict::Keep);
        assert_eq!(judge(Figures { avg_logprob: -1.5, ..GOOD }), Verdict::Again);
        assert_eq!(judge(Figures { avg_logprob: f32::NAN, ..GOOD }), Verdict::Again);
        assert_eq!(judge(Figures { compression_ratio: 3.0, ..GOOD }), Verdict::Again);
        assert_eq!(judge(Figures { is_stuck: true, ..GOOD }), Verdict::Again);
        assert_eq!(judge(Figures { no_speech_prob: 0.9, ..GOOD }), Verdict::Keep);
        assert_eq!(judge(Figures { no_speech_prob: 0.9, avg_logprob: -1.5, ..GOOD }), Verdict::Silence);
    }

    #[test]
    fn a_text_that_repeats_itself_compresses_well() {
        assert!(compression_ratio(&"thank you. ".repeat(20)) > 2.4);
        assert!(compression_ratio("turn on the lamp in the kitchen, please") < 1.5);
        assert_eq!(compression_ratio(""), 0.0);
    }

    proptest! {
        #[test]
        fn a_run_is_found_when_it_has_come_back_often_enough(
            before in proptest::collection::vec(1000_u32..9999, 0..20), run in 1_u32..12, times in 0_usize..14
        ) {
            let mut words = before;
            for _ in 0..times {
                words.extend(0..run);
            }
            let enough = if run == 1 { SINGLE_REPEATS_MAX } else { REPEATS_MAX };
            prop_assert_eq!(is_stuck(&words), times >= enough);
        }
    }
}
