//! The innermost loop of a product with weights of eight bits: a few rows times a panel, block by block of 32.
//!
//! Within a block all is integers; its sum is scaled by the block's scale on both sides and added to a float. That is exactly what
//! GGUF's `Q8_0` means, so such files lose nothing here.

#![allow(unsafe_code, reason = "vector instructions")]

use crate::inference::kernel::f32_tile::{Target, VECTORS, finish};
use crate::inference::kernel::for_every_isa;
use crate::inference::kernel::lanes::{Isa, Lanes, Plain};

/// Weights that share a scale.
pub const BLOCK: usize = 32;
/// Steps that one instruction multiplies and sums.
pub const STEPS: usize = 4;

/// Vectors of 32-bit integers beside those of floats.
///
/// # Safety
/// As for [`Lanes`]; `dot` reads `COUNT` times four weights.
pub trait Dots: Lanes {
    type Sums: Copy;
    /// What is added to weights when they are packed: instructions of x86 multiply unsigned with signed bytes.
    const OFFSET: i32;
    #[allow(clippy::missing_safety_doc, reason = "said above")]
    unsafe fn start(sum: i32) -> Self::Sums;
    /// Adds to each sum the four weights of its column times the four bytes of `a`.
    #[allow(clippy::missing_safety_doc, reason = "said above")]
    unsafe fn dot(sums: Self::Sums, weights: *const i8, a: i32) -> Self::Sums;
    #[allow(clippy::missing_safety_doc, reason = "said above")]
    unsafe fn floats(sums: Self::Sums) -> Self;
}

/// Rows of bytes times a panel of bytes.
#[derive(Clone, Copy)]
pub struct ByteTile {
    /// First of the rows, `blocks * BLOCK` bytes from one to the next.
    pub a: *const i8,
    /// A scale per row and block, and the sum of the block times the negative offset of the weights.
    pub a_scales: *const f32,
    pub a_sums: *const i32,
    /// By block, then by four steps, then by column: four bytes.
    pub b: *const i8,
    /// By block: a scale per column.
    pub b_scales: *const f32,
    pub blocks: usize,
    pub target: Target,
}

/// Rows that one tile may have: their sums of integers and of floats fill the registers.
pub fn rows_max(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 2,
        _ => 6,
    }
}

/// What weights are stored with for these instructions.
pub fn offset(isa: Isa) -> i32 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => crate::inference::kernel::lanes_x86::Wide::OFFSET,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => crate::inference::kernel::lanes_neon::Quarter::OFFSET,
        _ => Plain::OFFSET,
    }
}

for_every_isa! {
    /// Computes one tile.
    ///
    /// # Safety
    /// Its pointers must hold what [`ByteTile`] and [`Target`] say, and its rows must be from 1 to [`rows_max`].
    pub fn multiply(tile: &ByteTile) = multiply_body
}

#[inline(always)]
unsafe fn multiply_body<L: Dots>(tile: &ByteTile) {
    let mut sums = Room([0.0; 6 * 32]);
    let to = sums.0.as_mut_ptr();
    // SAFETY: the caller's promise; no tile has more sums than there is room for.
    unsafe {
        match tile.target.rows {
            1 => one_row::<L>(tile, to),
            2 => rows_2::<L>(tile, to),
            3 => rows_3::<L>(tile, to),
            4 => rows_4::<L>(tile, to),
            5 => rows_5::<L>(tile, to),
            _ => rows_6::<L>(tile, to),
        }
        for row in 0..tile.target.rows {
            finish::<L>(&tile.target, row, to.add(row * VECTORS * L::COUNT));
        }
    }
}

#[repr(align(64))]
struct Room([f32; 6 * 32]);

/// Bytes of one block of a panel.
const fn block_bytes<L: Lanes>() -> usize {
    BLOCK * VECTORS * L::COUNT
}

macro_rules! rows {
    ($name:ident, $count:literal: $($row:literal)+) => {
        #[inline(always)]
        unsafe fn $name<L: Dots>(tile: &ByteTile, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe {
                let mut floats = [[L::splat(0.0); VECTORS]; $count];
                let (mut a, mut b, stride) = (tile.a, tile.b, tile.blocks * BLOCK);
                for block in 0..tile.blocks {
                    let mut sums = [$( [L::start(*tile.a_sums.add($row * tile.blocks + block)); VECTORS] ),+];
                    let end = a.add(BLOCK);
                    while a < end {
                        let right = b.add(L::COUNT * STEPS);
                        $(
                            let bytes = a.add($row * stride).cast::<i32>().read_unaligned();
                            sums[$row][0] = L::dot(sums[$row][0], b, bytes);
                            sums[$row][1] = L::dot(sums[$row][1], right, bytes);
                        )+
                        a = a.add(STEPS);
                        b = right.add(L::COUNT * STEPS);
                    }
                    let scales = tile.b_scales.add(block * VECTORS * L::COUNT);
                    let (left, right) = (L::load(scales), L::load(scales.add(L::COUNT)));
                    $(
                        let scale = L::splat(*tile.a_scales.add($row * tile.blocks + block));
                        floats[$row][0] = floats[$row][0].fma(L::floats(sums[$row][0]), left.times(scale));
                        floats[$row][1] = floats[$row][1].fma(L::floats(sums[$row][1]), right.times(scale));
                    )+
                }
                $(
                    floats[$row][0].store(to.add($row * VECTORS * L::COUNT));
                    floats[$row][1].store(to.add(($row * VECTORS + 1) * L::COUNT));
                )+
            }
        }
    };
}

rows!(rows_2, 2: 0 1);
rows!(rows_3, 3: 0 1 2);
rows!(rows_4, 4: 0 1 2 3);
rows!(rows_5, 5: 0 1 2 3 4);
rows!(rows_6, 6: 0 1 2 3 4 5);

/// A single row waits for memory and for its own sums: two halves of a block side by side.
#[inline(always)]
unsafe fn one_row<L: Dots>(tile: &ByteTile, to: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut floats = [L::splat(0.0); VECTORS];
        let half = block_bytes::<L>() / 2;
        for block in 0..tile.blocks {
            let (a, b) = (tile.a.add(block * BLOCK).cast::<i32>(), tile.b.add(block * block_bytes::<L>()));
            let mut first = [L::start(*tile.a_sums.add(block)); VECTORS];
            let mut second = [L::start(0); VECTORS];
            let mut step = 0;
            while step < BLOCK / STEPS / 2 {
                let weights = b.add(step * VECTORS * L::COUNT * STEPS);
                let bytes = a.add(step).read_unaligned();
                first[0] = L::dot(first[0], weights, bytes);
                first[1] = L::dot(first[1], weights.add(L::COUNT * STEPS), bytes);
                let (weights, bytes) = (weights.add(half), a.add(step + BLOCK / STEPS / 2).read_unaligned());
                second[0] = L::dot(second[0], weights, bytes);
                second[1] = L::dot(second[1], weights.add(L::COUNT * STEPS), bytes);
                step += 1;
            }
            let scales = tile.b_scales.add(block * VECTORS * L::COUNT);
            let scale = L::splat(*tile.a_scales.add(block));
            let left = L::floats(first[0]).plus(L::floats(second[0]));
            let right = L::floats(first[1]).plus(L::floats(second[1]));
            floats[0] = floats[0].fma(left, L::load(scales).times(scale));
            floats[1] = floats[1].fma(right, L::load(scales.add(L::COUNT)).times(scale));
        }
        floats[0].store(to);
        floats[1].store(to.add(L::COUNT));
    }
}

impl Dots for Plain {
    type Sums = [i32; 4];
    const OFFSET: i32 = 0;
    unsafe fn start(sum: i32) -> [i32; 4] {
        [sum; 4]
    }
    unsafe fn dot(sums: [i32; 4], weights: *const i8, a: i32) -> [i32; 4] {
        // SAFETY: the caller's promise: four weights for each of four columns.
        let weights = unsafe { weights.cast::<[[i8; STEPS]; 4]>().read_unaligned() };
        let a = a.to_le_bytes().map(|byte| i32::from(byte as i8));
        std::array::from_fn(|lane| {
            let weights = weights[lane];
            sums[lane] + (0..STEPS).map(|step| i32::from(weights[step]) * a[step]).sum::<i32>()
        })
    }
    unsafe fn floats(sums: [i32; 4]) -> Self {
        // SAFETY: there are four floats.
        unsafe { Self::load(sums.map(|sum| sum as f32).as_ptr()) }
    }
}
