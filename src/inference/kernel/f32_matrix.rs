//! Products of matrices of floats: one side is packed once, in panels as wide as two vectors, and multiplied many times. It may be
//! kept in 16 bits.
//!
//! A panel is `depth` times that width, one after the other, so that the innermost loop reads memory in order. Weights are packed
//! when a model is loaded; keys and values of attention are packed where they are made.

use std::ops::Range;

use crate::inference::kernel::aligned::Aligned;
use crate::inference::kernel::f32_tile::{Target, Tile, VECTORS, rows_max};
use crate::inference::kernel::lanes::Isa;
use crate::inference::kernel::share::{Size, on_all_threads};

pub use crate::inference::kernel::f32_tile::{Finish, Weight};

/// Multiplications below which other threads are not worth waking.
const SMALL: usize = 60_000;

/// The right side of products, `depth` by `width`, with an optional sum to add to each result.
#[derive(Debug, Clone)]
pub struct Packed<W = f32> {
    isa: Isa,
    depth: usize,
    width: usize,
    data: Aligned<W>,
    bias: Option<Aligned<f32>>,
}

/// Rows of the left side: `count` of them, `stride` floats from one to the next. They may overlap, as those of a convolution do.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    pub count: usize,
}

/// Rows of results, `stride` floats from one to the next.
#[derive(Debug)]
pub struct RowsMut<'a> {
    pub data: &'a mut [f32],
    pub stride: usize,
}

/// The part of a matrix that is in use: its first `depth` steps and `width` columns.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a, W = f32> {
    pub matrix: &'a Packed<W>,
    pub depth: usize,
    pub width: usize,
}

impl<W: Weight> Packed<W> {
    /// All zeros, to be filled by [`Packed::put_column`] or [`Packed::put_step`].
    pub fn zeros(depth: usize, width: usize) -> Self {
        Self::zeros_for(Isa::detect(), depth, width)
    }

    fn zeros_for(isa: Isa, depth: usize, width: usize) -> Self {
        let panel = VECTORS * isa.lanes();
        Self { isa, depth, width, data: Aligned::zeros(width.div_ceil(panel) * panel * depth), bias: None }
    }

    /// From weights as PyTorch keeps them: `width` rows of `depth` floats.
    pub fn from_weights(weights: &[f32], depth: usize) -> Self {
        Self::from_weights_for(Isa::detect(), weights, depth)
    }

    fn from_weights_for(isa: Isa, weights: &[f32], depth: usize) -> Self {
        let mut packed = Self::zeros_for(isa, depth, weights.len() / depth.max(1));
        for (column, row) in weights.chunks_exact(depth).enumerate() {
            packed.put_column(column, row);
        }
        packed
    }

    /// Adds `bias`, one float per column, to every result.
    pub fn with_bias(mut self, bias: &[f32]) -> Self {
        assert_eq!(bias.len(), self.width, "invariant: a bias per column");
        let panel = self.panel();
        let mut padded = Aligned::zeros(self.width.div_ceil(panel) * panel);
        padded[..bias.len()].copy_from_slice(bias);
        self.bias = Some(padded);
        self
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn whole(&self) -> Part<'_, W> {
        Part { matrix: self, depth: self.depth, width: self.width }
    }

    /// Columns of a panel.
    fn panel(&self) -> usize {
        VECTORS * self.isa.lanes()
    }

    /// Sets one column: what is multiplied with a row for its `column`th result. As a key of attention is.
    pub fn put_column(&mut self, column: usize, values: &[f32]) {
        let panel = self.panel();
        let start = column / panel * panel * self.depth + column % panel;
        for (place, value) in self.data[start..].iter_mut().step_by(panel).zip(&values[..self.depth]) {
            *place = W::narrowed(*value);
        }
    }

    /// Sets one step: what the `step`th float of a row is multiplied with, for all columns. As a value of attention is.
    pub fn put_step(&mut self, step: usize, values: &[f32]) {
        let panel = self.panel();
        for (index, chunk) in values[..self.width].chunks(panel).enumerate() {
            let start = (index * self.depth + step) * panel;
            for (place, value) in self.data[start..].iter_mut().zip(chunk) {
                *place = W::narrowed(*value);
            }
        }
    }

    /// One column as it was put, for looking words up in a matrix that is multiplied with as well.
    pub fn column(&self, column: usize) -> impl Iterator<Item = f32> + '_ {
        let panel = self.panel();
        let start = column / panel * panel * self.depth + column % panel;
        self.data[start..].iter().step_by(panel).take(self.depth).map(|weight| weight.widened())
    }
}

/// `to = from * part`, finished as `finish` says, on this thread.
pub fn multiply<W: Weight>(from: Rows<'_>, part: Part<'_, W>, to: RowsMut<'_>, finish: Finish) {
    let job = Job::new(from, part, to, finish);
    job.run(0..from.count, 0..job.panels());
}

/// The same on all threads of the current pool.
pub fn multiply_on_all<W: Weight>(from: Rows<'_>, part: Part<'_, W>, to: RowsMut<'_>, finish: Finish) {
    let job = Job::new(from, part, to, finish);
    let size = Size {
        rows: from.count,
        panels: job.panels(),
        rows_per_tile: rows_max(part.matrix.isa),
        is_small: from.count * part.depth * part.width < SMALL,
        tiles_per_thread_min: 2,
    };
    on_all_threads(size, |rows, panels| job.run(rows, panels));
}

/// A product whose lengths were checked.
struct Job<'a, W> {
    from: Rows<'a>,
    part: Part<'a, W>,
    to: *mut f32,
    to_stride: usize,
    finish: Finish,
}

#[allow(unsafe_code, reason = "threads write different results of one matrix")]
// SAFETY: `run` is called by several threads for different rows or panels, so no float is written by two.
unsafe impl<W: Weight> Sync for Job<'_, W> {}

impl<'a, W: Weight> Job<'a, W> {
    fn new(from: Rows<'a>, part: Part<'a, W>, to: RowsMut<'a>, finish: Finish) -> Self {
        let needed = |stride: usize, width: usize| match from.count {
            0 => 0,
            count => (count - 1) * stride + width,
        };
        assert!(part.depth <= part.matrix.depth && part.width <= part.matrix.width, "invariant: a part of the matrix");
        assert!(from.data.len() >= needed(from.stride, part.depth), "invariant: all rows are there");
        assert!(to.data.len() >= needed(to.stride, part.width), "invariant: there is room for all results");
        assert!(to.stride >= part.width, "invariant: results do not overlap");
        Self { from, part, to: to.data.as_mut_ptr(), to_stride: to.stride, finish }
    }

    fn panels(&self) -> usize {
        self.part.width.div_ceil(self.part.matrix.panel())
    }

    #[allow(unsafe_code, reason = "pointers into the checked slices")]
    fn run(&self, rows: Range<usize>, panels: Range<usize>) {
        let matrix = self.part.matrix;
        let (panel, most) = (matrix.panel(), rows_max(matrix.isa));
        for index in panels {
            let column = index * panel;
            let b = matrix.data[column * matrix.depth..].as_ptr();
            let bias = matrix.bias.as_ref().map_or(std::ptr::null(), |bias| bias[column..].as_ptr());
            let mut row = rows.start;
            while row < rows.end {
                let count = (rows.end - row).min(most);
                let tile = Tile {
                    a: self.from.data[row * self.from.stride..].as_ptr(),
                    a_stride: self.from.stride,
                    b,
                    depth: self.part.depth,
                    target: Target {
                        // SAFETY: `new` has checked that there is room for every row and column.
                        to: unsafe { self.to.add(row * self.to_stride + column) },
                        stride: self.to_stride,
                        width: (self.part.width - column).min(panel),
                        bias,
                        finish: self.finish,
                        rows: count,
                    },
                };
                // SAFETY: `new` has checked both sides; panels and bias are padded to their full width.
                unsafe { W::multiply(matrix.isa, &tile) };
                row += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::*;

    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect()
    }

    fn gelu(x: f64) -> f64 {
        // By the series of the error function, which is slow and exact enough.
        let z = x / std::f64::consts::SQRT_2;
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 * x * (1.0 + sum * 2.0 / std::f64::consts::PI.sqrt())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn products_are_the_same_on_every_processor(
            count in 1_usize..30, depth in 1_usize..40, width in 1_usize..80, way in 0_usize..3
        ) {
            let finish = [Finish::Set, Finish::Gelu, Finish::Add][way];
            let (a, weights, bias) = (numbers(count * depth, 1), numbers(width * depth, 2), numbers(width, 3));
            for isa in Isa::all() {
                let packed = Packed::<f32>::from_weights_for(isa, &weights, depth).with_bias(&bias);
                let mut c = vec![0.5; count * width];
                let from = Rows { data: &a, stride: depth, count };
                multiply_on_all(from, packed.whole(), RowsMut { data: &mut c, stride: width }, finish);
                for row in 0..count {
                    for column in 0..width {
                        let sum: f64 = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(weights[column * depth + k])).sum();
                        let sum = sum + f64::from(bias[column]);
                        let expected = match finish {
                            Finish::Set => sum,
                            Finish::Gelu if sum.abs() > 5.0 => sum.max(0.0),
                            Finish::Gelu => gelu(sum),
                            Finish::Add => sum + 0.5,
                        };
                        prop_assert!((f64::from(c[row * width + column]) - expected).abs() < 2e-5, "{isa:?} {finish:?}");
                    }
                }
            }
        }

        #[test]
        fn halves_are_multiplied_as_the_floats_that_they_are(count in 1_usize..30, depth in 1_usize..40, width in 1_usize..80) {
            let a = numbers(count * depth, 1);
            // What sixteen bits hold exactly, very small ones among them.
            let weights: Vec<f32> = numbers(width * depth, 2).iter().map(|value| f16::from_f32(value.powi(9)).to_f32()).collect();
            for isa in Isa::all() {
                let (mut exact, mut half) = (vec![0.0; count * width], vec![0.0; count * width]);
                let from = Rows { data: &a, stride: depth, count };
                let floats = Packed::<f32>::from_weights_for(isa, &weights, depth);
                let halves = Packed::<f16>::from_weights_for(isa, &weights, depth);
                multiply_on_all(from, floats.whole(), RowsMut { data: &mut exact, stride: width }, Finish::Set);
                multiply_on_all(from, halves.whole(), RowsMut { data: &mut half, stride: width }, Finish::Set);
                prop_assert_eq!(exact, half, "{:?}", isa);
                prop_assert!(halves.column(width - 1).eq(weights[(width - 1) * depth..].iter().copied()));
            }
        }

        #[test]
        fn a_matrix_may_be_filled_by_columns_or_by_steps_and_used_in_part(
            depth in 1_usize..9, width in 1_usize..70, used in 1_usize..9
        ) {
            let used = used.min(depth);
            let weights = numbers(depth * width, 4);
            for isa in Isa::all() {
                let by_columns = Packed::<f32>::from_weights_for(isa, &weights, depth);
                let mut by_steps = Packed::<f32>::zeros_for(isa, depth, width);
                for step in 0..depth {
                    let values: Vec<f32> = (0..width).map(|column| weights[column * depth + step]).collect();
                    by_steps.put_step(step, &values);
                }
                prop_assert_eq!(&by_columns.data[..], &by_steps.data[..]);
                prop_assert_eq!(by_columns.column(width - 1).collect::<Vec<_>>(), weights[(width - 1) * depth..].to_vec());
                let (mut c, ones) = (vec![0.0; width], vec![1.0; used]);
                let part = Part { matrix: &by_steps, depth: used, width };
                multiply(Rows { data: &ones, stride: used, count: 1 }, part, RowsMut { data: &mut c, stride: width }, Finish::Set);
                for (column, c) in c.iter().enumerate() {
                    let sum: f32 = weights[column * depth..column * depth + used].iter().sum();
                    prop_assert!((c - sum).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn many_rows_on_many_threads_are_as_on_one() {
        let (a, weights) = (numbers(500 * 33, 1), numbers(70 * 33, 2));
        let packed = Packed::<f32>::from_weights(&weights, 33);
        let from = Rows { data: &a, stride: 33, count: 500 };
        let (mut one, mut all) = (vec![0.0; 500 * 70], vec![0.0; 500 * 70]);
        multiply(from, packed.whole(), RowsMut { data: &mut one, stride: 70 }, Finish::Set);
        multiply_on_all(from, packed.whole(), RowsMut { data: &mut all, stride: 70 }, Finish::Set);
        assert_eq!(one, all);
    }
}
