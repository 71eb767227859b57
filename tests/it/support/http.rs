//! An HTTP client of a few lines, so that the tests do not speak with our own.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::PATIENCE;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: no JSON: {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Server-sent events: name and data.
    pub fn events(&self) -> Vec<(String, Value)> {
        let text = self.text();
        let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
        let field = |block: &str, name: &str| -> String {
            let lines = block.lines().filter_map(|line| line.strip_prefix(name));
            lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
        };
        let event =
            |block| (field(block, "event:"), serde_json::from_str(&field(block, "data:")).unwrap_or(Value::Null));
        blocks.map(event).filter(|(name, _)| !name.is_empty()).collect()
    }
}

/// A request as it goes over the wire; `headers` are whole lines without their ends.
pub fn request(method: &str, path: &str, headers: &[String], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|line| line.starts_with("Host:")) {
        head.push_str("Host: localhost\r\n");
    }
    headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// A connection that is kept for several requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub fn exchange(&mut self, bytes: &[u8]) -> io::Result<Reply> {
        self.send(bytes)?;
        self.receive()
    }

    /// Reads one response.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken(&line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut body = Vec::new();
        if find(&headers, "transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            self.read_chunks(&mut body)?;
        } else if let Some(length) = find(&headers, "content-length") {
            body.resize(length.parse().map_err(|_| broken("Content-Length"))?, 0);
            self.stream.read_exact(&mut body)?;
        } else if status >= 200 && status != 204 {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(Reply { status, headers, body })
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, line.clone()))?;
            let start = body.len();
            body.resize(start + length, 0);
            self.stream.read_exact(&mut body[start..])?;
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// One port of a gateway and the token for it. Every call opens a connection.
#[derive(Clone, Debug)]
pub struct Door {
    pub address: SocketAddr,
    token: String,
}

impl Door {
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned() }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Sends a request with the token and these header lines.
    pub fn try_call(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<Reply> {
        let mut lines = vec![self.authorization(), "Connection: close".to_owned()];
        lines.extend(headers.iter().map(|line| (*line).to_owned()));
        Connection::open(self.address)?.exchange(&request(method, path, &lines, body))
    }

    #[track_caller]
    pub fn call(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        self.try_call(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], b"")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, &["Content-Type: application/json"], body.to_string().as_bytes())
    }

    /// Says something in the conversation `local:default`; returns the JSON answer.
    #[track_caller]
    pub fn say(&self, message: &str) -> Value {
        let reply = self.post("/chat", &json!({"message": message}));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Says something under an idempotency key; whoever is on the other side may die meanwhile.
    pub fn try_say_once(&self, key: &str, message: &str, session: &str) -> io::Result<Reply> {
        let body = json!({"message": message, "session": session}).to_string();
        let key = format!("Idempotency-Key: {key}");
        self.try_call("POST", "/chat", &["Content-Type: application/json", &key], body.as_bytes())
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
