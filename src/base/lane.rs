//! The seam between blocking and asynchronous code: a named thread that owns one value behind a bounded queue.
//!
//! Callers send a closure and await its result. A job whose caller has left before its turn is skipped; a job that panics is
//! contained and reported, and the value lives on. Dropping the last handle ends the thread after the queued jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::sync::{mpsc, oneshot};

#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    #[error("could not start the thread of lane {name}")]
    Start { name: &'static str, source: std::io::Error },
    #[error("lane {name} is full: {queue_len} jobs are waiting")]
    Full { name: &'static str, queue_len: usize },
    #[error("a job on lane {name} panicked")]
    Panicked { name: &'static str },
    #[error("lane {name} has stopped")]
    Stopped { name: &'static str },
}

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// Handle to a lane; clones share the thread.
pub struct Lane<T> {
    name: &'static str,
    queue_len: usize,
    sender: mpsc::Sender<Job<T>>,
}

impl<T> Clone for Lane<T> {
    fn clone(&self) -> Self {
        Self { name: self.name, queue_len: self.queue_len, sender: self.sender.clone() }
    }
}

impl<T: Send + 'static> Lane<T> {
    /// Starts thread `name` that owns `value`; at most `queue_len` jobs wait.
    pub fn start(name: &'static str, queue_len: usize, mut value: T) -> Result<Self, LaneError> {
        let (sender, mut receiver) = mpsc::channel::<Job<T>>(queue_len);
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(1024 * 1024)
            .spawn(move || {
                while let Some(job) = receiver.blocking_recv() {
                    job(&mut value);
                }
            })
            .map_err(|source| LaneError::Start { name, source })?;
        Ok(Self { name, queue_len, sender })
    }

    /// Runs `job` on the lane's thread; refuses at once when the queue is full.
    pub async fn call<R, F>(&self, job: F) -> Result<R, LaneError>
    where
        R: Send + 'static,
        F: FnOnce(&mut T) -> R + Send + 'static,
    {
        let receiver = self.submit(job)?;
        self.outcome(receiver.await)
    }

    /// As [`Lane::call`], for callers without a runtime.
    pub fn call_blocking<R, F>(&self, job: F) -> Result<R, LaneError>
    where
        R: Send + 'static,
        F: FnOnce(&mut T) -> R + Send + 'static,
    {
        let receiver = self.submit(job)?;
        self.outcome(receiver.blocking_recv())
    }

    fn submit<R, F>(&self, job: F) -> Result<oneshot::Receiver<thread::Result<R>>, LaneError>
    where
        R: Send + 'static,
        F: FnOnce(&mut T) -> R + Send + 'static,
    {
        let (reply, receiver) = oneshot::channel();
        let boxed: Job<T> = Box::new(move |value| {
            if reply.is_closed() {
                return;
            }
            let result = catch_unwind(AssertUnwindSafe(|| job(value)));
            let _ = reply.send(result);
        });
        self.sender.try_send(boxed).map_err(|refusal| match refusal {
            mpsc::error::TrySendError::Full(_) => LaneError::Full { name: self.name, queue_len: self.queue_len },
            mpsc::error::TrySendError::Closed(_) => LaneError::Stopped { name: self.name },
        })?;
        Ok(receiver)
    }

    fn outcome<R>(&self, received: Result<thread::Result<R>, oneshot::error::RecvError>) -> Result<R, LaneError> {
        match received {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_panic)) => Err(LaneError::Panicked { name: self.name }),
            Err(_) => Err(LaneError::Stopped { name: self.name }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
    }

    #[test]
    fn jobs_see_the_value_in_order() {
        let lane = Lane::start("test", 8, Vec::new()).expect("a lane");
        runtime().block_on(async {
            lane.call(|list| list.push(1)).await.expect("first");
            lane.call(|list| list.push(2)).await.expect("second");
            assert_eq!(lane.call(|list| list.clone()).await.expect("third"), vec![1, 2]);
        });
    }

    #[test]
    fn a_panicking_job_leaves_the_lane_alive() {
        let lane = Lane::start("test", 8, 7_u32).expect("a lane");
        runtime().block_on(async {
            assert!(matches!(lane.call(|_| panic!("boom")).await, Err::<(), _>(LaneError::Panicked { .. })));
            assert_eq!(lane.call(|value| *value).await.expect("alive"), 7);
        });
    }

    #[test]
    fn a_full_lane_refuses() {
        let lane = Lane::start("test", 1, ()).expect("a lane");
        let (started, has_started) = std::sync::mpsc::channel();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        runtime().block_on(async {
            let first = lane.call(move |()| {
                started.send(()).expect("the test is waiting");
                wait.recv().expect("the test releases");
            });
            let mut first = Box::pin(first);
            assert!(first.as_mut().now_or_never().is_none());
            has_started.recv().expect("the first job runs");
            let mut second = Box::pin(lane.call(|()| ()));
            assert!(second.as_mut().now_or_never().is_none());
            assert!(matches!(lane.call(|()| ()).await, Err(LaneError::Full { queue_len: 1, .. })));
            release.send(()).expect("the job is waiting");
            first.await.expect("first ends");
            second.await.expect("second ends");
        });
    }

    #[test]
    fn a_job_whose_caller_left_is_skipped() {
        let lane = Lane::start("test", 4, 0_u32).expect("a lane");
        let (started, has_started) = std::sync::mpsc::channel();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        runtime().block_on(async {
            let mut blocker = Box::pin(lane.call(move |_| {
                started.send(()).expect("the test is waiting");
                wait.recv().expect("the test releases");
            }));
            assert!(blocker.as_mut().now_or_never().is_none());
            has_started.recv().expect("the blocker runs");
            let mut abandoned = Box::pin(lane.call(|value| *value += 1));
            assert!(abandoned.as_mut().now_or_never().is_none());
            drop(abandoned);
            release.send(()).expect("the job is waiting");
            blocker.await.expect("the blocker ends");
            assert_eq!(lane.call(|value| *value).await.expect("alive"), 0);
        });
    }
}
