//! Products without any special instructions: what all others are held to, and what runs where there are no others. And products
//! with weights that are floats.

use crate::inference::kernel::columns::Columns;
use crate::inference::kernel::half_rows::stored_products;
use crate::inference::kernel::quant::{Format, GROUP, Matrix};
use crate::inference::kernel::quant_unpack::{Group, group};
use crate::inference::kernel::quant_vectors::Vectors;

/// `out[vector][column + row]` = row times vector, for all of both.
///
/// # Safety
/// Nobody else may use those columns meanwhile.
#[allow(unsafe_code, reason = "threads write one slice")]
pub(super) unsafe fn multiply(matrix: &Matrix<'_>, vectors: &Vectors, (out, column): (&Columns<'_>, usize)) {
    for number in 0..vectors.count {
        // SAFETY: the caller's promise.
        let out = unsafe { out.get(number, column..column + matrix.rows) };
        for (row, out) in out.iter_mut().enumerate() {
            *out = product(matrix.format, matrix.row(row), vectors, number);
        }
    }
}

/// The same for weights that are not quantised.
///
/// # Safety
/// As above.
#[allow(unsafe_code, reason = "threads write one slice")]
pub(super) unsafe fn floats(matrix: &Matrix<'_>, vectors: &Vectors, (out, column): (&Columns<'_>, usize)) {
    let (columns, is_brain) = (matrix.columns, matrix.format == Format::Bf16);
    let mut unpacked = vec![0_u8; if is_brain { columns * size_of::<f32>() } else { 0 }];
    let mut products = vec![0.0; vectors.count];
    for row in 0..matrix.rows {
        let mut bytes = matrix.row(row);
        if is_brain {
            for (float, brain) in unpacked.as_chunks_mut::<4>().0.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *float = [0, 0, brain[0], brain[1]];
            }
            bytes = &unpacked;
        }
        stored_products(&vectors.values, bytes, matrix.format == Format::F16, columns, &mut products);
        for (number, product) in products.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { out.get(number, column + row..column + row + 1)[0] = *product };
        }
    }
}

fn product(format: Format, row: &[u8], vectors: &Vectors, number: usize) -> f32 {
    let groups = vectors.columns / GROUP;
    (0..groups).map(|at| group_product(&group(format, row, at), vectors, number * groups + at)).sum()
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
