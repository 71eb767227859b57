//! Many channels to one, and every number to one that can be computed with.

/// What is left of the channels' power after mixing when they are one signal with opposite signs; far below what different
/// signals leave.
const OPPOSED_SHARE: f32 = 0.01;
/// How much the past counts against the next block.
const MEMORY: f32 = 0.8;

/// Mixes by the mean. A balanced microphone on a stereo plug delivers the same voice twice with opposite signs, whose mean is
/// silence; then the first channel alone is taken.
#[derive(Debug, Default)]
pub(super) struct Mixer {
    power_mixed: f32,
    power_channels: f32,
}

impl Mixer {
    /// Appends one sample for every `channels` of `interleaved`, -1 to 1 and never NaN.
    pub(super) fn mix(&mut self, interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
        if channels == 1 {
            mono.extend(interleaved.iter().map(|sample| sane(*sample)));
            return;
        }
        let start = mono.len();
        let (mut power_mixed, mut power_channels) = (0.0, 0.0);
        for frame in interleaved.chunks_exact(channels) {
            let (mut sum, mut power) = (0.0, 0.0);
            for sample in frame {
                let sample = sane(*sample);
                sum += sample;
                power += sample * sample;
            }
            let mean = sum / channels as f32;
            power_mixed += mean * mean;
            power_channels += power / channels as f32;
            mono.push(mean);
        }
        self.power_mixed = MEMORY * self.power_mixed + power_mixed;
        self.power_channels = MEMORY * self.power_channels + power_channels;
        if self.power_mixed < OPPOSED_SHARE * self.power_channels {
            for (sample, frame) in mono[start..].iter_mut().zip(interleaved.chunks_exact(channels)) {
                *sample = sane(frame[0]);
            }
        }
    }
}

/// NaN and infinities are silence; what is too loud is as loud as can be.
fn sane(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(interleaved: &[f32], channels: usize) -> Vec<f32> {
        let mut mono = Vec::new();
        Mixer::default().mix(interleaved, channels, &mut mono);
        mono
    }

    #[test]
    fn channels_are_averaged() {
        assert_eq!(mixed(&[0.5, 0.25, -1.0, 0.0], 2), [0.375, -0.5]);
        assert_eq!(mixed(&[0.3, 0.6, 0.9, 0.3, 0.3, 0.3], 3)[1], 0.3);
    }

    #[test]
    fn numbers_that_are_none_become_silence() {
        assert_eq!(mixed(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 7.0, -7.0], 1), [0.0, 0.0, 0.0, 1.0, -1.0]);
        assert_eq!(mixed(&[f32::NAN, 0.5, 0.5, f32::INFINITY], 2), [0.25, 0.25]);
    }

    #[test]
    fn a_voice_with_opposite_signs_is_not_lost() {
        let voice: Vec<f32> = (0..400).map(|n| (n as f32 * 0.3).sin()).collect();
        let opposed: Vec<f32> = voice.iter().flat_map(|sample| [*sample, -*sample]).collect();
        assert_eq!(mixed(&opposed, 2), voice);
    }

    #[test]
    fn two_voices_are_both_heard() {
        let (one, other) = (|n: i32| (n as f32 * 0.3).sin(), |n: i32| (n as f32 * 0.7).sin());
        let both: Vec<f32> = (0..400).flat_map(|n| [one(n), other(n)]).collect();
        let expected: Vec<f32> = (0..400).map(|n| (one(n) + other(n)) / 2.0).collect();
        assert_eq!(mixed(&both, 2), expected);
    }
}
