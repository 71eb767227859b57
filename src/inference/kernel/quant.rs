//! Matrices as ggml stores them, times vectors: formats of weights, quantised vectors, and who multiplies them.
//!
//! A vector is quantised to 8 bits in groups of 32 with one scale each, once for all rows it is multiplied with. A row is never
//! unpacked to floats: integers are multiplied, and scales applied per group.

use half::f16;

#[cfg(target_arch = "x86_64")]
use crate::inference::kernel::quant_avx512;
use crate::inference::kernel::{quant_scalar, quant_unpack};

/// Elements of a vector that share a scale.
pub const GROUP: usize = 32;

/// How ggml stores a row (`ggml-common.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Format {
    /// From ggml's number of a type.
    pub fn of_ggml(kind: u32) -> Option<Self> {
        Some(match kind {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Elements and bytes of a block.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// Bytes of a row; nothing when it does not divide into blocks.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let (elements, bytes) = self.block();
        if columns == 0 || !columns.is_multiple_of(elements) { None } else { (columns / elements).checked_mul(bytes) }
    }

    pub fn is_quantised(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }
}

/// Rows of weights, in ggml's layout.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub format: Format,
    pub columns: usize,
    pub rows: usize,
    bytes: &'a [u8],
    row_bytes: usize,
}

impl<'a> Matrix<'a> {
    /// Nothing when the bytes are not those of such a matrix.
    pub fn new(format: Format, columns: usize, rows: usize, bytes: &'a [u8]) -> Option<Self> {
        let row_bytes = format.row_bytes(columns)?;
        let is_whole = row_bytes.checked_mul(rows) == Some(bytes.len());
        is_whole.then_some(Self { format, columns, rows, bytes, row_bytes })
    }

    /// Some of the rows.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        let bytes = &self.bytes[rows.start * self.row_bytes..rows.end * self.row_bytes];
        Self { rows: rows.len(), bytes, ..*self }
    }

    pub(super) fn row(&self, row: usize) -> &'a [u8] {
        &self.bytes[row * self.row_bytes..(row + 1) * self.row_bytes]
    }

    /// One row as floats.
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        quant_unpack::read(self.format, self.row(row), out);
    }
}

/// Vectors that are multiplied with rows: as floats, and in groups of 8-bit integers.
#[derive(Debug, Default)]
pub struct Vectors {
    pub(super) columns: usize,
    pub(super) count: usize,
    pub(super) values: Vec<f32>,
    /// Of each element, rounded value over its group's scale.
    pub(super) quants: Vec<i8>,
    /// Of each group.
    pub(super) scales: Vec<f32>,
    /// Of each group, the sum of its quants times its scale.
    pub(super) sums: Vec<f32>,
}

impl Vectors {
    /// Takes `values` as vectors of `columns` floats each; keeps what it allocated before.
    pub fn set(&mut self, values: &[f32], columns: usize) {
        debug_assert!(values.len().is_multiple_of(columns), "whole vectors");
        self.columns = columns;
        self.count = values.len() / columns;
        self.values.clear();
        self.values.extend_from_slice(values);
        self.quants.clear();
        self.scales.clear();
        self.sums.clear();
        if columns.is_multiple_of(GROUP) {
            self.quantise();
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    fn quantise(&mut self) {
        self.quants.resize(self.values.len(), 0);
        for (values, quants) in self.values.chunks_exact(GROUP).zip(self.quants.chunks_exact_mut(GROUP)) {
            let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let mut sum = 0_i32;
            for (quant, value) in quants.iter_mut().zip(values) {
                *quant = (value * inverse).round_ties_even() as i8;
                sum += i32::from(*quant);
            }
            let scale = largest / 127.0;
            self.scales.push(scale);
            self.sums.push(sum as f32 * scale);
        }
    }
}

/// `out[row * count + vector]` = row times vector, for all rows and all vectors.
pub fn multiply(matrix: &Matrix<'_>, vectors: &Vectors, out: &mut [f32]) {
    assert_eq!(matrix.columns, vectors.columns, "rows and vectors are of one length");
    assert_eq!(out.len(), matrix.rows * vectors.count, "room for every product");
    #[cfg(target_arch = "x86_64")]
    if quant_avx512::knows(matrix.format, matrix.columns) && quant_avx512::is_there() {
        return quant_avx512::multiply(matrix, vectors, out);
    }
    quant_scalar::multiply(matrix, vectors, out);
}

/// A 16-bit float at the start of a block.
pub(super) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

    use super::*;

    const FORMATS: [Format; 8] =
        [Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q8_0, Format::Q4K, Format::Q5K, Format::Q6K];

    /// Random blocks whose scales are numbers of a usual size.
    fn blocks(format: Format, rows: usize, columns: usize, seed: &mut u64) -> Vec<u8> {
        let (_, block) = format.block();
        let mut bytes = vec![0; format.row_bytes(columns).expect("whole rows") * rows];
        for block in bytes.chunks_exact_mut(block) {
            for byte in block.iter_mut() {
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (*seed >> 56) as u8;
            }
            let halves: &[usize] = match format {
                Format::Q6K => &[208],
                Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
                _ => &[0],
            };
            for at in halves {
                let scale = f16::from_f32(f32::from(block[*at]) / 2_560.0 + 0.01);
                block[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn every_way_to_multiply_comes_to_the_same(
            format in 0_usize..8, rows in 1_usize..4, count in 1_usize..7, length in 1_usize..4, seed in any::<u64>(),
        ) {
            let (format, mut seed) = (FORMATS[format], seed);
            let columns = length * format.block().0.max(64);
            let bytes = blocks(format, rows, columns, &mut seed);
            let matrix = Matrix::new(format, columns, rows, &bytes).expect("a matrix");
            let values: Vec<f32> = (0..columns * count).map(|at| ((seed >> (at % 48)) as u8 as f32 - 128.0) / 64.0).collect();
            let mut vectors = Vectors::default();
            vectors.set(&values, columns);
            let mut ours = vec![0.0; rows * count];
            multiply(&matrix, &vectors, &mut ours);
            let mut plain = vec![0.0; rows * count];
            quant_scalar::multiply(&matrix, &vectors, &mut plain);
            let mut floats = vec![0.0; columns];
            for row in 0..rows {
                matrix.read_row(row, &mut floats);
                for vector in 0..count {
                    let at = row * count + vector;
                    let values = &values[vector * columns..(vector + 1) * columns];
                    let exact: f32 = values.iter().zip(&floats).map(|(left, right)| left * right).sum();
                    let size: f32 = values.iter().zip(&floats).map(|(left, right)| (left * right).abs()).sum();
                    prop_assert!((ours[at] - plain[at]).abs() <= 1e-5 * size + 1e-6, "{format:?}: {} {}", ours[at], plain[at]);
                    prop_assert!((exact - plain[at]).abs() <= 0.02 * size + 1e-3, "{format:?}: {exact} {}", plain[at]);
                }
            }
        }
    }
}
