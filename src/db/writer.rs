//! The writer thread: takes what is queued, runs it in one transaction, flushes once, answers everybody.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::base::limits;
use crate::db::DbError;

/// Jobs that share one commit.
const BATCH_LEN_MAX: usize = 256;

/// An open transaction. Statements go through `prepare_cached`; commit and rollback are not the job's business.
pub struct Tx<'a> {
    connection: &'a Connection,
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// Called once the fate of the whole batch is known.
type Finish = Box<dyn FnOnce(Result<(), DbError>) + Send>;

struct Ran {
    keep: bool,
    finish: Finish,
}

/// Told why when there is no transaction to run in.
type Job = Box<dyn FnOnce(Result<&Tx<'_>, Arc<rusqlite::Error>>) -> Option<Ran> + Send>;

#[derive(Clone)]
pub(super) struct Writer {
    sender: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
    committed: Arc<watch::Sender<u64>>,
    thread: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, DbError> {
        connection.set_prepared_statement_cache_capacity(128);
        let (sender, receiver) = mpsc::channel(limits::WRITE_QUEUE_LEN);
        let committed = Arc::new(watch::Sender::new(0));
        let announce = committed.clone();
        let thread = thread::Builder::new()
            .name("db-write".to_owned())
            .stack_size(1024 * 1024)
            .spawn(move || run(&connection, receiver, &announce))
            .map_err(|source| DbError::Thread { source })?;
        Ok(Self { sender: Arc::new(Mutex::new(Some(sender))), committed, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    pub(super) fn submit<R, F>(&self, job: F) -> Result<oneshot::Receiver<Result<R, DbError>>, DbError>
    where
        R: Send + 'static,
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<R> + Send + 'static,
    {
        let (reply, receiver) = oneshot::channel();
        let boxed: Job = Box::new(move |tx| {
            if reply.is_closed() {
                return None;
            }
            let tx = match tx {
                Ok(tx) => tx,
                Err(source) => {
                    let _ = reply.send(Err(DbError::Begin { source }));
                    return None;
                }
            };
            let result = match catch_unwind(AssertUnwindSafe(|| job(tx))) {
                Ok(result) => result.map_err(|source| DbError::Job { source }),
                Err(_panic) => Err(DbError::Panicked),
            };
            let keep = result.is_ok();
            // A failed job reports its own error even when the batch was committed without it.
            let finish: Finish = Box::new(move |commit| {
                let _ = reply.send(result.and_then(|value| commit.map(|()| value)));
            });
            Some(Ran { keep, finish })
        });
        let sender = self.sender.lock().expect("invariant: nobody panics while holding the sender").clone();
        let sender = sender.ok_or(DbError::Closed)?;
        sender.try_send(boxed).map_err(|refusal| match refusal {
            mpsc::error::TrySendError::Full(_) => DbError::Busy { queue_len: limits::WRITE_QUEUE_LEN },
            mpsc::error::TrySendError::Closed(_) => DbError::Closed,
        })?;
        Ok(receiver)
    }

    pub(super) fn committed(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Waits until the queued jobs are done and the connection is closed.
    pub(super) fn close(&self) {
        drop(self.sender.lock().expect("invariant: nobody panics while holding the sender").take());
        let thread = self.thread.lock().expect("invariant: nobody panics while holding the thread").take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, mut receiver: mpsc::Receiver<Job>, committed: &watch::Sender<u64>) {
    let mut batch = Vec::with_capacity(BATCH_LEN_MAX);
    while let Some(first) = receiver.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH_LEN_MAX
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        commit_batch(connection, &mut batch, committed);
    }
    // So that the file alone holds everything while nobody runs. A reader that is still busy only leaves some of it in the log.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// Runs the jobs of `batch` in one transaction; each job stands behind a savepoint of its own.
fn commit_batch(connection: &Connection, batch: &mut Vec<Job>, committed: &watch::Sender<u64>) {
    if let Err(source) = execute(connection, "BEGIN IMMEDIATE") {
        let source = Arc::new(source);
        for job in batch.drain(..) {
            job(Err(source.clone()));
        }
        return;
    }
    let mut finishes = Vec::with_capacity(batch.len());
    let mut broken = None;
    for job in batch.drain(..) {
        if let Err(source) = execute(connection, "SAVEPOINT job") {
            broken.get_or_insert(source);
        }
        let Some(ran) = job(Ok(&Tx { connection })) else {
            let _ = execute(connection, "RELEASE job");
            continue;
        };
        let ended = if ran.keep { Ok(()) } else { execute(connection, "ROLLBACK TO job") };
        let ended = ended.and_then(|()| execute(connection, "RELEASE job"));
        if let Err(source) = ended {
            // A full disk makes SQLite abandon the whole transaction, not only this job.
            broken.get_or_insert(source);
        }
        finishes.push(ran.finish);
    }
    let outcome = match broken {
        Some(source) => Err(source),
        None => execute(connection, "COMMIT"),
    };
    let outcome = outcome.map_err(Arc::new);
    if outcome.is_err() && !connection.is_autocommit() {
        let _ = execute(connection, "ROLLBACK");
    }
    // Watchers first: whoever has an answer in hand may rely on them having been told.
    if outcome.is_ok() {
        committed.send_modify(|count| *count += 1);
    }
    for finish in finishes {
        finish(outcome.clone().map_err(|source| DbError::Commit { source }));
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
