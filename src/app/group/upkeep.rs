//! Housekeeping of what the group leaves behind, also where this house is in no group any more.

use std::time::Duration;

use crate::app::group::house::MemoryShelf;
use crate::base::clock::Timestamp;
use crate::db::{Db, DbError};
use crate::group::{inbox, onboarding, roster, share, task, trace};

/// Pieces in one run, each a transaction of its own; what is left waits for the next.
const PIECES_MAX: u32 = 64;
/// Members that were not heard of for so long are not listed any more.
const AWAY_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Contents of items can be fetched here for so long; brokers keep records no longer by default.
const CONTENTS_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Deletes what the group does not need any more: tasks that ended before `tasks`, spans from before `spans`; returns how many rows
/// went.
pub(in crate::app) async fn prune(
    db: &Db,
    now: Timestamp,
    spans: Timestamp,
    tasks: Timestamp,
) -> Result<usize, DbError> {
    let mut total = 0;
    for _ in 0..PIECES_MAX {
        let gone = db
            .write(move |tx| {
                let mut gone = inbox::prune(tx, &inbox::Keep::default(), now)?;
                gone += task::prune(tx, tasks)?;
                gone += roster::prune(tx, now.minus(AWAY_MAX))?;
                gone += onboarding::prune(tx, now)?;
                gone += trace::prune(tx, spans)?;
                gone += share::expire(tx, &MemoryShelf, now)?;
                gone += share::prune_objects(tx, now.minus(CONTENTS_AGE_MAX))?;
                Ok(gone)
            })
            .await?;
        total += gone;
        if gone == 0 {
            break;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::MIGRATIONS;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// One row of each kind, told and heard at `at`.
    async fn rows(db: &Db, name: &'static str, at: Timestamp, expires_at: Timestamp) {
        db.write(move |tx| {
            let hash = format!("{name:0>16}").into_bytes();
            tx.execute("INSERT INTO group_ledger (id, received_ms) VALUES (?1, ?2)", (hash, at.as_millis()))?;
            tx.execute(
                "INSERT INTO group_tasks (task_id, status, created_at) VALUES (?1, 'completed', ?2)",
                (name, at),
            )?;
            tx.execute("INSERT INTO group_members (agent_id, status, last_seen) VALUES (?1, 'left', ?2)", (name, at))?;
            tx.execute(
                "INSERT INTO group_traces (trace_id, source_agent_id, created_at) VALUES (?1, 'a', ?2)",
                (name, at),
            )?;
            tx.execute(
                "INSERT INTO group_memory_items (item_id, author_id, title, expires_at) VALUES (?1, 'a', 't', ?2)",
                (name, expires_at),
            )
        })
        .await
        .expect("written");
    }

    async fn count(db: &Db, table: &'static str) -> u32 {
        let sql = format!("SELECT count(*) FROM {table}");
        db.read(move |conn| conn.query_row(&sql, [], |row| row.get(0))).await.expect("counted")
    }

    #[tokio::test]
    async fn old_rows_go_and_young_ones_stay() {
        let db = Db::memory_for_tests(MIGRATIONS);
        rows(&db, "old", NOW.minus(DAY * 40), NOW.minus(DAY)).await;
        rows(&db, "young", NOW.minus(DAY), NOW.plus(DAY)).await;
        let before = NOW.minus(DAY * 30);
        assert_eq!(prune(&db, NOW, before, before).await.expect("pruned"), 5);
        for table in ["group_ledger", "group_tasks", "group_members", "group_traces", "group_memory_items"] {
            assert_eq!(count(&db, table).await, 1, "{table}");
        }
        assert_eq!(prune(&db, NOW, before, before).await.expect("pruned"), 0);
    }

    #[tokio::test]
    async fn a_run_has_an_end_however_much_there_is() {
        let db = Db::memory_for_tests(MIGRATIONS);
        let number = 201 * PIECES_MAX;
        db.write(move |tx| {
            tx.execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 INSERT INTO group_memory_items (item_id, author_id, title, expires_at) SELECT i, 'a', 't', ?2 FROM n",
                (number, NOW.minus(DAY)),
            )
        })
        .await
        .expect("written");
        assert_eq!(prune(&db, NOW, NOW, NOW).await.expect("pruned"), 200 * PIECES_MAX as usize);
        assert_eq!(prune(&db, NOW, NOW, NOW).await.expect("pruned"), PIECES_MAX as usize);
    }
}
