//! The table `approval_requests` and how a row is read.

use rusqlite::{Connection, Row};

use crate::approval::{Asker, Request, Status};
use crate::base::clock::Timestamp;
use crate::db::{Migration, add_column};
use crate::domain::call::Tier;
use crate::domain::message::Channel;

pub const MIGRATIONS: &[Migration] = &[Migration { number: 600, name: "approval requests", apply: create }];

/// Columns in the order [`read`] expects. Rows that KafClaw wrote have no expiry: they are overdue since they were made.
pub(super) const COLUMNS: &str = "id, approval_id, coalesce(trace_id, ''), coalesce(task_id, ''), tool, tier, call_id,
    coalesce(arguments, ''), session_key, coalesce(sender, ''), coalesce(channel, ''), chat_id, thread_id, reply_hint, status,
    created_at, coalesce(nullif(expires_at, ''), created_at), responded_at, responded_by";

fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS approval_requests (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            approval_id TEXT UNIQUE NOT NULL,
            trace_id TEXT,
            task_id TEXT,
            tool TEXT NOT NULL,
            tier INTEGER NOT NULL,
            arguments TEXT,
            sender TEXT,
            channel TEXT,
            status TEXT NOT NULL DEFAULT 'pending',
            created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
            responded_at DATETIME
        );
        CREATE INDEX IF NOT EXISTS idx_approval_requests_status ON approval_requests(status);
        CREATE INDEX IF NOT EXISTS idx_approval_requests_approval_id ON approval_requests(approval_id);",
    )?;
    for column in [
        "expires_at TEXT NOT NULL DEFAULT ''",
        "responded_by TEXT",
        "session_key TEXT NOT NULL DEFAULT ''",
        "chat_id TEXT NOT NULL DEFAULT ''",
        "thread_id TEXT",
        "reply_hint TEXT",
        "call_id TEXT NOT NULL DEFAULT ''",
    ] {
        add_column(conn, "approval_requests", column)?;
    }
    conn.execute_batch(
        "CREATE INDEX IF NOT EXISTS idx_approval_requests_task_id ON approval_requests(task_id);
         CREATE INDEX IF NOT EXISTS idx_approval_requests_trace_id ON approval_requests(trace_id);",
    )
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Request> {
    let tier: u8 = row.get(5)?;
    let status: String = row.get(14)?;
    // A word that we do not know was not written by us; a decided request is the safe reading.
    let status = Status::parse(&status).unwrap_or(Status::Timeout);
    Ok(Request {
        row_id: row.get(0)?,
        id: row.get(1)?,
        trace_id: row.get(2)?,
        task_id: row.get(3)?,
        tool: row.get(4)?,
        tier: Tier::from_u8(tier).unwrap_or(Tier::HighRisk),
        call_id: row.get(6)?,
        arguments: row.get(7)?,
        asker: Asker {
            session: row.get(8)?,
            sender_id: row.get(9)?,
            channel: Channel::new(row.get::<_, String>(10)?),
            chat_id: row.get(11)?,
            thread_id: row.get(12)?,
            reply_hint: row.get(13)?,
        },
        status,
        created_at: row.get(15)?,
        expires_at: row.get(16)?,
        responded_at: row.get::<_, Option<String>>(17)?.and_then(|text| Timestamp::parse(&text)),
        responded_by: row.get(18)?,
    })
}
