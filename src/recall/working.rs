//! Table `working_memory`: the slate of each conversation, keyed as KafClaw does (resource = chat, thread = session).

use rusqlite::{Connection, OptionalExtension, params};

use super::slate::{SLATE_BYTES_MAX, Slate};
use crate::base::clock::Timestamp;
use crate::db::Tx;

/// Longest note a model may keep, in bytes.
pub const NOTE_BYTES_MAX: usize = 1_200;
const _: () = assert!(NOTE_BYTES_MAX < SLATE_BYTES_MAX, "a note must leave room for the facts");

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Working {
    pub resource: String,
    /// Empty for what holds for every conversation of the chat.
    pub thread: String,
    pub content: String,
}

/// The entry of one conversation; empty when there is none.
pub fn read(conn: &Connection, resource: &str, thread: &str) -> rusqlite::Result<String> {
    let content = conn
        .prepare_cached("SELECT content FROM working_memory WHERE resource_id = ?1 AND thread_id = ?2")?
        .query_row([resource, thread], |row| row.get::<_, Option<String>>(0))
        .optional()?;
    Ok(content.flatten().unwrap_or_default())
}

/// How many entries there are, and the one changed last.
pub fn newest(conn: &Connection) -> rusqlite::Result<(u64, Option<Working>)> {
    let count: u32 = conn.query_row("SELECT count(*) FROM working_memory", [], |row| row.get(0))?;
    let newest = conn
        .prepare_cached("SELECT resource_id, thread_id, content FROM working_memory ORDER BY updated_at DESC LIMIT 1")?
        .query_row([], |row| Ok(Working { resource: row.get(0)?, thread: row.get(1)?, content: row.get(2)? }))
        .optional()?;
    Ok((count.into(), newest))
}

/// Replaces the model's note of one conversation; the house's own lines stay.
pub fn note(tx: &Tx<'_>, resource: &str, thread: &str, note: &str, now: Timestamp) -> rusqlite::Result<()> {
    change(tx, (resource, thread), now, |slate| slate.set_note(&note[..note.floor_char_boundary(NOTE_BYTES_MAX)]))
}

/// Forgets every entry; returns how many went.
pub fn reset(tx: &Tx<'_>) -> rusqlite::Result<usize> {
    tx.execute("DELETE FROM working_memory", [])
}

/// Changes the slate of one conversation where that changes its text.
pub(super) fn change(
    tx: &Tx<'_>,
    (resource, thread): (&str, &str),
    now: Timestamp,
    change: impl FnOnce(&mut Slate),
) -> rusqlite::Result<()> {
    let before = read(tx, resource, thread)?;
    let mut slate = Slate::parse(&before);
    change(&mut slate);
    let after = slate.text();
    if after == before {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO working_memory (resource_id, thread_id, content, updated_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (resource_id, thread_id) DO UPDATE SET content = excluded.content, updated_at = excluded.updated_at",
    )?
    .execute(params![resource, thread, after, now])
    .map(drop)
}
