//! Results that several threads write at once, each its own columns of every row.

use std::marker::PhantomData;
use std::ops::Range;

/// Rows of `stride` floats.
pub(super) struct Columns<'a> {
    data: *mut f32,
    len: usize,
    stride: usize,
    from: PhantomData<&'a mut [f32]>,
}

// SAFETY: threads get at the floats by `Columns::get` only, whose callers promise not to share any.
#[allow(unsafe_code, reason = "a pointer that threads share")]
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    pub(super) fn new(data: &'a mut [f32], stride: usize) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), stride, from: PhantomData }
    }

    /// Some columns of a row.
    ///
    /// # Safety
    /// Nobody else may use them meanwhile.
    #[allow(unsafe_code, clippy::mut_from_ref, reason = "each thread has its own columns")]
    pub(super) unsafe fn get(&self, row: usize, columns: Range<usize>) -> &mut [f32] {
        let first = row * self.stride + columns.start;
        assert!(columns.end <= self.stride && first + columns.len() <= self.len, "invariant: these columns exist");
        // SAFETY: they are within the slice, and the caller has them alone.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(first), columns.len()) }
    }
}
