//! The inner loops of models: products of matrices and what stands between them, for the processor at hand.
//!
//! Which instructions a processor has is asked once at run time; each loop is written once over [`lanes::Lanes`] and compiled for
//! every kind of processor. The faces are safe and check lengths; `unsafe` is inside, and a scalar twin tells in tests whether
//! it computes the same. Absent on purpose: any knowledge of models.

pub mod aligned;
mod columns;
pub mod f32_gated;
pub mod f32_matrix;
mod f32_tile;
pub mod f32_vector;
pub mod half_rows;
pub mod int8_matrix;
mod int8_tile;
pub mod lanes;
#[cfg(target_arch = "aarch64")]
mod lanes_neon;
#[cfg(target_arch = "x86_64")]
mod lanes_x86;
pub mod quant;
mod quant_chip;
mod quant_format;
#[cfg(target_arch = "aarch64")]
mod quant_neon;
mod quant_panel;
mod quant_rows;
mod quant_scalar;
mod quant_unpack;
pub mod quant_vectors;
#[cfg(target_arch = "x86_64")]
mod quant_x86;
mod share;

/// Writes a safe function that runs `$body::<L>` with the vectors of the given instructions.
///
/// Code that is inlined into a function with `target_feature` is compiled for it; that is all these functions are for.
macro_rules! for_every_isa {
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($arg:ident: $type:ty),*) = $body:ident) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "the way into vector instructions")]
        $visible unsafe fn $name(isa: $crate::inference::kernel::lanes::Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
            unsafe fn avx512($($arg: $type),*) {
                // SAFETY: the caller's promise, and the instructions are enabled here.
                unsafe { $body::<$crate::inference::kernel::lanes_x86::Wide>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($arg: $type),*) {
                // SAFETY: as above.
                unsafe { $body::<$crate::inference::kernel::lanes_x86::Half>($($arg),*) }
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Isa` is made only where the processor has it; the rest is the caller's promise.
                $crate::inference::kernel::lanes::Isa::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::inference::kernel::lanes::Isa::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                // SAFETY: as above.
                $crate::inference::kernel::lanes::Isa::Neon => unsafe {
                    $body::<$crate::inference::kernel::lanes_neon::Quarter>($($arg),*)
                },
                // SAFETY: as above.
                $crate::inference::kernel::lanes::Isa::Scalar => unsafe {
                    $body::<$crate::inference::kernel::lanes::Plain>($($arg),*)
                },
            }
        }
    };
}
use for_every_isa;
