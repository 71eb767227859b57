//! Groups of 32 weights on 64-bit ARM, with the dot products of younger processors or without; and rows in lanes.

#![allow(unsafe_code, reason = "vector instructions")]

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, uint8x16_t, uint16x8_t, vabsq_f32, vaddlvq_s8, vaddq_f32, vaddq_s32, vaddvq_f32,
    vandq_u8, vceqq_u8, vcombine_s8, vcombine_s16, vcombine_u8, vcvtnq_s32_f32, vcvtq_f32_s32, vcvtq_f32_u32,
    vdup_n_u8, vdupq_n_f32, vdupq_n_s8, vdupq_n_s32, vdupq_n_u8, vfmaq_f32, vfmsq_f32, vget_high_s16, vget_high_u16,
    vget_low_s8, vget_low_s16, vget_low_u16, vld1_s8, vld1_u8, vld1q_dup_f32, vld1q_f32, vld1q_s8, vld1q_u8, vld1q_u16,
    vmaxq_f32, vmaxvq_f32, vmlal_high_s8, vmovl_s8, vmovl_s16, vmovl_u8, vmovl_u16, vmull_high_s8, vmull_s8, vmulq_f32,
    vmulq_n_f32, vorrq_u8, vpaddlq_s16, vpaddq_s32, vqmovn_s16, vqmovn_s32, vreinterpretq_s8_s32, vreinterpretq_s8_u8,
    vshlq_n_u8, vshlq_u8, vshrq_n_u8, vst1q_f32, vst1q_s8, vst1q_u8,
};
use std::arch::asm;

use crate::inference::kernel::quant_chip::{Groups, Quantised, Tiles};
use crate::inference::kernel::quant_format::Packed;

/// `DOT`: the processor has `sdot`.
pub(super) struct Neon<const DOT: bool>;

/// Adds to each of four sums the products of four bytes. What `vdotq_s32` will be called when it is stable.
#[inline(always)]
unsafe fn sdot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's promise; registers only.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sums, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

/// Four floats of four 16-bit ones in the lower half. `vcvt_f32_f16` is younger than the compiler that we ask for.
#[inline(always)]
unsafe fn low_halves(bits: uint16x8_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the caller's promise; registers only.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) bits, options(pure, nomem, nostack, preserves_flags));
    }
    floats
}

#[inline(always)]
unsafe fn high_halves(bits: uint16x8_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the caller's promise; registers only.
    unsafe {
        asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) floats, in(vreg) bits, options(pure, nomem, nostack, preserves_flags));
    }
    floats
}

/// Sums of 16 products, in any order.
#[inline(always)]
unsafe fn sixteen<const DOT: bool>(weights: uint8x16_t, values: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's promise.
    unsafe {
        let weights = vreinterpretq_s8_u8(weights);
        if DOT {
            return sdot(vdupq_n_s32(0), weights, values);
        }
        // Two products of bytes are less than 32,768: no value is -128.
        let pairs = vmull_s8(vget_low_s8(weights), vget_low_s8(values));
        vpaddlq_s16(vmlal_high_s8(pairs, weights, values))
    }
}

impl<const DOT: bool> Groups for Neon<DOT> {
    type Bytes = [uint8x16_t; 2];
    type Floats = [float32x4_t; 2];
    #[inline(always)]
    unsafe fn zero() -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { [vdupq_n_f32(0.0); 2] }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }
    #[inline(always)]
    unsafe fn store(floats: Self::Floats, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            vst1q_f32(to, floats[0]);
            vst1q_f32(to.add(4), floats[1]);
        }
    }
    #[inline(always)]
    unsafe fn times(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn scaled(a: Self::Floats, by: f32) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { [vmulq_n_f32(a[0], by), vmulq_n_f32(a[1], by)] }
    }
    #[inline(always)]
    unsafe fn fma(sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { [vfmaq_f32(sum[0], a[0], b[0]), vfmaq_f32(sum[1], a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn total(floats: Self::Floats) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { vaddvq_f32(vaddq_f32(floats[0], floats[1])) }
    }
    #[inline(always)]
    unsafe fn half(at: *const u8) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { half::f16::from_bits(at.cast::<u16>().read_unaligned()).to_f32() }
    }
    #[inline(always)]
    unsafe fn halves(at: *const u8, stride: usize, count: usize) -> Self::Floats {
        let mut bits = [0_u16; 8];
        // SAFETY: the caller's promise.
        unsafe {
            for (number, bits) in bits.iter_mut().enumerate().take(count) {
                *bits = at.add(number * stride).cast::<u16>().read_unaligned();
            }
            let bits = vld1q_u16(bits.as_ptr());
            [low_halves(bits), high_halves(bits)]
        }
    }
    #[inline(always)]
    unsafe fn unsigned(bytes: u64) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe {
            let wide = vmovl_u8(vld1_u8((&raw const bytes).cast()));
            [vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(wide)))]
        }
    }
    #[inline(always)]
    unsafe fn signed(bytes: u64) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe {
            let wide = vmovl_s8(vld1_s8((&raw const bytes).cast()));
            [vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)))]
        }
    }
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self::Bytes {
        // SAFETY: the caller's promise.
        unsafe { [vld1q_u8(from), vld1q_u8(from.add(16))] }
    }
    #[inline(always)]
    unsafe fn store_bytes(bytes: Self::Bytes, to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            vst1q_u8(to, bytes[0]);
            vst1q_u8(to.add(16), bytes[1]);
        }
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> Self::Bytes {
        // SAFETY: the caller's promise.
        unsafe {
            let both = vld1q_u8(from);
            [vandq_u8(both, vdupq_n_u8(15)), vshrq_n_u8::<4>(both)]
        }
    }
    #[inline(always)]
    unsafe fn bits(bytes: Self::Bytes, shift: usize, mask: u8) -> Self::Bytes {
        // SAFETY: the caller's promise.
        unsafe {
            let (down, mask) = (vdupq_n_s8(-(shift as i8)), vdupq_n_u8(mask));
            [vandq_u8(vshlq_u8(bytes[0], down), mask), vandq_u8(vshlq_u8(bytes[1], down), mask)]
        }
    }
    #[inline(always)]
    unsafe fn stack(low: Self::Bytes, high: Self::Bytes) -> Self::Bytes {
        // SAFETY: the caller's promise.
        unsafe { [vorrq_u8(low[0], vshlq_n_u8::<4>(high[0])), vorrq_u8(low[1], vshlq_n_u8::<4>(high[1]))] }
    }
    #[inline(always)]
    unsafe fn ones(mask: u32) -> Self::Bytes {
        const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
        // SAFETY: the caller's promise.
        unsafe {
            let (bits, mask) = (vld1q_u8(BITS.as_ptr()), mask.to_le_bytes());
            let half = |first: usize| {
                let spread = vcombine_u8(vdup_n_u8(mask[first]), vdup_n_u8(mask[first + 1]));
                vandq_u8(vceqq_u8(vandq_u8(spread, bits), bits), vdupq_n_u8(1))
            };
            [half(0), half(2)]
        }
    }
    #[inline(always)]
    unsafe fn add<P: Packed>(
        sum: Self::Floats,
        weights: Self::Bytes,
        values: *const i8,
        scale: *const f32,
    ) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe {
            let low = sixteen::<DOT>(weights[0], vld1q_s8(values));
            let high = vld1q_s8(values.add(16));
            let all = if DOT {
                sdot(low, vreinterpretq_s8_u8(weights[1]), high)
            } else {
                vaddq_s32(low, sixteen::<DOT>(weights[1], high))
            };
            [vfmaq_f32(sum[0], vcvtq_f32_s32(all), vld1q_dup_f32(scale)), sum[1]]
        }
    }
    #[inline(always)]
    unsafe fn add_fine(
        sum: Self::Floats,
        weights: Self::Bytes,
        values: *const i8,
        scales: *const f32,
        scale: f32,
    ) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe {
            let half = |number: usize| {
                let products = sixteen::<DOT>(weights[number], vld1q_s8(values.add(number * 16)));
                let scale = vdupq_n_f32(*scales.add(number) * scale);
                vfmaq_f32(sum[number], vcvtq_f32_s32(products), scale)
            };
            [half(0), half(1)]
        }
    }
    #[inline(always)]
    unsafe fn quantise(from: *const f32, to: *mut i8) -> Quantised {
        // SAFETY: the caller's promise.
        unsafe {
            let mut most = vdupq_n_f32(0.0);
            for four in 0..8 {
                most = vmaxq_f32(most, vabsq_f32(vld1q_f32(from.add(four * 4))));
            }
            let largest = vmaxvq_f32(most);
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let round = |at: usize| vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(from.add(at)), inverse)));
            let eight = |at: usize| vqmovn_s16(vcombine_s16(round(at), round(at + 4)));
            let bytes = [vcombine_s8(eight(0), eight(8)), vcombine_s8(eight(16), eight(24))];
            vst1q_s8(to, bytes[0]);
            vst1q_s8(to.add(16), bytes[1]);
            let sums = [i32::from(vaddlvq_s8(bytes[0])), i32::from(vaddlvq_s8(bytes[1]))];
            Quantised { scale: largest / 127.0, sums }
        }
    }
}

impl<const DOT: bool> Tiles for Neon<DOT> {
    const LANES: usize = 4;
    const IS_UNSIGNED: bool = false;
    type Quads = int8x16_t;
    type Ints = int32x4_t;
    type Floats = float32x4_t;
    #[inline(always)]
    unsafe fn none() -> int32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vdupq_n_s32(0) }
    }
    #[inline(always)]
    unsafe fn quads(from: *const u8) -> int8x16_t {
        // SAFETY: the caller's promise.
        unsafe { vreinterpretq_s8_u8(vld1q_u8(from)) }
    }
    #[inline(always)]
    unsafe fn dot<P: Packed>(sums: int32x4_t, weights: int8x16_t, values: *const i8) -> int32x4_t {
        // SAFETY: the caller's promise.
        unsafe {
            let values = vreinterpretq_s8_s32(vdupq_n_s32(values.cast::<i32>().read_unaligned()));
            if DOT {
                return sdot(sums, weights, values);
            }
            let low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(values)));
            let high = vpaddlq_s16(vmull_high_s8(weights, values));
            vaddq_s32(sums, vpaddq_s32(low, high))
        }
    }
    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vdupq_n_f32(0.0) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(floats: float32x4_t, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_f32(to, floats) }
    }
    #[inline(always)]
    unsafe fn add(
        sum: float32x4_t,
        ints: int32x4_t,
        scales: (float32x4_t, f32),
        mins: (float32x4_t, f32),
    ) -> float32x4_t {
        // SAFETY: the caller's promise.
        unsafe {
            let sum = vfmaq_f32(sum, vcvtq_f32_s32(ints), vmulq_n_f32(scales.0, scales.1));
            vfmsq_f32(sum, mins.0, vdupq_n_f32(mins.1))
        }
    }
}
