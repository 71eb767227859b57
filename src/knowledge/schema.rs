//! Tables of shared knowledge. Those that KafClaw has keep its columns; what was added is for versions, conflicts and checking.

use rusqlite::Connection;

use crate::db::{Migration, add_column};

pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1500, name: "knowledge", apply: knowledge },
    Migration { number: 1501, name: "knowledge waiting", apply: waiting },
];

fn knowledge(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS knowledge_idempotency (
            id INTEGER PRIMARY KEY AUTOINCREMENT, idempotency_key TEXT UNIQUE NOT NULL, claw_id TEXT NOT NULL,
            instance_id TEXT NOT NULL, message_type TEXT NOT NULL, topic_name TEXT NOT NULL, trace_id TEXT NOT NULL,
            processed_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE IF NOT EXISTS knowledge_facts (
            id INTEGER PRIMARY KEY AUTOINCREMENT, fact_id TEXT UNIQUE NOT NULL, group_name TEXT NOT NULL,
            subject TEXT NOT NULL, predicate TEXT NOT NULL, object TEXT NOT NULL, version INTEGER NOT NULL,
            source TEXT NOT NULL, proposal_id TEXT, decision_id TEXT, tags TEXT,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE IF NOT EXISTS knowledge_proposals (
            id INTEGER PRIMARY KEY AUTOINCREMENT, proposal_id TEXT UNIQUE NOT NULL, group_name TEXT NOT NULL, title TEXT,
            statement TEXT NOT NULL, tags TEXT, proposer_claw_id TEXT NOT NULL, proposer_instance_id TEXT NOT NULL,
            status TEXT NOT NULL DEFAULT 'pending', yes_votes INTEGER NOT NULL DEFAULT 0,
            no_votes INTEGER NOT NULL DEFAULT 0, reason TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE IF NOT EXISTS knowledge_votes (
            id INTEGER PRIMARY KEY AUTOINCREMENT, proposal_id TEXT NOT NULL, claw_id TEXT NOT NULL,
            instance_id TEXT NOT NULL, vote TEXT NOT NULL, reason TEXT, trace_id TEXT,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP, UNIQUE (proposal_id, claw_id))",
    )?;
    add_column(connection, "knowledge_idempotency", "content_hash TEXT NOT NULL DEFAULT ''")?;
    add_column(connection, "knowledge_facts", "published_at DATETIME")?;
    for column in ["expires_at DATETIME", "decided_at DATETIME", "decided_by TEXT"] {
        add_column(connection, "knowledge_proposals", column)?;
    }
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS idx_knowledge_idempotency_processed ON knowledge_idempotency (processed_at);
         CREATE INDEX IF NOT EXISTS idx_knowledge_proposals_status ON knowledge_proposals (status, id)",
    )
}

fn waiting(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE knowledge_ballots (
            proposal_id TEXT NOT NULL, claw_id TEXT NOT NULL, version INTEGER NOT NULL, vote TEXT NOT NULL,
            voted_at DATETIME NOT NULL, PRIMARY KEY (proposal_id, claw_id, version)) WITHOUT ROWID;
         CREATE TABLE knowledge_gaps (
            fact_id TEXT NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL, arrived_at DATETIME NOT NULL,
            PRIMARY KEY (fact_id, version)) WITHOUT ROWID;
         CREATE TABLE knowledge_unproven (
            proposal_id TEXT NOT NULL, claw_id TEXT NOT NULL, record TEXT NOT NULL, arrived_at DATETIME NOT NULL,
            PRIMARY KEY (proposal_id, claw_id)) WITHOUT ROWID;
         CREATE TABLE knowledge_claws (
            claw_id TEXT PRIMARY KEY, instance_id TEXT NOT NULL, display_name TEXT NOT NULL, status TEXT NOT NULL,
            seen_at DATETIME NOT NULL, compared_at DATETIME) WITHOUT ROWID;
         INSERT OR IGNORE INTO knowledge_ballots
            SELECT proposal_id, claw_id, 0, vote, updated_at FROM knowledge_votes",
    )
}
