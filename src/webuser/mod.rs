//! Floor 4: the people who chat on the dashboard, and the phone that each is linked to. Owner of tables `web_users` and
//! `web_links`.
//!
//! Who may do what: the dashboard's routes call these functions inside a transaction of their own.
//!
//! Absent on purpose: passwords; who is at the dashboard has logged in with the house's token.

use rusqlite::{Connection, OptionalExtension};

use crate::base::clock::Timestamp;
use crate::base::id::TraceId;
use crate::db::{Migration, Tx};
use crate::domain::event::Event;
use crate::timeline;

/// People; one more is refused.
const USERS_MAX: u32 = 200;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 100;

pub const MIGRATIONS: &[Migration] = &[Migration {
    number: 1100,
    name: "web users",
    apply: |conn| {
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS web_users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL,
                force_send BOOLEAN NOT NULL DEFAULT 1, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
             CREATE TABLE IF NOT EXISTS web_links (web_user_id INTEGER PRIMARY KEY, whatsapp_jid TEXT NOT NULL,
                created_at DATETIME DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
             CREATE INDEX IF NOT EXISTS idx_web_links_jid ON web_links (whatsapp_jid)",
        )
    },
}];

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct WebUser {
    pub id: i64,
    pub name: String,
    pub force_send: bool,
    pub created_at: Timestamp,
}

/// What became of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    User(WebUser),
    /// Empty, or too long.
    BadName,
    TooMany,
}

/// Makes a user, or finds the one of that name.
pub fn create(tx: &Tx<'_>, name: &str, now: Timestamp) -> rusqlite::Result<Created> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Ok(Created::BadName);
    }
    let known = tx
        .prepare_cached(&format!("SELECT {COLUMNS} FROM web_users WHERE name = ?1"))?
        .query_row([name], user)
        .optional()?;
    if let Some(known) = known {
        return Ok(Created::User(known));
    }
    let count: u32 = tx.query_row("SELECT count(*) FROM web_users", [], |row| row.get(0))?;
    if count >= USERS_MAX {
        return Ok(Created::TooMany);
    }
    tx.execute("INSERT INTO web_users (name, created_at) VALUES (?1, ?2)", (name, now))?;
    let id = tx.last_insert_rowid();
    announce(tx, format!("Web user {name} was added."), now)?;
    Ok(Created::User(WebUser { id, name: name.to_owned(), force_send: true, created_at: now }))
}

/// By name.
pub fn list(conn: &Connection) -> rusqlite::Result<Vec<WebUser>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM web_users ORDER BY name"))?.query_map([], user)?.collect()
}

pub fn find(conn: &Connection, id: i64) -> rusqlite::Result<Option<WebUser>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM web_users WHERE id = ?1"))?.query_row([id], user).optional()
}

/// False when there is no such user.
pub fn set_force_send(tx: &Tx<'_>, id: i64, force_send: bool) -> rusqlite::Result<bool> {
    Ok(tx.execute("UPDATE web_users SET force_send = ?2 WHERE id = ?1", (id, force_send))? > 0)
}

/// The linked phone, or nothing.
pub fn link(conn: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT whatsapp_jid FROM web_links WHERE web_user_id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// Links a phone, or with a blank one unlinks. A bare number gets WhatsApp's domain.
pub fn set_link(tx: &Tx<'_>, id: i64, jid: &str, now: Timestamp) -> rusqlite::Result<()> {
    let jid = jid.trim();
    if jid.is_empty() {
        tx.execute("DELETE FROM web_links WHERE web_user_id = ?1", [id])?;
        return announce(tx, format!("Web user {id} was unlinked."), now);
    }
    let jid = if jid.contains('@') { jid.to_owned() } else { format!("{jid}@s.whatsapp.net") };
    tx.execute(
        "INSERT INTO web_links (web_user_id, whatsapp_jid, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (web_user_id) DO UPDATE SET whatsapp_jid = excluded.whatsapp_jid, updated_at = excluded.updated_at",
        (id, jid, now),
    )?;
    announce(tx, format!("Web user {id} was linked."), now)
}

const COLUMNS: &str = "id, name, coalesce(force_send, 1), created_at";

fn user(row: &rusqlite::Row<'_>) -> rusqlite::Result<WebUser> {
    let created_at = row.get::<_, Option<String>>(3)?.and_then(|text| Timestamp::parse(&text)).unwrap_or_default();
    Ok(WebUser { id: row.get(0)?, name: row.get(1)?, force_send: row.get(2)?, created_at })
}

fn announce(tx: &Tx<'_>, content: String, now: Timestamp) -> rusqlite::Result<()> {
    let event = Event { content, ..Event::system("WEBUSER", TraceId::random(), now, "WEBUSER") };
    timeline::append(tx, &event).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    #[test]
    fn a_name_is_one_user_and_a_bare_number_becomes_a_phone() {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, MIGRATIONS]);
        let create = |name: &'static str| db.write_blocking(move |tx| create(tx, name, NOW)).expect("written");
        let Created::User(ann) = create(" Ann ") else { panic!("refused") };
        assert_eq!(create("Ann"), Created::User(ann.clone()));
        assert_eq!(create("  "), Created::BadName);
        assert_eq!(db.read_blocking(list).expect("read").as_slice(), std::slice::from_ref(&ann));
        let id = ann.id;
        db.write_blocking(move |tx| set_link(tx, id, "4917", NOW)).expect("written");
        assert_eq!(db.read_blocking(move |conn| link(conn, id)).expect("read").as_deref(), Some("4917@s.whatsapp.net"));
        db.write_blocking(move |tx| set_link(tx, id, " ", NOW)).expect("written");
        assert_eq!(db.read_blocking(move |conn| link(conn, id)).expect("read"), None);
        assert!(!db.write_blocking(|tx| set_force_send(tx, 99, false)).expect("written"));
    }
}
