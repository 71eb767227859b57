//! Following the timeline with a cursor: the one way to watch the house.

use tokio::sync::watch;

use crate::db::{Db, DbError};
use crate::timeline::query::{self, Row};

/// Events read at once.
const PIECE_LEN: u32 = 200;

/// Remembers how far it has read. Slow followers fall behind, they lose nothing.
pub struct Follower {
    db: Db,
    cursor: i64,
    committed: watch::Receiver<u64>,
}

impl Follower {
    /// Sees what is written from now on.
    pub async fn from_now(db: &Db) -> Result<Self, DbError> {
        let committed = db.committed();
        let cursor = db.read(query::last_id).await?;
        Ok(Self { db: db.clone(), cursor, committed })
    }

    /// Sees what was written after row `cursor`.
    pub fn from(db: &Db, cursor: i64) -> Self {
        Self { db: db.clone(), cursor, committed: db.committed() }
    }

    /// Waits for the next events, oldest first; never returns an empty list.
    pub async fn next(&mut self) -> Result<Vec<Row>, DbError> {
        loop {
            self.committed.mark_unchanged();
            let cursor = self.cursor;
            let rows = self.db.read(move |connection| query::after(connection, cursor, PIECE_LEN)).await?;
            if let Some(last) = rows.last() {
                self.cursor = last.id;
                return Ok(rows);
            }
            self.committed.changed().await.map_err(|_closed| DbError::Closed)?;
        }
    }
}
