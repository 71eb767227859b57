//! Any sampling rate to 16 kHz, without aliases and without delay.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::inference::audio::{AudioError, RATE_HZ};

/// Samples of one transform at 16 kHz, about; longer ones cut more sharply and cost more memory.
const BLOCK_LEN: usize = 1_024;

/// Brings one channel to [`RATE_HZ`].
pub(super) struct Resampler {
    rate_hz: u32,
    /// None when there is nothing to do.
    fft: Option<Fft<f32>>,
    /// Samples that wait for a whole block.
    waiting: Vec<f32>,
    block: Vec<f32>,
    /// Samples of the filter's delay that are not thrown away yet.
    delay_len: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// `rate_hz` was checked.
    pub(super) fn new(rate_hz: u32) -> Result<Self, AudioError> {
        let mut fft = None;
        let (mut delay_len, mut block) = (0, Vec::new());
        if rate_hz != RATE_HZ {
            let block_len = (BLOCK_LEN * rate_hz as usize).div_ceil(RATE_HZ as usize);
            let resampler = Fft::new(rate_hz as usize, RATE_HZ as usize, block_len, 1, FixedSync::Both)
                .map_err(|_| AudioError::Rate { rate_hz })?;
            delay_len = resampler.output_delay();
            block = vec![0.0; resampler.output_frames_next()];
            fft = Some(resampler);
        }
        Ok(Self { rate_hz, fft, waiting: Vec::new(), block, delay_len, taken: 0, given: 0 })
    }

    pub(super) fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Takes `samples` and appends what is ready.
    pub(super) fn push(&mut self, samples: &[f32], ready: &mut Vec<f32>) -> Result<(), AudioError> {
        self.taken += samples.len() as u64;
        if self.fft.is_none() {
            ready.extend_from_slice(samples);
            return Ok(());
        }
        self.waiting.extend_from_slice(samples);
        self.run(ready, u64::MAX)
    }

    /// Appends what the filter still holds: afterward as much was given as was taken, at the other rate.
    pub(super) fn finish(&mut self, ready: &mut Vec<f32>) -> Result<(), AudioError> {
        let Some(fft) = &self.fft else { return Ok(()) };
        let step = fft.input_frames_next();
        let target = (self.taken * u64::from(RATE_HZ)).div_ceil(u64::from(self.rate_hz));
        while self.given < target {
            self.waiting.resize(step, 0.0);
            self.run(ready, target)?;
        }
        Ok(())
    }

    /// Transforms whole blocks; gives no more than `given_max` altogether.
    fn run(&mut self, ready: &mut Vec<f32>, given_max: u64) -> Result<(), AudioError> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let broken = |what: String| AudioError::Damaged { what };
        let step = fft.input_frames_next();
        let mut done = 0;
        while self.waiting.len() - done >= step {
            let len = self.block.len();
            let input =
                InterleavedSlice::new(&self.waiting[done..done + step], 1, step).map_err(|p| broken(p.to_string()))?;
            let mut output = InterleavedSlice::new_mut(&mut self.block, 1, len).map_err(|p| broken(p.to_string()))?;
            fft.process_into_buffer(&input, &mut output, None).map_err(|p| broken(p.to_string()))?;
            done += step;
            let skip = self.delay_len.min(len);
            self.delay_len -= skip;
            let room = usize::try_from(given_max - self.given).unwrap_or(usize::MAX);
            let fresh = &self.block[skip..][..(len - skip).min(room)];
            self.given += fresh.len() as u64;
            // Steep filters overshoot a little.
            ready.extend(fresh.iter().map(|sample| sample.clamp(-1.0, 1.0)));
        }
        self.waiting.drain(..done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn resampled(samples: &[f32], rate_hz: u32, piece_len: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate_hz).expect("a resampler");
        let mut ready = Vec::new();
        for piece in samples.chunks(piece_len) {
            resampler.push(piece, &mut ready).expect("resampled");
        }
        resampler.finish(&mut ready).expect("resampled");
        ready
    }

    fn tone(hz: f32, rate_hz: u32, seconds: f32) -> Vec<f32> {
        let step = f64::from(TAU * hz) / f64::from(rate_hz);
        (0..(rate_hz as f32 * seconds) as usize).map(|n| 0.5 * (n as f64 * step).sin() as f32).collect()
    }

    /// Root mean square without the edges, in decibels of a full-scale square wave.
    fn level_db(samples: &[f32]) -> f32 {
        let middle = &samples[samples.len() / 8..samples.len() * 7 / 8];
        let power = middle.iter().map(|sample| sample * sample).sum::<f32>() / middle.len() as f32;
        10.0 * (power + 1e-20).log10()
    }

    #[test]
    fn lengths_are_kept_at_every_rate() {
        for rate_hz in [4_000, 8_000, 11_025, 12_345, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000] {
            let samples = vec![0.1; rate_hz as usize / 3];
            let expected = (samples.len() as u64 * 16_000).div_ceil(u64::from(rate_hz));
            assert_eq!(resampled(&samples, rate_hz, 777).len() as u64, expected, "{rate_hz} Hz");
        }
        assert_eq!(resampled(&[], 44_100, 1).len(), 0);
        assert_eq!(resampled(&[0.5], 44_100, 1).len(), 1);
    }

    #[test]
    fn a_tone_comes_out_at_its_place_and_height() {
        for rate_hz in [8_000, 22_050, 44_100, 48_000, 96_000] {
            let out = resampled(&tone(440.0, rate_hz, 0.5), rate_hz, 1_000);
            let expected = tone(440.0, 16_000, 0.5);
            let middle = 2_000..6_000;
            let error: Vec<f32> = middle.clone().map(|n| out[n] - expected[n]).collect();
            let worst = error.iter().fold(0.0_f32, |worst, error| worst.max(error.abs()));
            // Where the transform's length is odd, the delay is off by half a sample of the input.
            assert!(worst < 2e-2, "{rate_hz} Hz: {worst}");
        }
    }

    /// A sweep over everything that 16 kHz cannot hold leaves nothing, and one over what speech needs passes.
    #[test]
    fn what_is_too_high_leaves_no_alias_and_what_is_not_passes() {
        for rate_hz in [44_100_u32, 48_000, 96_000] {
            for hz in [8_400.0, 9_000.0, 10_000.0, 12_000.0, 15_000.0, 16_000.0, 20_000.0_f32] {
                let level = level_db(&resampled(&tone(hz, rate_hz, 0.25), rate_hz, 4_096));
                assert!(level < -80.0, "{hz} of {rate_hz} Hz leaves {level} dB");
            }
            for hz in [100.0, 1_000.0, 3_000.0, 5_000.0, 7_000.0, 7_500.0_f32] {
                let level = level_db(&resampled(&tone(hz, rate_hz, 0.25), rate_hz, 4_096));
                assert!((level + 9.03).abs() < 0.1, "{hz} of {rate_hz} Hz is at {level} dB");
            }
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let samples = tone(700.0, 44_100, 0.3);
        assert_eq!(resampled(&samples, 44_100, 1), resampled(&samples, 44_100, samples.len()));
    }
}
