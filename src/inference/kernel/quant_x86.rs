//! Groups of 32 weights on x86-64: AVX2, with VNNI where there is such; and rows in lanes.

#![allow(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, _mm_add_ps, _mm_cvtph_ps, _mm_cvtsi32_si128, _mm_cvtss_f32, _mm_hadd_ps,
    _mm_insert_epi16, _mm_loadl_epi64, _mm_loadu_si128, _mm256_abs_epi8, _mm256_add_epi32, _mm256_and_si256,
    _mm256_andnot_ps, _mm256_broadcast_sd, _mm256_broadcast_ss, _mm256_castpd_ps, _mm256_castps256_ps128,
    _mm256_castsi256_si128, _mm256_cmpeq_epi8, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32,
    _mm256_cvtph_ps, _mm256_cvtps_epi32, _mm256_dpbusd_epi32, _mm256_extractf128_ps, _mm256_extracti128_si256,
    _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_max_ps, _mm256_mul_ps, _mm256_or_si256, _mm256_packs_epi16, _mm256_packs_epi32, _mm256_permutevar8x32_epi32,
    _mm256_permutevar8x32_ps, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setr_epi64x, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_sign_epi8, _mm256_slli_epi16, _mm256_srl_epi16, _mm256_storeu_ps, _mm256_storeu_si256,
    _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_storeu_ps,
};

use crate::inference::kernel::quant_chip::{Groups, Quantised, Tiles};
use crate::inference::kernel::quant_format::Packed;

/// With AVX2, FMA and F16C.
pub(super) struct Avx2;
/// With AVX-512 VNNI as well, still 32 bytes at a time: reading memory is what takes time.
pub(super) struct Vnni;

/// Unsigned times signed bytes, four by four. Pairs are summed in 16 bits, which do not overflow when the unsigned ones are less
/// than 129.
#[inline(always)]
unsafe fn dot_avx2(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let pairs = _mm256_maddubs_epi16(unsigned, signed);
        _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

#[inline(always)]
unsafe fn dot_vnni(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_dpbusd_epi32(sums, unsigned, signed) }
}

macro_rules! groups {
    ($name:ident, $dot:ident) => {
        impl $name {
            #[inline(always)]
            unsafe fn products(is_signed: bool, weights: __m256i, values: *const i8) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe {
                    let (values, zero) = (_mm256_loadu_si256(values.cast()), _mm256_setzero_si256());
                    let sums = if is_signed {
                        $dot(zero, _mm256_abs_epi8(weights), _mm256_sign_epi8(values, weights))
                    } else {
                        $dot(zero, weights, values)
                    };
                    _mm256_cvtepi32_ps(sums)
                }
            }
        }

        impl Groups for $name {
            type Bytes = __m256i;
            type Floats = __m256;
            #[inline(always)]
            unsafe fn zero() -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_setzero_ps() }
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_loadu_ps(from) }
            }
            #[inline(always)]
            unsafe fn store(floats: __m256, to: *mut f32) {
                // SAFETY: the caller's promise.
                unsafe { _mm256_storeu_ps(to, floats) }
            }
            #[inline(always)]
            unsafe fn times(a: __m256, b: __m256) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_mul_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn scaled(a: __m256, by: f32) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_mul_ps(a, _mm256_set1_ps(by)) }
            }
            #[inline(always)]
            unsafe fn fma(sum: __m256, a: __m256, b: __m256) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_fmadd_ps(a, b, sum) }
            }
            #[inline(always)]
            unsafe fn total(floats: __m256) -> f32 {
                // SAFETY: the caller's promise.
                unsafe {
                    let four = _mm_add_ps(_mm256_castps256_ps128(floats), _mm256_extractf128_ps::<1>(floats));
                    let two = _mm_hadd_ps(four, four);
                    _mm_cvtss_f32(_mm_hadd_ps(two, two))
                }
            }
            #[inline(always)]
            unsafe fn half(at: *const u8) -> f32 {
                // SAFETY: the caller's promise.
                unsafe {
                    let bits = i32::from(at.cast::<u16>().read_unaligned());
                    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)))
                }
            }
            #[inline(always)]
            unsafe fn halves(at: *const u8, stride: usize, count: usize) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { halves(at, stride, count) }
            }
            #[inline(always)]
            unsafe fn unsigned(bytes: u64) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((&raw const bytes).cast()))) }
            }
            #[inline(always)]
            unsafe fn signed(bytes: u64) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((&raw const bytes).cast()))) }
            }
            #[inline(always)]
            unsafe fn bytes(from: *const u8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { _mm256_loadu_si256(from.cast()) }
            }
            #[inline(always)]
            unsafe fn store_bytes(bytes: __m256i, to: *mut u8) {
                // SAFETY: the caller's promise.
                unsafe { _mm256_storeu_si256(to.cast(), bytes) }
            }
            #[inline(always)]
            unsafe fn nibbles(from: *const u8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe {
                    let low = _mm_loadu_si128(from.cast());
                    let high = std::arch::x86_64::_mm_srli_epi16::<4>(low);
                    _mm256_and_si256(_mm256_set_m128i(high, low), _mm256_set1_epi8(15))
                }
            }
            #[inline(always)]
            unsafe fn bits(bytes: __m256i, shift: usize, mask: u8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe {
                    let down = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift as i32));
                    _mm256_and_si256(down, _mm256_set1_epi8(mask.cast_signed()))
                }
            }
            #[inline(always)]
            unsafe fn stack(low: __m256i, high: __m256i) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { _mm256_or_si256(low, _mm256_slli_epi16::<4>(high)) }
            }
            #[inline(always)]
            unsafe fn ones(mask: u32) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { ones(mask) }
            }
            #[inline(always)]
            unsafe fn add<P: Packed>(sum: __m256, weights: __m256i, values: *const i8, scale: *const f32) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe {
                    _mm256_fmadd_ps(Self::products(P::SIGNED, weights, values), _mm256_broadcast_ss(&*scale), sum)
                }
            }
            #[inline(always)]
            unsafe fn add_fine(
                sum: __m256,
                weights: __m256i,
                values: *const i8,
                scales: *const f32,
                scale: f32,
            ) -> __m256 {
                // SAFETY: the caller's promise; two floats are as long as one of twice the length.
                unsafe {
                    let two = _mm256_castpd_ps(_mm256_broadcast_sd(&scales.cast::<f64>().read_unaligned()));
                    let two = _mm256_permutevar8x32_ps(two, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
                    let scales = _mm256_mul_ps(two, _mm256_set1_ps(scale));
                    _mm256_fmadd_ps(Self::products(false, weights, values), scales, sum)
                }
            }
            #[inline(always)]
            unsafe fn quantise(from: *const f32, to: *mut i8) -> Quantised {
                // SAFETY: the caller's promise.
                unsafe { quantise(from, to) }
            }
        }
    };
}
groups!(Avx2, dot_avx2);
groups!(Vnni, dot_vnni);

#[inline(always)]
unsafe fn halves(at: *const u8, stride: usize, count: usize) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        let one = |number: usize| i32::from(at.add(number * stride).cast::<u16>().read_unaligned());
        if count < 8 {
            let mut few = [0_u16; 8];
            for (number, few) in few.iter_mut().enumerate().take(count) {
                *few = one(number) as u16;
            }
            return _mm256_cvtph_ps(_mm_loadu_si128(few.as_ptr().cast()));
        }
        let mut all = _mm_cvtsi32_si128(one(0));
        all = _mm_insert_epi16::<1>(all, one(1));
        all = _mm_insert_epi16::<2>(all, one(2));
        all = _mm_insert_epi16::<3>(all, one(3));
        all = _mm_insert_epi16::<4>(all, one(4));
        all = _mm_insert_epi16::<5>(all, one(5));
        all = _mm_insert_epi16::<6>(all, one(6));
        all = _mm_insert_epi16::<7>(all, one(7));
        _mm256_cvtph_ps(all)
    }
}

#[inline(always)]
unsafe fn ones(mask: u32) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        // Every byte gets the byte of the mask that has its bit, and keeps that bit alone.
        let which = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
        let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(mask.cast_signed()), which);
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
        let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
        _mm256_and_si256(is_set, _mm256_set1_epi8(1))
    }
}

#[inline(always)]
unsafe fn quantise(from: *const f32, to: *mut i8) -> Quantised {
    // SAFETY: the caller's promise.
    unsafe {
        let values = [
            _mm256_loadu_ps(from),
            _mm256_loadu_ps(from.add(8)),
            _mm256_loadu_ps(from.add(16)),
            _mm256_loadu_ps(from.add(24)),
        ];
        let size = |value: __m256| _mm256_andnot_ps(_mm256_set1_ps(-0.0), value);
        let most = _mm256_max_ps(
            _mm256_max_ps(size(values[0]), size(values[1])),
            _mm256_max_ps(size(values[2]), size(values[3])),
        );
        let mut lanes = [0.0_f32; 8];
        _mm256_storeu_ps(lanes.as_mut_ptr(), most);
        let two = |left: usize| lanes[left].max(lanes[left + 4]);
        let largest = two(0).max(two(1)).max(two(2).max(two(3)));
        let inverse = _mm256_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
        let round = |value: __m256| _mm256_cvtps_epi32(_mm256_mul_ps(value, inverse));
        let low = _mm256_packs_epi32(round(values[0]), round(values[1]));
        let high = _mm256_packs_epi32(round(values[2]), round(values[3]));
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
        _mm256_storeu_si256(to.cast(), bytes);
        let sums = dot_avx2(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
        let sum = |half| {
            let mut four = [0_i32; 4];
            std::arch::x86_64::_mm_storeu_si128(four.as_mut_ptr().cast(), half);
            four[0] + four[1] + four[2] + four[3]
        };
        let sums = [sum(_mm256_castsi256_si128(sums)), sum(_mm256_extracti128_si256::<1>(sums))];
        Quantised { scale: largest / 127.0, sums }
    }
}

/// Sixteen rows of AVX-512.
pub(super) struct Wide;
/// Eight rows of AVX2.
pub(super) struct Half;

impl Tiles for Wide {
    const LANES: usize = 16;
    const IS_UNSIGNED: bool = true;
    type Quads = __m512i;
    type Ints = __m512i;
    type Floats = __m512;
    #[inline(always)]
    unsafe fn none() -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn quads(from: *const u8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<P: Packed>(sums: __m512i, weights: __m512i, values: *const i8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_dpbusd_epi32(sums, weights, _mm512_set1_epi32(values.cast::<i32>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(floats: __m512, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, floats) }
    }
    #[inline(always)]
    unsafe fn add(sum: __m512, ints: __m512i, scales: (__m512, f32), mins: (__m512, f32)) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe {
            let scale = _mm512_mul_ps(scales.0, _mm512_set1_ps(scales.1));
            let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(ints), scale, sum);
            _mm512_fnmadd_ps(mins.0, _mm512_set1_ps(mins.1), sum)
        }
    }
}

impl Tiles for Half {
    const LANES: usize = 8;
    const IS_UNSIGNED: bool = false;
    type Quads = __m256i;
    type Ints = __m256i;
    type Floats = __m256;
    #[inline(always)]
    unsafe fn none() -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn quads(from: *const u8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<P: Packed>(sums: __m256i, weights: __m256i, values: *const i8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            let values = _mm256_set1_epi32(values.cast::<i32>().read_unaligned());
            if P::SIGNED {
                return dot_avx2(sums, _mm256_abs_epi8(weights), _mm256_sign_epi8(values, weights));
            }
            dot_avx2(sums, weights, values)
        }
    }
    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(floats: __m256, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, floats) }
    }
    #[inline(always)]
    unsafe fn add(sum: __m256, ints: __m256i, scales: (__m256, f32), mins: (__m256, f32)) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe {
            let scale = _mm256_mul_ps(scales.0, _mm256_set1_ps(scales.1));
            let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(ints), scale, sum);
            _mm256_fnmadd_ps(mins.0, _mm256_set1_ps(mins.1), sum)
        }
    }
}
