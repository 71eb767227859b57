//! Products without any special instructions: what all others are held to, and what runs where there are no others.

use crate::inference::kernel::quant::{Format, GROUP, Matrix, Vectors};
use crate::inference::kernel::quant_unpack::{Group, group, read};

/// See [`crate::inference::kernel::quant::multiply`].
pub(super) fn multiply(matrix: &Matrix<'_>, vectors: &Vectors, out: &mut [f32]) {
    if matrix.format.is_quantised() {
        for (row, out) in out.chunks_exact_mut(vectors.count).enumerate() {
            quantised_row(matrix.format, matrix.row(row), vectors, out);
        }
    } else {
        let mut floats = vec![0.0; matrix.columns];
        for (row, out) in out.chunks_exact_mut(vectors.count).enumerate() {
            read(matrix.format, matrix.row(row), &mut floats);
            for (vector, out) in vectors.values.chunks_exact(vectors.columns).zip(out) {
                *out = vector.iter().zip(&floats).map(|(left, right)| left * right).sum();
            }
        }
    }
}

fn quantised_row(format: Format, row: &[u8], vectors: &Vectors, out: &mut [f32]) {
    out.fill(0.0);
    let groups = vectors.columns / GROUP;
    for number in 0..groups {
        let group = group(format, row, number);
        for (vector, out) in out.iter_mut().enumerate() {
            *out += group_product(&group, vectors, vector * groups + number);
        }
    }
}

/// Of a group of a row and group `at` of all vectors.
fn group_product(group: &Group, vectors: &Vectors, at: usize) -> f32 {
    let quants = &vectors.quants[at * GROUP..(at + 1) * GROUP];
    let half = |start: usize| -> i32 {
        let pair = quants[start..start + 16].iter().zip(&group.quants[start..start + 16]);
        pair.map(|(left, right)| i32::from(*left) * i32::from(*right)).sum()
    };
    let product = group.scales[0] * half(0) as f32 + group.scales[1] * half(16) as f32;
    product * vectors.scales[at] + group.offset * vectors.sums[at]
}
