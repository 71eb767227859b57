//! Products with weights of eight bits: blocks of 32 weights with a scale each, as GGUF's `Q8_0`, packed in panels.
//!
//! Rows on the left are brought to bytes on the way, block by block, with scales of their own.

use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::inference::kernel::aligned::Aligned;
use crate::inference::kernel::f32_matrix::RowsMut;
use crate::inference::kernel::f32_tile::{Finish, Target, VECTORS};
use crate::inference::kernel::int8_tile::{BLOCK, ByteTile, STEPS, multiply as multiply_tile, offset, rows_max};
use crate::inference::kernel::lanes::Isa;
use crate::inference::kernel::share::{Size, on_all_threads};

/// Largest byte. -128 is not used: its product could not be summed in 16 bits.
const BYTE_MAX: f32 = 127.0;
/// Multiplications below which other threads are not worth waking.
const SMALL: usize = 200_000;

/// The right side of products, with an optional sum to add to each result.
#[derive(Debug, Clone)]
pub struct PackedBytes {
    isa: Isa,
    depth: usize,
    width: usize,
    bytes: Aligned<i8>,
    scales: Aligned<f32>,
    bias: Option<Aligned<f32>>,
}

impl PackedBytes {
    /// From weights as PyTorch keeps them: rows of `depth` floats, one per column of results; and a bias per column, or none.
    pub fn from_weights(weights: &[f32], depth: usize, bias: &[f32]) -> Self {
        Self::from_weights_for(Isa::detect(), weights, depth, bias)
    }

    fn from_weights_for(isa: Isa, weights: &[f32], depth: usize, bias: &[f32]) -> Self {
        let (width, blocks, panel) = (weights.len() / depth.max(1), depth.div_ceil(BLOCK), VECTORS * isa.lanes());
        let columns = width.div_ceil(panel) * panel;
        let mut packed = Self {
            isa,
            depth,
            width,
            bytes: Aligned::zeros(columns * blocks * BLOCK),
            scales: Aligned::zeros(columns * blocks),
            bias: None,
        };
        if !bias.is_empty() {
            assert_eq!(bias.len(), width, "invariant: a bias per column");
            let mut padded = Aligned::zeros(columns);
            padded[..width].copy_from_slice(bias);
            packed.bias = Some(padded);
        }
        let offset = offset(isa);
        for (column, row) in weights.chunks_exact(depth).enumerate() {
            for (block, values) in row.chunks(BLOCK).enumerate() {
                let scale = scale_of(values);
                let place = packed.place(column, block);
                packed.scales[(column / panel * blocks + block) * panel + column % panel] = scale;
                for (step, value) in values.iter().enumerate() {
                    let byte = to_byte(*value, scale);
                    packed.bytes[place + step / STEPS * panel * STEPS + step % STEPS] = (byte + offset) as u8 as i8;
                }
            }
        }
        packed
    }

    /// Where the bytes of a column's block begin.
    fn place(&self, column: usize, block: usize) -> usize {
        let panel = VECTORS * self.isa.lanes();
        let blocks = self.depth.div_ceil(BLOCK);
        (column / panel * blocks + block) * BLOCK * panel + column % panel * STEPS
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// One column as it was put, as near as eight bits come.
    pub fn column(&self, column: usize) -> impl Iterator<Item = f32> + '_ {
        let panel = VECTORS * self.isa.lanes();
        let (blocks, offset) = (self.depth.div_ceil(BLOCK), offset(self.isa));
        (0..self.depth).map(move |step| {
            let (block, step) = (step / BLOCK, step % BLOCK);
            let byte = self.bytes[self.place(column, block) + step / STEPS * panel * STEPS + step % STEPS];
            let byte = if offset == 0 { i32::from(byte) } else { i32::from(byte as u8) - offset };
            byte as f32 * self.scales[(column / panel * blocks + block) * panel + column % panel]
        })
    }

    /// `to = from * self`, finished as `finish` says, on all threads of the current pool. `from` has rows of `depth` floats.
    pub fn multiply(&self, from: &[f32], to: RowsMut<'_>, finish: Finish) {
        let rows = Bytes::of(from, self.depth, offset(self.isa));
        let job = Job::new(self, &rows, to, finish);
        let size = Size {
            rows: rows.count,
            panels: job.panels(),
            rows_per_tile: rows_max(self.isa),
            is_small: rows.count * self.depth * self.width < SMALL,
            tiles_per_thread_min: 4,
        };
        on_all_threads(size, |rows, panels| job.run(rows, panels));
    }
}

/// The largest magnitude becomes the largest byte.
fn scale_of(values: &[f32]) -> f32 {
    values.iter().fold(0.0_f32, |most, value| most.max(value.abs())) / BYTE_MAX
}

fn to_byte(value: f32, scale: f32) -> i32 {
    if scale == 0.0 { 0 } else { (value / scale).round().clamp(-BYTE_MAX, BYTE_MAX) as i32 }
}

/// Rows of floats as bytes.
struct Bytes {
    count: usize,
    blocks: usize,
    bytes: Aligned<i8>,
    scales: Vec<f32>,
    /// Sum of each block times the negative offset of the weights.
    sums: Vec<i32>,
}

impl Bytes {
    fn of(rows: &[f32], depth: usize, offset: i32) -> Self {
        let (count, blocks) = (rows.len() / depth, depth.div_ceil(BLOCK));
        let mut bytes = Aligned::zeros(count * blocks * BLOCK);
        let (mut scales, mut sums) = (vec![0.0; count * blocks], vec![0; count * blocks]);
        let places = bytes.par_chunks_exact_mut(blocks * BLOCK).zip(scales.par_chunks_exact_mut(blocks));
        let places = places.zip(sums.par_chunks_exact_mut(blocks)).zip(rows.par_chunks_exact(depth));
        places.with_min_len(32).for_each(|(((bytes, scales), sums), row)| {
            for (block, values) in row.chunks(BLOCK).enumerate() {
                let bytes = &mut bytes[block * BLOCK..block * BLOCK + values.len()];
                let sum = super::f32_vector::to_bytes(values, bytes, &mut scales[block]);
                sums[block] = -offset * sum;
            }
        });
        Self { count, blocks, bytes, scales, sums }
    }
}

/// A product whose lengths were checked.
struct Job<'a> {
    matrix: &'a PackedBytes,
    rows: &'a Bytes,
    to: *mut f32,
    to_stride: usize,
    finish: Finish,
}

#[allow(unsafe_code, reason = "threads write different results of one matrix")]
// SAFETY: `run` is called by several threads for different rows or panels, so no float is written by two.
unsafe impl Sync for Job<'_> {}

impl<'a> Job<'a> {
    fn new(matrix: &'a PackedBytes, rows: &'a Bytes, to: RowsMut<'_>, finish: Finish) -> Self {
        let needed = if rows.count == 0 { 0 } else { (rows.count - 1) * to.stride + matrix.width };
        assert!(to.data.len() >= needed && to.stride >= matrix.width, "invariant: there is room for all results");
        assert_eq!(rows.blocks, matrix.depth.div_ceil(BLOCK), "invariant: rows as deep as the matrix");
        Self { matrix, rows, to: to.data.as_mut_ptr(), to_stride: to.stride, finish }
    }

    fn panels(&self) -> usize {
        self.matrix.width.div_ceil(VECTORS * self.matrix.isa.lanes())
    }

    #[allow(unsafe_code, reason = "pointers into the checked slices")]
    fn run(&self, rows: Range<usize>, panels: Range<usize>) {
        let (matrix, blocks) = (self.matrix, self.rows.blocks);
        let (panel, most) = (VECTORS * matrix.isa.lanes(), rows_max(matrix.isa));
        for index in panels {
            let column = index * panel;
            let mut row = rows.start;
            while row < rows.end {
                let count = (rows.end - row).min(most);
                let target = Target {
                    // SAFETY: `new` has checked that there is room for every row and column.
                    to: unsafe { self.to.add(row * self.to_stride + column) },
                    stride: self.to_stride,
                    width: (matrix.width - column).min(panel),
                    bias: matrix.bias.as_ref().map_or(std::ptr::null(), |bias| bias[column..].as_ptr()),
                    finish: self.finish,
                    rows: count,
                };
                let tile = ByteTile {
                    a: self.rows.bytes[row * blocks * BLOCK..].as_ptr(),
                    a_scales: self.rows.scales[row * blocks..].as_ptr(),
                    a_sums: self.rows.sums[row * blocks..].as_ptr(),
                    b: matrix.bytes[column * blocks * BLOCK..].as_ptr(),
                    b_scales: matrix.scales[column * blocks..].as_ptr(),
                    blocks,
                    target,
                };
                // SAFETY: `new` has checked both sides; panels, scales and bias are padded to their full width.
                unsafe { multiply_tile(matrix.isa, &tile) };
                row += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn products_are_near_those_of_floats_and_the_same_on_every_processor(
            count in 1_usize..20, depth in 1_usize..100, width in 1_usize..80
        ) {
            let (a, weights, bias) = (numbers(count * depth, 1), numbers(width * depth, 2), numbers(width, 3));
            let mut results = Vec::new();
            for isa in Isa::all() {
                let packed = PackedBytes::from_weights_for(isa, &weights, depth, &bias);
                let mut c = vec![0.0; count * width];
                packed.multiply(&a, RowsMut { data: &mut c, stride: width }, Finish::Set);
                for row in 0..count {
                    for column in 0..width {
                        let sum: f32 = (0..depth).map(|k| a[row * depth + k] * weights[column * depth + k]).sum();
                        let error = (c[row * width + column] - sum - bias[column]).abs();
                        // Half a byte on either side.
                        prop_assert!(error <= depth as f32 / BYTE_MAX + 1e-4, "{isa:?} {error}");
                    }
                }
                results.push(c);
            }
            for other in &results[1..] {
                prop_assert!(results[0].iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-4));
            }
        }

        #[test]
        fn columns_come_back_within_half_a_byte(weights in proptest::collection::vec(-3.0_f32..3.0, 3 * 50)) {
            for isa in Isa::all() {
                let packed = PackedBytes::from_weights_for(isa, &weights, 50, &[]);
                for (value, weight) in packed.column(1).zip(&weights[50..]) {
                    prop_assert!((value - weight).abs() <= 3.0 / BYTE_MAX / 2.0 + 1e-5);
                }
            }
        }
    }

    #[test]
    fn many_rows_on_many_threads_are_as_on_one_and_zeros_are_zeros() {
        let packed = PackedBytes::from_weights(&numbers(70 * 64, 2), 64, &[]);
        let rows = numbers(500 * 64, 1);
        let (mut one, mut all) = (vec![0.0; 500 * 70], vec![0.0; 500 * 70]);
        for (from, to) in rows.chunks(64).zip(one.chunks_mut(70)) {
            packed.multiply(from, RowsMut { data: to, stride: 70 }, Finish::Set);
        }
        packed.multiply(&rows, RowsMut { data: &mut all, stride: 70 }, Finish::Set);
        assert!(one.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-5));
        packed.multiply(&[0.0; 64], RowsMut { data: &mut all, stride: 70 }, Finish::Set);
        assert_eq!(all[..70], [0.0; 70]);
    }
}
