//! What a conversation remembers for the next sentence: an open question, what "it" means, the language. A field of the
//! session's state, forgotten after a few minutes.

use std::time::Duration;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::id::{EntityId, SessionKey};
use crate::db::Tx;
use crate::intent::{LanguageId, Question};
use crate::session;

const FIELD: &str = "intent";
/// People who come back later mean something else.
const AGE_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<EntityId>,
    /// Memories that wait for a yes before they are forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forgetting: Vec<Candidate>,
    /// Kept for good, unlike the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<LanguageId>,
    pub(super) at_ms: i64,
}

/// A memory that may be meant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub id: String,
    pub text: String,
}

impl Memo {
    /// What is still fresh at `now`.
    pub(super) fn load(conn: &Connection, session: &SessionKey, now: Timestamp) -> rusqlite::Result<Self> {
        let stored = session::get_state(conn, session, FIELD)?;
        let memo: Self = stored.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        if now.since(Timestamp::from_millis(memo.at_ms)) > AGE_MAX {
            return Ok(Self { language: memo.language, ..Self::default() });
        }
        Ok(memo)
    }

    /// Writes it where it says something new.
    pub(super) fn store(
        &self,
        tx: &Tx<'_>,
        session: &SessionKey,
        before: &Self,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let same = self.question == before.question
            && self.recent == before.recent
            && self.language == before.language
            && self.forgetting == before.forgetting;
        if same && self.question.is_none() && self.recent.is_empty() {
            return Ok(());
        }
        let stamped = Self { at_ms: now.as_millis(), ..self.clone() };
        session::set_state(tx, session, FIELD, serde_json::to_value(stamped).ok(), now).map(drop)
    }
}
