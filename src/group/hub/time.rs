//! Tasks whose time has come, with and without a network, and whether this hub can think. Asleep while nothing changes.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::base::wait;
use crate::db::{DbError, Tx};
use crate::group::connectivity::{Connectivity, Fact};
use crate::group::task::{self, Direction, incoming, outgoing};

use super::core::Core;
use super::sweep::sweep_in;
use super::work::After;

/// After an error of the database.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) async fn keep(core: Arc<Core>, connectivity: Connectivity, shutdown: Shutdown) {
    let mut thinking = core.house.can_think();
    thinking.mark_changed();
    loop {
        let next = match wake(&core).await {
            Ok(next) => next.map(|at| at.since(core.clock.now())),
            Err(error) => {
                tracing::error!(error = chain(&error), "Tasks of the group could not be looked after.");
                Some(PAUSE)
            }
        };
        tokio::select! {
            () = wait::sleep(next) => {}
            () = core.due.notified() => {}
            changed = thinking.changed(), if thinking.has_changed().is_ok() => {
                if changed.is_ok() {
                    let can_think = *thinking.borrow_and_update();
                    connectivity.tell(Fact::Thinking(can_think)).await;
                    // The others ask somebody else meanwhile, or again.
                    core.greet.notify_one();
                }
            }
            () = shutdown.triggered() => return,
        }
    }
}

/// Wakes what is due; returns when the next one is.
async fn wake(core: &Arc<Core>) -> Result<Option<Timestamp>, DbError> {
    let now = core.clock.now();
    let attempt = core.onboarding.time_passed(now);
    let sooner = |next: Option<Timestamp>| next.into_iter().chain(attempt).min();
    let next = core.db.read(task::next_due).await?;
    if next.is_none_or(|at| at > now) {
        return Ok(sooner(next));
    }
    let shared = core.clone();
    let (after, next) = core
        .db
        .write(move |tx| {
            let mut after = After::default();
            wake_in(&shared, tx, now, &mut after)?;
            Ok((after, task::next_due(tx)?))
        })
        .await?;
    // This loop is the one that would be told.
    core.settle(After { timed: false, ..after });
    Ok(sooner(next))
}

fn wake_in(core: &Core, tx: &Tx<'_>, now: Timestamp, after: &mut After) -> rusqlite::Result<()> {
    sweep_in(core, tx, after)?;
    for mut task in task::due(tx, now)? {
        let config = &core.config.task;
        let steps = match task.direction {
            Direction::Outgoing => outgoing::next(&mut task, outgoing::Fact::TimePassed, config, now),
            Direction::Incoming => incoming::next(&mut task, incoming::Fact::TimePassed, config, now),
        };
        core.carry_out(tx, &mut task, steps, after)?;
    }
    Ok(())
}
