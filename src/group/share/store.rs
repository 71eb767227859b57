//! Shared items in the database, and their texts on the shelf, in one transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::{Tx, time};
use crate::group::share::object::{self, Origin};
use crate::group::share::{INLINE_BYTES_MAX, ITEMS_MAX, Item, Note, Pointer, Put, Shelf, Text};

/// Items that expire in one call.
const EXPIRED_AT_ONCE_MAX: u32 = 200;
/// Attempts to fetch a text.
pub const ATTEMPTS_MAX: u32 = 8;
/// Items that one content may be the text of.
const SAME_CONTENT_MAX: u32 = 64;
/// Of an item's words beside its text, in bytes.
const TAGS_BYTES_MAX: usize = 400;

/// In KafClaw's shape: lists and objects are JSON texts inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ItemRow {
    pub id: i64,
    pub item_id: String,
    pub author_id: String,
    pub title: String,
    pub content_type: String,
    pub tags: String,
    pub lfs_bucket: String,
    pub lfs_key: String,
    pub metadata: String,
    pub created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Of one author when the text is not empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemFilter {
    pub author_id: String,
    pub limit: u32,
    pub offset: u32,
}

/// Stores an item that its author told, and puts its text on the shelf. An item that is over takes back what is known of it.
pub fn put(tx: &Tx<'_>, item: &Item, shelf: &dyn Shelf, now: Timestamp) -> rusqlite::Result<Put> {
    let hash = hash_of(item);
    let known = tx
        .prepare_cached("SELECT author_id, content_hash FROM group_memory_items WHERE item_id = ?1")?
        .query_row([&item.id], |row| Ok((row.get::<_, PeerId>(0)?, row.get::<_, Option<Vec<u8>>>(1)?)))
        .optional()?;
    if item.expires_at.is_some_and(|expiry| expiry <= now) {
        let is_theirs = known.is_some_and(|(author, _)| author == item.author);
        return Ok(if is_theirs && forget(tx, &item.id, shelf)? { Put::Withdrawn } else { Put::Expired });
    }
    if matches!(&item.text, Text::Inline(text) if text.len() > INLINE_BYTES_MAX) {
        return Ok(Put::TooLarge);
    }
    let put = match known {
        Some((author, _)) if author != item.author => return Ok(Put::NotTheirs),
        Some((_, Some(known))) if known == hash => return Ok(Put::Known),
        Some(_) => Put::Changed,
        None => Put::New,
    };
    let text = match &item.text {
        Text::Inline(text) => Some(text.clone()),
        Text::At(pointer) => {
            object::object(tx, &pointer.sha256.to_lowercase())?.and_then(|value| String::from_utf8(value).ok())
        }
        Text::None => None,
    };
    write(tx, item, &hash, text.is_some())?;
    let found_by = FoundBy { author: &item.author, id: &item.id, title: &item.title, tags: &item.tags.join(" ") };
    // Until the text is here, or for ever, the title is what can be found.
    found_by.keep(tx, text.as_deref(), item.expires_at, (shelf, now))?;
    make_room(tx, shelf)?;
    Ok(put)
}

/// Forgets an item; false when it is not known.
pub fn forget(tx: &Tx<'_>, item_id: &str, shelf: &dyn Shelf) -> rusqlite::Result<bool> {
    let gone = tx
        .prepare_cached("DELETE FROM group_memory_items WHERE item_id = ?1 RETURNING author_id, item_id")?
        .query_map([item_id], author_and_id)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    gone.iter().try_for_each(|(author, id)| shelf.drop(tx, &source(author, id)))?;
    Ok(!gone.is_empty())
}

/// Who shared an item; none when it is not known.
pub fn author_of(connection: &Connection, item_id: &str) -> rusqlite::Result<Option<PeerId>> {
    connection
        .prepare_cached("SELECT author_id FROM group_memory_items WHERE item_id = ?1")?
        .query_row([item_id], |row| row.get(0))
        .optional()
}

/// A content came by itself, as members send large ones: it is the text of the items that point to it, now or later. `sha256` is
/// its own, in lower-case hexadecimal.
pub fn content_came(
    tx: &Tx<'_>,
    (sha256, value): (&str, &[u8]),
    shelf: &dyn Shelf,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if !object::keep(tx, Origin::Heard, (sha256, value), now)? {
        return Ok(());
    }
    let Ok(text) = std::str::from_utf8(value) else { return Ok(()) };
    let waiting = tx
        .prepare_cached(
            "SELECT item_id FROM group_memory_items
             WHERE NOT is_resolved AND lfs_key IS NOT NULL AND lfs_sha256 = ?1 LIMIT ?2",
        )?
        .query_map((sha256, SAME_CONTENT_MAX), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    waiting.iter().try_for_each(|item_id| resolve(tx, item_id, Some(text), shelf, now))
}

/// Items whose text is not here yet, the newest first.
pub fn unresolved(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<(String, Pointer)>> {
    connection
        .prepare_cached(
            "SELECT item_id, lfs_bucket, lfs_key, coalesce(lfs_bytes, 0), coalesce(lfs_sha256, '') FROM group_memory_items
             WHERE NOT is_resolved AND coalesce(lfs_key, '') <> '' AND attempts < ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map((ATTEMPTS_MAX, limit), |row| {
            let bytes = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
            Ok((row.get(0)?, Pointer { bucket: row.get(1)?, key: row.get(2)?, bytes, sha256: row.get(4)? }))
        })?
        .collect()
}

/// The text of an item was fetched; none when the attempt failed.
pub fn resolve(
    tx: &Tx<'_>,
    item_id: &str,
    text: Option<&str>,
    shelf: &dyn Shelf,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let found = tx
        .prepare_cached(
            "UPDATE group_memory_items SET attempts = attempts + 1, is_resolved = is_resolved OR ?2 WHERE item_id = ?1
             RETURNING author_id, coalesce(title, ''), expires_at, coalesce(tags, '[]')",
        )?
        .query_row((item_id, text.is_some()), |row| {
            let tags: String = row.get(3)?;
            Ok((row.get::<_, PeerId>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<Timestamp>>(2)?, tags))
        })
        .optional()?;
    let (Some((author, title, expires_at, tags)), Some(text)) = (found, text) else { return Ok(()) };
    let tags = serde_json::from_str::<Vec<String>>(&tags).unwrap_or_default().join(" ");
    let found_by = FoundBy { author: &author, id: item_id, title: &title, tags: &tags };
    found_by.keep(tx, Some(text), expires_at, (shelf, now))
}

/// Forgets items whose time is over; returns how many.
pub fn expire(tx: &Tx<'_>, shelf: &dyn Shelf, now: Timestamp) -> rusqlite::Result<usize> {
    let gone = tx
        .prepare_cached(
            "DELETE FROM group_memory_items WHERE id IN (SELECT id FROM group_memory_items
                WHERE expires_at IS NOT NULL AND expires_at <= ?1 LIMIT ?2) RETURNING author_id, item_id",
        )?
        .query_map((now, EXPIRED_AT_ONCE_MAX), author_and_id)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    gone.iter().try_for_each(|(author, id)| shelf.drop(tx, &source(author, id)))?;
    Ok(gone.len())
}

/// When [`expire`] has something to do.
pub fn next_expiry(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT min(expires_at) FROM group_memory_items WHERE expires_at IS NOT NULL")?
        .query_row([], |row| row.get(0))
}

/// Newest first.
pub fn list(connection: &Connection, filter: &ItemFilter) -> rusqlite::Result<Vec<ItemRow>> {
    connection
        .prepare_cached(
            "SELECT id, item_id, author_id, coalesce(title, ''), coalesce(content_type, ''), coalesce(tags, '[]'),
                coalesce(lfs_bucket, ''), coalesce(lfs_key, ''), coalesce(metadata, '{}'), created_at, expires_at
             FROM group_memory_items WHERE ?1 = '' OR author_id = ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3",
        )?
        .query_map((&filter.author_id, filter.limit, filter.offset), |row| {
            Ok(ItemRow {
                id: row.get(0)?,
                item_id: row.get(1)?,
                author_id: row.get(2)?,
                title: row.get(3)?,
                content_type: row.get(4)?,
                tags: row.get(5)?,
                lfs_bucket: row.get(6)?,
                lfs_key: row.get(7)?,
                metadata: row.get(8)?,
                created_at: time(row, 9)?,
                expires_at: time(row, 10)?,
            })
        })?
        .collect()
}

fn write(tx: &Tx<'_>, item: &Item, hash: &[u8], is_resolved: bool) -> rusqlite::Result<()> {
    let pointer = match &item.text {
        Text::At(pointer) => Some(pointer),
        Text::Inline(_) | Text::None => None,
    };
    tx.prepare_cached(
        "INSERT INTO group_memory_items (item_id, author_id, title, content_type, tags, lfs_bucket, lfs_key, lfs_bytes,
            lfs_sha256, metadata, created_at, expires_at, content_hash, is_resolved)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (item_id) DO UPDATE SET title = ?3, content_type = ?4, tags = ?5, lfs_bucket = ?6, lfs_key = ?7,
            lfs_bytes = ?8, lfs_sha256 = ?9, metadata = ?10, expires_at = ?12, content_hash = ?13, is_resolved = ?14,
            attempts = 0",
    )?
    .execute(params![
        item.id,
        item.author,
        item.title,
        item.content_type,
        json!(item.tags).to_string(),
        pointer.map(|pointer| &pointer.bucket),
        pointer.map(|pointer| &pointer.key),
        pointer.map(|pointer| i64::try_from(pointer.bytes).unwrap_or(i64::MAX)),
        pointer.map(|pointer| pointer.sha256.to_lowercase()),
        item.metadata,
        item.created_at,
        item.expires_at,
        hash,
        is_resolved,
    ])
    .map(drop)
}

fn make_room(tx: &Tx<'_>, shelf: &dyn Shelf) -> rusqlite::Result<()> {
    let gone = tx
        .prepare_cached(
            "DELETE FROM group_memory_items WHERE id IN (SELECT id FROM group_memory_items ORDER BY id DESC
                LIMIT ?2 OFFSET ?1) RETURNING author_id, item_id",
        )?
        .query_map((ITEMS_MAX, EXPIRED_AT_ONCE_MAX), author_and_id)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    gone.iter().try_for_each(|(author, id)| shelf.drop(tx, &source(author, id)))
}

fn author_and_id(row: &Row<'_>) -> rusqlite::Result<(PeerId, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// As KafClaw names the chunk of an item, so that both find it in the layer `group`.
fn source(author: &PeerId, item_id: &str) -> String {
    format!("group:{author}:{item_id}")
}

/// What an item is found by.
struct FoundBy<'a> {
    author: &'a PeerId,
    id: &'a str,
    title: &'a str,
    tags: &'a str,
}

impl FoundBy<'_> {
    fn keep(
        &self,
        tx: &Tx<'_>,
        text: Option<&str>,
        expires_at: Option<Timestamp>,
        (shelf, now): (&dyn Shelf, Timestamp),
    ) -> rusqlite::Result<()> {
        let whole = text.map_or_else(|| self.title.to_owned(), |text| format!("{}\n{text}", self.title));
        // "What did the garage hub share about ...?"
        let tags = format!("shared {} {}", self.author, self.tags);
        let note = Note {
            source: &source(self.author, self.id),
            text: &whole,
            tags: &tags[..tags.floor_char_boundary(TAGS_BYTES_MAX)],
            expires_at,
        };
        shelf.keep(tx, &note, now)
    }
}

fn hash_of(item: &Item) -> Vec<u8> {
    let mut hash = Sha256::new();
    let expiry = item.expires_at.map(|at| at.as_millis().to_string()).unwrap_or_default();
    let text = match &item.text {
        Text::Inline(text) => text.clone(),
        Text::At(pointer) => format!("{}/{} {} {}", pointer.bucket, pointer.key, pointer.bytes, pointer.sha256),
        Text::None => String::new(),
    };
    let tags = item.tags.join("\u{1f}");
    for part in [&item.title, &item.content_type, &tags, &item.metadata, &expiry, &text] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_vec()
}
