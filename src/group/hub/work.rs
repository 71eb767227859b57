//! Carrying out what the machines of tasks decide, inside the transaction of the fact.

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, TaskId};
use crate::bus::WaitsFor;
use crate::db::Tx;
use crate::domain::peer::{Answer, Report};
use crate::group::task::{self, Step, Task, outgoing};
use crate::group::wire::{Body, Topic};

use super::core::Core;
use super::onboard::Attempt;
use super::say::{Said, undone};

/// What has to be done once the transaction is committed.
#[derive(Default)]
pub(super) struct After {
    pub begun: usize,
    pub resumed: Vec<TaskId>,
    /// Something waits in the outbox.
    pub queued: bool,
    /// A task's time changed.
    pub timed: bool,
    pub greet: bool,
    /// How it stands with being let in.
    pub attempt: Option<Attempt>,
    /// The group has to hear where this member stands, and its zones.
    pub place: bool,
    /// Something lies where it has to be fetched from.
    pub pointed: bool,
}

impl Core {
    /// Does what was left until after the commit.
    pub(super) fn settle(&self, after: After) {
        if after.begun > 0 || !after.resumed.is_empty() {
            self.house.moved(after.begun, after.resumed);
        }
        if let Some(attempt) = after.attempt {
            self.onboarding.keep(attempt);
        }
        if after.queued {
            self.queued.notify_one();
        }
        if after.timed {
            self.due.notify_one();
        }
        if after.greet {
            self.greet.notify_one();
        }
        if after.place {
            self.place.notify_one();
        }
        if after.pointed {
            self.pointed.notify_one();
        }
    }

    /// Stores `task` and does what its `steps` say.
    pub(super) fn carry_out(
        &self,
        tx: &Tx<'_>,
        task: &mut Task,
        steps: Vec<Step>,
        after: &mut After,
    ) -> rusqlite::Result<()> {
        let now = self.clock.now();
        task::store(tx, task)?;
        task::log(tx, task, &steps, self.me(), now)?;
        after.timed = true;
        for step in steps {
            match step {
                Step::Log { .. } => {}
                Step::Say(report) => self.report(tx, task, report, now, after)?,
                Step::Answer(answer) => self.answer(tx, &task.request.requester, answer, now, after)?,
                Step::Start => {
                    let local = self.house.begin(tx, &task.request, now)?;
                    after.begun += 1;
                    task::set_local(tx, task, local)?;
                }
                // The turn goes on; its answer is dropped, because the task is closed.
                Step::Stop => {}
                Step::Resume => {
                    let waits_for = WaitsFor::Peer(task.request.task_id.clone());
                    after.resumed.extend(self.house.resume(tx, &waits_for, now)?);
                }
            }
        }
        Ok(())
    }

    /// News of a task go where only hubs listen: agents in Go would hand them to their models.
    fn report(
        &self,
        tx: &Tx<'_>,
        task: &Task,
        report: Report,
        now: Timestamp,
        after: &mut After,
    ) -> rusqlite::Result<()> {
        self.say_about(tx, (&task.request.task_id, Topic::Direct, Body::Status(report.into())), now, after)
    }

    pub(super) fn answer(
        &self,
        tx: &Tx<'_>,
        requester: &PeerId,
        answer: Answer,
        now: Timestamp,
        after: &mut After,
    ) -> rusqlite::Result<()> {
        let topic = if self.is_of_our_kind(requester) { Topic::Direct } else { Topic::Responses };
        let id = answer.task_id.clone();
        self.say_about(tx, (&id, topic, Body::Response(answer.into())), now, after)
    }

    /// To nobody in particular: others that watch the task hear it too.
    fn say_about(
        &self,
        tx: &Tx<'_>,
        (task_id, topic, body): (&str, Topic, Body),
        now: Timestamp,
        after: &mut After,
    ) -> rusqlite::Result<()> {
        let said = Said { topic, body, about: task_id, to: None, key: Some(task_id), deadline_at: None };
        self.say(tx, &said, now).map_err(undone)?;
        after.queued = true;
        Ok(())
    }

    /// Gives a fact to a task that we asked of others, if it is known.
    pub(super) fn advance_ours(
        &self,
        tx: &Tx<'_>,
        task_id: &str,
        fact: outgoing::Fact<'_>,
        after: &mut After,
    ) -> rusqlite::Result<bool> {
        let Some(mut task) = task::load(tx, task::Direction::Outgoing, self.me(), task_id)? else { return Ok(false) };
        let steps = outgoing::next(&mut task, fact, &self.config.task, self.clock.now());
        self.carry_out(tx, &mut task, steps, after)?;
        Ok(true)
    }
}
