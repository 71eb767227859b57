//! Ends the process, without what C libraries have planned for that moment.

use std::io::Write as _;

/// Ends the process with `code`. Whatever must be kept has been written by now.
///
/// Returning from `main` would run the destructors of ONNX Runtime and OpenSSL while threads of theirs still compute: one in forty
/// gateways that were stopped while their first model was loaded ended with a segmentation fault. POSIX's `_exit` runs none.
#[allow(unsafe_code, reason = "a declaration of C's")]
pub fn leave(code: u8) -> ! {
    unsafe extern "C" {
        safe fn _exit(status: i32) -> !;
    }
    // Only this one is kept back until a line is full.
    let _ = std::io::stdout().flush();
    _exit(i32::from(code))
}
