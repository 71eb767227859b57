//! The file itself: `tar.gz`, every part redacted and bounded, with a manifest at its end.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::diagnostics::redact::Redactor;
use crate::diagnostics::{BYTES_MAX, PART_BYTES_MAX, Written};

const CUT: &str = "\n[cut here: this part is longer than a bundle takes]\n";
const NOTE: &str = "Made by `kafclaw diagnostics`. Tokens, passwords and keys are replaced by ***; what people said is left out unless \
    they wanted it to be told. Look through it before you give it away.\n";

pub(super) struct Bundle<'a> {
    tar: tar::Builder<GzEncoder<&'a mut dyn Write>>,
    redactor: &'a Redactor,
    folder: String,
    at: Timestamp,
    written: Written,
    parts: Vec<Value>,
}

impl<'a> Bundle<'a> {
    pub fn new(out: &'a mut dyn Write, redactor: &'a Redactor, at: Timestamp) -> Self {
        let folder = format!("kafclaw-diagnostics-{}", at.to_utc().format("%Y%m%d-%H%M%S"));
        let tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        Self { tar, redactor, folder, at, written: Written::default(), parts: Vec::new() }
    }

    pub fn json(&mut self, name: &str, value: &Value) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&self.redactor.json(value))?;
        self.put(name, text)
    }

    pub fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.put(name, self.redactor.text(text))
    }

    /// What a program or a file said: documents by their shape, one a line or one in all, and everything else as text.
    pub fn part(&mut self, name: &str, found: Result<String, String>) -> io::Result<()> {
        let text = match found {
            Ok(text) => text,
            Err(why) => {
                self.written.missing.push(format!("{name}: {}", self.redactor.text(&why)));
                return Ok(());
            }
        };
        let redacted = match serde_json::from_str::<Value>(&text) {
            Ok(whole) => serde_json::to_string_pretty(&self.redactor.json(&whole))?,
            Err(_) if name.ends_with(".jsonl") => text.lines().map(|line| self.line(line) + "\n").collect(),
            Err(_) => self.redactor.text(&text),
        };
        self.put(name, redacted)
    }

    fn line(&self, line: &str) -> String {
        match serde_json::from_str::<Value>(line) {
            Ok(value) => self.redactor.json(&value).to_string(),
            Err(_) => self.redactor.text(line),
        }
    }

    fn put(&mut self, name: &str, mut text: String) -> io::Result<()> {
        let left = BYTES_MAX.saturating_sub(usize::try_from(self.written.bytes).unwrap_or(usize::MAX));
        let room = left.min(PART_BYTES_MAX);
        if text.len() > room {
            text.truncate(text.floor_char_boundary(room));
            text.push_str(CUT);
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.at.as_millis() / 1_000).unwrap_or(0));
        self.tar.append_data(&mut header, format!("{}/{name}", self.folder), text.as_bytes())?;
        self.parts.push(json!({"name": name, "bytes": text.len()}));
        self.written.parts += 1;
        self.written.bytes += text.len() as u64;
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<Written> {
        self.put("README.txt", NOTE.to_owned())?;
        let manifest = json!({
            "created_at": self.at, "version": env!("CARGO_PKG_VERSION"), "parts": self.parts, "missing": self.written.missing,
        });
        self.put("manifest.json", serde_json::to_string_pretty(&manifest)?)?;
        self.tar.into_inner()?.finish()?.flush()?;
        Ok(self.written)
    }
}
