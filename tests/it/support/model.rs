//! An OpenAI-compatible server that answers at once with what it was told to say.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

pub struct FakeModel {
    address: SocketAddr,
    play: Arc<Mutex<Play>>,
}

#[derive(Default)]
struct Play {
    /// Deltas that wait to be said; afterwards the model repeats itself.
    lines: VecDeque<Value>,
    requests: Vec<Value>,
}

impl FakeModel {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let play: Arc<Mutex<Play>> = Arc::default();
        let ours = play.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let play = ours.clone();
                thread::spawn(move || while serve(&stream, &play).is_ok() {});
            }
        });
        Self { address, play }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `providers.*.apiBase`.
    pub fn base(&self) -> String {
        format!("http://{}/v1", self.address())
    }

    /// The next answer is this text.
    pub fn will_say(&self, text: &str) {
        self.play.lock().expect("the play").lines.push_back(json!({"role": "assistant", "content": text}));
    }

    /// The next answer is a call of this tool.
    pub fn will_call(&self, tool: &str, arguments: &Value) {
        let function = json!({"name": tool, "arguments": arguments.to_string()});
        let call = json!({"index": 0, "id": "call_1", "type": "function", "function": function});
        let delta = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        self.play.lock().expect("the play").lines.push_back(delta);
    }

    /// What it was asked, in order.
    pub fn requests(&self) -> Vec<Value> {
        self.play.lock().expect("the play").requests.clone()
    }
}

fn serve(stream: &TcpStream, play: &Mutex<Play>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first.is_empty() {
            first = line.clone();
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (kind, text) = if first.starts_with("POST") {
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut play = play.lock().expect("the play");
        let delta =
            play.lines.pop_front().unwrap_or_else(|| json!({"role": "assistant", "content": "Hello from the model."}));
        let is_streaming = asked["stream"] == true;
        play.requests.push(asked);
        if is_streaming { ("text/event-stream", streamed(&delta)) } else { ("application/json", whole(&delta)) }
    } else {
        ("application/json", json!({"object": "list", "data": [{"id": "parrot", "object": "model"}]}).to_string())
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", text.len());
    let mut writer = stream;
    writer.write_all(&[head.as_bytes(), text.as_bytes()].concat())
}

fn finish_reason(delta: &Value) -> &'static str {
    if delta["tool_calls"].is_array() { "tool_calls" } else { "stop" }
}

fn streamed(delta: &Value) -> String {
    let chunk = |delta: &Value, finish: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "model": "parrot",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
    let last = chunk(&json!({}), json!(finish_reason(delta)));
    format!("data: {}\n\ndata: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n", chunk(delta, Value::Null))
}

fn whole(delta: &Value) -> String {
    json!({"choices": [{"index": 0, "message": delta, "finish_reason": finish_reason(delta)}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    .to_string()
}
