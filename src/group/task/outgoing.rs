//! A task that we asked of others, without I/O.

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::domain::peer::{Answer, AnswerStatus, Report, Request, WorkStatus};
use crate::group::task::{Config, Direction, Status, Step, Task, logged};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fact<'a> {
    /// The broker has the request.
    Sent,
    /// The request waited for the network until it was worthless.
    Dropped,
    /// `from` is the sender of the message.
    Reported {
        report: &'a Report,
        from: &'a PeerId,
    },
    /// Matched to this task; `from` is the sender of the message.
    Answered {
        answer: &'a Answer,
        from: &'a PeerId,
    },
    /// Whoever asked does not want it any more.
    Canceled,
    TimePassed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("the work has been handed on {depth} times; {depth_max} are allowed")]
    TooDeep { depth: u32, depth_max: u32 },
    #[error("there is nothing to do in the request")]
    Empty,
    #[error("its deadline has passed already")]
    DeadlinePassed,
}

/// A new task. `request.depth` is how often the work was handed on before; it is one more on the wire.
pub fn submit(mut request: Request, config: &Config, now: Timestamp) -> Result<(Task, Vec<Step>), SubmitError> {
    if request.depth >= config.depth_max {
        return Err(SubmitError::TooDeep { depth: request.depth, depth_max: config.depth_max });
    }
    if request.content.trim().is_empty() {
        return Err(SubmitError::Empty);
    }
    request.depth += 1;
    let deadline = *request.deadline_at.get_or_insert(now.plus(config.answer_within));
    if deadline <= now {
        return Err(SubmitError::DeadlinePassed);
    }
    let steps = vec![logged("submitted", request.target.as_ref())];
    let mut task = Task::new(Direction::Outgoing, request, now);
    task.wake_at = Some(deadline);
    Ok((task, steps))
}

/// What follows for `task`; nothing when it is closed, or when whoever speaks has no say in it.
pub fn next(task: &mut Task, fact: Fact<'_>, config: &Config, now: Timestamp) -> Vec<Step> {
    if !task.status.is_open() {
        return Vec::new();
    }
    match fact {
        Fact::Sent if task.status == Status::Pending => {
            task.status = Status::Sent;
            vec![logged("sent", task.request.target.as_ref())]
        }
        Fact::Sent => Vec::new(),
        Fact::Dropped => close(task, Status::Expired, "dropped", now),
        Fact::Reported { report, from } if has_say(task, from) => reported(task, report, from, config, now),
        Fact::Answered { answer, from } if has_say(task, from) => answered(task, answer, from, now),
        Fact::Reported { .. } | Fact::Answered { .. } => Vec::new(),
        Fact::Canceled => {
            let mut steps = vec![say_cancel(task, config)];
            steps.extend(close(task, Status::Canceled, "canceled", now));
            steps
        }
        Fact::TimePassed if task.is_overdue(now) => {
            let mut steps = vec![say_cancel(task, config)];
            steps.extend(close(task, Status::Expired, "expired", now));
            steps
        }
        Fact::TimePassed if task.wake_at.is_some_and(|wake| wake <= now) => unclaim(task, "lease_expired"),
        Fact::TimePassed => Vec::new(),
    }
}

/// Who was asked may speak; when nobody in particular was, everybody may.
fn has_say(task: &Task, from: &PeerId) -> bool {
    task.request.target.as_ref().is_none_or(|target| target == from)
}

fn reported(task: &mut Task, report: &Report, from: &PeerId, config: &Config, now: Timestamp) -> Vec<Step> {
    let is_theirs = task.responder.as_ref().is_none_or(|responder| responder == from);
    match report.status {
        WorkStatus::Accepted | WorkStatus::Claimed | WorkStatus::Renewed | WorkStatus::InProgress if is_theirs => {
            let is_first = task.responder.is_none();
            task.responder = Some(from.clone());
            task.accepted_at.get_or_insert(now);
            task.progress_percent = report.progress_percent.or(task.progress_percent);
            task.status = match report.status {
                WorkStatus::InProgress => Status::InProgress,
                // News of the lease alone does not undo that work has begun.
                _ if task.status == Status::InProgress => Status::InProgress,
                _ => Status::Accepted,
            };
            // How long it may be silent is for us to say: its clock may be wrong.
            task.wake_at = earliest(task, now.plus(config.lease * 2));
            if is_first { vec![logged("accepted", Some(from))] } else { Vec::new() }
        }
        WorkStatus::Released if is_theirs && task.responder.is_some() => unclaim(task, "released"),
        WorkStatus::Canceled if is_theirs && task.responder.is_some() => close(task, Status::Failed, "stopped", now),
        // The answer itself follows, or it was about somebody else's claim.
        _ => Vec::new(),
    }
}

fn answered(task: &mut Task, answer: &Answer, from: &PeerId, now: Timestamp) -> Vec<Step> {
    let is_refusal_of_one = answer.outcome == AnswerStatus::Rejected && task.request.target.is_none();
    if is_refusal_of_one {
        // Somebody else may still do it.
        let was_theirs = task.responder.as_ref() == Some(from);
        return if was_theirs { unclaim(task, "rejected") } else { vec![logged("rejected", Some(from))] };
    }
    task.responder = Some(from.clone());
    task.response = Some(answer.content.clone());
    task.responded_at = Some(now);
    close(task, answer.outcome.into(), "answered", now)
}

/// Nobody does it at the moment.
fn unclaim(task: &mut Task, event: &'static str) -> Vec<Step> {
    let by = task.responder.take();
    task.status = Status::Sent;
    task.wake_at = task.request.deadline_at;
    vec![logged(event, by.as_ref())]
}

fn close(task: &mut Task, status: Status, event: &'static str, now: Timestamp) -> Vec<Step> {
    task.status = status;
    task.wake_at = None;
    task.responded_at.get_or_insert(now);
    vec![logged(event, task.responder.as_ref()), Step::Resume]
}

fn say_cancel(task: &Task, config: &Config) -> Step {
    Step::Say(Report {
        task_id: task.request.task_id.clone(),
        peer: config.agent_id.clone(),
        status: WorkStatus::Cancel,
        summary: String::new(),
        lease_until: None,
        progress_percent: None,
    })
}

fn earliest(task: &Task, other: Timestamp) -> Option<Timestamp> {
    Some(task.request.deadline_at.map_or(other, |deadline| deadline.min(other)))
}
