//! What processors do with groups of 32 weights: one face for all, so that each format is written once.
//!
//! Methods are `unsafe` because the processor must have the instructions; [`Chip::detect`] says which it has.

#![allow(unsafe_code, reason = "vector instructions")]
#![allow(clippy::missing_safety_doc, reason = "said once for all methods")]

use std::sync::OnceLock;

use crate::inference::kernel::lanes::Isa;
use crate::inference::kernel::quant_format::Packed;

/// What the processor can do with integers of 8 bits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chip {
    /// x86-64 that multiplies and sums four bytes at once, in vectors of 64 bytes (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 64-bit ARM that multiplies and sums four bytes at once (Cortex-A55, A75 and later).
    #[cfg(target_arch = "aarch64")]
    Dot,
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// No vectors at all.
    Scalar,
}

impl Chip {
    /// The best of this processor.
    pub(super) fn detect() -> Self {
        static CHIP: OnceLock<Chip> = OnceLock::new();
        *CHIP.get_or_init(|| match Isa::detect() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Self::Vnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self::Avx2,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if std::arch::is_aarch64_feature_detected!("dotprod") => Self::Dot,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Self::Neon,
            Isa::Scalar => Self::Scalar,
        })
    }

    /// All that work here, for tests.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        match Self::detect() {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => vec![Self::Vnni, Self::Avx2, Self::Scalar],
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vec![Self::Avx2, Self::Scalar],
            #[cfg(target_arch = "aarch64")]
            Self::Dot => vec![Self::Dot, Self::Neon, Self::Scalar],
            #[cfg(target_arch = "aarch64")]
            Self::Neon => vec![Self::Neon, Self::Scalar],
            Self::Scalar => vec![Self::Scalar],
        }
    }
}

/// Scale of 32 quantised floats, and what the first and the last 16 of them sum to.
pub(super) struct Quantised {
    pub(super) scale: f32,
    pub(super) sums: [i32; 2],
}

/// A row's weights, 32 at a time.
///
/// # Safety
/// Every method needs the instructions of its type, and at each pointer as much as it says.
pub(super) trait Groups {
    /// 32 bytes.
    type Bytes: Copy;
    /// Eight floats.
    type Floats: Copy;

    unsafe fn zero() -> Self::Floats;
    /// Eight floats in memory.
    unsafe fn load(from: *const f32) -> Self::Floats;
    unsafe fn store(floats: Self::Floats, to: *mut f32);
    unsafe fn times(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn scaled(a: Self::Floats, by: f32) -> Self::Floats;
    /// `sum + a * b`.
    unsafe fn fma(sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn total(floats: Self::Floats) -> f32;
    /// A 16-bit float.
    unsafe fn half(at: *const u8) -> f32;
    /// `count` 16-bit floats (up to 8), `stride` bytes from one to the next; zeros behind the last.
    unsafe fn halves(at: *const u8, stride: usize, count: usize) -> Self::Floats;
    /// Eight bytes as floats.
    unsafe fn unsigned(bytes: u64) -> Self::Floats;
    unsafe fn signed(bytes: u64) -> Self::Floats;

    /// 32 bytes in memory.
    unsafe fn bytes(from: *const u8) -> Self::Bytes;
    unsafe fn store_bytes(bytes: Self::Bytes, to: *mut u8);
    /// 16 bytes in memory: their low halves, then their high ones.
    unsafe fn nibbles(from: *const u8) -> Self::Bytes;
    /// Of each byte the bits from `shift` on that `mask` has.
    unsafe fn bits(bytes: Self::Bytes, shift: usize, mask: u8) -> Self::Bytes;
    /// `low` with `high`, shifted up by four.
    unsafe fn stack(low: Self::Bytes, high: Self::Bytes) -> Self::Bytes;
    /// One where the mask has a bit.
    unsafe fn ones(mask: u32) -> Self::Bytes;

    /// Adds weights times the 32 bytes at `values`, times the scale there. Only those of [`Packed::SIGNED`] may have 128 and more.
    unsafe fn add<P: Packed>(
        sum: Self::Floats,
        weights: Self::Bytes,
        values: *const i8,
        scale: *const f32,
    ) -> Self::Floats;
    /// The same with one of two scales for each 16 weights, times another one for all.
    unsafe fn add_fine(
        sum: Self::Floats,
        weights: Self::Bytes,
        values: *const i8,
        scales: *const f32,
        scale: f32,
    ) -> Self::Floats;
    /// Rounds 32 floats to bytes from -127 to 127.
    unsafe fn quantise(from: *const f32, to: *mut i8) -> Quantised;
}

/// Many rows at once, each in a lane: four bytes of each row are multiplied with four bytes of a vector.
///
/// # Safety
/// As for [`Groups`].
pub(super) trait Tiles {
    /// Rows.
    const LANES: usize;
    /// Whether signed weights are 128 too large here.
    const IS_UNSIGNED: bool;
    type Quads: Copy;
    type Ints: Copy;
    type Floats: Copy;

    unsafe fn none() -> Self::Ints;
    unsafe fn quads(from: *const u8) -> Self::Quads;
    /// Adds products with the four bytes at `values`.
    unsafe fn dot<P: Packed>(sums: Self::Ints, weights: Self::Quads, values: *const i8) -> Self::Ints;
    unsafe fn zero() -> Self::Floats;
    unsafe fn load(from: *const f32) -> Self::Floats;
    unsafe fn store(floats: Self::Floats, to: *mut f32);
    /// `sum + ints * scales * scale - mins * least`.
    unsafe fn add(
        sum: Self::Floats,
        ints: Self::Ints,
        scales: (Self::Floats, f32),
        mins: (Self::Floats, f32),
    ) -> Self::Floats;
}

/// Writes a function that runs `$body::<G, T, P>` with the registers of the given processor.
macro_rules! for_every_chip {
    ($visible:vis fn $name:ident($($arg:ident: $type:ty),*) = $body:ident) => {
        #[allow(unsafe_code, reason = "the way into vector instructions")]
        $visible unsafe fn $name<P: $crate::inference::kernel::quant_format::Packed>(
            chip: $crate::inference::kernel::quant_chip::Chip, $($arg: $type),*
        ) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
            unsafe fn vnni<P: $crate::inference::kernel::quant_format::Packed>($($arg: $type),*) {
                use $crate::inference::kernel::quant_x86::{Vnni, Wide};
                // SAFETY: the caller's promise, and the instructions are enabled here.
                unsafe { $body::<Vnni, Wide, P>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2<P: $crate::inference::kernel::quant_format::Packed>($($arg: $type),*) {
                use $crate::inference::kernel::quant_x86::{Avx2, Half};
                // SAFETY: as above.
                unsafe { $body::<Avx2, Half, P>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon,dotprod")]
            unsafe fn dot<P: $crate::inference::kernel::quant_format::Packed>($($arg: $type),*) {
                use $crate::inference::kernel::quant_neon::Neon;
                // SAFETY: as above.
                unsafe { $body::<Neon<true>, Neon<true>, P>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon<P: $crate::inference::kernel::quant_format::Packed>($($arg: $type),*) {
                use $crate::inference::kernel::quant_neon::Neon;
                // SAFETY: as above.
                unsafe { $body::<Neon<false>, Neon<false>, P>($($arg),*) }
            }
            use $crate::inference::kernel::quant_chip::Chip;
            match chip {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a `Chip` is made only where the processor has it; the rest is the caller's promise.
                Chip::Vnni => unsafe { vnni::<P>($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Chip::Avx2 => unsafe { avx2::<P>($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                // SAFETY: as above.
                Chip::Dot => unsafe { dot::<P>($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                // SAFETY: as above.
                Chip::Neon => unsafe { neon::<P>($($arg),*) },
                Chip::Scalar => unreachable!("invariant: asked only where there are vectors"),
            }
        }
    };
}
pub(super) use for_every_chip;
