//! Matrices as ggml stores them, times vectors: formats of weights, quantised vectors, and who multiplies them.
//!
//! A vector is rounded to 8 bits in groups of 32 with one scale each (`quant_vectors`), once for all rows it is multiplied with. A
//! row is never unpacked to floats: integers are multiplied, and scales applied per group.

use half::f16;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::inference::kernel::columns::Columns;
use crate::inference::kernel::quant_chip::Chip;
use crate::inference::kernel::quant_format::{self, Packed};
use crate::inference::kernel::quant_vectors::Vectors;
use crate::inference::kernel::{quant_panel, quant_rows, quant_scalar, quant_unpack};

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

    /// All rows, as they lie in the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn row(&self, row: usize) -> &'a [u8] {
        &self.bytes[row * self.row_bytes..(row + 1) * self.row_bytes]
    }

    /// One row as floats.
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        quant_unpack::read(self.format, self.row(row), out);
    }
}

/// Rows that one thread takes at a time; a multiple of a panel's width.
const ROWS_PER_TASK_MIN: usize = 32;
/// Tasks for each thread, so that a slow core holds nobody up.
const TASKS_PER_THREAD: usize = 4;

/// `out[vector][row]` = row times vector, for all rows of all matrices, one matrix after another. Cut among the threads of the
/// pool that this is called in.
pub fn multiply(matrices: &[Matrix<'_>], vectors: &Vectors, out: &mut [f32]) {
    multiply_on(Chip::detect(), matrices, vectors, out);
}

fn multiply_on(chip: Chip, matrices: &[Matrix<'_>], vectors: &Vectors, out: &mut [f32]) {
    let rows: usize = matrices.iter().map(|matrix| matrix.rows).sum();
    assert!(matrices.iter().all(|matrix| matrix.columns == vectors.columns), "rows and vectors are of one length");
    assert_eq!(out.len(), rows * vectors.count, "room for every product");
    let share = rows.div_ceil(rayon::current_num_threads() * TASKS_PER_THREAD);
    let share = share.max(1).next_multiple_of(ROWS_PER_TASK_MIN);
    let mut tasks = Vec::with_capacity(rows / share + matrices.len());
    let mut column = 0;
    for matrix in matrices {
        for first in (0..matrix.rows).step_by(share) {
            let end = (first + share).min(matrix.rows);
            tasks.push((matrix.slice(first..end), column + first));
        }
        column += matrix.rows;
    }
    let out = Columns::new(out, rows);
    tasks.into_par_iter().for_each(|(matrix, column)| {
        // SAFETY: every task has columns of its own.
        #[allow(unsafe_code, reason = "threads write one slice")]
        unsafe {
            some_rows(chip, &matrix, vectors, (&out, column));
        }
    });
}

/// # Safety
/// Nobody else may use those columns meanwhile.
#[allow(unsafe_code, reason = "threads write one slice")]
unsafe fn some_rows(chip: Chip, matrix: &Matrix<'_>, vectors: &Vectors, out: (&Columns<'_>, usize)) {
    // SAFETY: the caller's promise.
    unsafe {
        match matrix.format {
            Format::F32 | Format::F16 | Format::Bf16 => quant_scalar::floats(matrix, vectors, out),
            _ if chip == Chip::Scalar => quant_scalar::multiply(matrix, vectors, out),
            Format::Q4_0 => packed::<quant_format::Q4_0>(chip, matrix, vectors, out),
            Format::Q4_1 => packed::<quant_format::Q4_1>(chip, matrix, vectors, out),
            Format::Q5_0 => packed::<quant_format::Q5_0>(chip, matrix, vectors, out),
            Format::Q5_1 => packed::<quant_format::Q5_1>(chip, matrix, vectors, out),
            Format::Q8_0 => packed::<quant_format::Q8_0>(chip, matrix, vectors, out),
            Format::Q4K => packed::<quant_format::Q4K>(chip, matrix, vectors, out),
            Format::Q5K => packed::<quant_format::Q5K>(chip, matrix, vectors, out),
            Format::Q6K => packed::<quant_format::Q6K>(chip, matrix, vectors, out),
        }
    }
}

#[allow(unsafe_code, reason = "threads write one slice")]
unsafe fn packed<P: Packed>(chip: Chip, matrix: &Matrix<'_>, vectors: &Vectors, (out, column): (&Columns<'_>, usize)) {
    // SAFETY: the caller's promise.
    unsafe {
        if vectors.count >= quant_panel::VECTORS_MIN {
            return quant_panel::multiply::<P>(chip, matrix, vectors, (out, column));
        }
        for number in 0..vectors.count {
            let out = out.get(number, column..column + matrix.rows);
            quant_rows::multiply::<P>(chip, matrix, vectors, number, out);
        }
    }
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
            format in 0_usize..8, rows in 1_usize..40, count in 1_usize..10, length in 1_usize..4, seed in any::<u64>(),
        ) {
            let (format, mut seed) = (FORMATS[format], seed);
            // Nine blocks of 32 do not divide into steps of eight.
            let columns = if format.block().0 == 32 { [32, 96, 288][length - 1] } else { length * 256 };
            let bytes = blocks(format, rows, columns, &mut seed);
            let matrix = Matrix::new(format, columns, rows, &bytes).expect("a matrix");
            let next = |at: usize| (seed.wrapping_mul(at as u64 + 1) >> 40) as u8 as f32;
            let values: Vec<f32> = (0..columns * count).map(|at| (next(at) - 128.0) / 64.0).collect();
            let mut vectors = Vectors::default();
            vectors.set(&values, columns);
            let mut floats = vec![0.0; columns];
            for chip in Chip::all() {
                let mut ours = vec![0.0; rows * count];
                multiply_on(chip, &[matrix], &vectors, &mut ours);
                for row in 0..rows {
                    matrix.read_row(row, &mut floats);
                    for (vector, values) in values.chunks_exact(columns).enumerate() {
                        let ours = ours[vector * rows + row];
                        let sum = |product: &dyn Fn(usize) -> f32| (0..columns).map(product).sum::<f32>();
                        let exact = sum(&|at| values[at] * floats[at]);
                        let rounded = sum(&|at| vectors.rounded(vector, at) * floats[at]);
                        let size = sum(&|at| (values[at] * floats[at]).abs());
                        prop_assert!((ours - rounded).abs() <= 2e-5 * size + 1e-5, "{chip:?} {format:?}: {rounded} {ours}");
                        prop_assert!((exact - ours).abs() <= 0.02 * size + 1e-3, "{chip:?} {format:?}: {exact} {ours}");
                    }
                }
            }
        }

        #[test]
        fn floats_are_multiplied_as_they_are(kind in 0_usize..3, rows in 1_usize..5, count in 1_usize..6, columns in 1_usize..70) {
            let format = [Format::F32, Format::F16, Format::Bf16][kind];
            let number = |at: usize| (at * 37 % 64) as f32 / 16.0 - 2.0;
            let bytes: Vec<u8> = (0..rows * columns).flat_map(|at| match format {
                Format::F32 => number(at).to_le_bytes().to_vec(),
                Format::F16 => f16::from_f32(number(at)).to_le_bytes().to_vec(),
                _ => half::bf16::from_f32(number(at)).to_le_bytes().to_vec(),
            }).collect();
            let matrix = Matrix::new(format, columns, rows, &bytes).expect("a matrix");
            let values: Vec<f32> = (0..columns * count).map(|at| number(at + 5)).collect();
            let mut vectors = Vectors::default();
            vectors.set(&values, columns);
            let mut out = vec![0.0; 2 * rows * count];
            multiply(&[matrix, matrix], &vectors, &mut out);
            for vector in 0..count {
                for row in 0..rows {
                    let exact: f32 = (0..columns).map(|at| number(row * columns + at) * values[vector * columns + at]).sum();
                    for twice in [0, rows] {
                        prop_assert!((out[vector * 2 * rows + twice + row] - exact).abs() < 1e-3);
                    }
                }
            }
        }
    }
}
