//! Transcripts from and to KafClaw's files, and the handle for those who have no transaction of their own.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::jsonl::{self, Decoded};
use super::{Message, Summary, state, transcript};
use crate::base::clock::Timestamp;
use crate::base::id::SessionKey;
use crate::db::{Db, DbError, Tx};

/// Largest file that is imported, in bytes; KafClaw rewrote the whole of it at every turn, so none is near this.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Messages read at a time while exporting.
const PAGE_LEN: u32 = 500;

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imported {
    pub messages: usize,
    /// Lines that could not be read; they are kept aside in the database, and the file stays where it is.
    pub rejects: usize,
}

/// Whether `key` is used for the first time and `file` was not imported before, by it or by a conversation of the same file name.
pub fn needs_import(conn: &Connection, key: &SessionKey, file: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM session_state WHERE session_key = ?1)
            AND NOT EXISTS (SELECT 1 FROM session_imports WHERE file = ?2)",
    )?
    .query_row(params![key, file], |row| row.get(0))
}

/// Takes over what a file held; none when somebody else did so meanwhile.
pub fn import(
    tx: &Tx<'_>,
    key: &SessionKey,
    file: &str,
    decoded: &Decoded,
    now: Timestamp,
) -> rusqlite::Result<Option<Imported>> {
    if !needs_import(tx, key, file)? {
        return Ok(None);
    }
    for message in &decoded.messages {
        transcript::append(tx, key, message)?;
    }
    if !decoded.metadata.is_empty() {
        let written_at = decoded.messages.last().map_or(now, |message| message.timestamp);
        state::write_states(tx, key, &decoded.metadata, written_at)?;
    }
    if let Some(created_at) = decoded.created_at {
        tx.prepare_cached("UPDATE session_state SET created_at = min(created_at, ?2) WHERE session_key = ?1")?
            .execute(params![key, created_at])?;
    }
    for reject in &decoded.rejects {
        tx.prepare_cached("INSERT OR IGNORE INTO session_rejects (file, line, bytes, reason) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![file, reject.line as i64, reject.bytes, reject.reason])?;
    }
    let imported = Imported { messages: decoded.messages.len(), rejects: decoded.rejects.len() };
    tx.prepare_cached(
        "INSERT INTO session_imports (file, session_key, imported_at, message_count, reject_count) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![file, key, now, imported.messages as i64, imported.rejects as i64])?;
    Ok(Some(imported))
}

/// Writes a conversation as KafClaw's file; false, and nothing written, when there is no such conversation.
pub fn export(conn: &Connection, key: &SessionKey, writer: &mut dyn Write) -> Result<bool, ExportError> {
    let Some(summary) = transcript::find(conn, key)? else { return Ok(false) };
    let metadata = state::states(conn, key)?;
    writeln!(writer, "{}", jsonl::metadata_line(summary.created_at, summary.updated_at, &metadata))?;
    let mut after = 0;
    loop {
        let page = transcript::read(conn, key, after, PAGE_LEN)?;
        let Some((last, _)) = page.last() else { return Ok(true) };
        after = *last;
        for (_, message) in &page {
            writeln!(writer, "{}", jsonl::message_line(message))?;
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("could not read the conversation")]
    Read(#[from] rusqlite::Error),
    #[error("could not write the conversation")]
    Write(#[from] io::Error),
}

/// Handle for those who have no transaction of their own; clones share the database.
#[derive(Clone)]
pub struct Sessions {
    db: Db,
    /// Where KafClaw kept its files; none when there is nothing to take over.
    folder: Option<PathBuf>,
}

impl Sessions {
    pub fn new(db: Db, folder: Option<PathBuf>) -> Self {
        Self { db, folder }
    }

    /// Takes over KafClaw's file of this conversation when it is used for the first time. Call it before the first append;
    /// afterwards, and without a file, it costs one read.
    pub async fn open(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Imported>, DbError> {
        let (Some(folder), Some(file)) = (self.folder.clone(), jsonl::file_name(key)) else { return Ok(None) };
        let (wanted, name) = (key.clone(), file.clone());
        // On a reader's thread, where waiting for a disk harms nobody.
        let decoded = self.db.read(move |conn| {
            if !needs_import(conn, &wanted, &name)? {
                return Ok(None);
            }
            Ok(read_file(&folder.join(&name)).map(|bytes| jsonl::decode(&bytes, now)))
        });
        let Some(decoded) = decoded.await? else { return Ok(None) };
        let key = key.clone();
        self.db.write(move |tx| import(tx, &key, &file, &decoded, now)).await
    }

    pub async fn recent(&self, key: &SessionKey, count_max: u32) -> Result<Vec<Message>, DbError> {
        let key = key.clone();
        self.db.read(move |conn| transcript::recent(conn, &key, count_max)).await
    }

    pub async fn list(&self, count_max: u32) -> Result<Vec<Summary>, DbError> {
        self.db.read(move |conn| transcript::list(conn, count_max)).await
    }

    pub async fn delete(&self, key: &SessionKey) -> Result<bool, DbError> {
        let key = key.clone();
        self.db.write(move |tx| transcript::delete(tx, &key)).await
    }
}

/// The file's bytes; none when it is missing, unreadable or beyond all measure, which is the same to a new conversation.
fn read_file(path: &Path) -> Option<Vec<u8>> {
    let outcome = fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match outcome {
        Ok(bytes) if bytes.len() as u64 <= FILE_BYTES_MAX => Some(bytes),
        Ok(_) => {
            tracing::warn!(
                bytes = FILE_BYTES_MAX,
                "A session file is too large to be taken over; it stays where it is."
            );
            None
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(error = %error, "A session file could not be read; it stays where it is.");
            None
        }
    }
}
