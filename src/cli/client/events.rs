//! Server-sent events, one after the other.

use std::io::{self, BufRead, Read};

/// Longest event, in bytes.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event; `name` is `message` when the server gave none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerEvent {
    pub name: String,
    pub data: String,
}

/// The next event, or none when the stream has ended. What was begun and not finished by a blank line is no event.
pub fn next_event(reader: &mut impl BufRead) -> io::Result<Option<ServerEvent>> {
    let (mut name, mut data) = (String::new(), None::<String>);
    let mut bytes = 0;
    loop {
        let mut line = Vec::new();
        let room = (EVENT_BYTES_MAX - bytes) as u64;
        bytes += reader.by_ref().take(room).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return match bytes >= EVENT_BYTES_MAX {
                true => Err(io::Error::new(io::ErrorKind::InvalidData, "it sent an event that is too long")),
                false => Ok(None),
            };
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            match data {
                Some(data) => {
                    let name = if name.is_empty() { "message".to_owned() } else { name };
                    return Ok(Some(ServerEvent { name, data }));
                }
                None => (name, bytes) = (String::new(), 0),
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut data) {
            ("event", _) => name = value.to_owned(),
            ("data", Some(data)) => {
                data.push('\n');
                data.push_str(value);
            }
            ("data", None) => data = Some(value.to_owned()),
            // Comments keep the connection alive; ids and retry times are for browsers.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::client::testing::Dribble;

    fn read(bytes: &[u8], step: usize) -> io::Result<Vec<(String, String)>> {
        let mut reader = Dribble::new(bytes, step);
        let mut events = Vec::new();
        while let Some(event) = next_event(&mut reader)? {
            events.push((event.name, event.data));
        }
        Ok(events)
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let stream = ": hello\n\nevent: text\r\ndata: {\"text\":\"a\"}\r\n\r\nid: 7\ndata\ndata:  b\n\nevent: x\n\ndata: c\n\ndata: cut";
        let expected = [("text", "{\"text\":\"a\"}"), ("message", "\n b"), ("message", "c")];
        let expected: Vec<_> = expected.map(|(name, data)| (name.to_owned(), data.to_owned())).into();
        for step in 1..40 {
            assert_eq!(read(stream.as_bytes(), step).expect("events"), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), step in 1_usize..9) {
            let _ = read(&bytes, step);
        }

        #[test]
        fn data_comes_back_line_by_line(lines in proptest::collection::vec("[^\r\n]{0,20}", 1..5)) {
            let stream: String = lines.iter().map(|line| format!("data: {line}\n")).collect::<String>() + "\n";
            let events = read(stream.as_bytes(), 5).expect("events");
            prop_assert_eq!(events, vec![("message".to_owned(), lines.join("\n"))]);
        }
    }
}
