//! The files that make the assistant who it is, as chunks: cut at lines that begin with `## `, taken again when they changed,
//! forgotten when they are gone (specification §8.1).

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::id::to_hex;
use crate::db::{Db, DbError};
use crate::memory::{self, CHUNK_BYTES_MAX};
use crate::recall::document::{self, Document, Section};
use crate::recall::source::{self, Piece, Version};

/// How their sources begin.
const PREFIX: &str = "soul:";
/// Read of one file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Indexed {
    pub changed: usize,
    pub unchanged: usize,
    pub removed: usize,
}

/// Brings the chunks in step with `files` of `folder`.
pub async fn index(db: &Db, folder: &Path, files: &'static [&'static str], now: Timestamp) -> Result<Indexed, DbError> {
    let folder = folder.to_owned();
    // Where a disk may be waited for.
    let (found, gone) = db
        .read(move |conn| {
            let mut found = Vec::new();
            for file in files {
                let Some(text) = read(&folder.join(file)) else { continue };
                let version = version(file, &text);
                let is_current = source::is_current(conn, &version.source, &version.hash)?;
                found.push((version, pieces(&text), is_current));
            }
            let there: HashSet<&str> = found.iter().map(|(version, ..)| version.source.as_str()).collect();
            let known = source::list(conn, PREFIX)?.into_iter().map(|known| known.source);
            let gone: Vec<String> = known.filter(|known| !there.contains(known.as_str())).collect();
            Ok((found, gone))
        })
        .await?;
    let mut indexed = Indexed { removed: gone.len(), ..Indexed::default() };
    for (version, pieces, is_current) in found {
        if is_current {
            indexed.unchanged += 1;
            continue;
        }
        db.write(move |tx| source::replace(tx, &version, &pieces, now)).await?;
        indexed.changed += 1;
    }
    for file in gone {
        memory::in_pieces(db, move |tx| source::remove_some(tx, &file)).await?;
    }
    Ok(indexed)
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (!text.trim().is_empty()).then_some(text)
}

fn version(file: &str, text: &str) -> Version {
    Version {
        source: format!("{PREFIX}{file}"),
        hash: to_hex(&Sha256::digest(text.as_bytes())),
        bytes: text.len() as u64,
        title: file.to_owned(),
    }
}

/// The text cut at lines that begin with `## `, headings kept; what stands before the first is a piece of its own.
fn pieces(text: &str) -> Vec<Piece> {
    let mut parts: Vec<String> = vec![String::new()];
    for line in text.lines() {
        if line.starts_with("## ") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).flat_map(whole_or_cut).collect()
}

fn whole_or_cut(part: &str) -> Vec<Piece> {
    if part.len() <= CHUNK_BYTES_MAX {
        return vec![Piece { content: part.to_owned(), tags: String::new() }];
    }
    let section = Section { heading: String::new(), text: part.to_owned() };
    document::pieces(&Document { title: String::new(), sections: vec![section] })
}
