//! Many vectors times many rows, as when a model reads: rows are unpacked once, laid side by side, and multiplied with all vectors.
//!
//! A panel is as wide as two registers have lanes, a row in each. Four bytes of every row follow one another, so that one
//! instruction multiplies four bytes of a vector with four of each row.

#![allow(unsafe_code, reason = "vector instructions")]

use std::cell::RefCell;

use crate::inference::kernel::columns::Columns;
use crate::inference::kernel::quant::{GROUP, Matrix};
use crate::inference::kernel::quant_chip::{Chip, Groups, Tiles, for_every_chip};
use crate::inference::kernel::quant_format::{Packed, STEP};
use crate::inference::kernel::quant_vectors::Vectors;

/// Fewer vectors are multiplied one by one: unpacking a panel takes about as long.
pub(super) const VECTORS_MIN: usize = 4;
/// Most rows of a panel.
pub(super) const ROWS_MAX: usize = 32;
/// Four bytes each.
const QUADS: usize = GROUP / 4;

/// An unpacked panel. Threads keep theirs.
#[derive(Default)]
struct Panel {
    /// By group, then by four columns, then by row: four bytes.
    quads: Vec<u32>,
    /// By group, or by half of a group, then by row.
    scales: Vec<f32>,
    mins: Vec<f32>,
}

thread_local! {
    static PANEL: RefCell<Panel> = RefCell::default();
}

for_every_chip! { fn panel_on(matrix: &Matrix<'_>, vectors: &Vectors, out: (&Columns<'_>, usize), panel: &mut Panel) = panels }

/// `out[vector][column + row]` = row times vector, for all of both. Not for [`Chip::Scalar`].
///
/// # Safety
/// Nobody else may use those columns meanwhile.
pub(super) unsafe fn multiply<P: Packed>(
    chip: Chip,
    matrix: &Matrix<'_>,
    vectors: &Vectors,
    (out, column): (&Columns<'_>, usize),
) {
    assert_eq!(matrix.columns, vectors.columns, "invariant: rows and vectors are of one length");
    PANEL.with_borrow_mut(|panel| {
        // SAFETY: rows and vectors are of one length, in whole groups; the rest is the caller's promise.
        unsafe { panel_on::<P>(chip, matrix, vectors, (out, column), panel) }
    });
}

#[inline(always)]
unsafe fn panels<G: Groups, T: Tiles, P: Packed>(
    matrix: &Matrix<'_>,
    vectors: &Vectors,
    (out, column): (&Columns<'_>, usize),
    panel: &mut Panel,
) {
    let (groups, width) = (matrix.columns / GROUP, 2 * T::LANES);
    let parts = groups * (1 + usize::from(P::FINE));
    panel.quads.resize(panel.quads.len().max(groups * QUADS * width), 0);
    panel.scales.resize(panel.scales.len().max(parts * width), 0.0);
    panel.mins.resize(panel.mins.len().max(parts * width), 0.0);
    let mut first = 0;
    while first < matrix.rows {
        let count = (matrix.rows - first).min(width);
        for lane in 0..width {
            // Lanes that are left over repeat the last row.
            let row = matrix.row(first + lane.min(count - 1));
            // SAFETY: the caller's promise, and the panel has room for all groups of so many rows.
            unsafe { unpack::<G, T, P>(row.as_ptr(), groups, lane, panel) };
        }
        let mut vector = 0;
        while vector < vectors.count {
            let some = if vectors.count - vector >= 4 { 4 } else { 1 };
            let mut results = [0.0_f32; 4 * ROWS_MAX];
            // SAFETY: as above; there are so many vectors, and room for four times the width.
            unsafe {
                if some == 4 {
                    tile_of_4::<T, P>(panel, vectors, vector, results.as_mut_ptr());
                } else {
                    tile_of_1::<T, P>(panel, vectors, vector, results.as_mut_ptr());
                }
                for (number, results) in results.chunks_exact(width).take(some).enumerate() {
                    let columns = column + first..column + first + count;
                    out.get(vector + number, columns).copy_from_slice(&results[..count]);
                }
            }
            vector += some;
        }
        first += width;
    }
}

/// Puts a row into a lane of the panel.
#[inline(always)]
unsafe fn unpack<G: Groups, T: Tiles, P: Packed>(row: *const u8, groups: usize, lane: usize, panel: &mut Panel) {
    let (width, is_offset) = (2 * T::LANES, P::SIGNED && T::IS_UNSIGNED);
    let flip = if is_offset { 0x8080_8080 } else { 0 };
    let per_group = 1 + usize::from(P::FINE);
    let (mut scales, mut mins) = ([0.0_f32; 2 * STEP], [0.0_f32; 2 * STEP]);
    let mut words = [0_u32; QUADS];
    // SAFETY: the caller's promise.
    unsafe {
        let mut first = 0;
        while first < groups {
            let count = (groups - first).min(STEP);
            let step = row.add(first / STEP * P::STEP_BYTES);
            let head = P::head::<G>(step, count);
            for part in 0..per_group {
                let least = if is_offset { G::scaled(head.scales[part], 128.0) } else { head.mins[part] };
                G::store(head.scales[part], scales.as_mut_ptr().add(part * STEP));
                G::store(least, mins.as_mut_ptr().add(part * STEP));
            }
            let to = first * per_group * width + lane;
            let (to_scales, to_mins) = (panel.scales.as_mut_ptr().add(to), panel.mins.as_mut_ptr().add(to));
            for number in 0..count * per_group {
                *to_scales.add(number * width) = scales[number];
                *to_mins.add(number * width) = mins[number];
            }
            for group in 0..count {
                G::store_bytes(P::group::<G>(step, group), words.as_mut_ptr().cast());
                let to = panel.quads.as_mut_ptr().add((first + group) * QUADS * width + lane);
                for (number, word) in words.iter().enumerate() {
                    *to.add(number * width) = word ^ flip;
                }
            }
            first += STEP;
        }
    }
}

/// Writes a function for so many vectors: loops over a constant number would leave their sums in memory in small code.
macro_rules! tile {
    ($name:ident, $count:literal: $($number:literal)+) => {
        #[inline(always)]
        unsafe fn $name<T: Tiles, P: Packed>(panel: &Panel, vectors: &Vectors, first: usize, to: *mut f32) {
            let (columns, width) = (vectors.columns, 2 * T::LANES);
            let groups = columns / GROUP;
            let per_group = 1 + usize::from(P::FINE);
            // SAFETY: the caller's promise.
            unsafe {
                let mut values = vectors.quants.as_ptr().add(first * columns);
                let own = vectors.scales.as_ptr().add(first * groups);
                let sums = if P::FINE { vectors.half_sums.as_ptr() } else { vectors.sums.as_ptr() };
                let sums = sums.add(first * groups * per_group);
                let (mut scales, mut mins) = (panel.scales.as_ptr(), panel.mins.as_ptr());
                let mut quads = panel.quads.as_ptr();
                let mut total = [[T::zero(); 2]; $count];
                for part in 0..groups * per_group {
                    let mut ints = [[T::none(); 2]; $count];
                    for _ in 0..QUADS / per_group {
                        let weights = [T::quads(quads.cast()), T::quads(quads.add(T::LANES).cast())];
                        $(
                            let value = values.add($number * columns);
                            ints[$number][0] = T::dot::<P>(ints[$number][0], weights[0], value);
                            ints[$number][1] = T::dot::<P>(ints[$number][1], weights[1], value);
                        )+
                        quads = quads.add(width);
                        values = values.add(4);
                    }
                    let scale = [T::load(scales), T::load(scales.add(T::LANES))];
                    let min = [T::load(mins), T::load(mins.add(T::LANES))];
                    $(
                        let worth = *own.add($number * groups + part / per_group);
                        let sum = *sums.add($number * groups * per_group + part);
                        total[$number][0] = T::add(total[$number][0], ints[$number][0], (scale[0], worth), (min[0], sum));
                        total[$number][1] = T::add(total[$number][1], ints[$number][1], (scale[1], worth), (min[1], sum));
                    )+
                    scales = scales.add(width);
                    mins = mins.add(width);
                }
                $(
                    T::store(total[$number][0], to.add($number * width));
                    T::store(total[$number][1], to.add($number * width + T::LANES));
                )+
            }
        }
    };
}

tile!(tile_of_1, 1: 0);
tile!(tile_of_4, 4: 0 1 2 3);
