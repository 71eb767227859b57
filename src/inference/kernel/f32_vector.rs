//! What stands between the products of a transformer: softmax, layer normalization, sums of rows.

#![allow(unsafe_code, reason = "vector instructions")]

use crate::inference::kernel::for_every_isa;
use crate::inference::kernel::lanes::{Isa, Lanes, exp};

/// Turns scores into shares that sum to one, in place: `exp(scale * (x - max)) / sum`. Nothing is done with an empty row.
pub fn softmax(row: &mut [f32], scale: f32) {
    // SAFETY: the pointer and the length are the row's.
    unsafe { softmax_on(Isa::detect(), row.as_mut_ptr(), row.len(), scale) }
}

/// Normalizes `from` to mean 0 and variance 1, times `weight` plus `bias`, into `to`. All have one length.
pub fn layer_norm(from: &[f32], weight: &[f32], bias: &[f32], to: &mut [f32]) {
    assert!(weight.len() == from.len() && bias.len() == from.len() && to.len() == from.len(), "invariant: one width");
    // SAFETY: all four have the given length.
    unsafe {
        layer_norm_on(Isa::detect(), from.as_ptr(), weight.as_ptr(), bias.as_ptr(), to.as_mut_ptr(), from.len());
    }
}

/// Logarithm of the sum of the exponents of `row`; negative infinity when it is empty or all of it is.
pub fn log_sum_exp(row: &[f32]) -> f32 {
    let mut result = f32::NEG_INFINITY;
    // SAFETY: the pointer and the length are the row's.
    unsafe { log_sum_exp_on(Isa::detect(), row.as_ptr(), row.len(), &raw mut result) }
    result
}

/// Brings floats to bytes from -127 to 127, the largest magnitude to 127; gives what a byte is worth, and the bytes' sum.
pub fn to_bytes(from: &[f32], to: &mut [i8], scale: &mut f32) -> i32 {
    assert_eq!(from.len(), to.len(), "invariant: a byte per float");
    let mut sum = 0.0;
    // SAFETY: both have the given length.
    unsafe { to_bytes_on(Isa::detect(), from.as_ptr(), from.len(), to.as_mut_ptr(), (&raw mut *scale, &raw mut sum)) }
    sum as i32
}

/// Epsilon of Whisper's layer normalization (PyTorch's default).
const EPSILON: f32 = 1e-5;

for_every_isa! { fn softmax_on(row: *mut f32, len: usize, scale: f32) = softmax_body }
for_every_isa! {
    fn layer_norm_on(from: *const f32, weight: *const f32, bias: *const f32, to: *mut f32, len: usize) = layer_norm_body
}
for_every_isa! {
    fn to_bytes_on(from: *const f32, len: usize, to: *mut i8, results: (*mut f32, *mut f32)) = to_bytes_body
}
for_every_isa! { fn log_sum_exp_on(row: *const f32, len: usize, result: *mut f32) = log_sum_exp_body }

#[inline(always)]
unsafe fn largest<L: Lanes>(row: *const f32, len: usize) -> f32 {
    let whole = len - len % L::COUNT;
    // SAFETY: the caller's promise: `len` floats at `row`.
    unsafe {
        let mut most = L::splat(f32::NEG_INFINITY);
        let mut at = 0;
        while at < whole {
            most = most.max(L::load(row.add(at)));
            at += L::COUNT;
        }
        let mut most = most.largest();
        while at < len {
            most = most.max(*row.add(at));
            at += 1;
        }
        most
    }
}

/// Loads the last few floats of a row into a full vector, the rest being `filler`.
#[inline(always)]
unsafe fn load_some<L: Lanes>(from: *const f32, count: usize, filler: f32) -> L {
    let mut lanes = [filler; 16];
    // SAFETY: the caller's promise: `count` floats at `from`, fewer than a vector has, and no vector has more than 16.
    unsafe {
        std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
        L::load(lanes.as_ptr())
    }
}

#[inline(always)]
unsafe fn store_some<L: Lanes>(vector: L, to: *mut f32, count: usize) {
    let mut lanes = [0.0; 16];
    // SAFETY: as in `load_some`.
    unsafe {
        vector.store(lanes.as_mut_ptr());
        std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
    }
}

#[inline(always)]
unsafe fn softmax_body<L: Lanes>(row: *mut f32, len: usize, scale: f32) {
    if len == 0 {
        return;
    }
    let whole = len - len % L::COUNT;
    // SAFETY: the caller's promise: `len` floats at `row`.
    unsafe {
        let most = L::splat(largest::<L>(row, len));
        let scale = L::splat(scale);
        let mut sum = L::splat(0.0);
        let mut at = 0;
        while at < whole {
            let power = exp(L::load(row.add(at)).minus(most).times(scale));
            sum = sum.plus(power);
            power.store(row.add(at));
            at += L::COUNT;
        }
        let mut total = sum.sum();
        if at < len {
            let power = exp(load_some::<L>(row.add(at), len - at, f32::MIN).minus(most).times(scale));
            store_some(power, row.add(at), len - at);
            for rest in at..len {
                total += *row.add(rest);
            }
        }
        let share = L::splat(1.0 / total);
        at = 0;
        while at < whole {
            L::load(row.add(at)).times(share).store(row.add(at));
            at += L::COUNT;
        }
        while at < len {
            *row.add(at) /= total;
            at += 1;
        }
    }
}

#[inline(always)]
unsafe fn layer_norm_body<L: Lanes>(from: *const f32, weight: *const f32, bias: *const f32, to: *mut f32, len: usize) {
    let whole = len - len % L::COUNT;
    // SAFETY: the caller's promise: `len` floats at each pointer.
    unsafe {
        let mut sum = L::splat(0.0);
        let mut at = 0;
        while at < whole {
            sum = sum.plus(L::load(from.add(at)));
            at += L::COUNT;
        }
        let rest: f32 = (whole..len).map(|index| *from.add(index)).sum();
        let mean = (sum.sum() + rest) / len as f32;
        let mut squares = L::splat(0.0);
        at = 0;
        while at < whole {
            let distance = L::load(from.add(at)).minus(L::splat(mean));
            squares = squares.fma(distance, distance);
            at += L::COUNT;
        }
        let rest: f32 = (whole..len).map(|index| (*from.add(index) - mean).powi(2)).sum();
        let scale = 1.0 / ((squares.sum() + rest) / len as f32 + EPSILON).sqrt();
        at = 0;
        while at < whole {
            let normal = L::load(from.add(at)).minus(L::splat(mean)).times(L::splat(scale));
            L::load(bias.add(at)).fma(normal, L::load(weight.add(at))).store(to.add(at));
            at += L::COUNT;
        }
        for index in whole..len {
            *to.add(index) = (*from.add(index) - mean) * scale * *weight.add(index) + *bias.add(index);
        }
    }
}

#[inline(always)]
unsafe fn log_sum_exp_body<L: Lanes>(row: *const f32, len: usize, result: *mut f32) {
    let whole = len - len % L::COUNT;
    // SAFETY: the caller's promise: `len` floats at `row`, and a place for the result.
    unsafe {
        let most = largest::<L>(row, len);
        if most == f32::NEG_INFINITY {
            return;
        }
        let mut sum = L::splat(0.0);
        let mut at = 0;
        while at < whole {
            sum = sum.plus(exp(L::load(row.add(at)).minus(L::splat(most))));
            at += L::COUNT;
        }
        let rest: f32 = (whole..len).map(|index| (*row.add(index) - most).exp()).sum();
        *result = most + (sum.sum() + rest).ln();
    }
}

#[inline(always)]
unsafe fn to_bytes_body<L: Lanes>(from: *const f32, len: usize, to: *mut i8, (scale, sum): (*mut f32, *mut f32)) {
    // SAFETY: the caller's promise: `len` floats and bytes, and places for the results.
    unsafe {
        let zero = L::splat(0.0);
        let mut most = zero;
        let mut at = 0;
        while at < len {
            let value = load_up_to::<L>(from.add(at), len - at);
            most = most.max(value).max(zero.minus(value));
            at += L::COUNT;
        }
        let most = most.largest();
        let factor = L::splat(if most > 0.0 { 127.0 / most } else { 0.0 });
        // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the pattern.
        let magic = L::splat(12_582_912.0);
        let mut total = zero;
        at = 0;
        while at < len {
            let shifted = magic.fma(load_up_to::<L>(from.add(at), len - at), factor);
            total = total.plus(shifted.minus(magic));
            let mut lanes = [0.0_f32; 16];
            shifted.store(lanes.as_mut_ptr());
            for (lane, value) in lanes.iter().enumerate().take(L::COUNT.min(len - at)) {
                *to.add(at + lane) = value.to_bits() as i8;
            }
            at += L::COUNT;
        }
        *scale = most / 127.0;
        *sum = total.sum();
    }
}

/// A full vector where there is one; zeros behind the last float.
#[inline(always)]
unsafe fn load_up_to<L: Lanes>(from: *const f32, count: usize) -> L {
    // SAFETY: the caller's promise: `count` floats at `from`.
    unsafe { if count >= L::COUNT { L::load(from) } else { load_some(from, count, 0.0) } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: f32, b: f32, tolerance: f32) -> bool {
        (a - b).abs() <= tolerance * (1.0 + a.abs())
    }

    proptest! {
        #[test]
        fn softmax_is_the_same_on_every_processor_and_sums_to_one(row in proptest::collection::vec(-50.0_f32..50.0, 1..70)) {
            let exact: Vec<f64> = row.iter().map(|x| f64::from(*x * 0.25).exp()).collect();
            let total: f64 = exact.iter().sum();
            for isa in Isa::all() {
                let mut shares = row.clone();
                // SAFETY: the length is the row's.
                unsafe { softmax_on(isa, shares.as_mut_ptr(), shares.len(), 0.25) };
                for (share, exact) in shares.iter().zip(&exact) {
                    prop_assert!((f64::from(*share) - exact / total).abs() < 1e-6, "{isa:?}");
                }
            }
        }

        #[test]
        fn layer_norm_and_log_sum_exp_are_the_same_on_every_processor(row in proptest::collection::vec(-9.0_f32..9.0, 1..70)) {
            let (weight, bias) = (vec![0.5; row.len()], vec![0.25; row.len()]);
            let mean = row.iter().sum::<f32>() / row.len() as f32;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / row.len() as f32;
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            for isa in Isa::all() {
                let (mut to, mut result) = (vec![0.0; row.len()], f32::NEG_INFINITY);
                // SAFETY: all have one length.
                unsafe {
                    layer_norm_on(isa, row.as_ptr(), weight.as_ptr(), bias.as_ptr(), to.as_mut_ptr(), row.len());
                    log_sum_exp_on(isa, row.as_ptr(), row.len(), &raw mut result);
                }
                for (to, from) in to.iter().zip(&row) {
                    prop_assert!(close(*to, (from - mean) / (variance + EPSILON).sqrt() * 0.5 + 0.25, 1e-3), "{isa:?}");
                }
                prop_assert!(close(result, sum.ln() as f32, 1e-5));
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_are_worth_what_they_were(row in proptest::collection::vec(-9.0_f32..9.0, 1..40)) {
            for isa in Isa::all() {
                let (mut bytes, mut scale, mut sum) = (vec![0; row.len()], 0.0, 0.0);
                // SAFETY: both have one length.
                unsafe { to_bytes_on(isa, row.as_ptr(), row.len(), bytes.as_mut_ptr(), (&raw mut scale, &raw mut sum)) };
                for (byte, value) in bytes.iter().zip(&row) {
                    prop_assert!((f32::from(*byte) * scale - value).abs() <= scale * 0.501 && *byte > -128);
                }
                prop_assert_eq!(bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>(), sum as i32);
            }
        }
    }

    #[test]
    fn an_impossible_row_has_no_sum() {
        assert_eq!(log_sum_exp(&[]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 20]), f32::NEG_INFINITY);
        softmax(&mut [], 1.0);
    }
}
