//! What Whisper hears: the logarithm of the energy in 80 or 128 bands of pitch, a hundred times a second.
//!
//! As Hugging Face's `WhisperFeatureExtractor` computes it for a window of thirty seconds: windows of 400 samples, a hop of 160,
//! reflected at both ends, Slaney's scale and normalization, everything lifted to eight powers of ten below the loudest.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};
use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Samples per second; all recordings are brought to it before.
pub const RATE: usize = 16_000;
/// Samples from one frame to the next.
pub const HOP: usize = 160;
const WINDOW: usize = 400;
const BINS: usize = WINDOW / 2 + 1;
/// Frames that one thread computes before it looks for more.
const FRAMES_PER_TURN: usize = 100;
/// Energy of silence.
const FLOOR: f32 = 1e-10;
/// Loudest sample that is believed, in full scales: louder ones are damaged files.
const SAMPLE_MAX: f32 = 100.0;

/// A spectrum over time, frame by frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Mel {
    pub bands: usize,
    /// `bands` numbers per frame.
    pub values: Vec<f32>,
}

impl Mel {
    pub fn frames(&self) -> usize {
        self.values.len() / self.bands
    }
}

/// The filters and the transform, made once per model.
pub struct MelMaker {
    bands: Vec<Band>,
    hann: Vec<f32>,
    transform: Arc<dyn RealToComplex<f32>>,
}

/// One triangle of the filter bank: the weights of some neighboring bins.
struct Band {
    bins: Range<usize>,
    weights: Vec<f32>,
}

impl std::fmt::Debug for MelMaker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "MelMaker of {} bands", self.bands.len())
    }
}

impl MelMaker {
    pub fn new(bands: usize) -> Self {
        let angle = |index: usize| std::f64::consts::TAU * index as f64 / WINDOW as f64;
        Self {
            bands: filter_bank(bands),
            hann: (0..WINDOW).map(|index| (0.5 - 0.5 * angle(index).cos()) as f32).collect(),
            transform: RealFftPlanner::new().plan_fft_forward(WINDOW),
        }
    }

    /// Hears `samples`, followed by silence up to `window` samples, in `frames` frames from the beginning. What is beyond the
    /// window is not heard. Samples that are no numbers count as silence.
    pub fn hear(&self, samples: &[f32], window: usize, frames: usize) -> Mel {
        let samples = &samples[..samples.len().min(window)];
        let bands = self.bands.len();
        let mut values = vec![FLOOR.log10(); frames * bands];
        // Frames from here on hear only silence.
        let loud = (samples.len() + WINDOW / 2).div_ceil(HOP).min(frames);
        values[..loud * bands].par_chunks_mut(FRAMES_PER_TURN * bands).enumerate().for_each(|(turn, chunk)| {
            self.hear_frames(samples, window, turn * FRAMES_PER_TURN, chunk);
        });
        let loudest = values.iter().copied().fold(FLOOR.log10(), f32::max);
        for value in &mut values {
            *value = (value.max(loudest - 8.0) + 4.0) / 4.0;
        }
        Mel { bands, values }
    }

    fn hear_frames(&self, samples: &[f32], window: usize, first: usize, values: &mut [f32]) {
        let mut input = self.transform.make_input_vec();
        let mut output = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut power = [0.0_f32; BINS];
        for (index, values) in values.chunks_exact_mut(self.bands.len()).enumerate() {
            let center = (first + index) * HOP;
            for (place, (value, weight)) in input.iter_mut().zip(&self.hann).enumerate() {
                *value = sample(samples, window, center + place) * weight;
            }
            let done = self.transform.process_with_scratch(&mut input, &mut output, &mut scratch);
            done.expect("invariant: the buffers are the transform's own");
            for (power, bin) in power.iter_mut().zip(&output) {
                *power = Complex::norm_sqr(bin);
            }
            for (value, band) in values.iter_mut().zip(&self.bands) {
                let energy: f32 = power[band.bins.clone()].iter().zip(&band.weights).map(|(a, b)| a * b).sum();
                *value = energy.max(FLOOR).log10();
            }
        }
    }
}

/// The sample `place - WINDOW / 2` of a recording that is reflected at its beginning and at the end of the window.
fn sample(samples: &[f32], window: usize, place: usize) -> f32 {
    let half = WINDOW / 2;
    let at = place.abs_diff(half);
    let at = if at >= window { (2 * window).saturating_sub(2 + at) } else { at };
    let value = samples.get(at).copied().unwrap_or(0.0);
    if value.is_finite() { value.clamp(-SAMPLE_MAX, SAMPLE_MAX) } else { 0.0 }
}

/// Slaney's triangles between 0 and 8 kHz, each with an area of one (`mel_filter_bank` of transformers, `librosa.filters.mel`).
fn filter_bank(bands: usize) -> Vec<Band> {
    let top = mel_of(RATE as f64 / 2.0);
    let edges: Vec<f64> = (0..bands + 2).map(|index| hertz_of(top * index as f64 / (bands + 1) as f64)).collect();
    edges.windows(3).map(|edge| triangle([edge[0], edge[1], edge[2]])).collect()
}

fn triangle([low, peak, high]: [f64; 3]) -> Band {
    let hertz = |bin: usize| bin as f64 * RATE as f64 / WINDOW as f64;
    let weight = |bin: usize| {
        let (up, down) = ((hertz(bin) - low) / (peak - low), (high - hertz(bin)) / (high - peak));
        (up.min(down).max(0.0) * 2.0 / (high - low)) as f32
    };
    let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
    let end = (first..BINS).rev().find(|bin| weight(*bin) > 0.0).map_or(first, |bin| bin + 1);
    Band { bins: first..end, weights: (first..end).map(weight).collect() }
}

/// Linear up to 1 kHz, then logarithmic.
fn mel_of(hertz: f64) -> f64 {
    if hertz < 1000.0 { 3.0 * hertz / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4_f64.ln() }
}

fn hertz_of(mel: f64) -> f64 {
    if mel < 15.0 { 200.0 * mel / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: usize = RATE;

    fn tone(hertz: f64, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| (std::f64::consts::TAU * hertz * n as f64 / RATE as f64).sin() as f32).collect()
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let mel = MelMaker::new(80).hear(&tone(1000.0, SECOND), 30 * SECOND, 100);
        let frame = &mel.values[50 * 80..51 * 80];
        let loudest = (0..80).max_by(|a, b| frame[*a].total_cmp(&frame[*b])).expect("a band");
        let edge = mel_of(1000.0) / mel_of(8000.0) * 81.0 - 1.0;
        assert!((loudest as f64 - edge).abs() <= 1.0, "{loudest} {edge}");
    }

    #[test]
    fn silence_nothing_and_broken_numbers_are_the_same_and_finite() {
        let maker = MelMaker::new(80);
        let silence = maker.hear(&vec![0.0; SECOND], 30 * SECOND, 200);
        assert_eq!(maker.hear(&[], 30 * SECOND, 200), silence);
        assert_eq!(maker.hear(&vec![f32::NAN; SECOND], 30 * SECOND, 200), silence);
        assert!(silence.values.iter().all(|value| *value == -1.5));
    }

    #[test]
    fn frames_that_are_not_asked_for_change_nothing_when_they_are_silent() {
        let maker = MelMaker::new(80);
        let sound = tone(440.0, SECOND);
        let (short, long) = (maker.hear(&sound, 30 * SECOND, 150), maker.hear(&sound, 30 * SECOND, 3000));
        assert_eq!(short.values[..], long.values[..150 * 80]);
        assert_eq!((short.frames(), long.frames()), (150, 3000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn whatever_is_heard_is_finite_and_spans_eight_powers_of_ten(
            samples in proptest::collection::vec(any::<f32>(), 0..2000), frames in 1_usize..20, window in 400_usize..3000
        ) {
            let mel = MelMaker::new(128).hear(&samples, window, frames);
            prop_assert_eq!(mel.frames(), frames);
            let (low, high) = mel.values.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
            prop_assert!(low.is_finite() && high.is_finite() && high - low <= 2.0 + 1e-6);
        }
    }
}
