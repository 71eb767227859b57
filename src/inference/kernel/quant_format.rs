//! How ggml's blocks are unpacked in registers, written once for all processors (`quant_unpack` says what they mean).
//!
//! Weights are taken as they are stored, without a sign where they have none; what they are too large by is counted among the
//! minimums, which are subtracted from a whole product at once.

#![allow(unsafe_code, reason = "vector instructions")]

use crate::inference::kernel::quant_chip::Groups;

/// Groups that are scaled together.
pub(super) const STEP: usize = 8;

/// Scales of a step of eight groups, and what is subtracted for each; the second ones where every 16 weights have their own.
pub(super) struct Head<F> {
    pub(super) scales: [F; 2],
    pub(super) mins: [F; 2],
}

/// A format.
///
/// # Safety
/// Every method needs the instructions of `G`, and at `step` the blocks of `count` groups (eight where blocks have so many).
pub(super) trait Packed {
    /// Of eight groups.
    const STEP_BYTES: usize;
    /// Weights that use all eight bits.
    const SIGNED: bool;
    /// Two scales for each group.
    const FINE: bool;
    const HAS_MINS: bool;
    unsafe fn head<G: Groups>(step: *const u8, count: usize) -> Head<G::Floats>;
    unsafe fn group<G: Groups>(step: *const u8, group: usize) -> G::Bytes;
}

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q5_0;
pub(super) struct Q5_1;
pub(super) struct Q8_0;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;

/// One scale for each group.
#[inline(always)]
unsafe fn coarse<G: Groups>(scales: G::Floats, mins: G::Floats) -> Head<G::Floats> {
    // SAFETY: the caller's promise.
    let zero = unsafe { G::zero() };
    Head { scales: [scales, zero], mins: [mins, zero] }
}

/// Blocks of 32 with a scale, and what their weights are too large by or a minimum.
macro_rules! small {
    ($name:ident, $bytes:literal, $signed:literal, |$scales:ident, $at:ident, $count:ident| $mins:expr, |$block:ident| $group:expr) => {
        impl Packed for $name {
            const STEP_BYTES: usize = $bytes * STEP;
            const SIGNED: bool = $signed;
            const FINE: bool = false;
            const HAS_MINS: bool = !$signed;
            #[inline(always)]
            unsafe fn head<G: Groups>($at: *const u8, $count: usize) -> Head<G::Floats> {
                // SAFETY: the caller's promise.
                unsafe {
                    let $scales = G::halves($at, $bytes, $count);
                    coarse::<G>($scales, $mins)
                }
            }
            #[inline(always)]
            unsafe fn group<G: Groups>(step: *const u8, group: usize) -> G::Bytes {
                // SAFETY: the caller's promise.
                unsafe {
                    let $block = step.add(group * $bytes);
                    $group
                }
            }
        }
    };
}

small!(Q4_0, 18, false, |scales, at, count| G::scaled(scales, 8.0), |block| G::nibbles(block.add(2)));
small!(Q4_1, 20, false, |scales, at, count| G::scaled(G::halves(at.add(2), 20, count), -1.0), |block| G::nibbles(
    block.add(4)
));
small!(Q5_0, 22, false, |scales, at, count| G::scaled(scales, 16.0), |block| {
    G::stack(G::nibbles(block.add(6)), G::ones(block.add(2).cast::<u32>().read_unaligned()))
});
small!(Q5_1, 24, false, |scales, at, count| G::scaled(G::halves(at.add(2), 24, count), -1.0), |block| {
    G::stack(G::nibbles(block.add(8)), G::ones(block.add(4).cast::<u32>().read_unaligned()))
});
small!(Q8_0, 34, true, |scales, at, count| G::zero(), |block| G::bytes(block.add(2)));

/// Scales and minimums of `Q4_K` and `Q5_K`, 6 bits each in 12 bytes.
#[inline(always)]
unsafe fn k_head<G: Groups>(step: *const u8) -> Head<G::Floats> {
    // SAFETY: the caller's promise.
    unsafe {
        let word = |number: usize| step.add(4 + number * 4).cast::<u32>().read_unaligned();
        let (first, second, third) = (word(0), word(1), word(2));
        let scales =
            u64::from(first & 0x3f3f_3f3f) | u64::from(third & 0x0f0f_0f0f | (first >> 6 & 0x0303_0303) << 4) << 32;
        let mins = u64::from(second & 0x3f3f_3f3f)
            | u64::from(third >> 4 & 0x0f0f_0f0f | (second >> 6 & 0x0303_0303) << 4) << 32;
        let floats = |bytes: u64, scale: f32| G::scaled(G::unsigned(bytes), scale);
        coarse::<G>(floats(scales, G::half(step)), floats(mins, G::half(step.add(2))))
    }
}

/// Four bits of two groups share 32 bytes.
#[inline(always)]
unsafe fn k_nibbles<G: Groups>(from: *const u8, group: usize) -> G::Bytes {
    // SAFETY: the caller's promise.
    unsafe { G::bits(G::bytes(from.add(group / 2 * 32)), group % 2 * 4, 15) }
}

impl Packed for Q4K {
    const STEP_BYTES: usize = 144;
    const SIGNED: bool = false;
    const FINE: bool = false;
    const HAS_MINS: bool = true;
    #[inline(always)]
    unsafe fn head<G: Groups>(step: *const u8, _: usize) -> Head<G::Floats> {
        // SAFETY: the caller's promise.
        unsafe { k_head::<G>(step) }
    }
    #[inline(always)]
    unsafe fn group<G: Groups>(step: *const u8, group: usize) -> G::Bytes {
        // SAFETY: the caller's promise.
        unsafe { k_nibbles::<G>(step.add(16), group) }
    }
}

impl Packed for Q5K {
    const STEP_BYTES: usize = 176;
    const SIGNED: bool = false;
    const FINE: bool = false;
    const HAS_MINS: bool = true;
    #[inline(always)]
    unsafe fn head<G: Groups>(step: *const u8, _: usize) -> Head<G::Floats> {
        // SAFETY: the caller's promise.
        unsafe { k_head::<G>(step) }
    }
    #[inline(always)]
    unsafe fn group<G: Groups>(step: *const u8, group: usize) -> G::Bytes {
        // SAFETY: the caller's promise.
        unsafe { G::stack(k_nibbles::<G>(step.add(48), group), G::bits(G::bytes(step.add(16)), group, 1)) }
    }
}

/// `Q6_K`: low four bits, high two bits, one scale for 16 weights.
impl Packed for Q6K {
    const STEP_BYTES: usize = 210;
    const SIGNED: bool = false;
    const FINE: bool = true;
    const HAS_MINS: bool = true;
    #[inline(always)]
    unsafe fn head<G: Groups>(step: *const u8, _: usize) -> Head<G::Floats> {
        // SAFETY: the caller's promise.
        unsafe {
            let scale = G::half(step.add(208));
            let floats =
                |part: usize| G::scaled(G::signed(step.add(192 + part * 8).cast::<u64>().read_unaligned()), scale);
            let scales = [floats(0), floats(1)];
            Head { scales, mins: [G::scaled(scales[0], 32.0), G::scaled(scales[1], 32.0)] }
        }
    }
    #[inline(always)]
    unsafe fn group<G: Groups>(step: *const u8, group: usize) -> G::Bytes {
        let (half, quarter) = (group / 4, group % 4);
        // SAFETY: the caller's promise.
        unsafe {
            let low = G::bits(G::bytes(step.add(half * 64 + quarter % 2 * 32)), quarter / 2 * 4, 15);
            G::stack(low, G::bits(G::bytes(step.add(128 + half * 32)), quarter * 2, 3))
        }
    }
}
