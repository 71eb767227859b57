//! What crosses the socket: frames of a JSON head and raw bytes, with bounds that are checked before anything is allocated.
//!
//! Layout: `KfW1`, the head's length and the payload's length (both u32, little endian), the head (JSON in UTF-8), the payload.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Marks the beginning of each frame; the digit counts the layouts.
const MARK: [u8; 4] = *b"KfW1";
/// Longest head: a conversation with its tools fits many times.
pub const HEAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest payload: 17 minutes of samples, or an audio file of the largest size that the doors take.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
const PREFIX_BYTES: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("what arrived is no frame")]
    Mark,
    #[error("a frame's {part} has {bytes} bytes; at most {bytes_max} are taken")]
    TooLong { part: &'static str, bytes: usize, bytes_max: usize },
    #[error("a frame's head is not understood")]
    Head { source: serde_json::Error },
    #[error("could not read a frame")]
    Read { source: io::Error },
    #[error("could not write a frame")]
    Write { source: io::Error },
}

/// One frame as it arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub head: Bytes,
    pub payload: Bytes,
    /// Length of a payload that there was no memory for; what there was of it is gone.
    pub lost_bytes: usize,
}

impl Frame {
    pub fn read_head<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        serde_json::from_slice(&self.head).map_err(|source| FrameError::Head { source })
    }
}

/// Lengths of head and payload, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Prefix {
    head: usize,
    payload: usize,
}

impl Prefix {
    fn read(bytes: [u8; PREFIX_BYTES]) -> Result<Self, FrameError> {
        let length = |at: usize| {
            let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            usize::try_from(u32::from_le_bytes(four)).unwrap_or(usize::MAX)
        };
        if bytes[..4] != MARK {
            return Err(FrameError::Mark);
        }
        Self { head: length(4), payload: length(8) }.within_bounds()
    }

    fn within_bounds(self) -> Result<Self, FrameError> {
        for (part, bytes, bytes_max) in
            [("head", self.head, HEAD_BYTES_MAX), ("payload", self.payload, PAYLOAD_BYTES_MAX)]
        {
            if bytes > bytes_max {
                return Err(FrameError::TooLong { part, bytes, bytes_max });
            }
        }
        Ok(self)
    }
}

/// The beginning of a frame with everything but its payload, which follows as it is.
pub fn opening<T: Serialize>(head: &T, payload_len: usize) -> Result<Vec<u8>, FrameError> {
    let head = serde_json::to_vec(head).map_err(|source| FrameError::Head { source })?;
    let prefix = Prefix { head: head.len(), payload: payload_len }.within_bounds()?;
    let length = |bytes: usize| u32::try_from(bytes).expect("invariant: bounds fit into 32 bits").to_le_bytes();
    let mut wire = Vec::with_capacity(PREFIX_BYTES + head.len());
    wire.extend_from_slice(&MARK);
    wire.extend_from_slice(&length(prefix.head));
    wire.extend_from_slice(&length(prefix.payload));
    wire.extend_from_slice(&head);
    Ok(wire)
}

/// Reads one frame; none when the other side has closed between two.
pub fn read(source: &mut impl Read) -> Result<Option<Frame>, FrameError> {
    let failed = |source| FrameError::Read { source };
    let mut prefix = [0_u8; PREFIX_BYTES];
    let mut have = 0;
    while have < PREFIX_BYTES {
        match source.read(&mut prefix[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let prefix = Prefix::read(prefix)?;
    let mut part = |bytes: usize, is_vital: bool| -> Result<Option<Bytes>, FrameError> {
        // Grows as bytes arrive: a length that lies costs nothing.
        let (mut part, mut rest) = (Vec::new(), source.by_ref().take(bytes as u64));
        match rest.read_to_end(&mut part) {
            Ok(_) if part.len() == bytes => Ok(Some(part.into())),
            Ok(_) => Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory && !is_vital => {
                drop(part);
                io::copy(&mut rest, &mut io::sink()).map_err(failed)?;
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    };
    let head = part(prefix.head, true)?.unwrap_or_default();
    let payload = part(prefix.payload, false)?;
    let lost_bytes = if payload.is_none() { prefix.payload } else { 0 };
    Ok(Some(Frame { head, payload: payload.unwrap_or_default(), lost_bytes }))
}

/// As [`read`], for the runtime.
pub async fn read_async(source: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>, FrameError> {
    let failed = |source| FrameError::Read { source };
    let mut prefix = [0_u8; PREFIX_BYTES];
    let first = source.read(&mut prefix).await.map_err(failed)?;
    if first == 0 {
        return Ok(None);
    }
    source.read_exact(&mut prefix[first..]).await.map_err(failed)?;
    let prefix = Prefix::read(prefix)?;
    let head = read_part(source, prefix.head).await?;
    Ok(Some(Frame { head, payload: read_part(source, prefix.payload).await?, lost_bytes: 0 }))
}

async fn read_part(source: &mut (impl AsyncRead + Unpin), bytes: usize) -> Result<Bytes, FrameError> {
    let mut part = Vec::new();
    let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
    let count = source.take(limit).read_to_end(&mut part).await.map_err(|source| FrameError::Read { source })?;
    if count < bytes {
        return Err(FrameError::Read { source: io::ErrorKind::UnexpectedEof.into() });
    }
    Ok(part.into())
}

/// Writes one frame.
pub fn write<T: Serialize>(sink: &mut impl Write, head: &T, payload: &[u8]) -> Result<(), FrameError> {
    let failed = |source| FrameError::Write { source };
    sink.write_all(&opening(head, payload.len())?).map_err(failed)?;
    sink.write_all(payload).map_err(failed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn frames(mut wire: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        while let Some(frame) = read(&mut wire)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Bytes that are refused once for want of memory, from a certain place on.
    struct OutOfRoom<'a> {
        wire: &'a [u8],
        at: usize,
        refuses_at: Option<usize>,
    }

    impl Read for OutOfRoom<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.refuses_at.take_if(|place| *place <= self.at).is_some() {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            let end = self.refuses_at.unwrap_or(self.wire.len()).min(self.at + buffer.len());
            let count = end - self.at;
            buffer[..count].copy_from_slice(&self.wire[self.at..end]);
            self.at = end;
            Ok(count)
        }
    }

    #[test]
    fn a_payload_without_room_costs_nothing_but_itself() {
        let mut wire = Vec::new();
        write(&mut wire, &json!("a"), &[7; 10]).expect("it fits");
        let first = wire.len();
        write(&mut wire, &json!("b"), &[]).expect("it fits");
        let mut source = OutOfRoom { wire: &wire, at: 0, refuses_at: Some(first - 5) };
        let lost = read(&mut source).expect("a frame").expect("one");
        assert_eq!(
            (lost.read_head::<Value>().expect("JSON"), lost.payload.len(), lost.lost_bytes),
            (json!("a"), 0, 10)
        );
        let next = read(&mut source).expect("a frame").expect("another");
        assert_eq!((next.read_head::<Value>().expect("JSON"), next.lost_bytes), (json!("b"), 0));
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_kept() {
        let lie = |head: u32, payload: u32| {
            let mut wire = MARK.to_vec();
            wire.extend(head.to_le_bytes());
            wire.extend(payload.to_le_bytes());
            frames(&wire).expect_err("a lie").to_string()
        };
        assert_eq!(lie(u32::MAX, 0), "a frame's head has 4294967295 bytes; at most 8388608 are taken");
        assert_eq!(lie(2, u32::MAX), "a frame's payload has 4294967295 bytes; at most 67108864 are taken");
        assert_eq!(lie(2, 0), "could not read a frame");
        assert!(matches!(frames(b"GET / HTTP/1.1\r\n\r\n"), Err(FrameError::Mark)));
        assert!(matches!(frames(b"KfW"), Err(FrameError::Read { .. })));
        assert!(opening(&"x", PAYLOAD_BYTES_MAX + 1).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_whole_or_not_at_all(
            said in proptest::collection::vec((".{0,20}", proptest::collection::vec(any::<u8>(), 0..50)), 0..4), cut in 0_usize..200
        ) {
            let mut wire = Vec::new();
            let mut ends = vec![0];
            for (text, payload) in &said {
                write(&mut wire, &json!({"text": text}), payload).expect("it fits");
                ends.push(wire.len());
            }
            let read_back = frames(&wire).expect("well formed");
            prop_assert_eq!(read_back.len(), said.len());
            for (frame, (text, payload)) in read_back.iter().zip(&said) {
                prop_assert_eq!(&frame.read_head::<Value>().expect("JSON"), &json!({"text": text}));
                prop_assert_eq!(&frame.payload[..], &payload[..]);
            }
            let cut = cut.min(wire.len());
            prop_assert_eq!(frames(&wire[..cut]).is_ok(), ends.contains(&cut));
        }

        #[test]
        fn any_bytes_are_frames_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..100), has_mark in any::<bool>()) {
            let mut wire = if has_mark { MARK.to_vec() } else { Vec::new() };
            wire.extend(&bytes);
            let _ = frames(&wire);
            let mut source = &wire[..];
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let now = runtime.block_on(read_async(&mut source)).map_err(|error| error.to_string());
            prop_assert_eq!(now, read(&mut &wire[..]).map_err(|error| error.to_string()));
        }
    }
}
