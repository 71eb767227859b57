//! Vectors as numbers: unit length, their stored form, and signatures of one bit per number that are compared by counting bits.
//!
//! A signature is the signs of a randomly rotated vector. The rotation spreads what a vector says evenly over its numbers; then the
//! product of a query with those signs, divided by the mean size of its numbers, is an unbiased estimate of the cosine with a known error
//! (RaBitQ: Gao and Long, SIGMOD 2024). The query keeps four bits per number, which halves the error of comparing signs alone.

use std::f32::consts::FRAC_2_PI;

/// Numbers of the largest vector.
pub const DIMS_MAX: usize = 4096;
/// Bits per number of a query.
const PLANES: usize = 4;
/// Largest level of a query's number: levels are odd, from -15 to 15.
const LEVEL_MAX: f32 = ((1 << PLANES) - 1) as f32;
/// Rounds of flipping signs, mixing and shuffling.
const ROUNDS: u64 = 3;
/// Error of an estimated cosine, times the square root of the count of bits, for vectors that have nothing in common:
/// sqrt((1 - 2/pi) / (2/pi)).
const ERROR_APART: f32 = 0.755;
/// The same for equal vectors: how much the sum of a vector's sizes varies around its mean, which is what divides the product;
/// sqrt(pi/2 - 3/2).
const ERROR_EQUAL: f32 = 0.266;

/// The vector of length one in the same direction; none when it has no direction (zero, or not a number).
pub fn unit(values: &[f32]) -> Option<Vec<f32>> {
    let length = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
    if !length.is_finite() || length < 1e-12 {
        return None;
    }
    Some(values.iter().map(|value| (f64::from(*value) / length) as f32).collect())
}

/// KafClaw's stored form: 32-bit floats, little-endian.
pub fn to_blob(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// None when the bytes are no vector: a broken length or something that is not a number.
pub fn from_blob(bytes: &[u8]) -> Option<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let values: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    (rest.is_empty() && !values.is_empty() && values.iter().all(|value| value.is_finite())).then_some(values)
}

/// Product of a vector and one in stored form; zero for another dimension. The cosine where both have unit length.
pub(super) fn product(query: &[f32], stored: &[u8]) -> f32 {
    const LANES: usize = 16;
    if stored.len() != query.len() * 4 {
        return 0.0;
    }
    let mut sums = [0.0_f32; LANES];
    let (query, query_rest) = query.as_chunks::<LANES>();
    let (stored, stored_rest) = stored.as_chunks::<{ LANES * 4 }>();
    for (query, stored) in query.iter().zip(stored) {
        let (numbers, _) = stored.as_chunks::<4>();
        for lane in 0..LANES {
            sums[lane] += query[lane] * f32::from_le_bytes(numbers[lane]);
        }
    }
    let (numbers, _) = stored_rest.as_chunks::<4>();
    let rest: f32 = query_rest.iter().zip(numbers).map(|(value, number)| value * f32::from_le_bytes(*number)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Bits of a signature for vectors of `dims` numbers.
pub(super) fn signature_bits(dims: usize) -> usize {
    dims.next_multiple_of(64)
}

/// The signature of a vector: [`signature_bits`] bits, the first in the lowest bit of the first byte.
pub(super) fn signature(values: &[f32]) -> Vec<u8> {
    let rotated = rotated(values);
    let (groups, _) = rotated.as_chunks::<8>();
    groups
        .iter()
        .map(|group| group.iter().enumerate().fold(0, |byte, (bit, value)| byte | (u8::from(*value >= 0.0) << bit)))
        .collect()
}

/// A query, cut into planes of bits.
pub(super) struct QueryCode {
    /// Of each 64 numbers the four planes, the heaviest last.
    planes: Vec<[u64; PLANES]>,
    bits: f32,
    /// Cosine per unit of the weighted sum of signs.
    scale: f32,
}

impl QueryCode {
    /// `query` has unit length.
    pub(super) fn new(query: &[f32]) -> Self {
        let rotated = rotated(query);
        let bits = rotated.len() as f32;
        let largest = rotated.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        let step = largest / LEVEL_MAX;
        let (groups, _) = rotated.as_chunks::<64>();
        let planes = groups
            .iter()
            .map(|group| {
                let mut planes = [0_u64; PLANES];
                for (bit, value) in group.iter().enumerate() {
                    // The odd level next to it, counted from the lowest: each of its bits stands for plus or minus a power of two.
                    let level = ((value / step + LEVEL_MAX) / 2.0).round().clamp(0.0, LEVEL_MAX) as u64;
                    for (number, plane) in planes.iter_mut().enumerate() {
                        *plane |= ((level >> number) & 1) << bit;
                    }
                }
                planes
            })
            .collect();
        Self { planes, bits, scale: step / (bits.sqrt() * FRAC_2_PI.sqrt()) }
    }

    pub(super) fn signature_bytes(&self) -> usize {
        self.planes.len() * 8
    }

    /// Appends the distance of every signature in `block`: less is nearer.
    pub(super) fn distances(&self, block: &[u8], distances: &mut Vec<u32>) {
        distances.clear();
        match self.planes.len() {
            // Without the loop over a count that the compiler does not know: the usual 384, 768 and 1024 numbers.
            6 => self.fixed::<6>(block, distances),
            12 => self.fixed::<12>(block, distances),
            16 => self.fixed::<16>(block, distances),
            words => distances
                .extend(block.chunks_exact(words * 8).map(|one| distance(&self.planes, one.as_chunks::<8>().0))),
        }
    }

    fn fixed<const WORDS: usize>(&self, block: &[u8], distances: &mut Vec<u32>) {
        let (words, _) = block.as_chunks::<8>();
        let (signatures, _) = words.as_chunks::<WORDS>();
        let Some((planes, _)) = self.planes.as_chunks::<WORDS>().0.split_first() else { return };
        distances.extend(signatures.iter().map(|one| distance(planes, one)));
    }

    /// The cosine that a distance stands for.
    pub(super) fn cosine(&self, distance: u32) -> f32 {
        (LEVEL_MAX * self.bits - 2.0 * distance as f32) * self.scale
    }

    /// Standard error of [`QueryCode::cosine`] around a true cosine of `cosine`.
    pub(super) fn error(&self, cosine: f32) -> f32 {
        let equal = (cosine * cosine).min(1.0);
        ((ERROR_APART * ERROR_APART * (1.0 - equal) + ERROR_EQUAL * ERROR_EQUAL * equal) / self.bits).sqrt()
    }
}

#[inline(always)]
fn distance(planes: &[[u64; PLANES]], signature: &[[u8; 8]]) -> u32 {
    let mut counts = [0_u32; PLANES];
    for (planes, word) in planes.iter().zip(signature) {
        let word = u64::from_le_bytes(*word);
        counts[0] += (planes[0] ^ word).count_ones();
        counts[1] += (planes[1] ^ word).count_ones();
        counts[2] += (planes[2] ^ word).count_ones();
        counts[3] += (planes[3] ^ word).count_ones();
    }
    counts[0] + 2 * counts[1] + 4 * counts[2] + 8 * counts[3]
}

/// The same vector seen from another, fixed, side; padded with zeros to a multiple of 64.
fn rotated(values: &[f32]) -> Vec<f32> {
    let len = signature_bits(values.len());
    let mut now = values.to_vec();
    now.resize(len, 0.0);
    let block_len = 1 << len.trailing_zeros();
    let mut next = vec![0.0; len];
    for round in 0..ROUNDS {
        for (index, value) in now.iter_mut().enumerate() {
            if is_flipped(round, index) {
                *value = -*value;
            }
        }
        now.chunks_exact_mut(block_len).for_each(mix);
        // Numbers of all blocks meet in the next round.
        let blocks = len / block_len;
        for (index, value) in now.iter().enumerate() {
            next[(index % block_len) * blocks + index / block_len] = *value;
        }
        std::mem::swap(&mut now, &mut next);
    }
    now
}

/// Walsh and Hadamard's transform, which keeps lengths.
fn mix(block: &mut [f32]) {
    let mut half = 1;
    while half < block.len() {
        for pair in block.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = (*low + *high, *low - *high);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (block.len() as f32).sqrt();
    block.iter_mut().for_each(|value| *value *= scale);
}

/// A fixed, even coin (SplitMix64). Part of the stored format: another one needs another index.
fn is_flipped(round: u64, index: usize) -> bool {
    let mut state = (round << 32 | index as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (state ^ (state >> 31)) & 1 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(dims: usize) -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-1.0_f32..1.0, dims).prop_filter_map("no direction", |values| unit(&values))
    }

    fn plain(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn what_has_no_direction_is_no_vector() {
        assert_eq!(unit(&[0.0, 0.0]), None);
        assert_eq!(unit(&[f32::NAN, 1.0]), None);
        assert_eq!(unit(&[f32::INFINITY, 1.0]), None);
        assert_eq!(unit(&[]), None);
        assert_eq!(from_blob(&[1, 2, 3]), None);
        assert_eq!(from_blob(&f32::NAN.to_le_bytes()), None);
        assert_eq!(unit(&[3.0, 4.0]), Some(vec![0.6, 0.8]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_stored_form_reads_back_and_multiplies_alike(one in vector(384), other in vector(384)) {
            prop_assert_eq!(from_blob(&to_blob(&one)), Some(one.clone()));
            prop_assert!((product(&one, &to_blob(&other)) - plain(&one, &other)).abs() < 1e-5);
        }

        #[test]
        fn turning_keeps_lengths_and_angles(one in vector(100), other in vector(100)) {
            let (turned, also) = (rotated(&one), rotated(&other));
            prop_assert_eq!(turned.len(), 128);
            prop_assert!((plain(&turned, &also) - plain(&one, &other)).abs() < 1e-5);
        }

        #[test]
        fn counted_bits_estimate_the_cosine(one in vector(384), own in vector(384), share in 0.0_f32..1.0) {
            let blend: Vec<f32> = one.iter().zip(&own).map(|(a, b)| a * share + b * (1.0 - share)).collect();
            let other = unit(&blend).expect("a direction");
            let code = QueryCode::new(&one);
            let mut distances = Vec::new();
            code.distances(&signature(&other), &mut distances);
            let (estimate, cosine) = (code.cosine(distances[0]), plain(&one, &other));
            // Five standard errors and the rounding of the query.
            prop_assert!((estimate - cosine).abs() < 5.0 * code.error(cosine) + 0.02, "{estimate} for {cosine}");
        }

        #[test]
        fn every_dimension_counts_alike(one in vector(768), other in vector(768)) {
            let code = QueryCode::new(&one);
            let signature = signature(&other);
            let mut distances = Vec::new();
            code.distances(&signature, &mut distances);
            prop_assert_eq!(distances, vec![distance(&code.planes, signature.as_chunks::<8>().0)]);
        }
    }
}
