//! Web users and links in the database; each change with its event in the same transaction.

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::{Value, json};

use super::{Jid, Name, WebUser};
use crate::base::clock::Timestamp;
use crate::base::id::TraceId;
use crate::db::{Migration, Tx, add_column};
use crate::domain::event::Event;
use crate::timeline;

/// Web users that may exist; one more is refused.
pub const USERS_MAX: u32 = 1_000;

pub const MIGRATIONS: &[Migration] = &[Migration { number: 1100, name: "web users", apply: tables }];

fn tables(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS web_users (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT UNIQUE NOT NULL,
            force_send BOOLEAN DEFAULT 1,
            created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE IF NOT EXISTS web_links (
            web_user_id INTEGER PRIMARY KEY,
            whatsapp_jid TEXT NOT NULL,
            created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE INDEX IF NOT EXISTS idx_web_links_jid ON web_links (whatsapp_jid);",
    )?;
    add_column(conn, "web_users", "force_send BOOLEAN DEFAULT 1")
}

/// What came of asking for a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    New(WebUser),
    /// The name was taken; this is who has it.
    Known(WebUser),
    /// There are already [`USERS_MAX`].
    Full,
}

/// Whether there was somebody to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changed {
    Done,
    UnknownUser,
}

const COLUMNS: &str = "id, name, coalesce(force_send, 1), created_at";

/// Returns the user of that name, made when there is none.
pub fn create(tx: &Tx<'_>, name: &Name, now: Timestamp) -> rusqlite::Result<Created> {
    let known = tx
        .prepare_cached(&format!("SELECT {COLUMNS} FROM web_users WHERE name = ?1"))?
        .query_row([name.as_str()], read)
        .optional()?;
    if let Some(user) = known {
        return Ok(Created::Known(user));
    }
    let count: u32 = tx.prepare_cached("SELECT count(*) FROM web_users")?.query_row([], |row| row.get(0))?;
    if count >= USERS_MAX {
        return Ok(Created::Full);
    }
    let id = tx
        .prepare_cached("INSERT INTO web_users (name, force_send, created_at) VALUES (?1, 1, ?2)")?
        .insert((name.as_str(), now))?;
    let user = WebUser { id, name: name.as_str().to_owned(), force_send: true, created_at: now };
    announce(tx, &user, "WEBUSER_CREATED", json!({}), now)?;
    Ok(Created::New(user))
}

/// Everybody, by name.
pub fn list(conn: &Connection) -> rusqlite::Result<Vec<WebUser>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM web_users ORDER BY name"))?.query_map([], read)?.collect()
}

pub fn find(conn: &Connection, id: i64) -> rusqlite::Result<Option<WebUser>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM web_users WHERE id = ?1"))?.query_row([id], read).optional()
}

pub fn set_force_send(tx: &Tx<'_>, id: i64, force_send: bool, now: Timestamp) -> rusqlite::Result<Changed> {
    let Some(user) = find(tx, id)? else { return Ok(Changed::UnknownUser) };
    tx.prepare_cached("UPDATE web_users SET force_send = ?2 WHERE id = ?1")?.execute((id, force_send))?;
    announce(tx, &user, "WEBUSER_CHANGED", json!({"force_send": force_send}), now)?;
    Ok(Changed::Done)
}

/// Links the user to an address, in place of any earlier one.
pub fn link(tx: &Tx<'_>, id: i64, jid: &Jid, now: Timestamp) -> rusqlite::Result<Changed> {
    let Some(user) = find(tx, id)? else { return Ok(Changed::UnknownUser) };
    tx.prepare_cached(
        "INSERT INTO web_links (web_user_id, whatsapp_jid, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (web_user_id) DO UPDATE SET whatsapp_jid = excluded.whatsapp_jid, updated_at = excluded.updated_at",
    )?
    .execute((id, jid.as_str(), now))?;
    announce(tx, &user, "WEBUSER_LINKED", json!({"whatsapp_jid": jid.as_str()}), now)?;
    Ok(Changed::Done)
}

/// Forgets the user's address; nothing is announced when there was none.
pub fn unlink(tx: &Tx<'_>, id: i64, now: Timestamp) -> rusqlite::Result<Changed> {
    let Some(user) = find(tx, id)? else { return Ok(Changed::UnknownUser) };
    let gone = tx.prepare_cached("DELETE FROM web_links WHERE web_user_id = ?1")?.execute([id])?;
    if gone > 0 {
        announce(tx, &user, "WEBUSER_UNLINKED", json!({}), now)?;
    }
    Ok(Changed::Done)
}

/// The address the user is linked to.
pub fn linked(conn: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT whatsapp_jid FROM web_links WHERE web_user_id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()
}

fn announce(
    tx: &Tx<'_>,
    user: &WebUser,
    classification: &str,
    mut facts: Value,
    now: Timestamp,
) -> rusqlite::Result<()> {
    facts["web_user_id"] = json!(user.id);
    let event = Event {
        content: user.name.clone(),
        metadata: facts,
        ..Event::system("WEBUSER", TraceId::random(), now, classification)
    };
    timeline::append(tx, &event).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<WebUser> {
    // A time that nobody can read must not hide the user.
    let created_at = row.get::<_, Option<String>>(3)?.and_then(|text| Timestamp::parse(&text)).unwrap_or_default();
    Ok(WebUser { id: row.get(0)?, name: row.get(1)?, force_send: row.get(2)?, created_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

    fn db() -> Db {
        Db::memory_for_tests(&[timeline::MIGRATIONS, MIGRATIONS])
    }

    fn make(db: &Db, name: &str) -> Created {
        let name = Name::new(name).expect("a name");
        db.write_blocking(move |tx| create(tx, &name, NOW)).expect("created")
    }

    fn id_of(created: Created) -> i64 {
        match created {
            Created::New(user) | Created::Known(user) => user.id,
            Created::Full => panic!("full"),
        }
    }

    fn announced(db: &Db) -> Vec<String> {
        let rows = db.read_blocking(|conn| timeline::after(conn, 0, 100)).expect("events");
        rows.into_iter().map(|row| row.classification).collect()
    }

    #[test]
    fn a_name_that_is_taken_returns_who_has_it() {
        let db = db();
        let first = make(&db, "ann");
        assert!(matches!(&first, Created::New(user) if user.force_send && user.created_at == NOW));
        let again = make(&db, " ann ");
        assert!(matches!(&again, Created::Known(_)));
        assert_eq!(id_of(first), id_of(again));
        assert_eq!(announced(&db), ["WEBUSER_CREATED"], "a name that is taken is no change");
    }

    #[test]
    fn users_are_listed_by_name_in_the_shape_of_the_api() {
        let db = db();
        make(&db, "bob");
        make(&db, "ann");
        let users = db.read_blocking(list).expect("users");
        assert_eq!(
            serde_json::to_value(&users).expect("JSON"),
            json!([
                {"id": 2, "name": "ann", "force_send": true, "created_at": "2026-08-18T14:30:12.123Z"},
                {"id": 1, "name": "bob", "force_send": true, "created_at": "2026-08-18T14:30:12.123Z"},
            ])
        );
    }

    #[test]
    fn links_replace_each_other_and_go_away() {
        let db = db();
        let id = id_of(make(&db, "ann"));
        for number in ["111", "222"] {
            let jid = Jid::parse(number).expect("an address").expect("not blank");
            assert_eq!(db.write_blocking(move |tx| link(tx, id, &jid, NOW)).expect("linked"), Changed::Done);
        }
        let now = db.read_blocking(move |conn| linked(conn, id)).expect("read");
        assert_eq!(now.as_deref(), Some("222@s.whatsapp.net"));
        for _ in 0..2 {
            assert_eq!(db.write_blocking(move |tx| unlink(tx, id, NOW)).expect("unlinked"), Changed::Done);
        }
        assert_eq!(db.read_blocking(move |conn| linked(conn, id)).expect("read"), None);
        assert_eq!(announced(&db), ["WEBUSER_CREATED", "WEBUSER_LINKED", "WEBUSER_LINKED", "WEBUSER_UNLINKED"]);
    }

    #[test]
    fn whom_nobody_knows_cannot_be_changed() {
        let db = db();
        let jid = Jid::parse("111").expect("an address").expect("not blank");
        assert_eq!(db.write_blocking(move |tx| link(tx, 7, &jid, NOW)).expect("asked"), Changed::UnknownUser);
        assert_eq!(db.write_blocking(|tx| unlink(tx, 7, NOW)).expect("asked"), Changed::UnknownUser);
        let forced = db.write_blocking(|tx| set_force_send(tx, 7, true, NOW)).expect("asked");
        assert_eq!(forced, Changed::UnknownUser);
        assert!(announced(&db).is_empty());
    }

    #[test]
    fn force_send_is_kept() {
        let db = db();
        let id = id_of(make(&db, "ann"));
        db.write_blocking(move |tx| set_force_send(tx, id, false, NOW)).expect("changed");
        let user = db.read_blocking(move |conn| find(conn, id)).expect("read").expect("a user");
        assert!(!user.force_send);
    }

    #[test]
    fn an_old_row_without_time_or_flag_is_still_a_user() {
        let db = db();
        db.write_blocking(|tx| {
            tx.execute_batch("INSERT INTO web_users (name, force_send, created_at) VALUES ('old', NULL, 'soon')")
        })
        .expect("written");
        let users = db.read_blocking(list).expect("users");
        assert!(users[0].force_send && users[0].created_at == Timestamp::default());
    }

    #[test]
    fn one_user_too_many_is_refused() {
        let db = db();
        db.write_blocking(|tx| {
            (0..USERS_MAX).try_for_each(|number| {
                tx.execute("INSERT INTO web_users (name) VALUES (?1)", [format!("user {number}")]).map(drop)
            })
        })
        .expect("written");
        assert_eq!(make(&db, "one more"), Created::Full);
        assert!(matches!(make(&db, "user 7"), Created::Known(_)));
    }
}
