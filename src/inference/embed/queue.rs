//! Requests that wait for the embedder's thread; it takes as many together as fill a run.
//!
//! Queries go before passages: somebody waits for an answer, while indexing can wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::TextUse;
use super::error::EmbedError;

/// Requests that wait; one more is refused.
const WAITING_MAX: usize = 256;
/// Texts that are taken together, unless one request has more.
const TEXTS_TOGETHER_MAX: usize = 32;

/// The vectors of some texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embedded {
    /// One for each text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that were computed, special ones and prefixes included.
    pub tokens: usize,
}

pub(super) type Answer = Result<Embedded, EmbedError>;

/// A caller's texts and where the answer goes.
pub(super) struct Request {
    pub texts: Vec<String>,
    pub use_: TextUse,
    pub answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    queries: VecDeque<Request>,
    passages: VecDeque<Request>,
}

impl Queue {
    /// Adds a request; the answer comes through the receiver.
    pub(super) fn push(&self, texts: Vec<String>, use_: TextUse) -> Result<oneshot::Receiver<Answer>, EmbedError> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        let count = waiting.queries.len() + waiting.passages.len();
        if count >= WAITING_MAX {
            return Err(EmbedError::Busy { waiting: count });
        }
        let request = Request { texts, use_, answer };
        match use_ {
            TextUse::Query => waiting.queries.push_back(request),
            TextUse::Passage => waiting.passages.push_back(request),
        }
        Ok(receiver)
    }

    /// Takes what is computed together: at least one request if any waits. Those whose callers left are dropped.
    pub(super) fn take(&self) -> Vec<Request> {
        let mut waiting = self.lock();
        let (mut taken, mut texts) = (Vec::new(), 0);
        let Waiting { queries, passages } = &mut *waiting;
        for queue in [queries, passages] {
            while let Some(request) = queue.front() {
                let is_alive = !request.answer.is_closed();
                if is_alive && !taken.is_empty() && texts + request.texts.len() > TEXTS_TOGETHER_MAX {
                    break;
                }
                let Some(request) = queue.pop_front() else { break };
                if is_alive {
                    texts += request.texts.len();
                    taken.push(request);
                }
            }
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize) -> Vec<String> {
        vec![String::new(); count]
    }

    #[test]
    fn a_lone_request_is_taken_at_once_and_small_ones_together() {
        let queue = Queue::default();
        let _first = queue.push(texts(1), TextUse::Passage).unwrap();
        assert_eq!(queue.take().len(), 1);
        assert!(queue.take().is_empty());
        let _kept: Vec<_> = (0..40).map(|_| queue.push(texts(1), TextUse::Passage).unwrap()).collect();
        assert_eq!(queue.take().len(), TEXTS_TOGETHER_MAX);
        assert_eq!(queue.take().len(), 8);
    }

    #[test]
    fn queries_go_first_and_a_large_request_goes_alone() {
        let queue = Queue::default();
        let _large = queue.push(texts(100), TextUse::Passage).unwrap();
        let _query = queue.push(texts(1), TextUse::Query).unwrap();
        let taken = queue.take();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].use_, TextUse::Query);
        assert_eq!(queue.take()[0].texts.len(), 100);
    }

    #[test]
    fn who_left_is_not_served_and_a_full_queue_refuses() {
        let queue = Queue::default();
        drop(queue.push(texts(1), TextUse::Query).unwrap());
        assert!(queue.take().is_empty());
        let _kept: Vec<_> = (0..WAITING_MAX).map(|_| queue.push(texts(1), TextUse::Query).unwrap()).collect();
        assert!(matches!(queue.push(texts(1), TextUse::Query), Err(EmbedError::Busy { waiting: WAITING_MAX })));
    }
}
