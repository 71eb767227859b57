//! Whose key is whose: asked for, approved by an operator, kept from the first signature, or revoked.

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::Tx;

/// Keys that wait for an operator; the oldest go first.
const ASKED_MAX: u32 = 200;
/// Keys that were kept without an operator.
const PINNED_MAX: i64 = 2_000;

/// How a key came to be known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its owner wants to be let in; an operator decides.
    Asked,
    Approved,
    /// The first key that a member of an open group signed with.
    Pinned,
    /// Not believed any more.
    Revoked,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Asked, Self::Approved, Self::Pinned, Self::Revoked];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Approved => "approved",
            Self::Pinned => "pinned",
            Self::Revoked => "revoked",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text)
    }
}

/// The key that a member is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trusted {
    /// As [`crate::group::wire::sign::PublicKey::to_text`] writes it.
    pub key: String,
    pub standing: Standing,
}

impl Trusted {
    /// Whether what it signs is believed.
    pub fn is_valid(&self) -> bool {
        matches!(self.standing, Standing::Approved | Standing::Pinned)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeyRow {
    pub agent_id: String,
    pub public_key: String,
    pub standing: Standing,
    pub decided_by: String,
    pub updated_at: Timestamp,
}

/// What is known of a member's key.
pub fn key_of(connection: &Connection, id: &PeerId) -> rusqlite::Result<Option<Trusted>> {
    connection
        .prepare_cached("SELECT public_key, standing FROM group_keys WHERE agent_id = ?1")?
        .query_row([id], trusted)
        .optional()
}

/// Reads `public_key, standing`.
pub(super) fn trusted(row: &Row<'_>) -> rusqlite::Result<Trusted> {
    // A word that we do not know was not written by us; a revoked key is the safe reading.
    let standing = Standing::parse(&row.get::<_, String>(1)?).unwrap_or(Standing::Revoked);
    Ok(Trusted { key: row.get(0)?, standing })
}

/// Notes that somebody wants to be let in with a key; changes nothing about one that was decided. True when it is new.
pub fn ask(tx: &Tx<'_>, id: &PeerId, key: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let changed = tx
        .prepare_cached(
            "INSERT INTO group_keys (agent_id, public_key, standing, decided_by, updated_at) VALUES (?1, ?2, 'asked', '', ?3)
             ON CONFLICT (agent_id) DO UPDATE SET public_key = ?2, updated_at = ?3
                WHERE standing = 'asked' AND public_key <> ?2",
        )?
        .execute((id, key, now))?;
    tx.prepare_cached(
        "DELETE FROM group_keys WHERE agent_id IN (SELECT agent_id FROM group_keys WHERE standing = 'asked'
            ORDER BY updated_at DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([ASKED_MAX])?;
    Ok(changed > 0)
}

/// An operator lets a member in with exactly this key, whatever was known before.
pub fn approve(tx: &Tx<'_>, id: &PeerId, key: &str, by: &str, now: Timestamp) -> rusqlite::Result<()> {
    decide(tx, id, key, Standing::Approved, (by, now))
}

/// An operator does not believe a member any more; false when it has no key.
pub fn revoke(tx: &Tx<'_>, id: &PeerId, by: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let changed = tx
        .prepare_cached(
            "UPDATE group_keys SET standing = 'revoked', decided_by = ?2, updated_at = ?3 WHERE agent_id = ?1",
        )?
        .execute((id, by, now))?;
    Ok(changed > 0)
}

/// Keeps the key of the first good signature of a member of an open group; false when one is known.
pub fn pin(tx: &Tx<'_>, id: &PeerId, key: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let added = tx
        .prepare_cached(
            "INSERT INTO group_keys (agent_id, public_key, standing, decided_by, updated_at)
             SELECT ?1, ?2, 'pinned', '', ?3
                WHERE (SELECT count(*) FROM group_keys WHERE standing = 'pinned') < ?4
             ON CONFLICT (agent_id) DO UPDATE SET public_key = ?2, standing = 'pinned', updated_at = ?3
                WHERE standing = 'asked'",
        )?
        .execute((id, key, now, PINNED_MAX))?;
    Ok(added > 0)
}

/// All keys, those that wait for an operator first.
pub fn keys(connection: &Connection) -> rusqlite::Result<Vec<KeyRow>> {
    connection
        .prepare_cached(
            "SELECT agent_id, public_key, standing, decided_by, updated_at FROM group_keys
             ORDER BY standing <> 'asked', agent_id",
        )?
        .query_map([], |row| {
            Ok(KeyRow {
                agent_id: row.get(0)?,
                public_key: row.get(1)?,
                standing: Standing::parse(&row.get::<_, String>(2)?).unwrap_or(Standing::Revoked),
                decided_by: row.get(3)?,
                updated_at: row.get(4)?,
            })
        })?
        .collect()
}

/// Forgets nonces that nobody signed; returns how many.
pub fn prune(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    tx.execute("DELETE FROM group_nonces WHERE expires_ms <= ?1", [now.as_millis()])
}

fn decide(
    tx: &Tx<'_>,
    id: &PeerId,
    key: &str,
    standing: Standing,
    (by, now): (&str, Timestamp),
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO group_keys (agent_id, public_key, standing, decided_by, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (agent_id) DO UPDATE SET public_key = ?2, standing = ?3, decided_by = ?4, updated_at = ?5",
    )?
    .execute((id, key, standing.as_str(), by, now))
    .map(drop)
}
