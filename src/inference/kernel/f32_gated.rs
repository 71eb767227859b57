//! What stands between the products of a language model: norms by root mean square, and gates.

#![allow(unsafe_code, reason = "vector instructions")]

use crate::inference::kernel::for_every_isa;
use crate::inference::kernel::lanes::{Isa, Lanes, exp};

/// How a gate opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `x / (1 + e^-x)`.
    Silu,
    /// By tanh, as Gemma was trained with.
    Gelu,
}

/// Brings `values` to a mean square of 1 and multiplies each with its weight: `x / sqrt(mean(x^2) + epsilon) * weight`.
pub fn root_norm(values: &mut [f32], weight: &[f32], epsilon: f32) {
    assert_eq!(values.len(), weight.len(), "invariant: a weight for each value");
    // SAFETY: both have the given length.
    unsafe { root_norm_on(Isa::detect(), values.as_mut_ptr(), weight.as_ptr(), values.len(), epsilon) }
}

/// `out` = the gate at `gate`, times `up`.
pub fn open(kind: Gate, gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(gate.len() == up.len() && out.len() == up.len(), "invariant: a gate for each value");
    // SAFETY: all have the given length.
    unsafe { open_on(Isa::detect(), kind, gate.as_ptr(), up.as_ptr(), out.as_mut_ptr(), out.len()) }
}

for_every_isa! { fn root_norm_on(values: *mut f32, weight: *const f32, len: usize, epsilon: f32) = root_norm_body }
for_every_isa! { fn open_on(kind: Gate, gate: *const f32, up: *const f32, out: *mut f32, len: usize) = open_body }

#[inline(always)]
unsafe fn root_norm_body<L: Lanes>(values: *mut f32, weight: *const f32, len: usize, epsilon: f32) {
    let whole = len - len % L::COUNT;
    // SAFETY: the caller's promise: `len` floats at each pointer.
    unsafe {
        let mut squares = L::splat(0.0);
        let mut at = 0;
        while at < whole {
            let value = L::load(values.add(at));
            squares = squares.fma(value, value);
            at += L::COUNT;
        }
        let rest: f32 = (whole..len).map(|index| (*values.add(index)).powi(2)).sum();
        let scale = 1.0 / ((squares.sum() + rest) / len as f32 + epsilon).sqrt();
        at = 0;
        while at < whole {
            let value = L::load(values.add(at)).times(L::splat(scale));
            value.times(L::load(weight.add(at))).store(values.add(at));
            at += L::COUNT;
        }
        for index in whole..len {
            *values.add(index) *= scale * *weight.add(index);
        }
    }
}

#[inline(always)]
unsafe fn opened<L: Lanes>(kind: Gate, gate: L, up: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        // Both are x over 1 + e^-y; 0.5 * (1 + tanh(y / 2)) is the same as 1 / (1 + e^-y).
        let slope = match kind {
            Gate::Silu => gate,
            Gate::Gelu => {
                let cube = gate.times(gate).times(gate);
                gate.fma(cube, L::splat(0.044_715)).times(L::splat(2.0 * 0.797_884_6))
            }
        };
        let one = L::splat(1.0);
        gate.over(one.plus(exp(L::splat(0.0).minus(slope)))).times(up)
    }
}

#[inline(always)]
unsafe fn open_body<L: Lanes>(kind: Gate, gate: *const f32, up: *const f32, out: *mut f32, len: usize) {
    let whole = len - len % L::COUNT;
    // SAFETY: the caller's promise: `len` floats at each pointer; no vector has more than 16.
    unsafe {
        let mut at = 0;
        while at < whole {
            opened(kind, L::load(gate.add(at)), L::load(up.add(at))).store(out.add(at));
            at += L::COUNT;
        }
        if at < len {
            let mut lanes = [[0.0_f32; 16]; 2];
            std::ptr::copy_nonoverlapping(gate.add(at), lanes[0].as_mut_ptr(), len - at);
            std::ptr::copy_nonoverlapping(up.add(at), lanes[1].as_mut_ptr(), len - at);
            opened(kind, L::load(lanes[0].as_ptr()), L::load(lanes[1].as_ptr())).store(lanes[0].as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes[0].as_ptr(), out.add(at), len - at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gelu(value: f64) -> f64 {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (value + 0.044_715 * value.powi(3));
        0.5 * value * (1.0 + inner.tanh())
    }

    proptest! {
        #[test]
        fn norms_and_gates_are_the_same_on_every_processor(row in proptest::collection::vec(-30.0_f32..30.0, 1..70)) {
            let up: Vec<f32> = row.iter().map(|value| value * 0.5 + 1.0).collect();
            let mean = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / row.len() as f64;
            for isa in Isa::all() {
                let (mut normed, mut silu, mut gelus) = (row.clone(), row.clone(), row.clone());
                let len = row.len();
                // SAFETY: all have one length.
                unsafe {
                    root_norm_on(isa, normed.as_mut_ptr(), up.as_ptr(), len, 1e-6);
                    open_on(isa, Gate::Silu, row.as_ptr(), up.as_ptr(), silu.as_mut_ptr(), len);
                    open_on(isa, Gate::Gelu, row.as_ptr(), up.as_ptr(), gelus.as_mut_ptr(), len);
                }
                for (index, value) in row.iter().enumerate() {
                    let (value, weight) = (f64::from(*value), f64::from(up[index]));
                    let close = |ours: f32, exact: f64| (f64::from(ours) - exact).abs() < 1e-4 * (1.0 + exact.abs());
                    prop_assert!(close(normed[index], value / (mean + 1e-6).sqrt() * weight), "{isa:?}");
                    prop_assert!(close(silu[index], value / (1.0 + (-value).exp()) * weight), "{isa:?}");
                    prop_assert!(close(gelus[index], gelu(value) * weight), "{isa:?} {value}");
                }
            }
        }
    }
}
