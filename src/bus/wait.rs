//! Callers that wait for an answer in place, and listeners of a growing one. In memory only: whoever asks again after a
//! restart finds the answer in the table.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::{mpsc, oneshot};

use crate::base::id::{ApprovalId, TaskId};
use crate::domain::message::Route;

/// How a task ended, or why it stopped for now.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    Completed {
        text: String,
        route: Route,
    },
    Failed {
        text: String,
    },
    /// A person has to approve first; the text says how.
    Parked {
        prompt: String,
        approval_id: String,
    },
    /// Another member of the group works on it; the answer comes later. Without a note, callers go on waiting.
    Elsewhere {
        note: String,
    },
}

/// What a parked task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    Approval(ApprovalId),
    /// The answer of another member, by the reference of what it was asked.
    Peer(String),
}

/// How [`WaitsFor::Peer`] is told from an approval where it is stored.
const PEER: &str = "peer:";

impl WaitsFor {
    pub(super) fn stored(&self) -> String {
        match self {
            Self::Approval(id) => id.to_string(),
            Self::Peer(reference) => format!("{PEER}{reference}"),
        }
    }

    pub(super) fn parse(text: String) -> Self {
        match text.strip_prefix(PEER) {
            Some(reference) => Self::Peer(reference.to_owned()),
            None => Self::Approval(ApprovalId::new(text)),
        }
    }
}

impl Answered {
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. })
    }

    /// Whether there is nothing to tell a caller yet.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Elsewhere { note } if note.is_empty())
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Completed { text, .. } | Self::Failed { text } => text,
            Self::Parked { prompt, .. } => prompt,
            Self::Elsewhere { note } => note,
        }
    }
}

/// What a listener hears before the answer is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More text.
    Text(String),
    /// What was said so far is void: another model starts over.
    Restarted,
    /// A tool is at work.
    Tool(String),
}

/// One caller.
struct Waiter {
    reply: oneshot::Sender<Answered>,
    progress: Option<mpsc::Sender<Progress>>,
}

#[derive(Default)]
pub(super) struct Waiters {
    by_task: Mutex<HashMap<TaskId, Vec<Waiter>>>,
}

impl Waiters {
    pub(super) fn add(
        &self,
        task_id: TaskId,
        reply: oneshot::Sender<Answered>,
        progress: Option<mpsc::Sender<Progress>>,
    ) {
        self.lock().entry(task_id).or_default().push(Waiter { reply, progress });
    }

    /// Moves the callers of a message that turned out to be known to the task that answers for it.
    pub(super) fn join(&self, from: &TaskId, to: &TaskId) {
        let mut waiters = self.lock();
        let moved = waiters.remove(from).unwrap_or_default();
        waiters.entry(to.clone()).or_default().extend(moved);
    }

    pub(super) fn forget(&self, task_id: &TaskId) {
        self.lock().remove(task_id);
    }

    /// Where the growing answer goes; the first caller that wants to watch.
    pub(super) fn progress(&self, task_id: &TaskId) -> Option<mpsc::Sender<Progress>> {
        self.lock().get(task_id)?.iter().find_map(|waiter| waiter.progress.clone())
    }

    /// Hands the answer to everybody who waits for the task.
    pub(super) fn answer(&self, task_id: &TaskId, answered: &Answered) {
        for waiter in self.lock().remove(task_id).unwrap_or_default() {
            // The caller may have left; the answer is in the table.
            let _ = waiter.reply.send(answered.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, Vec<Waiter>>> {
        self.by_task.lock().expect("invariant: nobody panics while holding the waiters")
    }
}
