//! A server that lends a model's files, and once stops in the middle of one.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Clones are the same server.
#[derive(Clone)]
pub struct Shelf {
    address: String,
    facts: Arc<Facts>,
}

struct Facts {
    files: Vec<(&'static str, Vec<u8>)>,
    /// The first who asks for this one gets half of it, and waits.
    stuck: &'static str,
    has_stuck: AtomicBool,
    /// First byte of the last answer that was not a whole file.
    resumed_from: AtomicUsize,
}

impl Shelf {
    pub fn start(files: Vec<(&'static str, Vec<u8>)>, stuck: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (has_stuck, resumed_from) = (AtomicBool::new(false), AtomicUsize::new(0));
        let facts = Arc::new(Facts { files, stuck, has_stuck, resumed_from });
        let shared = facts.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let facts = shared.clone();
                thread::spawn(move || facts.answer(stream));
            }
        });
        Self { address, facts }
    }

    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Where the file was taken up again; 0 when it never was.
    pub fn resumed_from(&self) -> usize {
        self.facts.resumed_from.load(Ordering::SeqCst)
    }
}

impl Facts {
    fn answer(&self, mut stream: TcpStream) {
        let (mut path, mut from) = (String::new(), 0);
        let lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
        for line in lines.take_while(|line| !line.is_empty()) {
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            }
            if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse().unwrap_or(0);
            }
        }
        let Some((name, bytes)) = self.files.iter().find(|(name, _)| *name == path) else { return };
        let range = format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
        let (status, range) = if from > 0 { ("206 Partial Content", range.as_str()) } else { ("200 OK", "") };
        let rest = &bytes[from.min(bytes.len())..];
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{range}connection: close\r\n\r\n", rest.len());
        let is_stuck = *name == self.stuck && !self.has_stuck.swap(true, Ordering::SeqCst);
        if from > 0 {
            self.resumed_from.store(from, Ordering::SeqCst);
        }
        let sent = if is_stuck { &rest[..rest.len() / 2] } else { rest };
        let _ = stream.write_all(&[head.as_bytes(), sent].concat());
        if is_stuck {
            // Until the other side goes away.
            let _ = BufReader::new(stream).lines().count();
        }
    }
}
