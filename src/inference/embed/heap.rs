//! Gives free memory of the heap back to the system.
//!
//! Loading a model allocates and frees several times its size in small pieces, which glibc keeps for itself.

#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn malloc_trim(pad: usize) -> i32;
}

/// Returns what is free at the moment; tens of milliseconds at most, so not for every run.
pub(super) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: glibc's `malloc_trim(3)` takes a plain number, is thread-safe and changes no allocation that is in use.
    unsafe {
        malloc_trim(0);
    }
}
