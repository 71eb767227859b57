//! Answers to requests for approval, from wherever they come, and the passing of their time. A decision and the waking of the
//! task that waits for it are one transaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::approval::{self, Decision, Responder, Response};
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::base::id::{ApprovalId, TaskId};
use crate::base::shutdown::Shutdown;
use crate::bus::{Bus, WaitsFor, task};
use crate::db::{Db, DbError, Tx};

/// Longest sleep: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Handle for those who answer; clones share it.
#[derive(Clone)]
pub struct Decider {
    db: Db,
    clock: Clock,
    bus: Bus,
    changed: Arc<Notify>,
}

impl Decider {
    pub fn new(db: Db, clock: Clock, bus: Bus) -> Self {
        Self { db, clock, bus, changed: Arc::default() }
    }

    /// Takes an answer and lets the task that waits for it go on.
    pub async fn respond(&self, id: ApprovalId, decision: Decision, by: Responder) -> Result<Response, DbError> {
        let now = self.clock.now();
        let respond = move |tx: &Tx<'_>| respond_in(tx, &id, decision, &by, now);
        let (response, woken) = self.db.write(respond).await?;
        self.wake(woken);
        Ok(response)
    }

    /// After a transaction that called [`respond_in`].
    pub(super) fn wake(&self, woken: Option<TaskId>) {
        if let Some(task_id) = woken {
            self.bus.resume(task_id);
        }
    }

    /// A request was made; its time may be the next to pass.
    pub(super) fn wake_expiry(&self) {
        self.changed.notify_one();
    }

    /// Times requests out until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        loop {
            let wait = match self.expire().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(error = chain(&error), "Requests for approval could not be timed out.");
                    SLEEP_MAX
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => {}
                () = shutdown.triggered() => return,
            }
        }
    }

    /// Times out what is due; returns how long nothing more will be.
    async fn expire(&self) -> Result<Duration, DbError> {
        let now = self.clock.now();
        let next = self.db.read(approval::next_expiry).await?;
        match next {
            Some(due) if due <= now => {}
            Some(due) => return Ok(due.since(now).min(SLEEP_MAX)),
            None => return Ok(SLEEP_MAX),
        }
        let woken = self.db.write(move |tx| {
            let expired = approval::expire_due(tx, now)?;
            expired
                .iter()
                .map(|request| task::unpark(tx, &WaitsFor::Approval(request.id.clone()), now))
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        for task_id in woken.await? {
            self.wake(task_id);
        }
        Ok(Duration::ZERO)
    }
}

/// Takes an answer inside the caller's transaction; the second part is the task to wake afterwards.
pub(super) fn respond_in(
    tx: &Tx<'_>,
    id: &ApprovalId,
    decision: Decision,
    by: &Responder,
    now: crate::base::clock::Timestamp,
) -> rusqlite::Result<(Response, Option<TaskId>)> {
    let response = approval::respond(tx, id, decision, by, now)?;
    let woken = match &response {
        Response::Responded(request) => task::unpark(tx, &WaitsFor::Approval(request.id.clone()), now)?,
        _ => None,
    };
    Ok((response, woken))
}
