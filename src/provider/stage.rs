//! Models played by a small server on loopback, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// One scripted answer.
#[derive(Clone, Debug)]
pub(super) enum Play {
    /// Events, and the end of the connection.
    Stream(Vec<String>),
    /// Events, and then silence with the connection open.
    StreamAndHang(Vec<String>),
    Json(u16, Value),
    /// These bytes as they are.
    Raw(String),
    Hang,
}

pub(super) struct Stage {
    pub base: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Stage {
    /// Plays `script`, one answer per connection, on any free port.
    pub(super) async fn open(script: Vec<Play>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), script)
    }

    /// The same where nobody listened before.
    pub(super) fn opened(closed: Closed, script: Vec<Play>) -> Self {
        Self::on(closed.socket.listen(16).expect("a listener"), script)
    }

    fn on(listener: TcpListener, script: Vec<Play>) -> Self {
        let base = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let heard: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let log = heard.clone();
        tokio::spawn(async move {
            let mut script = VecDeque::from(script);
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                // A knock says nothing and takes nothing from the script.
                let Some(said) = request(&mut stream).await else { continue };
                log.lock().expect("unpoisoned").push(said);
                let Some(play) = script.pop_front() else { return };
                let keeps_open = matches!(play, Play::Hang | Play::StreamAndHang(_));
                let _ = stream.write_all(wire(play).as_bytes()).await;
                if keeps_open {
                    open.push(stream);
                } else {
                    let _ = stream.shutdown().await;
                }
            }
        });
        Self { base, heard }
    }

    /// Head and body of every request so far.
    pub(super) fn heard(&self) -> Vec<(String, Value)> {
        self.heard.lock().expect("unpoisoned").clone()
    }
}

/// An address where nobody listens, and where nobody else can until it is opened.
pub(super) struct Closed {
    pub base: String,
    socket: TcpSocket,
}

impl Closed {
    pub(super) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let base = format!("http://{}/v1", socket.local_addr().expect("an address"));
        Self { base, socket }
    }
}

pub(super) fn word(text: &str) -> String {
    json!({"choices": [{"delta": {"content": text}}]}).to_string()
}

pub(super) fn end() -> String {
    json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
        .to_string()
}

pub(super) fn says(text: &str) -> Play {
    Play::Stream(vec![word(text), end()])
}

async fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut request = Vec::new();
    loop {
        let mut piece = [0_u8; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some(at) = text.find("\r\n\r\n") else { continue };
        let head = text[..at].to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        if request.len() >= at + 4 + length.unwrap_or(0) {
            return Some((head, serde_json::from_slice(&request[at + 4..]).unwrap_or_default()));
        }
    }
}

fn wire(play: Play) -> String {
    match play {
        Play::Stream(events) | Play::StreamAndHang(events) => {
            let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}")
        }
        Play::Json(status, value) => {
            let (text, len) = (value.to_string(), value.to_string().len());
            format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nRetry-After: 0\r\nX-RateLimit-Remaining-Tokens: 5\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{text}"
            )
        }
        Play::Raw(text) => text,
        Play::Hang => String::new(),
    }
}
