//! A bounded log of what was said on the topics, without the words: KafClaw's `topic_message_log`.

use rusqlite::Connection;
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::group::inbox::Received;

/// Messages that are remembered. KafClaw's table grew without end.
pub const LOGGED_MAX: i64 = 20_000;
/// The log is cut every so many messages.
const CUT_EVERY: i64 = 256;

/// One message, in KafClaw's shape.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Logged {
    pub id: i64,
    pub topic_name: String,
    pub sender_id: String,
    pub envelope_type: String,
    pub correlation_id: String,
    pub payload_size: i64,
    pub created_at: Timestamp,
}

pub(super) fn note(tx: &Tx<'_>, received: &Received, now: Timestamp) -> rusqlite::Result<()> {
    let id = tx
        .prepare_cached(
            "INSERT INTO topic_message_log (topic_name, sender_id, envelope_type, correlation_id, payload_size, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .insert((
            &received.topic,
            &received.sender_id,
            &received.kind,
            &received.correlation_id,
            i64::try_from(received.bytes).unwrap_or(i64::MAX),
            now,
        ))?;
    if id % CUT_EVERY == 0 {
        tx.prepare_cached("DELETE FROM topic_message_log WHERE id <= ?1")?.execute([id - LOGGED_MAX])?;
    }
    Ok(())
}

/// The newest messages of a topic, newest first.
pub fn messages(connection: &Connection, topic: &str, limit: u32) -> rusqlite::Result<Vec<Logged>> {
    connection
        .prepare_cached(
            "SELECT id, topic_name, sender_id, envelope_type, coalesce(correlation_id, ''), payload_size, created_at
             FROM topic_message_log WHERE topic_name = ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map((topic, limit), |row| {
            Ok(Logged {
                id: row.get(0)?,
                topic_name: row.get(1)?,
                sender_id: row.get(2)?,
                envelope_type: row.get(3)?,
                correlation_id: row.get(4)?,
                payload_size: row.get(5)?,
                created_at: row.get(6)?,
            })
        })?
        .collect()
}
