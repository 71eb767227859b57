//! Which key speaks for a claw. Knowledge names claws (`node.clawId`), which several members of other kinds may share; a claw that
//! was signed for once is believed with that key only.

use rusqlite::{Connection, OptionalExtension};

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::Tx;
use crate::group::onboarding::keys::trusted;
use crate::group::onboarding::{Trusted, key_of, keys};
use crate::group::wire::sign::PublicKey;

/// Claws whose keys are kept.
const CLAWS_MAX: i64 = 4_000;

/// The key by which what `claw` says is judged: its own, else the one of a member with this `kid` that may speak for it.
pub fn signer_of(connection: &Connection, claw: &str, kid: Option<&str>) -> rusqlite::Result<Option<Trusted>> {
    let own = connection
        .prepare_cached(
            "SELECT public_key, standing FROM group_keys
             WHERE public_key = (SELECT public_key FROM group_claws WHERE claw_id = ?1) ORDER BY standing = 'revoked' LIMIT 1",
        )?
        .query_row([claw], trusted)
        .optional()?;
    // None too where its member has been given another key since.
    if own.is_some() {
        return Ok(own);
    }
    // A claw is often called like its member: then no other member speaks for it.
    if let Some(namesake) = key_of(connection, &PeerId::from(claw))?
        && namesake.is_valid()
    {
        return Ok(Some(namesake));
    }
    let Some(kid) = kid else { return Ok(None) };
    let named =
        keys(connection)?.into_iter().find(|row| PublicKey::parse(&row.public_key).is_ok_and(|key| key.kid() == kid));
    Ok(named.map(|row| Trusted { key: row.public_key, standing: row.standing }))
}

/// Keeps the key that a claw was first signed for with; changes nothing while a member has that key.
pub fn pin_claw(tx: &Tx<'_>, claw: &str, key: &str, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO group_claws (claw_id, public_key, updated_at)
         SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM group_claws) < ?4
         ON CONFLICT (claw_id) DO UPDATE SET public_key = ?2, updated_at = ?3
            WHERE group_claws.public_key NOT IN (SELECT public_key FROM group_keys)",
    )?
    .execute((claw, key, now, CLAWS_MAX))
    .map(drop)
}
