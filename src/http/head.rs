//! Heads and bodies of HTTP/1.1 messages, read strictly: whatever could be understood in two ways is refused (RFC 9112 §6.3,
//! §11.2).

use bytes::{Buf, Bytes, BytesMut};

use crate::base::limits::{HEAD_BYTES_MAX, UPLOAD_BYTES_MAX};
use crate::base::percent;
use crate::http::Method;
use crate::http::message::query_pairs;

/// Header lines of one request.
const HEADERS_MAX: usize = 64;

/// Why a request is refused: a status and a sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub sentence: &'static str,
}

const fn refused(status: u16, sentence: &'static str) -> Refusal {
    Refusal { status, sentence }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// The head of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub method: Method,
    /// As it was sent, query included.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
    pub keeps_alive: bool,
    /// Spoken in HTTP/1.0.
    pub is_old: bool,
    pub expects_continue: bool,
    pub wants_upgrade: bool,
}

impl Head {
    /// Path and query of the target, decoded.
    pub(super) fn path_and_query(target: &str) -> (String, Vec<(String, String)>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (percent::decoded(path), query_pairs(query))
    }
}

/// Takes a head off the front of `buffer`; `None` when more has to be read.
pub(super) fn take_head(buffer: &mut BytesMut) -> Result<Option<Head>, Refusal> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    let len = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if buffer.len() > HEAD_BYTES_MAX => {
            return Err(refused(431, "the request's head is too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(refused(431, "the request has too many headers")),
        Err(httparse::Error::Version) => return Err(refused(505, "only HTTP/1.1 is spoken here")),
        Err(_) => return Err(refused(400, "the request is not HTTP")),
    };
    if len > HEAD_BYTES_MAX {
        return Err(refused(431, "the request's head is too long"));
    }
    if buffer[..len].windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r') {
        return Err(refused(400, "lines must end with carriage return and line feed"));
    }
    let head = read(&parsed)?;
    buffer.advance(len);
    Ok(Some(head))
}

fn read(parsed: &httparse::Request<'_, '_>) -> Result<Head, Refusal> {
    let method = parsed.method.and_then(Method::parse).ok_or(refused(501, "that method is not known here"))?;
    let target = parsed.path.unwrap_or_default();
    let is_everything = method == Method::Options && target == "*";
    if !target.starts_with('/') && !is_everything {
        return Err(refused(400, "the target must be a path"));
    }
    let mut headers = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value).ok().filter(|value| value.is_ascii());
        let value = value.ok_or(refused(400, "a header is not plain ASCII"))?;
        headers.push((header.name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let all = |name: &str| {
        headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    let is_old = parsed.version == Some(0);
    if all("host").len() > 1 || (all("host").is_empty() && !is_old) {
        return Err(refused(400, "exactly one Host header is needed"));
    }
    let has_token = |name: &str, token: &str| {
        all(name).iter().any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    let framing = framing(&all("content-length"), &all("transfer-encoding"))?;
    Ok(Head {
        method,
        target: target.to_owned(),
        framing,
        is_old,
        keeps_alive: !is_old && !has_token("connection", "close"),
        expects_continue: has_token("expect", "100-continue"),
        wants_upgrade: has_token("connection", "upgrade"),
        headers,
    })
}

fn framing(lengths: &[&str], encodings: &[&str]) -> Result<Framing, Refusal> {
    match (lengths, encodings) {
        ([], []) => Ok(Framing::Length(0)),
        ([], [encoding]) if encoding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        ([], _) => Err(refused(501, "that transfer encoding is not known here")),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            match length.parse::<usize>() {
                // What its route takes is known once the route is.
                Ok(length) if length <= UPLOAD_BYTES_MAX => Ok(Framing::Length(length)),
                _ => Err(TOO_LARGE),
            }
        }
        _ => Err(refused(400, "the length of the body is not clear")),
    }
}

pub(super) const TOO_LARGE: Refusal = refused(413, "the body is too large");

/// Puts a chunked body together.
#[derive(Debug)]
pub(super) struct Chunked {
    body: BytesMut,
    state: ChunkState,
    bytes_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum ChunkState {
    #[default]
    Size,
    Data(usize),
    DataEnd,
    Trailer,
    Done,
}

impl Chunked {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { body: BytesMut::new(), state: ChunkState::default(), bytes_max }
    }

    /// Takes what it can off the front of `buffer`; the body once it is complete.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Refusal> {
        const LINE_BYTES_MAX: usize = 1024;
        const BROKEN: Refusal = refused(400, "the chunked body is broken");
        loop {
            match self.state {
                ChunkState::Size => {
                    let Some(line) = take_line(buffer, LINE_BYTES_MAX).map_err(|()| BROKEN)? else { return Ok(None) };
                    let digits = line[..].split(|byte| *byte == b';').next().unwrap_or(&[]).trim_ascii();
                    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.is_empty() && text.len() <= 8);
                    let is_hex = digits.is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
                    let size = digits.filter(|_| is_hex).and_then(|text| usize::from_str_radix(text, 16).ok());
                    let size = size.ok_or(BROKEN)?;
                    if self.body.len() + size > self.bytes_max {
                        return Err(TOO_LARGE);
                    }
                    self.state = if size == 0 { ChunkState::Trailer } else { ChunkState::Data(size) };
                }
                ChunkState::Data(left) => {
                    let now = left.min(buffer.len());
                    self.body.extend_from_slice(&buffer.split_to(now));
                    if now < left {
                        self.state = ChunkState::Data(left - now);
                        return Ok(None);
                    }
                    self.state = ChunkState::DataEnd;
                }
                ChunkState::DataEnd => {
                    let Some(line) = take_line(buffer, 2).map_err(|()| BROKEN)? else { return Ok(None) };
                    if !line.is_empty() {
                        return Err(BROKEN);
                    }
                    self.state = ChunkState::Size;
                }
                ChunkState::Trailer => {
                    let Some(line) = take_line(buffer, LINE_BYTES_MAX).map_err(|()| BROKEN)? else { return Ok(None) };
                    if line.is_empty() {
                        self.state = ChunkState::Done;
                    }
                }
                ChunkState::Done => return Ok(Some(std::mem::take(&mut self.body).freeze())),
            }
        }
    }
}

/// A line without its end; an error when it is longer than `len_max` or does not end as it must.
fn take_line(buffer: &mut BytesMut, len_max: usize) -> Result<Option<BytesMut>, ()> {
    match buffer.iter().position(|byte| *byte == b'\n') {
        Some(at) if at > len_max => Err(()),
        Some(at) => {
            let mut line = buffer.split_to(at + 1);
            line.truncate(at);
            if line.last() != Some(&b'\r') {
                return Err(());
            }
            line.truncate(at - 1);
            Ok(Some(line))
        }
        None if buffer.len() > len_max => Err(()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Option<Head>, u16> {
        take_head(&mut BytesMut::from(text)).map_err(|refusal| refusal.status)
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        for (text, status) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
        ] {
            assert_eq!(head(text).map(drop), Err(status), "{text:?}");
        }
        assert_eq!(head(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(HEAD_BYTES_MAX))), Err(431));
    }

    #[test]
    fn an_ordinary_head_is_read() {
        let read = head("POST /chat?message=a%20b+c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            .expect("fine")
            .expect("complete");
        assert_eq!((read.method, read.framing, read.keeps_alive), (Method::Post, Framing::Length(3), true));
        let (path, query) = Head::path_and_query(&read.target);
        assert_eq!((path.as_str(), query), ("/chat", vec![("message".to_owned(), "a b c".to_owned())]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = take_head(&mut BytesMut::from(&bytes[..]));
        }

        /// However the network cuts a chunked body, it comes out as it went in, and what follows stays.
        #[test]
        fn a_chunked_body_survives_any_cuts(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6), cut in 1_usize..20) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\nNEXT");
            let mut reader = Chunked::new(1024);
            let mut buffer = BytesMut::new();
            let mut body = None;
            for piece in wire.chunks(cut) {
                buffer.extend_from_slice(piece);
                if body.is_none() {
                    body = reader.take(&mut buffer).expect("well formed");
                }
            }
            prop_assert_eq!(body.expect("complete"), chunks.concat());
            prop_assert!(b"NEXT".ends_with(&buffer) || buffer.ends_with(b"NEXT"));
        }

        #[test]
        fn any_bytes_are_a_chunked_body_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut reader = Chunked::new(1024);
            while let Ok(Some(_)) = reader.take(&mut buffer) {
                if buffer.is_empty() { break; }
                reader = Chunked::new(1024);
            }
        }
    }
}
