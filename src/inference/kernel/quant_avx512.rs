//! Products of quantised rows with AVX-512 and VNNI: 64 elements at a time, four to a 32-bit sum.
//!
//! A row's quants become unsigned bytes; what they are too large by (`offset`) is taken off each sum, scales are applied to it, and
//! the minimum of a group times the vector's sum is added for those formats that have one.

#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::missing_safety_doc,
    reason = "every function here needs what `is_there` asks for"
)]

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm_add_ps, _mm_castsi128_ps, _mm_cvtsi32_si128, _mm_cvtss_f32, _mm_hadd_ps,
    _mm_loadl_epi64, _mm_loadu_ps, _mm_loadu_si128, _mm_srli_epi16, _mm256_and_si256, _mm256_castps256_ps128,
    _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_extractf128_ps, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_slli_epi16, _mm256_srl_epi16, _mm256_srli_epi16, _mm256_storeu_ps, _mm512_and_si512,
    _mm512_broadcast_f32x4, _mm512_castps128_ps512, _mm512_castsi256_si512, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_inserti64x4, _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_mul_ps, _mm512_or_si512,
    _mm512_permutexvar_ps, _mm512_reduce_add_ps, _mm512_set1_epi8, _mm512_setr_epi32, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_slli_epi16, _mm512_srli_epi16, _mm512_sub_epi32, _mm512_xor_si512,
};

use crate::inference::kernel::quant::{Format, GROUP, Matrix, Vectors, half_at};

/// Groups of 32 in a step: what is unpacked together.
const STEP_GROUPS_MAX: usize = 8;

/// Whether this processor has all of it.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// Scales and minimums of a step, as floats: one scale for each group, or two.
struct Head {
    scales: [f32; 16],
    mins: [f32; 8],
}

/// How a format is unpacked.
#[allow(unsafe_code, reason = "vector instructions")]
trait Packed {
    /// Groups in a step; even.
    const GROUPS: usize;
    const BYTES: usize;
    /// What unsigned quants are too large by.
    const OFFSET: i8;
    const HAS_MINS: bool;
    /// Two scales for each group.
    const IS_FINE: bool;
    unsafe fn head(step: *const u8, head: &mut Head);
    /// Quants of groups `2 * pair` and `2 * pair + 1`.
    unsafe fn pair(step: *const u8, pair: usize) -> __m512i;
}

/// Whether a format is done here, and rows of this length.
pub(super) fn knows(format: Format, columns: usize) -> bool {
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => columns.is_multiple_of(2 * GROUP),
        Format::Q4K | Format::Q5K | Format::Q6K => true,
        _ => false,
    }
}

/// See [`crate::inference::kernel::quant::multiply`]; only for what [`knows`] and where [`is_there`].
#[allow(unsafe_code, reason = "vector instructions")]
pub(super) fn multiply(matrix: &Matrix<'_>, vectors: &Vectors, out: &mut [f32]) {
    assert!(is_there() && knows(matrix.format, matrix.columns) && out.len() == matrix.rows * vectors.count);
    // SAFETY: the processor has the instructions; rows and vectors are of one length, a whole number of steps, and `out` has
    // room for every product, as was asked here and in `quant::multiply`.
    unsafe {
        match matrix.format {
            Format::Q4_0 => rows::<Q4_0>(matrix, vectors, out),
            Format::Q5_0 => rows::<Q5_0>(matrix, vectors, out),
            Format::Q8_0 => rows::<Q8_0>(matrix, vectors, out),
            Format::Q4K => rows::<Q4K>(matrix, vectors, out),
            Format::Q5K => rows::<Q5K>(matrix, vectors, out),
            _ => rows::<Q6K>(matrix, vectors, out),
        }
    }
}

#[allow(unsafe_code, reason = "vector instructions")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
unsafe fn rows<P: Packed>(matrix: &Matrix<'_>, vectors: &Vectors, out: &mut [f32]) {
    for (row, out) in out.chunks_exact_mut(vectors.count).enumerate() {
        let row = matrix.row(row);
        let mut vector = 0;
        while vector + 4 <= out.len() {
            products::<P, 4>(row, vectors, vector, &mut out[vector..vector + 4]);
            vector += 4;
        }
        while vector < out.len() {
            products::<P, 1>(row, vectors, vector, &mut out[vector..vector + 1]);
            vector += 1;
        }
    }
}

/// One row with `N` vectors, unpacked once for all.
#[allow(unsafe_code, reason = "vector instructions")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
#[inline]
unsafe fn products<P: Packed, const N: usize>(row: &[u8], vectors: &Vectors, first: usize, out: &mut [f32]) {
    let groups = vectors.columns / GROUP;
    let (quants, scales, sums) = (vectors.quants.as_ptr(), vectors.scales.as_ptr(), vectors.sums.as_ptr());
    let two = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let four = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    let offset = _mm512_set1_epi8(P::OFFSET);
    let zero = _mm512_setzero_si512();
    let mut total = [_mm512_setzero_ps(); N];
    let mut mins = [_mm256_setzero_ps(); N];
    let mut head = Head { scales: [0.0; 16], mins: [0.0; 8] };
    for step in 0..groups / P::GROUPS {
        let packed = row.as_ptr().add(step * P::BYTES);
        P::head(packed, &mut head);
        for pair in 0..P::GROUPS / 2 {
            let weights = P::pair(packed, pair);
            let scale: __m512 = if P::IS_FINE {
                let fine = _mm_loadu_ps(head.scales.as_ptr().add(pair * 4));
                _mm512_permutexvar_ps(four, _mm512_broadcast_f32x4(fine))
            } else {
                let both = _mm_castsi128_ps(_mm_loadl_epi64(head.scales.as_ptr().add(pair * 2).cast()));
                _mm512_permutexvar_ps(two, _mm512_castps128_ps512(both))
            };
            for (n, total) in total.iter_mut().enumerate() {
                let group = (first + n) * groups + step * P::GROUPS + pair * 2;
                let values = _mm512_loadu_si512(quants.add(group * GROUP).cast());
                let mut sum = _mm512_dpbusd_epi32(zero, weights, values);
                if P::OFFSET != 0 {
                    sum = _mm512_sub_epi32(sum, _mm512_dpbusd_epi32(zero, offset, values));
                }
                let both = _mm_castsi128_ps(_mm_loadl_epi64(scales.add(group).cast()));
                let own = _mm512_permutexvar_ps(two, _mm512_castps128_ps512(both));
                *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, own), *total);
            }
        }
        if P::HAS_MINS {
            let least = _mm256_loadu_ps(head.mins.as_ptr());
            for (n, mins) in mins.iter_mut().enumerate() {
                let own = _mm256_loadu_ps(sums.add((first + n) * groups + step * STEP_GROUPS_MAX));
                *mins = _mm256_fmadd_ps(least, own, *mins);
            }
        }
    }
    for n in 0..N {
        out[n] = _mm512_reduce_add_ps(total[n]);
        if P::HAS_MINS {
            let four = _mm_add_ps(_mm256_castps256_ps128(mins[n]), _mm256_extractf128_ps::<1>(mins[n]));
            let two = _mm_hadd_ps(four, four);
            out[n] -= _mm_cvtss_f32(_mm_hadd_ps(two, two));
        }
    }
}

#[allow(unsafe_code, reason = "reads a 16-bit float")]
#[inline(always)]
unsafe fn half(at: *const u8) -> f32 {
    half_at(std::slice::from_raw_parts(at, 2), 0)
}

#[allow(unsafe_code, reason = "vector instructions")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
#[inline]
unsafe fn join(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// 32 quants of four bits, the first half in the low nibbles.
#[allow(unsafe_code, reason = "vector instructions")]
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn nibbles(at: *const u8) -> __m256i {
    let both = _mm_loadu_si128(at.cast());
    _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16::<4>(both), both), _mm256_set1_epi8(15))
}

/// Scales and minimums of `Q4_K` and `Q5_K`, 6 bits each in 12 bytes.
#[allow(unsafe_code, reason = "vector instructions")]
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn k_head(step: *const u8, head: &mut Head) {
    let word = |number: usize| step.add(4 + number * 4).cast::<u32>().read_unaligned();
    let (first, second, third) = (word(0), word(1), word(2));
    let scales =
        u64::from(first & 0x3f3f_3f3f) | u64::from(third & 0x0f0f_0f0f | (first >> 6 & 0x0303_0303) << 4) << 32;
    let mins =
        u64::from(second & 0x3f3f_3f3f) | u64::from(third >> 4 & 0x0f0f_0f0f | (second >> 6 & 0x0303_0303) << 4) << 32;
    let floats = |bytes: u64, scale: f32| {
        let bytes = _mm_loadl_epi64((&raw const bytes).cast());
        _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), _mm256_set1_ps(scale))
    };
    _mm256_storeu_ps(head.scales.as_mut_ptr(), floats(scales, half(step)));
    _mm256_storeu_ps(head.mins.as_mut_ptr(), floats(mins, half(step.add(2))));
}

struct Q4_0;
struct Q5_0;
struct Q8_0;
struct Q4K;
struct Q5K;
struct Q6K;

/// Two blocks of 32.
macro_rules! small {
    ($name:ident, $bytes:literal, $offset:literal, |$step:ident| $pair:expr) => {
        #[allow(unsafe_code, reason = "vector instructions")]
        impl Packed for $name {
            const GROUPS: usize = 2;
            const BYTES: usize = 2 * $bytes;
            const OFFSET: i8 = $offset;
            const HAS_MINS: bool = false;
            const IS_FINE: bool = false;

            #[inline(always)]
            unsafe fn head(step: *const u8, head: &mut Head) {
                (head.scales[0], head.scales[1]) = (half(step), half(step.add($bytes)));
            }

            #[inline(always)]
            unsafe fn pair($step: *const u8, _: usize) -> __m512i {
                $pair
            }
        }
    };
}

small!(Q4_0, 18, 8, |step| join(nibbles(step.add(2)), nibbles(step.add(20))));
small!(Q5_0, 22, 16, |step| {
    let bits = |at: usize| u64::from(step.add(at).cast::<u32>().read_unaligned());
    let low = join(nibbles(step.add(6)), nibbles(step.add(28)));
    let fifth = _mm512_mask_blend_epi8(bits(2) | bits(24) << 32, _mm512_setzero_si512(), _mm512_set1_epi8(16));
    _mm512_or_si512(low, fifth)
});
small!(Q8_0, 34, -128, |step| {
    let both = join(_mm256_loadu_si256(step.add(2).cast()), _mm256_loadu_si256(step.add(36).cast()));
    _mm512_xor_si512(both, _mm512_set1_epi8(-128))
});

#[allow(unsafe_code, reason = "vector instructions")]
impl Packed for Q4K {
    const GROUPS: usize = 8;
    const BYTES: usize = 144;
    const OFFSET: i8 = 0;
    const HAS_MINS: bool = true;
    const IS_FINE: bool = false;

    #[inline(always)]
    unsafe fn head(step: *const u8, head: &mut Head) {
        k_head(step, head);
    }

    #[inline(always)]
    unsafe fn pair(step: *const u8, pair: usize) -> __m512i {
        let both = _mm256_loadu_si256(step.add(16 + pair * 32).cast());
        _mm512_and_si512(join(both, _mm256_srli_epi16::<4>(both)), _mm512_set1_epi8(15))
    }
}

#[allow(unsafe_code, reason = "vector instructions")]
impl Packed for Q5K {
    const GROUPS: usize = 8;
    const BYTES: usize = 176;
    const OFFSET: i8 = 0;
    const HAS_MINS: bool = true;
    const IS_FINE: bool = false;

    #[inline(always)]
    unsafe fn head(step: *const u8, head: &mut Head) {
        k_head(step, head);
    }

    #[inline(always)]
    unsafe fn pair(step: *const u8, pair: usize) -> __m512i {
        let both = _mm256_loadu_si256(step.add(48 + pair * 32).cast());
        let low = _mm512_and_si512(join(both, _mm256_srli_epi16::<4>(both)), _mm512_set1_epi8(15));
        // Bit `2 * pair` belongs to the first group, the next one to the second.
        let bits = _mm256_srl_epi16(_mm256_loadu_si256(step.add(16).cast()), _mm_cvtsi32_si128(2 * pair as i32));
        let one = _mm512_and_si512(join(bits, _mm256_srli_epi16::<1>(bits)), _mm512_set1_epi8(1));
        _mm512_or_si512(low, _mm512_slli_epi16::<4>(one))
    }
}

#[allow(unsafe_code, reason = "vector instructions")]
impl Packed for Q6K {
    const GROUPS: usize = 8;
    const BYTES: usize = 210;
    const OFFSET: i8 = 32;
    const HAS_MINS: bool = false;
    const IS_FINE: bool = true;

    #[inline(always)]
    unsafe fn head(step: *const u8, head: &mut Head) {
        let scale = _mm256_set1_ps(half(step.add(208)));
        for part in [0, 8] {
            let bytes = _mm_loadl_epi64(step.add(192 + part).cast());
            let floats = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), scale);
            _mm256_storeu_ps(head.scales.as_mut_ptr().add(part), floats);
        }
    }

    #[inline(always)]
    unsafe fn pair(step: *const u8, pair: usize) -> __m512i {
        let low = _mm512_loadu_si512(step.add(pair / 2 * 64).cast());
        let high = _mm256_loadu_si256(step.add(128 + pair / 2 * 32).cast());
        let (four, two) = if pair.is_multiple_of(2) {
            (low, join(_mm256_slli_epi16::<4>(high), _mm256_slli_epi16::<2>(high)))
        } else {
            (_mm512_srli_epi16::<4>(low), join(high, _mm256_srli_epi16::<2>(high)))
        };
        let four = _mm512_and_si512(four, _mm512_set1_epi8(15));
        _mm512_or_si512(four, _mm512_and_si512(two, _mm512_set1_epi8(0x30)))
    }
}
