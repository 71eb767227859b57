//! The member that lets others in: decides inside a transaction, so that a nonce is used once.

use rusqlite::OptionalExtension;
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, TraceId, random_hex};
use crate::db::Tx;
use crate::domain::event::Event;
use crate::group::onboarding::keys::{self, Standing, Trusted};
use crate::group::onboarding::{Config, Keyless, Mode};
use crate::group::wire::sign::{Challenge, PublicKey};
use crate::timeline;

/// Nonces that wait to be signed; one more and the oldest goes.
const NONCES_MAX: u32 = 256;

/// What the requester hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Come in; the manifest goes with it.
    Complete,
    /// Sign this.
    Challenge {
        nonce: String,
    },
    Reject {
        reason: &'static str,
    },
}

/// Lets others in, for one house.
#[derive(Clone, Debug)]
pub struct Sponsor {
    config: Config,
}

impl Sponsor {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Somebody asks to be let in, with the key that it says is its own.
    pub fn requested(
        &self,
        tx: &Tx<'_>,
        requester: &PeerId,
        public_key: Option<&str>,
        now: Timestamp,
    ) -> rusqlite::Result<Reply> {
        let Some(text) = public_key else { return Ok(self.without_key()) };
        let Ok(key) = PublicKey::parse(text) else {
            return Ok(Reply::Reject { reason: "the public key cannot be read" });
        };
        let key = key.to_text();
        let known = keys::key_of(tx, requester)?;
        let is_free = |known: &Trusted| match known.standing {
            Standing::Asked => true,
            Standing::Approved | Standing::Pinned => known.key == key,
            Standing::Revoked => false,
        };
        if self.config.mode == Mode::Open && known.as_ref().is_none_or(is_free) {
            return Ok(Reply::Complete);
        }
        match known {
            Some(known) if known.standing == Standing::Revoked => {
                Ok(Reply::Reject { reason: "an operator has shut this member out" })
            }
            Some(known) if known.is_valid() && known.key == key => {
                Ok(Reply::Challenge { nonce: self.issue(tx, requester, &key, now)? })
            }
            Some(known) if known.is_valid() => Ok(Reply::Reject { reason: "this member is known by another key" }),
            _ => {
                if keys::ask(tx, requester, &key, now)? {
                    tell_operator(tx, requester, &key, now)?;
                }
                Ok(Reply::Reject { reason: "an operator has to approve the key first" })
            }
        }
    }

    /// Somebody answers a challenge of ours. The nonce is used up, however this ends.
    pub fn responded(
        &self,
        tx: &Tx<'_>,
        requester: &PeerId,
        nonce: &str,
        proof: &str,
        now: Timestamp,
    ) -> rusqlite::Result<Reply> {
        let issued = tx
            .prepare_cached("DELETE FROM group_nonces WHERE nonce = ?1 RETURNING requester_id, public_key, expires_ms")?
            .query_row([nonce], |row| Ok((row.get::<_, PeerId>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))
            .optional()?;
        let Some((issued_to, key, expires_ms)) = issued else {
            return Ok(Reply::Reject { reason: "this was not asked" });
        };
        if issued_to != *requester || expires_ms <= now.as_millis() {
            return Ok(Reply::Reject { reason: "the question was somebody else's, or is too old" });
        }
        // It may have been revoked since.
        let is_trusted = keys::key_of(tx, requester)?.is_some_and(|known| known.is_valid() && known.key == key);
        let challenge = self.challenge(requester, nonce);
        let is_proven = PublicKey::parse(&key).is_ok_and(|key| challenge.check(proof, &key).is_ok());
        match is_trusted && is_proven {
            true => Ok(Reply::Complete),
            false => Ok(Reply::Reject { reason: "the signature is not of the approved key" }),
        }
    }

    fn without_key(&self) -> Reply {
        match (self.config.mode, self.config.keyless) {
            (_, Keyless::Refuse) => Reply::Reject { reason: "members without a key are not let in" },
            (Mode::Gated, Keyless::Accept) => Reply::Reject { reason: "this group wants a key that was approved" },
            (Mode::Open, Keyless::Accept) => Reply::Complete,
        }
    }

    fn issue(&self, tx: &Tx<'_>, requester: &PeerId, key: &str, now: Timestamp) -> rusqlite::Result<String> {
        let nonce = random_hex(32);
        tx.prepare_cached(
            "DELETE FROM group_nonces WHERE nonce IN (SELECT nonce FROM group_nonces ORDER BY expires_ms DESC
                LIMIT -1 OFFSET ?1)",
        )?
        .execute([NONCES_MAX - 1])?;
        let expires_at = now.plus(self.config.nonce_age_max);
        tx.prepare_cached(
            "INSERT INTO group_nonces (nonce, requester_id, public_key, expires_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((&nonce, requester, key, expires_at.as_millis()))?;
        Ok(nonce)
    }

    fn challenge<'a>(&'a self, requester: &'a PeerId, nonce: &'a str) -> Challenge<'a> {
        let (requester, sponsor) = (requester.as_str(), self.config.agent_id.as_str());
        Challenge { group: &self.config.group, requester, sponsor, nonce }
    }
}

fn tell_operator(tx: &Tx<'_>, requester: &PeerId, key: &str, now: Timestamp) -> rusqlite::Result<()> {
    let event = Event {
        content: format!("{requester} wants to join the group; an operator may approve its key."),
        metadata: json!({"agent_id": requester, "public_key": key}),
        ..Event::system("GROUP", TraceId::random(), now, "GROUP_KEY_ASKED")
    };
    timeline::append(tx, &event).map(drop)
}
