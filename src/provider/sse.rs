//! Server-sent events as they come in (HTML living standard §9.2.6), cut anywhere by the network.

/// Longest line that is kept, in bytes; models send whole tool arguments in one.
const LINE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Default, Debug)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<String>,
    /// A line feed right after a carriage return belongs to it.
    after_return: bool,
}

impl Events {
    /// The data of every event that is complete after these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    self.end_line(&mut complete);
                }
                _ => {
                    self.after_return = false;
                    if self.line.len() < LINE_BYTES_MAX {
                        self.line.push(*byte);
                    }
                }
            }
        }
        complete
    }

    /// What a server left open at the end of its stream.
    pub(super) fn end(&mut self) -> Vec<String> {
        self.feed(b"\n\n\n")
    }

    fn end_line(&mut self, complete: &mut Vec<String>) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if line.is_empty() {
            if !self.data.is_empty() {
                complete.push(std::mem::take(&mut self.data).join("\n"));
            }
        } else if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_with_comments_and_all_line_ends_are_read() {
        let mut events = Events::default();
        let read = events.feed(b": hello\n\ndata: one\r\n\r\nevent: x\rdata:two\rdata: three\r\rid: 7\n\ndata: open");
        assert_eq!(read, ["one", "two\nthree"]);
        assert_eq!(events.end(), ["open"]);
        events.feed(b"data: one\r");
        assert_eq!(events.end(), ["one"]);
        assert!(events.end().is_empty());
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(texts in proptest::collection::vec("[a-zäöü {}\":]{1,20}", 0..5), cut in 1_usize..9) {
            let wire: String = texts.iter().map(|text| format!("data: {text}\n\n")).collect();
            let mut events = Events::default();
            let read: Vec<String> = wire.as_bytes().chunks(cut).flat_map(|piece| events.feed(piece)).collect();
            prop_assert_eq!(read, texts);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Events::default().feed(&bytes);
        }
    }
}
