//! Whether commands came true, without I/O: a batch is answered when every entity showed what was wanted, or its time is up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::base::id::EntityId;
use crate::domain::household::CommandResult;
use crate::home::registry::Registry;
use crate::home::wanted::{Wanted, is_granted};

/// How long a device that already was as wanted is given to say so again; many stay silent then.
const REPEAT_WAIT: Duration = Duration::from_millis(250);

pub(super) type Reply = oneshot::Sender<Vec<(EntityId, CommandResult)>>;

/// What was known when a command was sent.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Before {
    heard: u64,
    is_already_so: bool,
}

/// A command on its way to one entity.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sent {
    pub wanted: Wanted,
    pub before: Before,
}

struct Batch {
    waiting: Vec<(EntityId, Progress)>,
    reply: Reply,
    sent_at: Instant,
}

enum Progress {
    Ended(CommandResult),
    /// Taken by the broker; the device has not shown it yet.
    Sent(Sent),
}

pub(super) struct Confirmations {
    wait: Duration,
    batches: VecDeque<Batch>,
}

impl Before {
    pub(super) fn of(registry: &Registry, id: &EntityId, wanted: &Wanted) -> Self {
        let heard = registry.heard(id);
        // A color is only seen as "on", which says nothing about the color.
        let is_telling = !matches!(wanted, Wanted::Color | Wanted::Nothing);
        Self { heard, is_already_so: heard > 0 && is_telling && is_granted(wanted, &registry.state(id)) }
    }
}

impl Confirmations {
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, batches: VecDeque::new() }
    }

    /// A batch that the broker has taken, or not.
    pub(super) fn begin(
        &mut self,
        registry: &Registry,
        results: Vec<(EntityId, Result<Sent, CommandResult>)>,
        reply: Reply,
        now: Instant,
    ) {
        let waiting = results.into_iter().map(|(id, result)| {
            let progress = match result {
                Err(result) => Progress::Ended(result),
                Ok(sent) if sent.wanted == Wanted::Nothing => Progress::Ended(CommandResult::Confirmed),
                Ok(sent) if !registry.shows(&id, &sent.wanted) => Progress::Ended(CommandResult::NotConfirmed),
                Ok(sent) => Progress::Sent(sent),
            };
            (id, progress)
        });
        self.batches.push_back(Batch { waiting: waiting.collect(), reply, sent_at: now });
    }

    /// Takes out every batch that is complete or late, with its answer.
    pub(super) fn settle(&mut self, registry: &Registry, now: Instant) -> Vec<(Reply, Vec<(EntityId, CommandResult)>)> {
        let mut answers = Vec::new();
        for _ in 0..self.batches.len() {
            let Some(mut batch) = self.batches.pop_front() else { break };
            for (id, progress) in &mut batch.waiting {
                let Progress::Sent(sent) = progress else { continue };
                if let Some(result) = judge(registry, id, sent, now.saturating_duration_since(batch.sent_at), self.wait)
                {
                    *progress = Progress::Ended(result);
                }
            }
            if batch.waiting.iter().any(|(_, progress)| matches!(progress, Progress::Sent(_))) {
                self.batches.push_back(batch);
                continue;
            }
            let results = batch.waiting.into_iter().filter_map(|(id, progress)| match progress {
                Progress::Ended(result) => Some((id, result)),
                Progress::Sent(_) => None,
            });
            answers.push((batch.reply, results.collect()));
        }
        answers
    }

    /// When [`Confirmations::settle`] has something to do, if nothing happens before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let of_batch = |batch: &Batch| {
            let repeats = |progress: &Progress| matches!(progress, Progress::Sent(sent) if sent.before.is_already_so);
            let has_repeat = batch.waiting.iter().any(|(_, progress)| repeats(progress));
            batch.sent_at + if has_repeat { self.wait.min(REPEAT_WAIT) } else { self.wait }
        };
        self.batches.iter().map(of_batch).min()
    }
}

fn judge(
    registry: &Registry,
    id: &EntityId,
    sent: &mut Sent,
    waited: Duration,
    wait: Duration,
) -> Option<CommandResult> {
    let is_so = is_granted(&sent.wanted, &registry.state(id));
    let has_spoken = registry.heard(id) > sent.before.heard;
    if is_so && (has_spoken || (sent.before.is_already_so && waited >= wait.min(REPEAT_WAIT))) {
        return Some(CommandResult::Confirmed);
    }
    // What it said since then counts, not what it was.
    sent.before.is_already_so &= is_so;
    if registry.is_offline(id) {
        return Some(CommandResult::Unavailable);
    }
    (waited >= wait).then_some(CommandResult::NotConfirmed)
}
