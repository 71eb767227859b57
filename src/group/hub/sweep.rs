//! What has waited or lasted too long: records that nobody wants any more, items whose time is over. Looks rarely, so that a
//! hub without a network sleeps.

use std::sync::Arc;

use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::db::{DbError, Tx};
use crate::group::outbox;
use crate::group::share;
use crate::group::task::outgoing;

use super::core::Core;
use super::work::After;

/// Pieces in one look, each a transaction of its own; what is left waits for the next.
const PIECES_MAX: u32 = 64;

pub(super) async fn keep(core: Arc<Core>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(core.config.sweep) => {}
            () = shutdown.triggered() => return,
        }
        if let Err(error) = sweep(&core).await {
            tracing::error!(error = chain(&error), "What became too old for the group could not be taken out.");
        }
    }
}

/// Takes out what is over now; returns how many pieces that took.
pub(super) async fn sweep(core: &Arc<Core>) -> Result<u32, DbError> {
    for pieces in 0..PIECES_MAX {
        let (shared, now) = (core.clone(), core.clock.now());
        let is_due = core.db.read(move |connection| {
            let times = [outbox::next_sweep(connection, &shared.config.limits)?, share::next_expiry(connection)?];
            Ok(times.into_iter().flatten().any(|at| at <= now))
        });
        if !is_due.await? {
            return Ok(pieces);
        }
        let shared = core.clone();
        let after = core.db.write(move |tx| {
            let mut after = After::default();
            sweep_in(&shared, tx, &mut after)?;
            share::expire(tx, shared.house.shelf(), now)?;
            Ok(after)
        });
        core.settle(after.await?);
    }
    Ok(PIECES_MAX)
}

/// Takes old records out of the outbox and tells those who wait for an answer to them.
pub(super) fn sweep_in(core: &Core, tx: &Tx<'_>, after: &mut After) -> rusqlite::Result<()> {
    for expired in outbox::sweep(tx, &core.config.limits, core.clock.now())? {
        if let Some(task_id) = expired.key {
            core.advance_ours(tx, &task_id, outgoing::Fact::Dropped, after)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::record::{Class, Record};
    use crate::group::hub::testing::{NOW, core};
    use crate::group::outbox::Totals;

    const HOUR: Duration = Duration::from_secs(3_600);

    async fn queue(core: &Arc<Core>, class: Class, deadline: Option<Duration>) {
        let shared = core.clone();
        let queued = core.db.write(move |tx| {
            let record = Record {
                topic: "group.g1.traces".to_owned(),
                key: None,
                value: b"{}".to_vec(),
                class,
                deadline_at: deadline.map(|wait| NOW.plus(wait)),
                stamp: None,
            };
            Ok(outbox::append(tx, &record, &shared.config.limits, shared.clock.now()).expect("room"))
        });
        queued.await.expect("queued");
    }

    async fn waiting(core: &Arc<Core>) -> Vec<(&'static str, u64)> {
        let totals: Vec<Totals> = core.db.read(outbox::totals).await.expect("totals");
        totals.iter().filter(|of| of.rows > 0).map(|of| (of.class, of.rows)).collect()
    }

    #[tokio::test]
    async fn what_waits_too_long_goes_by_itself_and_the_rest_stays() {
        let (core, _, clock) = core().await;
        queue(&core, Class::Trace, None).await;
        queue(&core, Class::Answer, None).await;
        queue(&core, Class::Request, Some(HOUR * 2)).await;
        assert_eq!(sweep(&core).await.expect("swept"), 0, "nothing is due, so nothing is written");
        clock.advance(HOUR + Duration::from_millis(1));
        queue(&core, Class::Trace, None).await;
        assert_eq!(sweep(&core).await.expect("swept"), 1);
        assert_eq!(waiting(&core).await, [("request", 1), ("answer", 1), ("trace", 1)]);
        clock.advance(HOUR * 24 * 30);
        sweep(&core).await.expect("swept");
        assert_eq!(waiting(&core).await, [("answer", 1)], "an answer is never dropped silently");
    }

    #[tokio::test]
    async fn a_long_backlog_goes_in_pieces() {
        let (core, _, clock) = core().await;
        let shared = core.clone();
        let queued = core.db.write(move |tx| {
            for _ in 0..1_200 {
                let record = Record {
                    topic: "group.g1.observe.audit".to_owned(),
                    key: None,
                    value: b"{}".to_vec(),
                    class: Class::Audit,
                    deadline_at: None,
                    stamp: None,
                };
                outbox::append(tx, &record, &shared.config.limits, NOW).expect("room");
            }
            Ok(())
        });
        queued.await.expect("queued");
        clock.advance(HOUR * 24 * 8);
        assert_eq!(sweep(&core).await.expect("swept"), 3);
        assert_eq!(waiting(&core).await, []);
    }
}
