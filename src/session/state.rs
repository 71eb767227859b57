//! What a conversation remembers between two messages: an open question, a capture mode. One JSON object per conversation.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::id::SessionKey;
use crate::db::Tx;

/// Largest state of one conversation, in bytes of JSON.
pub const STATE_BYTES_MAX: usize = 64 * 1024;

/// One field of a conversation's state.
pub fn get_state(conn: &Connection, key: &SessionKey, field: &str) -> rusqlite::Result<Option<Value>> {
    Ok(states(conn, key)?.remove(field))
}

/// The whole state. Text that is no JSON object (somebody edited the file) counts as empty.
pub fn states(conn: &Connection, key: &SessionKey) -> rusqlite::Result<Map<String, Value>> {
    let text: Option<String> = conn
        .prepare_cached("SELECT state FROM session_state WHERE session_key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Changes one field, or removes it; the others stay. False, and nothing changed, when the state would grow beyond its bound.
pub fn set_state(
    tx: &Tx<'_>,
    key: &SessionKey,
    field: &str,
    value: Option<Value>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut state = states(tx, key)?;
    match value {
        Some(value) => {
            state.insert(field.to_owned(), value);
        }
        None if state.shift_remove(field).is_none() => return Ok(true),
        None => {}
    }
    write_states(tx, key, &state, now)
}

/// Replaces the whole state; see [`set_state`].
pub(super) fn write_states(
    tx: &Tx<'_>,
    key: &SessionKey,
    state: &Map<String, Value>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let text = serde_json::to_string(state).unwrap_or_default();
    if text.is_empty() || text.len() > STATE_BYTES_MAX {
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT INTO session_state (session_key, state, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (session_key) DO UPDATE SET state = excluded.state, updated_at = max(updated_at, excluded.updated_at)",
    )?
    .execute(params![key, text, now])?;
    Ok(true)
}
