//! What tests of the client put in place of a gateway.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// Hands out bytes a few at a time, as networks do.
pub struct Dribble<'a>(BufReader<Few<'a>>);

struct Few<'a>(&'a [u8], usize);

impl<'a> Dribble<'a> {
    pub fn new(bytes: &'a [u8], step: usize) -> Self {
        Self(BufReader::with_capacity(step, Few(bytes, step)))
    }
}

impl Read for Few<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for Dribble<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

/// A gateway that answers `METHOD /path` with a status and a body, and remembers what it was asked.
pub struct Fake {
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub head: String,
    pub body: String,
}

/// What `METHOD /path` is answered with: a status, and a body that is JSON, or server-sent events when it begins with `event:`.
pub type Script = &'static [(&'static str, u16, &'static str)];

impl Fake {
    /// Starts it and writes the run file that leads commands of `home` to it.
    pub fn start(home: &Path, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let Some(request) = read_request(&mut reader) else { continue };
                let found = script.iter().find(|(line, _, _)| *line == request.line);
                let (status, body) =
                    found.map_or((404, r#"{"error":"There is no such route."}"#), |row| (row.1, row.2));
                seen.lock().expect("a list").push(request);
                let kind = if body.starts_with("event:") { "text/event-stream" } else { "application/json" };
                let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
                let body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                let _ = reader.get_mut().write_all((head + &body).as_bytes());
            }
        });
        let run = home.join(".kafclaw/run");
        std::fs::create_dir_all(&run).expect("a folder");
        let text = format!(r#"{{"pid":{},"chat":"{address}","dashboard":"{address}"}}"#, std::process::id());
        std::fs::write(run.join("gateway.json"), text).expect("written");
        std::fs::write(home.join(".kafclaw/gateway.token"), "geheim\n").expect("written");
        Self { asked }
    }

    /// What it was asked since the last look.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().expect("a list"))
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim_end().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { line, head, body: String::from_utf8(body).ok()? })
}
