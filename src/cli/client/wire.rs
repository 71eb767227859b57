//! The bytes of an HTTP/1.1 answer: its head, and a body with a length, in chunks, or up to the end of the connection.

use std::io::{self, BufRead, Read};

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 64;
/// Longest line that gives a chunk's size, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// What an answer begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub status: u16,
    pub content_type: String,
    framing: Framing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Length(u64),
    Chunked,
    ToEnd,
}

/// Reads one head and leaves the reader at the body.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Head> {
    let mut bytes = Vec::new();
    loop {
        let line_begin = bytes.len();
        let room = (HEAD_BYTES_MAX - bytes.len()) as u64;
        reader.by_ref().take(room).read_until(b'\n', &mut bytes)?;
        let line = &bytes[line_begin..];
        if !line.ends_with(b"\n") {
            let is_full = bytes.len() >= HEAD_BYTES_MAX;
            return Err(if is_full { bad("a head that is too long") } else { io::ErrorKind::UnexpectedEof.into() });
        }
        if line_begin > 0 && matches!(line, b"\r\n" | b"\n") {
            let head = parse_head(&bytes)?;
            // 100 Continue and its like announce the real answer.
            if !(100..200).contains(&head.status) {
                return Ok(head);
            }
            bytes.clear();
        }
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return Err(bad("something that is not HTTP")),
    }
    let status = response.code.ok_or_else(|| bad("a head without a status"))?;
    let find = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    let framing = match (find("transfer-encoding"), find("content-length")) {
        _ if matches!(status, 204 | 304) => Framing::Length(0),
        (Some(encoding), _) if encoding == "chunked" => Framing::Chunked,
        (Some(_), _) => return Err(bad("an unknown transfer encoding")),
        (None, Some(length)) => Framing::Length(length.parse().map_err(|_| bad("a length that is no number"))?),
        (None, None) => Framing::ToEnd,
    };
    Ok(Head { status, content_type: find("content-type").unwrap_or_default(), framing })
}

/// The body of an answer, without its framing. A body that ends early is an error, not a short body.
pub struct Body<R> {
    reader: R,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ToEnd,
    Done,
}

impl<R: BufRead> Body<R> {
    pub fn new(reader: R, head: &Head) -> Self {
        let state = match head.framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::ToEnd => State::ToEnd,
        };
        Self { reader, state }
    }

    fn some(&mut self, buffer: &mut [u8], left: u64) -> io::Result<u64> {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match self.reader.read(&mut buffer[..room])? {
            0 if room > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count as u64),
        }
    }

    /// The number of bytes in the next chunk; zero after the last one.
    fn chunk_size(&mut self) -> io::Result<u64> {
        let line = self.line()?;
        match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => Ok(size),
            Ok(httparse::Status::Partial) | Err(_) => Err(bad("a chunk without a size")),
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.reader).take(CHUNK_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        match line.last() {
            Some(b'\n') => Ok(line),
            _ if line.len() >= CHUNK_LINE_BYTES_MAX => Err(bad("a chunk size that is too long")),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn trailers(&mut self) -> io::Result<()> {
        for _ in 0..HEADERS_MAX {
            if matches!(self.line()?.as_slice(), b"\r\n" | b"\n") {
                return Ok(());
            }
        }
        Err(bad("too many trailers"))
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Done | State::Length(0) => return Ok(0),
                State::ToEnd => return self.reader.read(buffer),
                State::Length(left) => {
                    let count = self.some(buffer, left)?;
                    self.state = State::Length(left - count);
                    return Ok(count as usize);
                }
                State::ChunkSize => match self.chunk_size()? {
                    0 => {
                        self.trailers()?;
                        self.state = State::Done;
                    }
                    size => self.state = State::Chunk(size),
                },
                State::Chunk(0) => {
                    if !matches!(self.line()?.as_slice(), b"\r\n" | b"\n") {
                        return Err(bad("a chunk longer than its size"));
                    }
                    self.state = State::ChunkSize;
                }
                State::Chunk(left) => {
                    let count = self.some(buffer, left)?;
                    self.state = State::Chunk(left - count);
                    return Ok(count as usize);
                }
            }
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it sent {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::client::testing::Dribble;

    fn read(bytes: &[u8]) -> io::Result<(Head, Vec<u8>)> {
        let mut reader = Dribble::new(bytes, 3);
        let head = read_head(&mut reader)?;
        let mut body = Vec::new();
        Body::new(reader, &head).read_to_end(&mut body)?;
        Ok((head, body))
    }

    #[test]
    fn each_framing_ends_where_it_says() {
        let check = |text: &str, status: u16, body: &str| {
            let (head, read) = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!((head.status, String::from_utf8_lossy(&read).as_ref()), (status, body), "{text:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", 200, "hi");
        check("HTTP/1.1 404 Not Found\r\n\r\nto the end", 404, "to the end");
        check("HTTP/1.1 204 No Content\r\n\r\nignored", 204, "");
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x");
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n4;a=b\r\nWiki\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nrest",
            200,
            "Wiki0123456789",
        );
    }

    #[test]
    fn what_ends_early_or_is_not_http_is_an_error() {
        for (text, kind) in [
            ("", io::ErrorKind::UnexpectedEof),
            ("HTTP/1.1 200 OK\r\nContent-", io::ErrorKind::UnexpectedEof),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", io::ErrorKind::UnexpectedEof),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", io::ErrorKind::UnexpectedEof),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi", io::ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n", io::ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", io::ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", io::ErrorKind::InvalidData),
            ("SSH-2.0-OpenSSH_9.6\r\n\r\n", io::ErrorKind::InvalidData),
            (&format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES_MAX)), io::ErrorKind::InvalidData),
        ] {
            assert_eq!(read(text.as_bytes()).expect_err(text).kind(), kind, "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let _ = read(&[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", bytes.as_slice()].concat());
        }

        #[test]
        fn chunks_come_back_as_what_was_cut_into_them(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8),
        ) {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            prop_assert_eq!(read(&bytes).expect("a body").1, chunks.concat());
        }
    }
}
