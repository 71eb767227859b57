//! Floor 4: the people who talk through the web page, and the WhatsApp address each may be linked to. Owner of tables
//! `web_users` and `web_links`.
//!
//! Who may do what: an edge checks a name or an address ([`Name`], [`Jid`]) and calls a function here in its own
//! transaction; every change is announced in the timeline in that transaction.
//!
//! Absent on purpose: passwords (the page has one login, these are names of one household), deletion (transcripts carry the
//! number of the user).

mod name;
mod store;

pub use name::{Jid, JidError, NAME_BYTES_MAX, Name, NameError};
pub use store::{Changed, Created, MIGRATIONS, USERS_MAX, create, find, link, linked, list, set_force_send, unlink};

use crate::base::clock::Timestamp;

/// One person of the web page, as the HTTP API shows it (specification §3.10).
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct WebUser {
    pub id: i64,
    pub name: String,
    /// Whether what they write goes out to their linked address even in silent mode.
    pub force_send: bool,
    pub created_at: Timestamp,
}
