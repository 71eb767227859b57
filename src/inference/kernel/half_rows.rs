//! Rows of 16-bit floats, such as a model's memory of what it read: what vectors have in common with each, and mixtures of them.
//!
//! Up to four vectors are done at once, because a row takes longer to read than to multiply.

#![allow(unsafe_code, reason = "vector instructions")]

use half::f16;

use crate::inference::kernel::for_every_isa;
use crate::inference::kernel::lanes::{Isa, Lanes};

/// What rows are made of.
trait Element: Copy {
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    unsafe fn one(from: *const Self) -> f32;
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const f16) -> L {
        // SAFETY: the caller's promise.
        unsafe { L::load_half(from) }
    }
    #[inline(always)]
    unsafe fn one(from: *const f16) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { from.read_unaligned().to_f32() }
    }
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const f32) -> L {
        // SAFETY: the caller's promise.
        unsafe { L::load(from) }
    }
    #[inline(always)]
    unsafe fn one(from: *const f32) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { from.read_unaligned() }
    }
}

/// `out[vector][row]` = vector times row. Vectors and rows have `width` floats, one after another.
pub fn products(vectors: &[f32], rows: &[f16], width: usize, out: &mut [f32]) {
    let (count, row_count) = (vectors.len() / width, rows.len() / width);
    assert!(out.len() == count * row_count, "invariant: room for every product");
    let sizes = Sizes { vectors: count, rows: row_count, width };
    // SAFETY: all have the length that the sizes say.
    unsafe { halves_on(Isa::detect(), vectors.as_ptr(), rows.as_ptr(), sizes, out.as_mut_ptr()) }
}

/// The same with rows as they lie in a file, of 16-bit floats or of whole ones.
pub(super) fn stored_products(vectors: &[f32], rows: &[u8], is_half: bool, width: usize, out: &mut [f32]) {
    let bytes = width * if is_half { size_of::<f16>() } else { size_of::<f32>() };
    let sizes = Sizes { vectors: vectors.len() / width, rows: rows.len() / bytes, width };
    assert!(out.len() == sizes.vectors * sizes.rows, "invariant: room for every product");
    // SAFETY: as above; floats are read wherever they begin.
    unsafe {
        if is_half {
            halves_on(Isa::detect(), vectors.as_ptr(), rows.as_ptr().cast(), sizes, out.as_mut_ptr());
        } else {
            floats_on(Isa::detect(), vectors.as_ptr(), rows.as_ptr().cast(), sizes, out.as_mut_ptr());
        }
    }
}

/// `out[vector]` = the sum of all rows, each times `shares[vector][row]`.
pub fn mix(shares: &[f32], rows: &[f16], width: usize, out: &mut [f32]) {
    let sizes = Sizes { vectors: out.len() / width, rows: rows.len() / width, width };
    assert!(shares.len() == sizes.vectors * sizes.rows, "invariant: a share for every row");
    // SAFETY: all have the length that the sizes say.
    unsafe { mix_on(Isa::detect(), shares.as_ptr(), rows.as_ptr(), sizes, out.as_mut_ptr()) }
}

#[derive(Clone, Copy)]
struct Sizes {
    vectors: usize,
    rows: usize,
    width: usize,
}

for_every_isa! { fn halves_on(vectors: *const f32, rows: *const f16, sizes: Sizes, out: *mut f32) = halves_body }
for_every_isa! { fn floats_on(vectors: *const f32, rows: *const f32, sizes: Sizes, out: *mut f32) = floats_body }
for_every_isa! { fn mix_on(shares: *const f32, rows: *const f16, sizes: Sizes, out: *mut f32) = mix_body }

#[inline(always)]
unsafe fn halves_body<L: Lanes>(vectors: *const f32, rows: *const f16, sizes: Sizes, out: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { products_of::<L, f16>(vectors, rows, sizes, out) }
}

#[inline(always)]
unsafe fn floats_body<L: Lanes>(vectors: *const f32, rows: *const f32, sizes: Sizes, out: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { products_of::<L, f32>(vectors, rows, sizes, out) }
}

#[inline(always)]
unsafe fn products_of<L: Lanes, E: Element>(vectors: *const f32, rows: *const E, sizes: Sizes, out: *mut f32) {
    let mut first = 0;
    while first < sizes.vectors {
        // SAFETY: the caller's promise.
        unsafe {
            let (vectors, out) = (vectors.add(first * sizes.width), out.add(first * sizes.rows));
            first += match sizes.vectors - first {
                1 => products_1::<L, E>(vectors, rows, sizes, out),
                2 | 3 => products_2::<L, E>(vectors, rows, sizes, out),
                _ => products_4::<L, E>(vectors, rows, sizes, out),
            };
        }
    }
}

#[inline(always)]
unsafe fn mix_body<L: Lanes>(shares: *const f32, rows: *const f16, sizes: Sizes, out: *mut f32) {
    let mut first = 0;
    while first < sizes.vectors {
        // SAFETY: the caller's promise.
        unsafe {
            let (shares, out) = (shares.add(first * sizes.rows), out.add(first * sizes.width));
            first += match sizes.vectors - first {
                1 => mix_1::<L>(shares, rows, sizes, out),
                2 | 3 => mix_2::<L>(shares, rows, sizes, out),
                _ => mix_4::<L>(shares, rows, sizes, out),
            };
        }
    }
}

/// Writes both loops for so many vectors, which they give back: loops over a constant number would leave their sums in memory
/// in small code.
macro_rules! loops {
    ($products:ident, $mix:ident, $count:literal: $($number:literal)+) => {
        #[inline(always)]
        unsafe fn $products<L: Lanes, E: Element>(
            vectors: *const f32, rows: *const E, sizes: Sizes, out: *mut f32,
        ) -> usize {
            let width = sizes.width;
            let whole = width - width % L::COUNT;
            for number in 0..sizes.rows {
                // SAFETY: the caller's promise.
                unsafe {
                    let row = rows.add(number * width);
                    let mut sums = [L::splat(0.0); $count];
                    let mut at = 0;
                    while at < whole {
                        let some = E::load::<L>(row.add(at));
                        $( sums[$number] = sums[$number].fma(some, L::load(vectors.add($number * width + at))); )+
                        at += L::COUNT;
                    }
                    let mut rest = [0.0; $count];
                    while at < width {
                        let one = E::one(row.add(at));
                        $( rest[$number] += one * *vectors.add($number * width + at); )+
                        at += 1;
                    }
                    $( *out.add($number * sizes.rows + number) = sums[$number].sum() + rest[$number]; )+
                }
            }
            $count
        }

        #[inline(always)]
        unsafe fn $mix<L: Lanes>(shares: *const f32, rows: *const f16, sizes: Sizes, out: *mut f32) -> usize {
            let width = sizes.width;
            let mut at = 0;
            // SAFETY: the caller's promise.
            unsafe {
                while at + 2 * L::COUNT <= width {
                    let mut sums = [[L::splat(0.0); 2]; $count];
                    for number in 0..sizes.rows {
                        let row = rows.add(number * width + at);
                        let some = [L::load_half(row), L::load_half(row.add(L::COUNT))];
                        $(
                            let share = L::splat(*shares.add($number * sizes.rows + number));
                            sums[$number][0] = sums[$number][0].fma(some[0], share);
                            sums[$number][1] = sums[$number][1].fma(some[1], share);
                        )+
                    }
                    $(
                        sums[$number][0].store(out.add($number * width + at));
                        sums[$number][1].store(out.add($number * width + at + L::COUNT));
                    )+
                    at += 2 * L::COUNT;
                }
                while at < width {
                    let mut sums = [0.0; $count];
                    for number in 0..sizes.rows {
                        let one = f16::one(rows.add(number * width + at));
                        $( sums[$number] += one * *shares.add($number * sizes.rows + number); )+
                    }
                    $( *out.add($number * width + at) = sums[$number]; )+
                    at += 1;
                }
            }
            $count
        }
    };
}

loops!(products_1, mix_1, 1: 0);
loops!(products_2, mix_2, 2: 0 1);
loops!(products_4, mix_4, 4: 0 1 2 3);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn products_and_mixtures_are_the_same_on_every_processor(
            count in 1_usize..8, rows in 1_usize..9, width in 1_usize..80, seed in 0_u32..1_000,
        ) {
            let number = |at: usize| ((at as u32 + seed).wrapping_mul(2_654_435_761) >> 16) as f32 / 32_768.0 - 1.0;
            let vectors: Vec<f32> = (0..count * width).map(number).collect();
            let halves: Vec<f16> = (0..rows * width).map(|at| f16::from_f32(number(at + 7))).collect();
            let floats: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
            let shares: Vec<f32> = (0..count * rows).map(|at| number(at + 3)).collect();
            let sizes = Sizes { vectors: count, rows, width };
            for isa in Isa::all() {
                let (mut of_halves, mut of_floats) = (vec![0.0; count * rows], vec![0.0; count * rows]);
                let mut mixed = vec![0.0; count * width];
                // SAFETY: all are as long as the sizes say.
                unsafe {
                    halves_on(isa, vectors.as_ptr(), halves.as_ptr(), sizes, of_halves.as_mut_ptr());
                    floats_on(isa, vectors.as_ptr(), floats.as_ptr(), sizes, of_floats.as_mut_ptr());
                    mix_on(isa, shares.as_ptr(), halves.as_ptr(), sizes, mixed.as_mut_ptr());
                }
                for vector in 0..count {
                    for row in 0..rows {
                        let (a, b) = (&vectors[vector * width..][..width], &floats[row * width..][..width]);
                        let exact: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                        prop_assert!((of_halves[vector * rows + row] - exact).abs() < 1e-4, "{isa:?}");
                        prop_assert!((of_floats[vector * rows + row] - exact).abs() < 1e-4, "{isa:?}");
                    }
                    for column in 0..width {
                        let exact: f32 =
                            (0..rows).map(|row| shares[vector * rows + row] * floats[row * width + column]).sum();
                        prop_assert!((mixed[vector * width + column] - exact).abs() < 1e-4, "{isa:?}");
                    }
                }
            }
        }
    }
}
