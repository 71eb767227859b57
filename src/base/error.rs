//! Printing an error with its causes, once, where it is handled.

use std::error::Error;

/// `error: cause: cause's cause`. Our variants never print their own source; of others that do, the source is not said again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not start: {source}")]
    struct Chatty {
        source: std::io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("could not open the door")]
    struct Ours {
        source: Chatty,
    }

    #[test]
    fn causes_follow_each_other_and_none_is_said_twice() {
        let ours = Ours { source: Chatty { source: std::io::Error::other("no thread") } };
        assert_eq!(chain(&ours), "could not open the door: could not start: no thread");
    }
}
