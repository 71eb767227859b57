//! Numbers that begin where a cache line begins: a vector of 64 bytes then never straddles two lines.

use std::ops::{Deref, DerefMut};

use half::f16;

/// A cache line, and the widest vector there is.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Numbers that are made of any bits. Implemented here only.
pub trait Number: Copy + Default + private::Sealed {}

impl Number for f32 {}
impl Number for f16 {}
impl Number for i8 {}
impl Number for i32 {}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for i8 {}
    impl Sealed for i32 {}
}

/// A slice of fixed length, aligned to 64 bytes.
#[derive(Clone)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Number> Aligned<T> {
    pub fn zeros(len: usize) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(64);
        Self { lines: vec![Line([0; 64]); lines], len, kind: std::marker::PhantomData }
    }
}

impl<T: Number> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl<T: Number> Deref for Aligned<T> {
    type Target = [T];

    #[allow(unsafe_code, reason = "a view of bytes as numbers")]
    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least `len` numbers, are initialized and aligned, and any bits are a `Number`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Number> DerefMut for Aligned<T> {
    #[allow(unsafe_code, reason = "a view of bytes as numbers")]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl<T> std::fmt::Debug for Aligned<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} numbers", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_cache_line() {
        let mut floats = Aligned::<f32>::from(&[1.0, 2.0, 3.0][..]);
        assert_eq!(floats.as_ptr() as usize % 64, 0);
        floats[2] = 4.0;
        assert_eq!(floats[..], [1.0, 2.0, 4.0]);
        assert!(Aligned::<i8>::zeros(0).is_empty());
    }
}
