//! One vector times many rows, as when a model writes: every row is read once, so memory is what takes the time.

#![allow(unsafe_code, reason = "vector instructions")]

use crate::inference::kernel::quant::{GROUP, Matrix};
use crate::inference::kernel::quant_chip::{Chip, Groups, Tiles, for_every_chip};
use crate::inference::kernel::quant_format::{Packed, STEP};
use crate::inference::kernel::quant_vectors::Vectors;

/// A quantised vector.
#[derive(Clone, Copy)]
pub(super) struct Vector {
    quants: *const i8,
    scales: *const f32,
    sums: *const f32,
    half_sums: *const f32,
    groups: usize,
}

impl Vector {
    pub(super) fn of(vectors: &Vectors, number: usize) -> Self {
        let groups = vectors.columns / GROUP;
        Self {
            quants: vectors.quants[number * groups * GROUP..].as_ptr(),
            scales: vectors.scales[number * groups..].as_ptr(),
            sums: vectors.sums[number * groups..].as_ptr(),
            half_sums: vectors.half_sums[number * groups * 2..].as_ptr(),
            groups,
        }
    }
}

for_every_chip! { fn rows_on(matrix: &Matrix<'_>, vector: &Vector, out: &mut [f32]) = rows }

/// `out[row]` = row times vector `number`. Not for [`Chip::Scalar`].
pub(super) fn multiply<P: Packed>(chip: Chip, matrix: &Matrix<'_>, vectors: &Vectors, number: usize, out: &mut [f32]) {
    assert!(matrix.columns == vectors.columns && number < vectors.count && out.len() == matrix.rows);
    // SAFETY: the row and the vector are of one length, in whole groups, and floats of a vector are followed by seven more.
    unsafe { rows_on::<P>(chip, matrix, &Vector::of(vectors, number), out) }
}

#[inline(always)]
unsafe fn rows<G: Groups, T: Tiles, P: Packed>(matrix: &Matrix<'_>, vector: &Vector, out: &mut [f32]) {
    let mut row = matrix.row(0).as_ptr();
    let bytes = matrix.row(0).len();
    for out in out {
        // SAFETY: the caller's promise; there is a row for every float of `out`.
        unsafe {
            *out = product::<G, P>(row, vector);
            row = row.wrapping_add(bytes);
        }
    }
}

#[inline(always)]
unsafe fn product<G: Groups, P: Packed>(row: *const u8, vector: &Vector) -> f32 {
    // SAFETY: the caller's promise: whole groups in row and vector.
    unsafe {
        let (mut sums, mut less) = ([G::zero(); 2], G::zero());
        let mut scales = [0.0_f32; 2 * STEP];
        let mut first = 0;
        while first < vector.groups {
            let count = (vector.groups - first).min(STEP);
            let step = row.add(first / STEP * P::STEP_BYTES);
            let values = vector.quants.add(first * GROUP);
            let head = P::head::<G>(step, count);
            let mut group = 0;
            if P::FINE {
                G::store(head.scales[0], scales.as_mut_ptr());
                G::store(head.scales[1], scales.as_mut_ptr().add(STEP));
                less = G::fma(less, head.mins[0], G::load(vector.half_sums.add(2 * first)));
                less = G::fma(less, head.mins[1], G::load(vector.half_sums.add(2 * first + STEP)));
                while group < count {
                    let (weights, scales) = (P::group::<G>(step, group), scales.as_ptr().add(2 * group));
                    let scale = *vector.scales.add(first + group);
                    sums[0] = G::add_fine(sums[0], weights, values.add(group * GROUP), scales, scale);
                    group += 1;
                }
            } else {
                G::store(G::times(head.scales[0], G::load(vector.scales.add(first))), scales.as_mut_ptr());
                if P::HAS_MINS {
                    less = G::fma(less, head.mins[0], G::load(vector.sums.add(first)));
                }
                let scales = scales.as_ptr();
                while group + 2 <= count {
                    let weights = [P::group::<G>(step, group), P::group::<G>(step, group + 1)];
                    let at = group * GROUP;
                    sums[0] = G::add::<P>(sums[0], weights[0], values.add(at), scales.add(group));
                    sums[1] = G::add::<P>(sums[1], weights[1], values.add(at + GROUP), scales.add(group + 1));
                    group += 2;
                }
                if group < count {
                    let weights = P::group::<G>(step, group);
                    sums[0] = G::add::<P>(sums[0], weights, values.add(group * GROUP), scales.add(group));
                }
            }
            first += STEP;
        }
        G::total(sums[0]) + G::total(sums[1]) - G::total(less)
    }
}
