//! Talks to the gateway that runs on this machine: one short blocking connection per request.
//!
//! Absent on purpose: other machines (this is no remote control), redirects, compression, connections kept open.

mod events;
mod find;
mod pin;
#[cfg(test)]
pub mod testing;
mod wire;

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use crate::base::secret::Secret;
pub use find::{TokenPlace, token_file};

const CONNECT_WAIT_MAX: Duration = Duration::from_secs(3);
/// Longest silence of a gateway that was asked something it knows.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest silence of a gateway whose model thinks; it sends comments meanwhile.
const THINK_WAIT_MAX: Duration = Duration::from_secs(900);
/// Largest answer that is kept in memory, in bytes.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the gateway is not running: nothing answers on {address}; start it with `kafclaw gateway`")]
    NotRunning { address: SocketAddr },
    #[error("could not reach the gateway on {address}")]
    Unreachable { address: SocketAddr, source: io::Error },
    #[error(
        "the gateway is not running: the configuration lets it take any free port and there is no {run_file}; start it with `kafclaw gateway`"
    )]
    NoAddress { run_file: PathBuf },
    #[error("{path} does not say where the gateway listens; if the gateway runs, restart it")]
    RunFile { path: PathBuf },
    #[error("could not read {path}; run this command as the user that runs the gateway")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("could not use the certificate {path} (gateway.tlsCert) to recognize the gateway")]
    Certificate { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the gateway on {address} broke off while being asked {what}")]
    Broken { address: SocketAddr, what: String, source: io::Error },
    #[error("the gateway did not accept {token}; if that was changed, restart the gateway")]
    Unauthorized { token: TokenPlace },
    #[error("{error}{}", hint.as_deref().map(|hint| format!(" {hint}")).unwrap_or_default())]
    Refused { status: u16, error: String, hint: Option<String> },
    #[error("the gateway on {address} answered {what} with something else than expected; is it the same version?")]
    Unexpected { address: SocketAddr, what: String },
}

/// The two doors of the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    Chat,
    Dashboard,
}

/// The running gateway, as far as one can know without asking it.
#[derive(Clone)]
pub struct Client {
    pub chat: SocketAddr,
    pub dashboard: SocketAddr,
    /// Of the gateway's process, when its run file tells.
    pub pid: Option<u32>,
    /// Where its environment says that ONNX Runtime is, likewise.
    pub onnx_runtime: Option<PathBuf>,
    token: Option<Secret<String>>,
    token_place: TokenPlace,
    /// The dashboard's door speaks TLS, with exactly the configured certificate.
    tls: Option<Arc<ClientConfig>>,
}

/// What is asked.
struct Request<'a> {
    door: Door,
    method: &'static str,
    path: &'a str,
    accept: &'static str,
    /// Further header lines, each with its end.
    headers: String,
    body: Option<&'a Value>,
    wait_max: Duration,
}

/// Something that happens while an answer is made.
#[derive(Clone, PartialEq, Debug)]
pub enum Progress {
    Text(String),
    /// What was said so far does not count.
    Restart,
    Tool(String),
}

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

type Answer = wire::Body<BufReader<Box<dyn Connection>>>;

impl Client {
    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.call("POST", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.call("DELETE", path, None)
    }

    /// Whether a gateway answers, in a state to work or not.
    pub fn is_alive(&self) -> bool {
        let request = Request { door: Door::Chat, wait_max: CONNECT_WAIT_MAX, ..request("GET", "/healthz", None) };
        self.open(&request).is_ok_and(|(head, _)| head.status == 200)
    }

    /// Asks something of the dashboard's API; `path` comes after `/api/v1/`.
    fn call(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let path = format!("/api/v1/{path}");
        let request = request(method, &path, body);
        let (head, answer) = self.open(&request)?;
        self.value(&request, &head, answer)
    }

    /// Says `message` to the assistant and returns the whole answer; `progress` hears of it while it grows.
    ///
    /// When the connection breaks, the message is sent once more under the same key: the gateway takes both for one.
    pub fn chat(
        &self,
        message: &Value,
        key: &str,
        progress: &mut dyn FnMut(Progress) -> io::Result<()>,
    ) -> Result<Value, ClientError> {
        match self.chat_once(message, key, progress) {
            Err(ClientError::Broken { .. }) => {
                // Nobody is listening any more when even this cannot be said; the next word will find out.
                let _ = progress(Progress::Restart);
                self.chat_once(message, key, progress)
            }
            result => result,
        }
    }

    fn chat_once(
        &self,
        message: &Value,
        key: &str,
        progress: &mut dyn FnMut(Progress) -> io::Result<()>,
    ) -> Result<Value, ClientError> {
        let request = Request {
            door: Door::Chat,
            accept: "text/event-stream, application/json",
            headers: format!("Idempotency-Key: {key}\r\n"),
            wait_max: THINK_WAIT_MAX,
            ..request("POST", "/chat", Some(message))
        };
        let (head, answer) = self.open(&request)?;
        if head.status != 200 || !head.content_type.starts_with("text/event-stream") {
            return self.value(&request, &head, answer);
        }
        let mut reader = BufReader::new(answer);
        let broken = |source| self.broken(&request, source);
        while let Some(event) = events::next_event(&mut reader).map_err(broken)? {
            let data: Value = serde_json::from_str(&event.data).map_err(|_| self.unexpected(&request))?;
            let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
            let heard = match event.name.as_str() {
                "done" => return Ok(data),
                "error" => return Err(refusal(500, &data).ok_or_else(|| self.unexpected(&request))?),
                "text" => progress(Progress::Text(text("text"))),
                "tool" => progress(Progress::Tool(text("tool"))),
                "restart" => progress(Progress::Restart),
                _ => Ok(()),
            };
            // A reader that went away gets no more pieces; the message is answered all the same.
            let _ = heard;
        }
        Err(broken(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Sends the request and reads the head of its answer.
    fn open(&self, request: &Request<'_>) -> Result<(wire::Head, Answer), ClientError> {
        let address = self.address(request.door);
        let connected = TcpStream::connect_timeout(&address, CONNECT_WAIT_MAX);
        let stream = connected.map_err(|source| match source.kind() {
            io::ErrorKind::ConnectionRefused => ClientError::NotRunning { address },
            _ => ClientError::Unreachable { address, source },
        })?;
        self.exchange(request, stream).map_err(|source| self.broken(request, source))
    }

    fn exchange(&self, request: &Request<'_>, stream: TcpStream) -> io::Result<(wire::Head, Answer)> {
        stream.set_read_timeout(Some(request.wait_max))?;
        stream.set_write_timeout(Some(ANSWER_WAIT_MAX))?;
        stream.set_nodelay(true)?;
        let mut connection: Box<dyn Connection> = match (&self.tls, request.door) {
            (Some(tls), Door::Dashboard) => {
                let name = ServerName::IpAddress(self.dashboard.ip().into());
                let session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(session, stream))
            }
            _ => Box::new(stream),
        };
        connection.write_all(self.bytes(request).as_bytes())?;
        connection.flush()?;
        let mut reader = BufReader::new(connection);
        let head = wire::read_head(&mut reader)?;
        let body = wire::Body::new(reader, &head);
        Ok((head, body))
    }

    fn bytes(&self, request: &Request<'_>) -> String {
        let Request { method, path, accept, headers, .. } = request;
        let host = self.address(request.door);
        let token = match &self.token {
            Some(token) => format!("Authorization: Bearer {}\r\n", token.reveal()),
            None => String::new(),
        };
        let (body, kind) = match request.body {
            Some(body) => (body.to_string(), "Content-Type: application/json\r\n"),
            None => (String::new(), ""),
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kafclaw\r\nAccept: {accept}\r\n{token}{headers}{kind}\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn value(&self, request: &Request<'_>, head: &wire::Head, answer: Answer) -> Result<Value, ClientError> {
        let mut bytes = Vec::new();
        let read = answer.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|source| self.broken(request, source))?;
        let value: Option<Value> = match bytes.is_empty() {
            true => Some(Value::Null),
            false => serde_json::from_slice(&bytes).ok(),
        };
        match (head.status, value) {
            (200..300, Some(value)) => Ok(value),
            (401, _) => Err(ClientError::Unauthorized { token: self.token_place.clone() }),
            (200..300, None) => Err(self.unexpected(request)),
            (status, value) => Err(value.and_then(|value| refusal(status, &value)).unwrap_or_else(|| {
                // The open mode of old answers in plain text.
                let text = String::from_utf8_lossy(&bytes).trim().chars().take(300).collect::<String>();
                let error = if text.is_empty() { format!("The gateway answered with status {status}.") } else { text };
                ClientError::Refused { status, error, hint: None }
            })),
        }
    }

    fn address(&self, door: Door) -> SocketAddr {
        match door {
            Door::Chat => self.chat,
            Door::Dashboard => self.dashboard,
        }
    }

    fn broken(&self, request: &Request<'_>, source: io::Error) -> ClientError {
        ClientError::Broken { address: self.address(request.door), what: what(request), source }
    }

    fn unexpected(&self, request: &Request<'_>) -> ClientError {
        ClientError::Unexpected { address: self.address(request.door), what: what(request) }
    }
}

fn request<'a>(method: &'static str, path: &'a str, body: Option<&'a Value>) -> Request<'a> {
    let (door, accept) = (Door::Dashboard, "application/json");
    Request { door, method, path, accept, headers: String::new(), body, wait_max: ANSWER_WAIT_MAX }
}

fn what(request: &Request<'_>) -> String {
    format!("{} {}", request.method, request.path)
}

fn refusal(status: u16, body: &Value) -> Option<ClientError> {
    let error = body["error"].as_str()?.to_owned();
    let hint = body["hint"].as_str().map(str::to_owned);
    Some(ClientError::Refused { status, error, hint })
}

/// A part of a path: whatever a person typed, `/` and `?` included.
pub fn part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => part.push(char::from(byte)),
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_types_stays_one_part_of_a_path() {
        assert_eq!(part("cli:default"), "cli:default");
        assert_eq!(part("a/b?c d\r\nä"), "a%2Fb%3Fc%20d%0D%0A%C3%A4");
    }
}
