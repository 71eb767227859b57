//! Gives memory back after something large is over: the start, a model that is unloaded, a broker's client that was made or ended.
//!
//! Most of an idle gateway's resident memory is its own file: the kernel maps 64 KiB around every page that was touched, and the
//! start touches nearly everything once (relocations to begin with). Dropping the mappings costs the few pages that are used
//! again a minor fault each. Of the heap, glibc keeps what was freed in small pieces until it is asked.

#![allow(unsafe_code)]

use std::ops::Range;

/// Gives back both: free pieces of the heap, and mapped pages of the program's code.
pub fn all() {
    heap();
    code();
}

/// Drops the mapped pages of the program's code and constants from this process; they stay in the page cache and come back when
/// used.
pub fn code() {
    let Ok(program) = std::env::current_exe() else { return };
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for Range { start, end } in maps.lines().filter_map(|line| unwritten_range(line, &program.to_string_lossy())) {
        // SAFETY: the range is a private mapping of our own file, of its code or of its beginning (headers, relocations, constants),
        // which nobody writes: each page can be read again from the file. Relocated data lies in later mappings that are not
        // executable; they are left alone.
        let dropped = unsafe {
            rustix::mm::madvise(
                std::ptr::with_exposed_provenance_mut(start),
                end - start,
                rustix::mm::Advice::LinuxDontNeed,
            )
        };
        if let Err(error) = dropped {
            tracing::debug!(error = %error, "Memory of the start could not be given back.");
        }
    }
}

/// Returns what is free of the heap at the moment; tens of milliseconds at most, so not for every run.
pub fn heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: glibc's `malloc_trim(3)` takes a plain number, is thread-safe and changes no allocation that is in use.
    unsafe {
        malloc_trim(0);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn malloc_trim(pad: usize) -> i32;
}

/// The addresses of a line of `/proc/self/maps` that maps code or the beginning of `program`.
fn unwritten_range(line: &str, program: &str) -> Option<Range<usize>> {
    let mut fields = line.split_whitespace();
    let (addresses, permissions, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let is_unwritten = permissions == "r-xp" || (permissions == "r--p" && offset == "00000000");
    if !is_unwritten || fields.nth(2)? != program {
        return None;
    }
    let (start, end) = addresses.split_once('-')?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_written_is_given_back() {
        let program = "/usr/bin/kafclaw";
        let line = |permissions| format!("1000-3000 {permissions} 00001000 fe:00 42    {program}");
        let first = |permissions| format!("1000-3000 {permissions} 00000000 fe:00 42    {program}");
        assert_eq!(unwritten_range(&first("r--p"), program), Some(0x1000..0x3000));
        assert_eq!(unwritten_range(&first("rw-p"), program), None);
        assert_eq!(unwritten_range(&line("r-xp"), program), Some(0x1000..0x3000));
        assert_eq!(unwritten_range(&line("r--p"), program), None);
        assert_eq!(unwritten_range(&line("rw-p"), program), None);
        assert_eq!(unwritten_range("1000-3000 r-xp 00001000 fe:00 42 /usr/lib/libc.so.6", program), None);
        assert_eq!(unwritten_range("1000-3000 r-xp", program), None);
    }

    #[test]
    fn the_program_goes_on_without_its_pages() {
        code();
        assert_eq!([1, 2, 3].iter().sum::<i32>(), 6);
    }
}
