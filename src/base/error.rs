//! Printing an error with its causes, once, where it is handled.

use std::error::Error;

/// `error: cause: cause's cause`. Variants never print their own source, so nothing is said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
