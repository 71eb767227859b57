//! A task that others asked of us, without I/O.
//!
//! A request to us is claimed at once. One to nobody in particular is claimed by the hub that ranks first for it; the others
//! claim it when they hear of no claim, or of no renewal, in time. When two claim it at once the better rank keeps it.

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::domain::peer::{Answer, AnswerStatus, Report, Request, WorkStatus};
use crate::group::inbox::Objection;
use crate::group::task::{Config, Direction, Status, Step, Task, comes_before, logged};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fact<'a> {
    /// The requester asks once more.
    Repeated,
    /// `from` is the sender of the message.
    Reported {
        report: &'a Report,
        from: &'a PeerId,
    },
    /// Somebody else answered it.
    AnsweredBy(&'a PeerId),
    /// The house is done.
    Finished {
        content: &'a str,
        outcome: AnswerStatus,
    },
    Progressed {
        percent: Option<u8>,
        summary: &'a str,
    },
    TimePassed,
}

/// Whether this house would work on a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Will {
    Able,
    /// It lacks the skill, a mind, the permission or the room.
    Unable(&'static str),
}

/// Who we are and what time it is.
#[derive(Clone, Copy)]
struct Here<'a> {
    config: &'a Config,
    now: Timestamp,
}

/// Takes a request. None when it is to nobody in particular and nothing for us. `rank` is [`crate::group::task::rank`]; a deadline
/// is by our clock.
pub fn offered(request: Request, will: Will, rank: u32, config: &Config, now: Timestamp) -> Option<(Task, Vec<Step>)> {
    let here = Here { config, now };
    let is_for_us = request.target.as_ref() == Some(&config.agent_id);
    let requester = request.requester.clone();
    let mut task = Task::new(Direction::Incoming, request, now);
    task.request.deadline_at.get_or_insert(now.plus(config.answer_within));
    let mut steps = vec![logged("received", Some(&requester))];
    match will {
        Will::Unable(_) if !is_for_us => return None,
        Will::Unable(why) => {
            task.status = Status::Rejected;
            steps.push(answer(&mut task, why, AnswerStatus::Rejected, here));
        }
        Will::Able if is_for_us => {
            claim(&mut task, &mut steps, here);
            start(&mut task, &mut steps, here);
        }
        Will::Able if rank == 0 => claim(&mut task, &mut steps, here),
        Will::Able => task.wake_at = soonest(&task, now.plus(config.claim_step * rank)),
    }
    Some((task, steps))
}

/// What the requester hears when its request to us was not believed; none when it cannot be answered.
pub fn rejection(request: &Request, objection: Objection, config: &Config) -> Option<Answer> {
    if request.target.as_ref() != Some(&config.agent_id) {
        return None;
    }
    let content = match objection {
        Objection::TooDeep => "The work has been handed on too often.",
        Objection::TooOld | Objection::DeadlinePassed => "The request came too late.",
        Objection::RateLimited => "Too many requests at once.",
        Objection::Forbidden | Objection::Unsigned => "This may not be asked here.",
        _ => return None,
    };
    Some(Answer {
        task_id: request.task_id.clone(),
        responder: config.agent_id.clone(),
        content: content.to_owned(),
        outcome: AnswerStatus::Rejected,
    })
}

/// What follows for `task`.
pub fn next(task: &mut Task, fact: Fact<'_>, config: &Config, now: Timestamp) -> Vec<Step> {
    let here = Here { config, now };
    let mut steps = Vec::new();
    match fact {
        Fact::Repeated => steps.extend(repeat(task, here)),
        _ if !task.status.is_open() => {}
        Fact::Reported { report, from } => reported(task, report, from, here, &mut steps),
        Fact::AnsweredBy(peer) => answered_by(task, peer, here, &mut steps),
        Fact::Finished { content, outcome } if task.status == Status::InProgress => {
            task.status = outcome.into();
            steps.push(answer(task, content, outcome, here));
            steps.push(logged("answered", Some(&task.request.requester)));
        }
        Fact::Progressed { percent, summary } if task.status == Status::InProgress => {
            task.progress_percent = percent.or(task.progress_percent);
            let mut report = report(task, WorkStatus::InProgress, here);
            report.summary = summary.to_owned();
            steps.push(Step::Say(report));
        }
        Fact::Finished { .. } | Fact::Progressed { .. } => {}
        Fact::TimePassed if task.is_overdue(now) => {
            if task.status == Status::InProgress {
                steps.push(Step::Stop);
            }
            close(task, Status::Expired, now);
            steps.push(logged("expired", None));
        }
        Fact::TimePassed if task.wake_at.is_some_and(|wake| wake <= now) => woken(task, here, &mut steps),
        Fact::TimePassed => {}
    }
    steps
}

fn woken(task: &mut Task, here: Here<'_>, steps: &mut Vec<Step>) {
    match task.status {
        Status::Pending => claim(task, steps, here),
        Status::Yielded => {
            steps.push(logged("lease_expired", task.responder.as_ref()));
            claim(task, steps, here);
        }
        Status::Accepted => start(task, steps, here),
        _ => {
            task.wake_at = soonest(task, here.now.plus(here.config.lease / 2));
            steps.push(Step::Say(report(task, WorkStatus::Renewed, here)));
        }
    }
}

fn reported(task: &mut Task, news: &Report, from: &PeerId, here: Here<'_>, steps: &mut Vec<Step>) {
    if news.status == WorkStatus::Cancel {
        if *from == task.request.requester {
            cancel(task, here, steps);
        }
        return;
    }
    if *from == here.config.agent_id || task.request.target.as_ref() == Some(&here.config.agent_id) {
        return;
    }
    match news.status {
        WorkStatus::Accepted | WorkStatus::Claimed | WorkStatus::Renewed | WorkStatus::InProgress => {
            let id = &task.request.task_id;
            let is_ours = match task.status {
                Status::InProgress => true,
                Status::Accepted => !comes_before(id, from, &here.config.agent_id),
                _ => false,
            };
            if is_ours {
                return;
            }
            if task.status == Status::Accepted {
                steps.push(Step::Say(report(task, WorkStatus::Released, here)));
            }
            if task.status != Status::Yielded {
                steps.push(logged("yielded", Some(from)));
            }
            task.status = Status::Yielded;
            task.responder = Some(from.clone());
            task.wake_at = soonest(task, here.now.plus(here.config.lease * 2));
        }
        WorkStatus::Released | WorkStatus::Canceled
            if task.status == Status::Yielded && task.responder.as_ref() == Some(from) =>
        {
            task.status = Status::Pending;
            task.responder = None;
            task.wake_at = soonest(task, here.now.plus(here.config.claim_step));
        }
        _ => {}
    }
}

fn answered_by(task: &mut Task, peer: &PeerId, here: Here<'_>, steps: &mut Vec<Step>) {
    let is_for_us = task.request.target.as_ref() == Some(&here.config.agent_id);
    if is_for_us || *peer == here.config.agent_id {
        return;
    }
    if task.status == Status::InProgress {
        steps.push(Step::Stop);
    }
    task.responder = Some(peer.clone());
    close(task, Status::Completed, here.now);
    steps.push(logged("answered_elsewhere", Some(peer)));
}

fn cancel(task: &mut Task, here: Here<'_>, steps: &mut Vec<Step>) {
    let was = task.status;
    close(task, Status::Canceled, here.now);
    if was == Status::InProgress {
        steps.push(Step::Stop);
    }
    if matches!(was, Status::InProgress | Status::Accepted) {
        steps.push(Step::Say(report(task, WorkStatus::Canceled, here)));
    }
    steps.push(logged("canceled", Some(&task.request.requester)));
}

fn claim(task: &mut Task, steps: &mut Vec<Step>, here: Here<'_>) {
    task.status = Status::Accepted;
    task.responder = Some(here.config.agent_id.clone());
    task.accepted_at = Some(here.now);
    task.wake_at = soonest(task, here.now.plus(here.config.settle));
    steps.push(Step::Say(report(task, WorkStatus::Claimed, here)));
    steps.push(logged("claimed", Some(&task.request.requester)));
}

fn start(task: &mut Task, steps: &mut Vec<Step>, here: Here<'_>) {
    task.status = Status::InProgress;
    task.wake_at = soonest(task, here.now.plus(here.config.lease / 2));
    steps.push(Step::Start);
}

/// The answer again, or that somebody is at it.
fn repeat(task: &Task, here: Here<'_>) -> Option<Step> {
    let is_ours = task.responder.as_ref() == Some(&here.config.agent_id);
    let outcome = match task.status {
        Status::Completed => AnswerStatus::Completed,
        Status::Failed => AnswerStatus::Failed,
        Status::Rejected => AnswerStatus::Rejected,
        _ => return None,
    };
    let content = task.response.clone().filter(|_| is_ours)?;
    Some(Step::Answer(Answer {
        task_id: task.request.task_id.clone(),
        responder: here.config.agent_id.clone(),
        content,
        outcome,
    }))
}

fn answer(task: &mut Task, content: &str, outcome: AnswerStatus, here: Here<'_>) -> Step {
    task.responder = Some(here.config.agent_id.clone());
    task.response = Some(content.to_owned());
    task.responded_at = Some(here.now);
    task.wake_at = None;
    Step::Answer(Answer {
        task_id: task.request.task_id.clone(),
        responder: here.config.agent_id.clone(),
        content: content.to_owned(),
        outcome,
    })
}

fn close(task: &mut Task, status: Status, now: Timestamp) {
    task.status = status;
    task.wake_at = None;
    task.responded_at.get_or_insert(now);
}

fn report(task: &Task, status: WorkStatus, here: Here<'_>) -> Report {
    let is_claim = matches!(status, WorkStatus::Claimed | WorkStatus::Renewed | WorkStatus::InProgress);
    Report {
        task_id: task.request.task_id.clone(),
        peer: here.config.agent_id.clone(),
        status,
        summary: String::new(),
        lease_until: is_claim.then(|| here.now.plus(here.config.lease)),
        progress_percent: task.progress_percent,
    }
}

/// The deadline, if it comes before `other`.
fn soonest(task: &Task, other: Timestamp) -> Option<Timestamp> {
    Some(task.request.deadline_at.map_or(other, |deadline| deadline.min(other)))
}
