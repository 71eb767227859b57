//! Samples as WAV files store them, to numbers.

use crate::inference::audio::adpcm;

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Whole numbers of so many bytes, low byte first; those of one byte without a sign.
    Whole(usize),
    /// IEEE 754 of four or eight bytes.
    Float(usize),
    /// ITU G.711.
    ALaw,
    MuLaw,
    /// Four bits a sample, in blocks.
    Adpcm(adpcm::Dialect),
}

impl Coding {
    /// By WAV's format tag; none for what cannot be read, or when the numbers contradict each other.
    pub(super) fn of(tag: u16, bits: usize, block_bytes: usize, channels: usize) -> Option<Self> {
        let adpcm = |dialect: adpcm::Dialect| {
            (bits == 4 && block_bytes > dialect.head_bytes(channels)).then_some(Self::Adpcm(dialect))
        };
        match (tag, bits) {
            (1, 1..=32) => {
                // Twelve bits lie in two bytes; some lie in more bytes than they need, which only the block's length tells.
                let need = bits.div_ceil(8);
                let given = block_bytes / channels;
                let is_padded = block_bytes.is_multiple_of(channels) && (need..=4).contains(&given);
                Some(Self::Whole(if is_padded { given } else { need }))
            }
            (3, 32 | 64) => Some(Self::Float(bits / 8)),
            (6, _) => Some(Self::ALaw),
            (7, _) => Some(Self::MuLaw),
            (0x02, _) => adpcm(adpcm::Dialect::Microsoft),
            (0x11, _) => adpcm(adpcm::Dialect::Ima),
            _ => None,
        }
    }

    pub(super) fn is_in_blocks(self) -> bool {
        matches!(self, Self::Adpcm(_))
    }

    /// Bytes of one sample of every channel; none for what is in blocks.
    pub(super) fn block_bytes(self, channels: usize) -> Option<usize> {
        match self {
            Self::Whole(bytes) | Self::Float(bytes) => Some(bytes * channels),
            Self::ALaw | Self::MuLaw => Some(channels),
            Self::Adpcm(_) => None,
        }
    }

    /// Appends the samples of `bytes`, channel by channel.
    pub(super) fn decode(self, bytes: &[u8], channels: usize, block_bytes: usize, samples: &mut Vec<f32>) {
        match self {
            Self::Whole(1) => samples.extend(bytes.iter().map(|byte| (f32::from(*byte) - 128.0) / 128.0)),
            Self::Whole(2) => {
                samples
                    .extend(bytes.chunks_exact(2).map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32768.0));
            }
            Self::Whole(width) => samples.extend(bytes.chunks_exact(width).map(whole)),
            Self::Float(8) => samples.extend(
                bytes
                    .chunks_exact(8)
                    .map(|eight| f64::from_le_bytes(eight.try_into().expect("invariant: chunks of eight")) as f32),
            ),
            Self::Float(_) => samples.extend(
                bytes
                    .chunks_exact(4)
                    .map(|four| f32::from_le_bytes(four.try_into().expect("invariant: chunks of four"))),
            ),
            Self::ALaw => samples.extend(bytes.iter().map(|byte| f32::from(a_law(*byte)) / 32768.0)),
            Self::MuLaw => samples.extend(bytes.iter().map(|byte| f32::from(mu_law(*byte)) / 32768.0)),
            Self::Adpcm(dialect) => {
                for block in bytes.chunks(block_bytes) {
                    dialect.decode(block, channels, samples);
                }
            }
        }
    }
}

/// Three or four bytes, low byte first.
fn whole(bytes: &[u8]) -> f32 {
    let mut four = [0; 4];
    four[4 - bytes.len()..].copy_from_slice(bytes);
    (f64::from(i32::from_le_bytes(four)) / 2_147_483_648.0) as f32
}

/// ITU-T G.711, table 1a, widened to 16 bits.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0f));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

/// ITU-T G.711, table 2a, widened to 16 bits.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0f));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<f32> {
        let mut samples = Vec::new();
        coding.decode(bytes, 1, bytes.len().max(1), &mut samples);
        samples
    }

    #[test]
    fn whole_numbers_of_every_width_reach_from_minus_one_to_almost_one() {
        assert_eq!(decoded(Coding::Whole(1), &[0, 128, 255]), [-1.0, 0.0, 127.0 / 128.0]);
        assert_eq!(decoded(Coding::Whole(2), &[0, 0x80, 0, 0, 0xff, 0x7f]), [-1.0, 0.0, 32767.0 / 32768.0]);
        assert_eq!(decoded(Coding::Whole(3), &[0, 0, 0x80, 0, 0, 0x40]), [-1.0, 0.5]);
        assert_eq!(decoded(Coding::Whole(4), &[0, 0, 0, 0x80, 0, 0, 0, 0x40]), [-1.0, 0.5]);
        let floats = [0.25_f64.to_le_bytes(), (-1.5_f64).to_le_bytes()].concat();
        assert_eq!(decoded(Coding::Float(8), &floats), [0.25, -1.5]);
    }

    #[test]
    fn telephone_codes_have_the_values_of_their_table() {
        assert_eq!((mu_law(0xff), mu_law(0x7f), mu_law(0x80), mu_law(0x00)), (0, 0, 32124, -32124));
        assert_eq!((a_law(0xd5), a_law(0x55), a_law(0xaa), a_law(0x2a)), (8, -8, 32256, -32256));
    }

    #[test]
    fn numbers_that_contradict_each_other_are_no_coding() {
        assert_eq!(Coding::of(1, 20, 6, 2), Some(Coding::Whole(3)));
        assert_eq!(Coding::of(1, 24, 8, 2), Some(Coding::Whole(4)));
        assert_eq!(Coding::of(1, 16, 0, 2), Some(Coding::Whole(2)));
        assert_eq!(Coding::of(1, 16, 65535, 1), Some(Coding::Whole(2)));
        for (tag, bits, block) in [(1, 0, 2), (1, 33, 8), (3, 16, 2), (0x11, 4, 4), (0x11, 3, 256), (0x55, 0, 1)] {
            assert_eq!(Coding::of(tag, bits, block, 1), None, "{tag} {bits} {block}");
        }
    }
}
