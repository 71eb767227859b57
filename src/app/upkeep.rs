//! Housekeeping: what is too old or too much goes, a piece at a time, so that flash and disk last.

use std::time::Duration;

use crate::app::group;
use crate::approval;
use crate::base::clock::{Clock, Timestamp};
use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::base::trim;
use crate::bus::{delivery, row};
use crate::config::Retention;
use crate::db::{Db, DbError};
use crate::memory;
use crate::policy;
use crate::recall;
use crate::session;
use crate::timeline;

const INTERVAL: Duration = Duration::from_secs(3600);
/// After the start, so that it does not compete with it.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Rows kept of the tables that have no key of their own in the configuration.
const ROWS_MAX: u32 = 200_000;

pub(super) async fn run(db: Db, clock: Clock, retention: Retention, shutdown: Shutdown) {
    let mut wait = FIRST_WAIT;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.triggered() => return,
        }
        wait = INTERVAL;
        match prune(&db, clock.now(), &retention).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "Old records were deleted."),
            Err(error) => tracing::warn!(error = chain(&error), "Old records could not be deleted."),
        }
        // It touches code and rows of every table that nobody needs until the next time.
        trim::all();
    }
}

/// Prunes every table until nothing more is due; each piece is a transaction of its own, so that others get their turn.
async fn prune(db: &Db, now: Timestamp, retention: &Retention) -> Result<usize, DbError> {
    let days = |count: u32| now.minus(Duration::from_secs(u64::from(count) * 24 * 3600));
    let (tasks, decisions) = (days(retention.tasks_days), days(retention.decisions_days));
    let events = timeline::Retention {
        age_max: Duration::from_secs(u64::from(retention.timeline_days) * 24 * 3600),
        rows_max: retention.timeline_max_rows,
    };
    let mut total = 0;
    loop {
        let events = events.clone();
        let gone = db
            .write(move |tx| {
                let mut gone = timeline::prune(tx, &events, now)?;
                gone += delivery::prune(tx, tasks, ROWS_MAX)?;
                gone += row::prune(tx, tasks, ROWS_MAX)?;
                gone += policy::prune(tx, decisions, ROWS_MAX)?;
                gone += approval::prune(tx, decisions, ROWS_MAX)?;
                Ok(gone)
            })
            .await?;
        total += gone;
        if gone == 0 {
            break;
        }
    }
    let kept = session::Retention::default();
    total += db.write(move |tx| session::prune(tx, &kept, now)).await?;
    // A piece at a time, so that nobody waits for the whole.
    loop {
        let gone = db.write(move |tx| memory::prune(tx, now)).await?;
        total += gone;
        if gone == 0 {
            break;
        }
    }
    total += db.write(move |tx| recall::prune(tx, now)).await?;
    total += group::prune(db, now, days(retention.timeline_days), tasks).await?;
    Ok(total)
}
