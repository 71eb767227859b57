//! Question and answer with one broker: a length, a number that comes back, and the bytes of the message.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::codec::{CodecError, Writer};
use super::message::Api;
use crate::link::kafka::fault::Fault;

/// The longest answer that is read: metadata of a few thousand topics.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How a TLS alert begins: what a broker with TLS answers to plain bytes.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub struct Conversation {
    stream: Box<dyn Stream>,
    client_id: String,
    asked: i32,
}

impl Conversation {
    pub fn new(stream: Box<dyn Stream>, client_id: &str) -> Self {
        Self { stream, client_id: client_id.to_owned(), asked: 0 }
    }

    /// The body of the answer. The caller sets the deadline.
    pub async fn ask(&mut self, api: Api, body: &[u8]) -> Result<Vec<u8>, Fault> {
        self.asked += 1;
        let mut header = Writer::default();
        header.i16(api.key).i16(api.version).i32(self.asked).text(&self.client_id);
        let mut request = Writer::default();
        request.i32(i32::try_from(header.bytes.len() + body.len()).unwrap_or(i32::MAX));
        request.bytes.extend(&header.bytes);
        request.bytes.extend(body);
        let talk = |error: io::Error| Fault::of_talk(&error);
        self.stream.write_all(&request.bytes).await.map_err(talk)?;
        self.stream.flush().await.map_err(talk)?;
        let mut head = [0; 8];
        self.read_head(&mut head).await?;
        let len = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let number = i32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let len = usize::try_from(len).ok().and_then(|len| len.checked_sub(4)).filter(|len| *len <= ANSWER_BYTES_MAX);
        let (Some(len), true) = (len, number == self.asked) else {
            return Err(Fault::NotKafka("it answers out of step".to_owned()));
        };
        let mut answer = vec![0; len];
        self.stream.read_exact(&mut answer).await.map_err(talk)?;
        Ok(answer)
    }

    /// Strangers often answer less than eight bytes, so what they are is seen before.
    async fn read_head(&mut self, head: &mut [u8; 8]) -> Result<(), Fault> {
        let mut filled = 0;
        while filled < head.len() {
            let read = self.stream.read(&mut head[filled..]).await.map_err(|error| Fault::of_talk(&error))?;
            if read == 0 {
                return Err(stranger(&head[..filled]).unwrap_or(Fault::Closed));
            }
            filled += read;
        }
        stranger(head).map_or(Ok(()), Err)
    }
}

fn stranger(head: &[u8]) -> Option<Fault> {
    if head.starts_with(&TLS_ALERT) {
        Some(Fault::WantsTls)
    } else if head.starts_with(b"HTTP") {
        Some(Fault::Http)
    } else {
        None
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        Self::NotKafka(error.to_string())
    }
}
