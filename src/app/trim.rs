//! Gives memory back after the start.
//!
//! Most of an idle gateway's resident memory is its own code: the kernel maps 64 KiB around every page that was touched, and the
//! start touches nearly everything once. Dropping the mappings costs the few pages that are used again a minor fault each.

#![allow(unsafe_code)]

use std::ops::Range;

/// Drops the mapped pages of the program's code from this process; they stay in the page cache and come back when used.
pub(super) fn code() {
    let Ok(program) = std::env::current_exe() else { return };
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for Range { start, end } in maps.lines().filter_map(|line| code_range(line, &program.to_string_lossy())) {
        // SAFETY: the range is a private, read-only, executable mapping of our own file, so no page of it was ever written and each
        // can be read again from the file. Relocated data lies in mappings that are not executable and are left alone.
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

/// The addresses of a line of `/proc/self/maps` that maps code of `program`.
fn code_range(line: &str, program: &str) -> Option<Range<usize>> {
    let mut fields = line.split_whitespace();
    let (addresses, permissions) = (fields.next()?, fields.next()?);
    if permissions != "r-xp" || fields.nth(3)? != program {
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
    fn only_code_of_the_program_is_given_back() {
        let program = "/usr/bin/kafclaw";
        let line = |permissions| format!("1000-3000 {permissions} 00001000 fe:00 42    {program}");
        assert_eq!(code_range(&line("r-xp"), program), Some(0x1000..0x3000));
        assert_eq!(code_range(&line("r--p"), program), None);
        assert_eq!(code_range(&line("rw-p"), program), None);
        assert_eq!(code_range("1000-3000 r-xp 00001000 fe:00 42 /usr/lib/libc.so.6", program), None);
        assert_eq!(code_range("1000-3000 r-xp", program), None);
    }

    #[test]
    fn the_program_goes_on_without_its_pages() {
        code();
        assert_eq!([1, 2, 3].iter().sum::<i32>(), 6);
    }
}
