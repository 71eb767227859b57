//! Vectors of floats on 64-bit ARM.

#![allow(unsafe_code, reason = "vector instructions")]

use std::arch::aarch64::{
    float32x4_t, int32x4_t, vaddq_f32, vaddq_s32, vaddvq_f32, vandq_u32, vcvtq_f32_s32, vdivq_f32, vdupq_n_f32,
    vdupq_n_s32, vdupq_n_u32, vfmaq_f32, vget_low_s8, vld1_u16, vld1q_f32, vld1q_s8, vmaxq_f32, vmaxvq_f32, vminq_f32,
    vmovl_u16, vmull_high_s8, vmull_s8, vmulq_f32, vorrq_u32, vpaddlq_s16, vpaddq_s32, vreinterpretq_f32_s32,
    vreinterpretq_f32_u32, vreinterpretq_s8_s32, vreinterpretq_s32_f32, vreinterpretq_u32_f32, vshlq_n_s32,
    vshlq_n_u32, vst1q_f32, vsubq_f32,
};

use half::f16;

use crate::inference::kernel::int8_tile::Dots;
use crate::inference::kernel::lanes::Lanes;

/// The pattern of 1.0.
const ONE: i32 = 0x3f80_0000;

/// Four floats of NEON.
#[derive(Clone, Copy)]
pub struct Quarter(float32x4_t);

impl Lanes for Quarter {
    const COUNT: usize = 4;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vdupq_n_f32(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vld1q_f32(from)) }
    }
    /// Exponent and fraction are moved to their places; what the exponents' offsets differ by is a factor of 2 to the 112.
    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let bits = vmovl_u16(vld1_u16(from.cast()));
            let size = vshlq_n_u32::<13>(vandq_u32(bits, vdupq_n_u32(0x7fff)));
            let size = vmulq_f32(vreinterpretq_f32_u32(size), vdupq_n_f32(f32::from_bits(0x7780_0000)));
            let sign = vshlq_n_u32::<16>(vandq_u32(bits, vdupq_n_u32(0x8000)));
            Self(vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(size), sign)))
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_f32(to, self.0) }
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vaddq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vsubq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vmulq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn over(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vdivq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vmaxq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vminq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(vfmaq_f32(self.0, a.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn pow2_of_bits(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self(vreinterpretq_f32_s32(vaddq_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(self.0)), vdupq_n_s32(ONE))))
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { vaddvq_f32(self.0) }
    }
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { vmaxvq_f32(self.0) }
    }
}

/// Eight products at a time, without the dot products that younger processors have: the Jetson Nano has none.
impl Dots for Quarter {
    type Sums = int32x4_t;
    const OFFSET: i32 = 0;
    #[inline(always)]
    unsafe fn start(sum: i32) -> int32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vdupq_n_s32(sum) }
    }
    #[inline(always)]
    unsafe fn dot(sums: int32x4_t, weights: *const i8, a: i32) -> int32x4_t {
        // SAFETY: the caller's promise.
        unsafe {
            let (weights, a) = (vld1q_s8(weights), vreinterpretq_s8_s32(vdupq_n_s32(a)));
            let low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(a)));
            let high = vpaddlq_s16(vmull_high_s8(weights, a));
            vaddq_s32(sums, vpaddq_s32(low, high))
        }
    }
    #[inline(always)]
    unsafe fn floats(sums: int32x4_t) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { vcvtq_f32_s32(sums) })
    }
}
