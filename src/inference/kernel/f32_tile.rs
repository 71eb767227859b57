//! The innermost loop of a product of matrices: a few rows of one times a panel of the other, all of it in registers.

#![allow(unsafe_code, reason = "vector instructions")]

use half::f16;

use crate::inference::kernel::aligned::Number;
use crate::inference::kernel::for_every_isa;
use crate::inference::kernel::lanes::{Isa, Lanes, gelu};

/// Vectors side by side in a panel. Twelve rows of two are 24 of AVX-512's and NEON's 32 registers; six are 12 of AVX2's 16.
pub const VECTORS: usize = 2;

/// Floats in the widest panel.
const PANEL_MAX: usize = 32;

/// Room for the sums of one tile.
#[repr(align(64))]
struct Sums([f32; 12 * PANEL_MAX]);

/// What is done with a sum before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It takes the place of what was there.
    Set,
    /// The same, through the activation function.
    Gelu,
    /// It is added to what was there.
    Add,
}

/// Rows of `a`, as many as the target has, times one panel of `b`.
#[derive(Clone, Copy)]
pub struct Tile<W> {
    /// First of the rows, `a_stride` floats from one to the next, each with `depth` floats.
    pub a: *const f32,
    pub a_stride: usize,
    /// `depth` times `VECTORS` vectors.
    pub b: *const W,
    pub depth: usize,
    pub target: Target,
}

/// Where the results of a tile go, and what is done with them on the way.
#[derive(Clone, Copy)]
pub struct Target {
    /// First of the results, `stride` floats from one row to the next, `width` in each.
    pub to: *mut f32,
    pub stride: usize,
    pub width: usize,
    /// As many as the panel is wide, or null.
    pub bias: *const f32,
    pub finish: Finish,
    pub rows: usize,
}

/// Rows that one tile may have on this processor.
pub fn rows_max(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 6,
        Isa::Scalar => 4,
        #[allow(unreachable_patterns, reason = "other processors")]
        _ => 12,
    }
}

/// What the packed side is kept in; arithmetic is in floats of 32 bits all the same.
pub trait Weight: Number + Send + Sync {
    fn narrowed(value: f32) -> Self;
    fn widened(self) -> f32;
    /// # Safety
    /// As for [`Lanes`], with as many weights at the pointer.
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    /// Computes one tile.
    ///
    /// # Safety
    /// Its pointers must hold what [`Tile`] and [`Target`] say, and its rows must be from 1 to [`rows_max`].
    unsafe fn multiply(isa: Isa, tile: &Tile<Self>);
}

impl Weight for f32 {
    fn narrowed(value: f32) -> Self {
        value
    }
    fn widened(self) -> f32 {
        self
    }
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: the caller's promise.
        unsafe { L::load(from) }
    }
    unsafe fn multiply(isa: Isa, tile: &Tile<Self>) {
        // SAFETY: the caller's promise.
        unsafe { multiply_floats(isa, tile) }
    }
}

/// Half the memory, and half the time where memory is what is waited for.
impl Weight for f16 {
    fn narrowed(value: f32) -> Self {
        Self::from_f32(value.clamp(Self::MIN.to_f32(), Self::MAX.to_f32()))
    }
    fn widened(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: the caller's promise.
        unsafe { L::load_half(from) }
    }
    unsafe fn multiply(isa: Isa, tile: &Tile<Self>) {
        // SAFETY: the caller's promise.
        unsafe { multiply_halves(isa, tile) }
    }
}

for_every_isa! { fn multiply_floats(tile: &Tile<f32>) = floats_body }
for_every_isa! { fn multiply_halves(tile: &Tile<f16>) = halves_body }

#[inline(always)]
unsafe fn floats_body<L: Lanes>(tile: &Tile<f32>) {
    // SAFETY: the caller's promise.
    unsafe { multiply_body::<L, f32>(tile) }
}

#[inline(always)]
unsafe fn halves_body<L: Lanes>(tile: &Tile<f16>) {
    // SAFETY: the caller's promise.
    unsafe { multiply_body::<L, f16>(tile) }
}

#[inline(always)]
unsafe fn multiply_body<L: Lanes, W: Weight>(tile: &Tile<W>) {
    // Sums go through here, so that what is done with them is compiled once and not for every number of rows.
    let mut sums = Sums([0.0; 12 * PANEL_MAX]);
    let to = sums.0.as_mut_ptr();
    // SAFETY: the caller's promise; no tile has more sums than there is room for.
    unsafe {
        match tile.target.rows {
            1 => one_row::<L, W>(tile, to),
            2 => rows_2::<L, W>(tile, to),
            3 => rows_3::<L, W>(tile, to),
            4 => rows_4::<L, W>(tile, to),
            5 => rows_5::<L, W>(tile, to),
            6 => rows_6::<L, W>(tile, to),
            7 => rows_7::<L, W>(tile, to),
            8 => rows_8::<L, W>(tile, to),
            9 => rows_9::<L, W>(tile, to),
            10 => rows_10::<L, W>(tile, to),
            11 => rows_11::<L, W>(tile, to),
            _ => rows_12::<L, W>(tile, to),
        }
        for row in 0..tile.target.rows {
            finish::<L>(&tile.target, row, to.add(row * VECTORS * L::COUNT));
        }
    }
}

/// Written out by macro: the size-minded optimizer does not unroll loops over registers.
macro_rules! rows {
    ($name:ident, $count:literal: $($row:literal)+) => {
        #[inline(always)]
        unsafe fn $name<L: Lanes, W: Weight>(tile: &Tile<W>, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe {
                let mut sums = [[L::splat(0.0); VECTORS]; $count];
                let (mut a, mut b) = (tile.a, tile.b);
                let (stride, end) = (tile.a_stride, tile.a.add(tile.depth));
                while a < end {
                    let (left, right) = (W::load::<L>(b), W::load::<L>(b.add(L::COUNT)));
                    $(
                        let value = L::splat(*a.add($row * stride));
                        sums[$row][0] = sums[$row][0].fma(value, left);
                        sums[$row][1] = sums[$row][1].fma(value, right);
                    )+
                    a = a.add(1);
                    b = b.add(VECTORS * L::COUNT);
                }
                $(
                    sums[$row][0].store(to.add($row * VECTORS * L::COUNT));
                    sums[$row][1].store(to.add(($row * VECTORS + 1) * L::COUNT));
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
rows!(rows_7, 7: 0 1 2 3 4 5 6);
rows!(rows_8, 8: 0 1 2 3 4 5 6 7);
rows!(rows_9, 9: 0 1 2 3 4 5 6 7 8);
rows!(rows_10, 10: 0 1 2 3 4 5 6 7 8 9);
rows!(rows_11, 11: 0 1 2 3 4 5 6 7 8 9 10);
rows!(rows_12, 12: 0 1 2 3 4 5 6 7 8 9 10 11);

/// A single row waits for memory, not for arithmetic: four steps at a time, each with sums of its own.
#[inline(always)]
unsafe fn one_row<L: Lanes, W: Weight>(tile: &Tile<W>, to: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = L::splat(0.0);
        let (mut s0, mut s1, mut s2, mut s3) = ([zero; VECTORS], [zero; VECTORS], [zero; VECTORS], [zero; VECTORS]);
        let (mut a, mut b) = (tile.a, tile.b);
        let step = VECTORS * L::COUNT;
        let (end, whole) = (tile.a.add(tile.depth), tile.a.add(tile.depth - tile.depth % 4));
        while a < whole {
            s0 = pair(s0, *a, b);
            s1 = pair(s1, *a.add(1), b.add(step));
            s2 = pair(s2, *a.add(2), b.add(2 * step));
            s3 = pair(s3, *a.add(3), b.add(3 * step));
            a = a.add(4);
            b = b.add(4 * step);
        }
        while a < end {
            s0 = pair(s0, *a, b);
            a = a.add(1);
            b = b.add(step);
        }
        let left = s0[0].plus(s1[0]).plus(s2[0].plus(s3[0]));
        let right = s0[1].plus(s1[1]).plus(s2[1].plus(s3[1]));
        left.store(to);
        right.store(to.add(L::COUNT));
    }
}

#[inline(always)]
unsafe fn pair<L: Lanes, W: Weight>(sums: [L; VECTORS], a: f32, b: *const W) -> [L; VECTORS] {
    // SAFETY: the caller's promise.
    unsafe {
        let value = L::splat(a);
        [sums[0].fma(value, W::load(b)), sums[1].fma(value, W::load(b.add(L::COUNT)))]
    }
}

/// Adds the bias, activates and stores one row of sums.
///
/// # Safety
/// As for [`Weight::multiply`]; `sums` has as many floats as a panel is wide.
#[inline(always)]
pub unsafe fn finish<L: Lanes>(target: &Target, row: usize, sums: *mut f32) {
    // SAFETY: the caller's promise; there are as many sums as a panel is wide.
    unsafe {
        let to = target.to.add(row * target.stride);
        let is_whole = target.width == VECTORS * L::COUNT;
        for vector in 0..VECTORS {
            let offset = vector * L::COUNT;
            let mut value = L::load(sums.add(offset));
            if !target.bias.is_null() {
                value = value.plus(L::load(target.bias.add(offset)));
            }
            if target.finish == Finish::Gelu {
                value = gelu(value);
            }
            if is_whole && target.finish == Finish::Add {
                value = value.plus(L::load(to.add(offset)));
            }
            value.store(if is_whole { to.add(offset) } else { sums.add(offset) });
        }
        if !is_whole {
            for column in 0..target.width {
                let (place, value) = (to.add(column), *sums.add(column));
                *place = if target.finish == Finish::Add { *place + value } else { value };
            }
        }
    }
}
