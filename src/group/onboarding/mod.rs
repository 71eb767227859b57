//! Being let into the group, and whose key is whose.
//!
//! Who may do what: a member that wants to join asks; every member answers for itself. In an open group it is let in at once. In
//! a gated one it has to sign a nonce with a key that an operator of the answering house has approved: [`Sponsor`] decides, inside
//! the transaction that uses the nonce up. [`Joiner`] is the other side. [`judge`] says whether a record may be believed, by its
//! signature and the key that its sender is known by; in a gated group that is asked of every record, so nobody comes in by
//! just saying `join` (KafClaw's gate passed any words, group specification §13 no. 33). Shared knowledge is told by claws, not by
//! members; a claw is known by the key of the member that first signed for it. Owner of the tables `group_keys`, `group_nonces`
//! and `group_claws`.
//!
//! Absent on purpose: the wire, and keeping our own secret key.

mod claws;
mod joiner;
mod keys;
mod schema;
mod sponsor;
#[cfg(test)]
mod tests;

pub use claws::{pin_claw, signer_of};
pub use joiner::{Answer, Fact, Joiner, Outcome, Step};
pub use keys::{KeyRow, Standing, Trusted, approve, ask, key_of, keys, pin, prune, revoke};
pub use schema::{create_claws, create_tables};
pub use sponsor::{Reply, Sponsor};

use std::time::Duration;

use crate::base::id::PeerId;
use crate::group::inbox::Objection;

/// How members come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Whoever asks. The first key that a member signs with is kept.
    Open,
    /// Whoever has a key that an operator approved.
    Gated,
}

impl Mode {
    /// KafClaw's word: anything but `gated` is open.
    pub fn parse(text: &str) -> Self {
        if text == "gated" { Self::Gated } else { Self::Open }
    }
}

/// What is thought of members without keys, as agents in Go are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyless {
    Accept,
    Refuse,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub agent_id: PeerId,
    pub group: String,
    pub mode: Mode,
    pub keyless: Keyless,
    /// How long a nonce may be signed.
    pub nonce_age_max: Duration,
}

impl Config {
    pub fn of(agent_id: PeerId, group: impl Into<String>) -> Self {
        Self {
            agent_id,
            group: group.into(),
            mode: Mode::Open,
            keyless: Keyless::Accept,
            nonce_age_max: Duration::from_secs(300),
        }
    }
}

/// What a record's signature showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signed<'a> {
    Not,
    /// Good, with this key.
    With(&'a str),
    /// It does not fit the record, or it is of a key that the sender is not known by.
    Wrong,
}

/// Whether what a sender says may be believed. `trusted` is what [`key_of`] found for it. Not for records of the onboarding
/// itself.
pub fn judge(trusted: Option<&Trusted>, signed: Signed<'_>, config: &Config) -> Result<(), Objection> {
    if trusted.is_some_and(|trusted| trusted.standing == Standing::Revoked) {
        return Err(Objection::Forbidden);
    }
    let trusted = trusted.filter(|trusted| trusted.is_valid());
    match (trusted, signed) {
        (_, Signed::Wrong) => Err(Objection::BadSignature),
        (Some(trusted), Signed::With(key)) if trusted.key == key => Ok(()),
        (Some(_), Signed::With(_)) => Err(Objection::BadSignature),
        // Whoever has signed before always signs.
        (Some(_), Signed::Not) => Err(Objection::Unsigned),
        (None, Signed::With(_)) if config.mode == Mode::Open => Ok(()),
        (None, Signed::With(_)) => Err(Objection::Forbidden),
        (None, Signed::Not) if config.keyless == Keyless::Accept => Ok(()),
        (None, Signed::Not) => Err(Objection::Unsigned),
    }
}
