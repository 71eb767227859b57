//! Speech found without a model: what stands out of the noise in enough bands, and is not itself noise.
//!
//! The noise of each band is the smallest power of the last two seconds (minimum statistics, R. Martin 2001, without its
//! optimal smoothing): even fast speech leaves every band quiet for a moment within that time, and a fan never does.

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use std::sync::Arc;

use crate::inference::audio::RATE_HZ;
use crate::inference::audio::vad::{Vad, VadError};

/// 20 ms.
const FRAME_LEN: usize = 320;
/// What is transformed: the frame and some of the one before.
const WINDOW_LEN: usize = 512;
/// Borders of the bands, nearly E. Zwicker's critical ones from 1 to 20 Bark.
const BAND_EDGES_HZ: [f32; 20] = [
    100.0, 200.0, 300.0, 400.0, 510.0, 630.0, 770.0, 920.0, 1080.0, 1270.0, 1480.0, 1720.0, 2000.0, 2320.0, 2700.0,
    3150.0, 3700.0, 4400.0, 5300.0, 6400.0,
];
const BANDS: usize = BAND_EDGES_HZ.len() - 1;
/// Bands that must stand out on average: a vowel fills more, an "s" about as many.
const BANDS_LOUDEST: usize = 6;

/// The memory of the noise: so many pieces of so many frames.
const PIECES: usize = 8;
const PIECE_FRAMES: usize = 13;
/// Weight of the past in the power whose minimum is taken.
const SMOOTHING: f32 = 0.7;
/// How far the minimum of a steady noise lies below its mean.
const MINIMUM_BIAS_DB: f32 = 4.0;
/// Power of one of 256 bins below which nothing is speech, about -67 dB of full scale altogether.
const NOISE_DB_MIN: f32 = -91.0;
/// What noise is at most taken for before it was heard long enough: who speaks at once is heard.
const NOISE_DB_MAX_AT_FIRST: f32 = -68.0;
const FRAMES_AT_FIRST: usize = 40;
/// Louder than the noise by this much is as likely speech as not; by that much if it is as flat as noise.
const STANDS_OUT_DB: f32 = 9.0;
const STANDS_OUT_FLAT_DB: f32 = 15.0;
const STEEPNESS_DB: f32 = 1.5;
/// A band counts for no more.
const BAND_DB_MAX: f32 = 30.0;
/// Bins whose flatness is taken together, so that a noise with a slope is as flat as one without.
const FLATNESS_BINS: usize = 16;
const FLATNESS_GROUPS: usize = 7;
/// Flatness of noise is -2.5 dB, and that of a voice below -6.
const FLAT_DB: f32 = -3.0;
const VOICED_DB: f32 = -6.0;

/// The detector that needs nothing.
pub struct EnergyVad {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    /// The end of the frame before.
    past: [f32; WINDOW_LEN - FRAME_LEN],
    /// Scratch: what is transformed, and what comes out.
    input: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    noise: Noise,
}

impl std::fmt::Debug for EnergyVad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnergyVad").field("noise", &self.noise).finish_non_exhaustive()
    }
}

/// What is known about the noise of each band, as power.
#[derive(Debug, Clone)]
struct Noise {
    smooth: [f32; BANDS],
    /// Minima of finished pieces, the oldest replaced next.
    minima: [[f32; BANDS]; PIECES],
    /// Minimum of the piece at hand.
    lowest: [f32; BANDS],
    frames: usize,
    is_primed: bool,
}

impl Default for EnergyVad {
    fn default() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW_LEN);
        let hann = |n: usize| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / WINDOW_LEN as f32).cos();
        Self {
            window: (0..WINDOW_LEN).map(hann).collect(),
            past: [0.0; WINDOW_LEN - FRAME_LEN],
            input: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            noise: Noise::new(),
            fft,
        }
    }
}

impl Vad for EnergyVad {
    fn frame_len(&self) -> usize {
        FRAME_LEN
    }

    fn speech(&mut self, frame: &[f32]) -> Result<f32, VadError> {
        let powers = self.powers(frame);
        let bands = bands(&powers);
        let noise_db = self.noise.heard(&bands);
        let mut above: [f32; BANDS] =
            std::array::from_fn(|band| (decibels(bands[band]) - noise_db[band]).clamp(0.0, BAND_DB_MAX));
        above.sort_unstable_by(|a, b| b.total_cmp(a));
        let stands_out_db = above[..BANDS_LOUDEST].iter().sum::<f32>() / BANDS_LOUDEST as f32;
        let noisiness = ((flatness_db(&powers) - VOICED_DB) / (FLAT_DB - VOICED_DB)).clamp(0.0, 1.0);
        let threshold_db = STANDS_OUT_DB + noisiness * (STANDS_OUT_FLAT_DB - STANDS_OUT_DB);
        Ok(1.0 / (1.0 + ((threshold_db - stands_out_db) / STEEPNESS_DB).exp()))
    }

    fn prime(&mut self, samples: &[f32]) -> Result<(), VadError> {
        self.reset();
        for frame in samples.chunks_exact(FRAME_LEN) {
            let powers = self.powers(frame);
            self.noise.heard(&bands(&powers));
        }
        self.noise.is_primed = self.noise.frames >= FRAMES_AT_FIRST;
        self.past.fill(0.0);
        Ok(())
    }

    fn reset(&mut self) {
        self.past.fill(0.0);
        self.noise = Noise::new();
    }
}

impl EnergyVad {
    /// Power of each bin but the first and last; a full-scale sine has one half altogether.
    fn powers(&mut self, frame: &[f32]) -> [f32; WINDOW_LEN / 2] {
        let past_len = self.past.len();
        self.input[..past_len].copy_from_slice(&self.past);
        self.input[past_len..].copy_from_slice(&frame[..FRAME_LEN]);
        self.past.copy_from_slice(&self.input[WINDOW_LEN - past_len..]);
        for (sample, weight) in self.input.iter_mut().zip(&self.window) {
            *sample *= weight;
        }
        let (input, spectrum) = (&mut self.input, &mut self.spectrum);
        self.fft.process_with_scratch(input, spectrum, &mut self.scratch).expect("invariant: made for this length");
        // Both halves of the spectrum, over the length and the window's own power (3/8).
        let scale = 2.0 / (WINDOW_LEN as f32 * WINDOW_LEN as f32 * 0.375);
        std::array::from_fn(|bin| spectrum[bin].norm_sqr() * scale)
    }
}

impl Noise {
    fn new() -> Self {
        Self {
            smooth: [0.0; BANDS],
            minima: [[f32::INFINITY; BANDS]; PIECES],
            lowest: [f32::INFINITY; BANDS],
            frames: 0,
            is_primed: false,
        }
    }

    /// Takes the next frame and gives the noise of each band in decibels.
    fn heard(&mut self, bands: &[f32; BANDS]) -> [f32; BANDS] {
        for (band, power) in bands.iter().enumerate() {
            let past = if self.frames == 0 { *power } else { self.smooth[band] };
            self.smooth[band] = SMOOTHING * past + (1.0 - SMOOTHING) * power;
            self.lowest[band] = self.lowest[band].min(self.smooth[band]);
        }
        let noise = std::array::from_fn(|band| {
            let lowest = self.minima.iter().fold(self.lowest[band], |lowest, piece| lowest.min(piece[band]));
            let db = (decibels(lowest) + MINIMUM_BIAS_DB).max(NOISE_DB_MIN);
            if self.frames < FRAMES_AT_FIRST && !self.is_primed { db.min(NOISE_DB_MAX_AT_FIRST) } else { db }
        });
        self.frames += 1;
        if self.frames.is_multiple_of(PIECE_FRAMES) {
            self.minima[self.frames / PIECE_FRAMES % PIECES] = self.lowest;
            self.lowest = [f32::INFINITY; BANDS];
        }
        noise
    }
}

/// Mean power of a bin in each band.
fn bands(powers: &[f32]) -> [f32; BANDS] {
    let bin = |hz: f32| (hz * WINDOW_LEN as f32 / RATE_HZ as f32).round() as usize;
    std::array::from_fn(|band| {
        let bins = &powers[bin(BAND_EDGES_HZ[band])..bin(BAND_EDGES_HZ[band + 1])];
        bins.iter().sum::<f32>() / bins.len() as f32
    })
}

/// Mean flatness (geometric over arithmetic mean) of the bins from 250 Hz to 3.7 kHz, group by group.
fn flatness_db(powers: &[f32]) -> f32 {
    const FIRST_BIN: usize = 8;
    let groups = powers[FIRST_BIN..].chunks_exact(FLATNESS_BINS).take(FLATNESS_GROUPS);
    let flatness = groups.map(|bins| {
        let arithmetic = decibels(bins.iter().sum::<f32>() / FLATNESS_BINS as f32);
        bins.iter().map(|power| decibels(*power)).sum::<f32>() / FLATNESS_BINS as f32 - arithmetic
    });
    flatness.sum::<f32>() / FLATNESS_GROUPS as f32
}

fn decibels(power: f32) -> f32 {
    10.0 * (power + 1e-12).log10()
}
