//! Which embedding model somebody asked for while the house ran, kept so that a house that was stopped goes on installing it. The
//! first two settings are KafClaw's (specification §5.2).

use rusqlite::Connection;

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::settings::{self, Entry, Stored};

const MODEL_KEY: &str = "memory_embedding_install_model";
const REQUESTED_AT_KEY: &str = "memory_embedding_install_requested_at";
/// The model whose installation has ended well. It may have been removed since.
const INSTALLED_KEY: &str = "memory_embedding_installed_model";

/// What was asked for last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Asked {
    /// Empty when nobody has asked.
    pub model: String,
    pub requested_at: Option<Timestamp>,
    pub is_installed: bool,
}

pub(super) fn read(conn: &Connection) -> rusqlite::Result<Asked> {
    let get = |key| settings::get(conn, key).map(Option::unwrap_or_default);
    let model = get(MODEL_KEY)?;
    let is_installed = get(INSTALLED_KEY)? == model;
    Ok(Asked { requested_at: Timestamp::parse(&get(REQUESTED_AT_KEY)?), is_installed, model })
}

/// Notes that `model` is wanted. Where it was installed before, it is asked for anew.
pub(super) fn ask(tx: &Tx<'_>, model: &str, now: Timestamp) -> rusqlite::Result<Stored> {
    settings::remove(tx, INSTALLED_KEY)?;
    if put(tx, REQUESTED_AT_KEY, &now.to_rfc3339(), now)? == Stored::Full {
        return Ok(Stored::Full);
    }
    put(tx, MODEL_KEY, model, now)
}

/// Notes that `model` came, so that it is not fetched again when somebody removes it.
pub(super) fn installed(tx: &Tx<'_>, model: &str, now: Timestamp) -> rusqlite::Result<Stored> {
    put(tx, INSTALLED_KEY, model, now)
}

fn put(tx: &Tx<'_>, key: &str, value: &str, now: Timestamp) -> rusqlite::Result<Stored> {
    match Entry::new(key, value) {
        Ok(entry) => settings::set(tx, &entry, now),
        // Names of models are shorter than any value may be.
        Err(_) => Ok(Stored::Full),
    }
}
