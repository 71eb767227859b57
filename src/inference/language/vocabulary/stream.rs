//! Characters out of bytes that come in pieces: never half of one.

/// Holds the bytes of a character that is not complete yet.
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// The characters that are complete now. What can never become one is `U+FFFD`.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut out = String::new();
        let mut start = 0;
        while start < self.pending.len() {
            match std::str::from_utf8(&self.pending[start..]) {
                Ok(text) => {
                    out.push_str(text);
                    start = self.pending.len();
                }
                Err(error) => {
                    let good = start + error.valid_up_to();
                    out.push_str(&String::from_utf8_lossy(&self.pending[start..good]));
                    start = good;
                    let Some(bad) = error.error_len() else { break };
                    out.push(char::REPLACEMENT_CHARACTER);
                    start += bad;
                }
            }
        }
        self.pending.drain(..start);
        out
    }

    /// What is left at the end of a text: nothing, or `U+FFFD` for a character that was never completed.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}
