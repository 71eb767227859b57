//! What this home knows of itself: its files, what happened, and the secrets among its settings.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::base::error::chain;
use crate::db;
use crate::diagnostics::Texts;
use crate::diagnostics::secrets::Secrets;
use crate::settings;
use crate::timeline::{self, Filter, Row};

/// Events that are told, the newest.
const EVENTS_MAX: i64 = 2_000;
const FILES_MAX: usize = 500;
const LEDGER_BYTES_MAX: u64 = 256 * 1024;

/// Names and sizes in the state folder; of folders within it how much they hold.
pub(super) fn files(folder: &Path) -> Result<String, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for entry in entries.flatten().take(FILES_MAX) {
        let Ok(about) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        lines.push(match about.is_dir() {
            true => {
                let (files, bytes) = size(&entry.path(), 4);
                format!("{bytes:>14}  {name}/  ({files} files)")
            }
            false => format!("{:>14}  {name}", about.len()),
        });
    }
    lines.sort_by(|a, b| a.rsplit("  ").next().cmp(&b.rsplit("  ").next()));
    Ok(lines.join("\n") + "\n")
}

/// Files and bytes below `folder`, `depth` folders down.
fn size(folder: &Path, depth: usize) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    let mut sum = (0, 0);
    for entry in entries.flatten().take(100_000) {
        let Ok(about) = entry.metadata() else { continue };
        let (files, bytes) = match about.is_dir() {
            true if depth > 0 => size(&entry.path(), depth - 1),
            true => (0, 0),
            false => (1, about.len()),
        };
        sum = (sum.0 + files, sum.1 + bytes);
    }
    sum
}

/// The newest events, oldest first, a document a line.
pub(super) fn timeline(database: &Path, texts: Texts) -> Result<String, String> {
    let filter = Filter { limit: EVENTS_MAX, ..Filter::default() };
    let rows = db::read_file(database, |connection| timeline::list(connection, &filter));
    let rows = rows.map_err(|error| chain(&error))?;
    let mut lines = String::new();
    for row in rows.iter().rev() {
        let _ = writeln!(lines, "{}", event(row, texts));
    }
    Ok(lines)
}

/// Who and what is only told with the texts: names, addresses and metadata are as private as words.
fn event(row: &Row, texts: Texts) -> Value {
    let mut told = json!({
        "id": row.id, "at": row.timestamp, "trace_id": row.trace_id, "span_id": row.span_id, "parent_span_id": row.parent_span_id,
        "type": row.event_type, "classification": class(row), "authorized": row.authorized, "duration_ms": row.duration_ms,
        "text_bytes": row.content_text.len(), "metadata_bytes": row.metadata.len(),
    });
    if texts == Texts::Told {
        told["sender"] = json!({"id": row.sender_id, "name": row.sender_name});
        told["text"] = Value::from(row.content_text.clone());
        // JSON in a text: as a document, so that its fields are known by their names.
        told["metadata"] = serde_json::from_str(&row.metadata).unwrap_or_else(|_| Value::from(row.metadata.clone()));
    }
    told
}

/// The first word of a classification; what follows may name people (`WEBUI_OUTBOUND->49170...`).
fn class(row: &Row) -> &str {
    let end = row.classification.find(|c: char| !c.is_ascii_uppercase() && c != '_');
    &row.classification[..end.unwrap_or(row.classification.len())]
}

/// What updates wrote down.
pub(super) fn ledger(path: &Path) -> Result<String, String> {
    match fs::metadata(path) {
        Ok(about) if about.len() <= LEDGER_BYTES_MAX => fs::read_to_string(path).map_err(|error| error.to_string()),
        Ok(_) => Err("it is much too long".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Secrets {
    /// The secrets among the settings; a database that cannot be read tells none, and no event either.
    pub fn add_settings(&mut self, database: &Path) {
        let found = db::read_file(database, |connection| {
            let masked = settings::all(connection)?.into_iter().filter(|setting| settings::is_secret(&setting.key));
            masked.map(|setting| settings::get(connection, &setting.key)).collect::<Result<Vec<_>, _>>()
        });
        for secret in found.into_iter().flatten().flatten() {
            self.add(&secret);
            if let Ok(document) = serde_json::from_str::<Value>(&secret) {
                self.add_all(&document);
            }
        }
    }
}
