//! Floor 4: the road from an accepted message to a delivered answer, durable at every step.
//!
//! Who may do what: edges call [`Bus::accept`] (it returns after the commit, so the edge may acknowledge); the agent is handed
//! leased tasks and ends them inside its own transaction with [`task::finish`], [`task::park`] or [`task::fail`]; couriers
//! carry answers out. Owner of tables `tasks` and `deliveries`.
//!
//! Conversations run side by side, the messages of one conversation in order. One process owns the database, so a lease needs
//! no timeout: whatever is found in processing at start belonged to a process that died.
//!
//! Absent on purpose: what a message means, and how a channel speaks.

mod courier;
pub mod delivery;
mod dispatch;
pub mod row;
mod schema;
pub mod task;
mod wait;

pub use courier::{Courier, Couriers, Undelivered, deliver_all};
pub use schema::MIGRATIONS;
pub use wait::{Answered, Progress, WaitsFor};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{SessionKey, TaskId};
use crate::base::shutdown::Shutdown;
use crate::base::{fault, limits};
use crate::db::{Db, DbError};
use crate::domain::message::Inbound;

#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("too much work is waiting ({open} messages); try again shortly")]
    Busy { open: usize },
    #[error("the message has {bytes} bytes; {limit} are allowed")]
    TooLong { bytes: usize, limit: usize },
    #[error("could not store the message")]
    Store { source: DbError },
    #[error("could not read what is waiting")]
    Read { source: DbError },
}

/// What became of an offered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    New(TaskId),
    /// A message with the same idempotency key is known; its task answers for both.
    Duplicate(TaskId),
}

impl Accepted {
    pub fn task_id(&self) -> &TaskId {
        match self {
            Self::New(id) | Self::Duplicate(id) => id,
        }
    }
}

/// A task that was handed to a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Leased {
    pub task_id: TaskId,
    pub inbound: Inbound,
    /// Earlier attempts that ended with the process.
    pub interrupted: u32,
}

/// Runs one task to its end (finished, failed or parked). Must not panic the house: the dispatcher shields it.
pub trait Worker: Send + Sync + 'static {
    fn run(&self, leased: Leased) -> BoxFuture<'static, ()>;
}

/// Handle to the bus; clones share it.
#[derive(Clone)]
pub struct Bus {
    db: Db,
    clock: Clock,
    shared: Arc<Shared>,
}

struct Shared {
    open: AtomicUsize,
    accepted: Notify,
    answered: Notify,
    waiters: wait::Waiters,
    /// Parked tasks that may go on; re-read from the table at the next start.
    resumed: std::sync::Mutex<Vec<TaskId>>,
}

impl Bus {
    /// Takes over what an earlier process left behind: interrupted tasks wait again, with their attempts counted.
    pub async fn open(db: Db, clock: Clock) -> Result<Self, BusError> {
        let now = clock.now();
        let open = db.write(move |tx| task::recover(tx, now)).await.map_err(|source| BusError::Store { source })?;
        let shared = Shared {
            open: AtomicUsize::new(open),
            accepted: Notify::new(),
            answered: Notify::new(),
            waiters: wait::Waiters::default(),
            resumed: std::sync::Mutex::default(),
        };
        Ok(Self { db, clock, shared: Arc::new(shared) })
    }

    /// Stores the message; when this returns, it survives a power cut and the edge may acknowledge it.
    pub async fn accept(&self, inbound: Inbound) -> Result<Accepted, BusError> {
        self.accept_as(TaskId::random(), inbound).await
    }

    /// Accepts the message and returns a receiver for its answer. `progress` gets the text while it grows.
    pub async fn ask(
        &self,
        inbound: Inbound,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<(Accepted, oneshot::Receiver<Answered>), BusError> {
        let task_id = TaskId::random();
        let (reply, answer) = oneshot::channel();
        // Registered before the commit, because a worker may be faster than this function.
        self.shared.waiters.add(task_id.clone(), reply, progress);
        match self.accept_as(task_id.clone(), inbound).await {
            Ok(Accepted::Duplicate(known)) => {
                self.shared.waiters.join(&task_id, &known);
                // It may have ended before its waiter was known.
                self.answer_if_stopped(&known).await?;
                Ok((Accepted::Duplicate(known), answer))
            }
            Ok(accepted) => Ok((accepted, answer)),
            Err(error) => {
                self.shared.waiters.forget(&task_id);
                Err(error)
            }
        }
    }

    async fn accept_as(&self, task_id: TaskId, inbound: Inbound) -> Result<Accepted, BusError> {
        let bytes = inbound.content.len();
        if bytes > limits::MESSAGE_BYTES_MAX {
            return Err(BusError::TooLong { bytes, limit: limits::MESSAGE_BYTES_MAX });
        }
        let open = self.shared.open.fetch_add(1, Ordering::AcqRel);
        let result = if open < limits::TASKS_OPEN_MAX {
            fault::point("accept.before_commit");
            let now = self.clock.now();
            let stored = self.db.write(move |tx| task::insert(tx, &task_id, &inbound, now)).await;
            stored.map_err(|source| BusError::Store { source })
        } else {
            Err(BusError::Busy { open })
        };
        if matches!(result, Ok(Accepted::New(_))) {
            fault::point("accept.after_commit");
            self.shared.accepted.notify_one();
        } else {
            self.shared.open.fetch_sub(1, Ordering::AcqRel);
        }
        result
    }

    async fn answer_if_stopped(&self, task_id: &TaskId) -> Result<(), BusError> {
        let id = task_id.clone();
        let row = self.db.read(move |connection| row::get(connection, &id)).await;
        let row = row.map_err(|source| BusError::Read { source })?;
        if let Some(answered) = row.and_then(|row| row.answered()) {
            self.shared.waiters.answer(task_id, &answered);
        }
        Ok(())
    }

    /// The newest task since `since` whose idempotency key begins with `prefix`.
    pub async fn find_by_key(&self, prefix: String, since: Timestamp) -> Result<Option<TaskId>, BusError> {
        let found = self.db.read(move |connection| row::by_key_prefix(connection, &prefix, since)).await;
        found.map_err(|source| BusError::Read { source })
    }

    /// Sends the answer to a message that came a second time once more, under its old id; nothing while it is worked on.
    pub async fn repeat_answer(&self, task_id: &TaskId) -> Result<(), BusError> {
        let (id, now) = (task_id.clone(), self.clock.now());
        let repeated = self.db.write(move |tx| delivery::repeat(tx, &id, now)).await;
        if repeated.map_err(|source| BusError::Store { source })? {
            self.wake_couriers();
        }
        Ok(())
    }

    /// Where the growing answer goes, when somebody watches.
    pub fn progress(&self, task_id: &TaskId) -> Option<mpsc::Sender<Progress>> {
        self.shared.waiters.progress(task_id)
    }

    /// Tells waiting callers and the courier loop; called after the transaction that ended or parked the task.
    pub fn announce(&self, leased: &Leased, answered: &Answered) {
        if answered.is_final() {
            self.shared.open.fetch_sub(1, Ordering::AcqRel);
        }
        if !answered.is_silent() {
            self.shared.waiters.answer(&leased.task_id, answered);
        }
        self.shared.answered.notify_one();
    }

    /// Wakes the courier loop; called after a transaction that queued deliveries.
    pub fn wake_couriers(&self) {
        self.shared.answered.notify_one();
    }

    /// Wakes the dispatcher; called after a transaction that inserted tasks by [`task::insert`].
    pub fn wake_dispatcher(&self, inserted: usize) {
        self.shared.open.fetch_add(inserted, Ordering::AcqRel);
        self.shared.accepted.notify_one();
    }

    /// Lets a parked task go on; called after the transaction that decided its approval.
    pub fn resume(&self, task_id: TaskId) {
        self.shared.resumed.lock().expect("invariant: nobody panics while holding the list").push(task_id);
        self.shared.accepted.notify_one();
    }

    /// Messages accepted and not yet answered.
    pub fn open_len(&self) -> usize {
        self.shared.open.load(Ordering::Acquire)
    }

    /// Hands tasks to `worker` until shutdown; then waits for the running ones.
    pub async fn run(self, worker: Arc<dyn Worker>, shutdown: Shutdown) {
        let running = Arc::new(Semaphore::new(limits::TURNS_RUNNING_MAX));
        let ended = Arc::new(Notify::new());
        let ended_sessions: Arc<std::sync::Mutex<Vec<SessionKey>>> = Arc::default();
        let mut queue = dispatch::Queue::default();
        loop {
            for session in ended_sessions.lock().expect("invariant: nobody panics while holding the list").drain(..) {
                queue.ended(&session);
            }
            self.fill(&mut queue).await;
            while let Ok(permit) = running.clone().try_acquire_owned() {
                let Some(leased) = queue.take() else { break };
                fault::point("turn.leased");
                let turn = tokio::spawn(worker.run(leased.clone()));
                let (bus, ended, ended_sessions) = (self.clone(), ended.clone(), ended_sessions.clone());
                tokio::spawn(async move {
                    if turn.await.is_err() {
                        bus.give_up(&leased).await;
                    }
                    let session = leased.inbound.session;
                    ended_sessions.lock().expect("invariant: nobody panics while holding the list").push(session);
                    drop(permit);
                    ended.notify_one();
                });
            }
            tokio::select! {
                () = self.shared.accepted.notified() => {}
                () = ended.notified() => {}
                () = shutdown.triggered() => break,
            }
        }
        let everybody = u32::try_from(limits::TURNS_RUNNING_MAX).unwrap_or(u32::MAX);
        // All permits are back when the last turn has ended; the caller bounds the wait.
        let _ = running.acquire_many(everybody).await;
    }

    /// Ends a task whose turn panicked, so that its caller and its conversation go on.
    async fn give_up(&self, leased: &Leased) {
        const SORRY: &str = "Something went wrong inside me while I worked on this. The log says more.";
        tracing::error!(task_id = %leased.task_id, trace_id = %leased.inbound.trace_id, "A turn panicked.");
        let (ended, now) = (leased.clone(), self.clock.now());
        let stored = self.db.write(move |tx| task::fail(tx, &ended, SORRY, now)).await;
        if let Err(error) = stored {
            tracing::error!(error = crate::base::error::chain(&error), "A failed task could not be stored.");
        }
        self.announce(leased, &Answered::Failed { text: SORRY.to_owned() });
    }

    /// Reads newly accepted and resumed tasks into the queue.
    async fn fill(&self, queue: &mut dispatch::Queue) {
        let resumed: Vec<TaskId> =
            std::mem::take(&mut *self.shared.resumed.lock().expect("invariant: nobody panics while holding the list"));
        let cursor = queue.cursor();
        let room = queue.room();
        let read = self
            .db
            .read(move |connection| {
                let mut waiting = task::waiting_after(connection, cursor, room)?;
                for id in &resumed {
                    waiting.extend(task::waiting_by_id(connection, id)?);
                }
                Ok(waiting)
            })
            .await;
        match read {
            Ok(waiting) => queue.add(waiting),
            Err(error) => {
                tracing::error!(error = crate::base::error::chain(&error), "Waiting messages could not be read.");
            }
        }
    }
}

#[cfg(test)]
mod tests;
