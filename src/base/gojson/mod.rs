//! JSON as Go's `encoding/json` writes and reads it, for whatever is shared with Go programs.
//!
//! Written: fields in the order of the struct, `<`, `>`, `&` and the two line separators escaped, floats in Go's form; so the
//! same value is the same bytes on both sides. Read: keys in any case, `null` as the zero value, unknown keys skipped without
//! keeping them, bytes that are no UTF-8 replaced, lists bounded.
//!
//! Absent on purpose: Go's "the last of two equal keys counts". Two readers could see two messages in one; such an object is refused.

mod read;
mod time;
mod write;

pub use read::{LIST_LEN_MAX, from_slice, from_value};
pub use time::GoTime;
pub use write::{to_string, to_vec};

#[cfg(test)]
mod tests;
