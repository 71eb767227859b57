//! Vectors of floats: one face for the registers of every processor, so that a loop is written once.
//!
//! Methods are `unsafe` because the processor must have the instructions; [`Isa::detect`] says which it has.

#![allow(unsafe_code, reason = "vector instructions")]
#![allow(clippy::missing_safety_doc, reason = "said once for all methods")]

use std::sync::OnceLock;

use half::f16;

/// What the processor can do, widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// x86-64 with AVX-512 F, BW, VL and VNNI (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Every 64-bit ARM; whether it has dot products is asked apart.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// No vectors at all.
    Scalar,
}

impl Isa {
    /// The best of this processor.
    pub fn detect() -> Self {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(Self::ask)
    }

    #[cfg(target_arch = "x86_64")]
    fn ask() -> Self {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vnni") {
            return Self::Avx512;
        }
        if has!("avx2") && has!("fma") && has!("f16c") { Self::Avx2 } else { Self::Scalar }
    }

    #[cfg(target_arch = "aarch64")]
    fn ask() -> Self {
        Self::Neon
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn ask() -> Self {
        Self::Scalar
    }

    /// Floats in a vector.
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => 4,
            Self::Scalar => 4,
        }
    }

    /// All that work here, for tests.
    pub fn all() -> Vec<Self> {
        match Self::detect() {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vec![Self::Avx512, Self::Avx2, Self::Scalar],
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vec![Self::Avx2, Self::Scalar],
            #[cfg(target_arch = "aarch64")]
            Self::Neon => vec![Self::Neon, Self::Scalar],
            Self::Scalar => vec![Self::Scalar],
        }
    }
}

/// A vector of [`Lanes::COUNT`] floats.
///
/// # Safety
/// Every method needs the instructions of its type; `load` and `store` need `COUNT` floats at the pointer, aligned or not.
pub trait Lanes: Copy {
    const COUNT: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// Widens `COUNT` finite floats of 16 bits.
    unsafe fn load_half(from: *const f16) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn plus(self, other: Self) -> Self;
    unsafe fn minus(self, other: Self) -> Self;
    unsafe fn times(self, other: Self) -> Self;
    unsafe fn over(self, other: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// `self + a * b`.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// 2 to the power of the integer in the low bits of each float's pattern (see [`exp`]).
    unsafe fn pow2_of_bits(self) -> Self;
    unsafe fn sum(self) -> f32;
    unsafe fn largest(self) -> f32;
}

/// `e` to the power of each lane, within 2e-7 of it relatively; 0 below -87 and finite above 88 (Cephes' `expf`).
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub unsafe fn exp<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the pattern.
        let magic = L::splat(12_582_912.0);
        let x = x.max(L::splat(-87.3)).min(L::splat(88.0));
        let shifted = magic.fma(x, L::splat(std::f32::consts::LOG2_E));
        let count = shifted.minus(magic);
        let rest = x.fma(count, L::splat(-0.693_359_4)).fma(count, L::splat(2.121_944_4e-4));
        let mut poly = L::splat(1.987_569_1e-4);
        for term in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
            poly = L::splat(term).fma(poly, rest);
        }
        let power = rest.plus(L::splat(1.0)).fma(poly, rest.times(rest));
        power.times(shifted.pow2_of_bits())
    }
}

/// `x * P(X <= x)` of the normal distribution, within 4e-7 (Abramowitz and Stegun 7.1.26).
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub unsafe fn gelu<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = L::splat(0.0);
        let size = x.max(zero.minus(x));
        let t = L::splat(1.0).over(L::splat(1.0).fma(size, L::splat(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2)));
        let mut poly = L::splat(1.061_405_4);
        for term in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            poly = L::splat(term).fma(poly, t);
        }
        let tail = poly.times(t).times(exp(x.times(x).times(L::splat(-0.5))));
        x.max(zero).fma(size.times(L::splat(-0.5)), tail)
    }
}

/// Four floats without any instructions of their own.
#[derive(Clone, Copy)]
pub struct Plain([f32; 4]);

impl Plain {
    fn zip(self, other: Self, join: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| join(self.0[lane], other.0[lane])))
    }
}

impl Lanes for Plain {
    const COUNT: usize = 4;
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    unsafe fn load_half(from: *const f16) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { from.cast::<[f16; 4]>().read_unaligned() }.map(f16::to_f32))
    }
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    unsafe fn plus(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    unsafe fn minus(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    unsafe fn times(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    unsafe fn over(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, f32::max)
    }
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, f32::min)
    }
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + a.0[lane] * b.0[lane]))
    }
    unsafe fn pow2_of_bits(self) -> Self {
        Self(self.0.map(|value| f32::from_bits((value.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))))
    }
    unsafe fn sum(self) -> f32 {
        self.0.iter().sum()
    }
    unsafe fn largest(self) -> f32 {
        self.0.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
}
