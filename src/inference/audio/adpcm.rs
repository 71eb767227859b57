//! Four bits a sample, as old telephones and voice recorders write WAV: Microsoft's and the IMA's dialect, by Microsoft's
//! "New Multimedia Data Types and Data Techniques" (1994).

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Microsoft,
    Ima,
}

const IMA_INDEX_STEPS: [i32; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];
#[rustfmt::skip]
const IMA_STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107, 118,
    130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060,
    1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132,
    7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
];
const MICROSOFT_GAINS: [i32; 16] = [230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230];
const MICROSOFT_COEFFICIENTS: [(i32, i32); 7] =
    [(256, 0), (512, -256), (0, 0), (192, 64), (240, 0), (460, -208), (392, -232)];

impl Dialect {
    /// Bytes of a block before its nibbles.
    pub(super) fn head_bytes(self, channels: usize) -> usize {
        match self {
            Self::Microsoft => 7 * channels,
            Self::Ima => 4 * channels,
        }
    }

    /// Appends the samples of one block, or of the beginning of one; nothing where not even its head is there.
    pub(super) fn decode(self, block: &[u8], channels: usize, samples: &mut Vec<f32>) {
        if block.len() < self.head_bytes(channels) {
            return;
        }
        let (head, nibbles) = block.split_at(self.head_bytes(channels));
        match self {
            Self::Microsoft => microsoft(head, nibbles, channels, samples),
            Self::Ima => ima(head, nibbles, channels, samples),
        }
    }
}

fn small(bytes: &[u8], at: usize) -> i32 {
    i32::from(i16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn scaled(sample: i32) -> f32 {
    sample as f32 / 32768.0
}

struct ImaState {
    sample: i32,
    index: i32,
}

impl ImaState {
    fn next(&mut self, nibble: u8) -> i32 {
        let step = IMA_STEPS[self.index as usize];
        let magnitude = i32::from(nibble & 7);
        let mut change = step >> 3;
        for (bit, shift) in [(4, 0), (2, 1), (1, 2)] {
            if magnitude & bit != 0 {
                change += step >> shift;
            }
        }
        self.sample = (self.sample + if nibble & 8 == 0 { change } else { -change }).clamp(-32768, 32767);
        self.index = (self.index + IMA_INDEX_STEPS[magnitude as usize]).clamp(0, 88);
        self.sample
    }
}

/// Head: sample, index and a spare byte for each channel. Then eight nibbles of one channel after eight of the other.
fn ima(head: &[u8], nibbles: &[u8], channels: usize, samples: &mut Vec<f32>) {
    let state = |four: &[u8]| ImaState { sample: small(four, 0), index: i32::from(four[2]).min(88) };
    let mut states: Vec<ImaState> = head.chunks_exact(4).map(state).collect();
    samples.extend(states.iter().map(|state| scaled(state.sample)));
    for group in nibbles.chunks_exact(4 * channels) {
        let start = samples.len();
        samples.resize(start + 8 * channels, 0.0);
        for (channel, (state, four)) in states.iter_mut().zip(group.chunks_exact(4)).enumerate() {
            for (number, byte) in four.iter().enumerate() {
                samples[start + 2 * number * channels + channel] = scaled(state.next(byte & 0x0f));
                samples[start + (2 * number + 1) * channels + channel] = scaled(state.next(byte >> 4));
            }
        }
    }
}

struct MicrosoftState {
    coefficients: (i32, i32),
    delta: i32,
    last: i32,
    before: i32,
}

impl MicrosoftState {
    fn next(&mut self, nibble: u8) -> i32 {
        let signed = if nibble & 8 == 0 { i32::from(nibble) } else { i32::from(nibble) - 16 };
        let predicted = (self.last * self.coefficients.0 + self.before * self.coefficients.1) / 256;
        let sample = (predicted + signed * self.delta).clamp(-32768, 32767);
        self.delta = (MICROSOFT_GAINS[usize::from(nibble)] * self.delta / 256).clamp(16, 1 << 20);
        (self.before, self.last) = (self.last, sample);
        sample
    }
}

/// Head: which coefficients, step, last sample, the one before, each for every channel in turn. Then nibbles, high one first.
fn microsoft(head: &[u8], nibbles: &[u8], channels: usize, samples: &mut Vec<f32>) {
    let state = |channel: usize| {
        let word = |number: usize| small(head, channels + 2 * (number * channels + channel));
        let coefficients = MICROSOFT_COEFFICIENTS[usize::from(head[channel]).min(6)];
        MicrosoftState { coefficients, delta: word(0), last: word(1), before: word(2) }
    };
    let mut states: Vec<MicrosoftState> = (0..channels).map(state).collect();
    samples.extend(states.iter().map(|state| scaled(state.before)));
    samples.extend(states.iter().map(|state| scaled(state.last)));
    let halves = nibbles.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let whole_len = nibbles.len() * 2 / channels * channels;
    samples.extend(halves.take(whole_len).enumerate().map(|(at, nibble)| scaled(states[at % channels].next(nibble))));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_of_the_ima_begins_with_its_sample_and_follows_its_steps() {
        let mut samples = Vec::new();
        Dialect::Ima.decode(&[0x00, 0x10, 0, 0, 0x47, 0x08, 0, 0], 1, &mut samples);
        // 7 with step 7: +11, index 8 (step 16); 4: +18, index 10 (step 19); -0: -2, index 9 (step 17); 0: +2.
        let expected = [4096, 4107, 4125, 4123, 4125].map(scaled);
        assert_eq!(samples[..5], expected);
        assert_eq!(samples.len(), 9);
    }

    #[test]
    fn a_block_of_microsofts_begins_with_two_samples() {
        let mut samples = Vec::new();
        // Coefficients (256, 0), step 16, last sample 100, before it 50; then +1 and -1.
        Dialect::Microsoft.decode(&[0, 16, 0, 100, 0, 50, 0, 0x1f], 1, &mut samples);
        assert_eq!(samples, [50, 100, 116, 100].map(scaled));
    }

    proptest! {
        #[test]
        fn any_block_gives_numbers_within_bounds(block in proptest::collection::vec(any::<u8>(), 0..80), channels in 1_usize..4) {
            for dialect in [Dialect::Microsoft, Dialect::Ima] {
                let mut samples = Vec::new();
                dialect.decode(&block, channels, &mut samples);
                prop_assert!(samples.iter().all(|sample| (-1.0..1.0).contains(sample)));
                prop_assert_eq!(samples.len() % channels, 0);
                prop_assert!(samples.len() <= 2 * block.len() + 2 * channels);
            }
        }
    }
}
