//! Work between members, heard: requests, answers, news of them, and the traces by which answers of agents in Go are known.

use crate::base::clock::Timestamp;
use crate::domain::peer::{Answer, Report, Request};
use crate::group::inbox::{Objection, Received};
use crate::group::roster;
use crate::group::task::{self, Direction, Task, incoming, outgoing, stray};
use crate::group::trace;
use crate::group::wire::{self, Head};
use crate::orchestrator;

use super::convert;
use super::hear::Hearing;
use super::work::After;

impl Hearing<'_, '_> {
    pub(super) fn requested(
        &self,
        head: &Head,
        request: wire::TaskRequest,
        received: &Received,
        after: &mut After,
    ) -> rusqlite::Result<Option<&'static str>> {
        let mut request = match Request::try_from((head, request)) {
            Ok(request) => request,
            Err(refusal) => return Ok(Some(refusal.code())),
        };
        if request.requester != head.sender && request.original_requester.is_none() {
            return Ok(Some(Objection::Forbidden.as_str()));
        }
        // Deadlines are by the sender's clock.
        request.deadline_at =
            request.deadline_at.map(|at| Timestamp::from_millis(at.as_millis().saturating_add(received.behind_ms)));
        let config = &self.core.config.task;
        if let Some(mut task) = task::load(self.tx, Direction::Incoming, &request.requester, &request.task_id)? {
            let steps = incoming::next(&mut task, incoming::Fact::Repeated, config, self.now);
            self.core.carry_out(self.tx, &mut task, steps, after)?;
            return Ok(None);
        }
        let will = self.will(head, &request)?;
        let rank = {
            let (roster, moment) = (self.core.roster(), self.core.moment());
            let others = roster.alive(moment).filter(|member| matches!(member.life, Some(roster::Life::Epoch(_))));
            let others = others.map(roster::Member::id).filter(|id| **id != request.requester);
            task::rank(&request.task_id, self.core.me(), others)
        };
        if let Some((mut task, steps)) = incoming::offered(request, will, rank, config, self.now) {
            task::insert(self.tx, &task)?;
            self.core.carry_out(self.tx, &mut task, steps, after)?;
        }
        Ok(None)
    }

    fn will(&self, head: &Head, request: &Request) -> rusqlite::Result<incoming::Will> {
        let me = self.core.me();
        if request.content.trim().is_empty() {
            return Ok(incoming::Will::Unable("There is nothing to do in the request."));
        }
        if request.skill.as_ref().is_some_and(|skill| !self.core.skills.is_offered(skill)) {
            return Ok(incoming::Will::Unable("This hub does not offer that skill."));
        }
        let chart = orchestrator::load(self.tx)?;
        // Whoever passes a request on has to be of its zone too.
        let is_of_zone = |peer| chart.zones.judge(request.zone.as_ref(), peer, me).is_ok();
        if ![&request.requester, &head.sender].into_iter().all(is_of_zone) {
            return Ok(incoming::Will::Unable("The zone does not let you ask here."));
        }
        let open = task::open_len(self.tx, Direction::Incoming)?;
        Ok(if open >= self.core.config.task.incoming_open_max {
            incoming::Will::Unable("This hub has too much to do.")
        } else {
            incoming::Will::Able
        })
    }

    pub(super) fn responded(
        &self,
        head: &Head,
        response: wire::TaskResponse,
        after: &mut After,
    ) -> rusqlite::Result<Option<&'static str>> {
        let answer = match Answer::try_from((head, response)) {
            Ok(answer) => answer,
            Err(refusal) => return Ok(Some(refusal.code())),
        };
        let fact = outgoing::Fact::Answered { answer: &answer, from: &head.sender };
        if self.core.advance_ours(self.tx, &answer.task_id, fact, after)? {
            return Ok(None);
        }
        if self.advance_theirs(&answer.task_id, &incoming::Fact::AnsweredBy(&head.sender), after)? {
            return Ok(None);
        }
        match stray::answered(self.tx, &answer, &head.sender, self.now)? {
            Some(found) => self.matched(&found, head, after)?,
            None => return Ok(Some(Objection::UnknownTask.as_str())),
        }
        Ok(None)
    }

    fn matched(&self, found: &stray::Match, head: &Head, after: &mut After) -> rusqlite::Result<()> {
        let fact = outgoing::Fact::Answered { answer: &found.answer, from: &head.sender };
        self.core.advance_ours(self.tx, &found.task_id, fact, after).map(drop)
    }

    pub(super) fn reported(
        &self,
        head: &Head,
        status: wire::TaskStatus,
        after: &mut After,
    ) -> rusqlite::Result<Option<&'static str>> {
        let report = match Report::try_from((head, status)) {
            Ok(report) => report,
            Err(refusal) => return Ok(Some(refusal.code())),
        };
        let from = &head.sender;
        let ours = outgoing::Fact::Reported { report: &report, from };
        let theirs = incoming::Fact::Reported { report: &report, from };
        let is_known = self.core.advance_ours(self.tx, &report.task_id, ours, after)?
            | self.advance_theirs(&report.task_id, &theirs, after)?;
        Ok((!is_known).then_some(Objection::UnknownTask.as_str()))
    }

    /// Gives a fact to what others asked of us under this id.
    fn advance_theirs(&self, task_id: &str, fact: &incoming::Fact<'_>, after: &mut After) -> rusqlite::Result<bool> {
        let tasks: Vec<Task> = task::incoming_called(self.tx, task_id)?;
        let is_known = !tasks.is_empty();
        for mut task in tasks {
            let steps = incoming::next(&mut task, *fact, &self.core.config.task, self.now);
            self.core.carry_out(self.tx, &mut task, steps, after)?;
        }
        Ok(is_known)
    }

    pub(super) fn traced(
        &self,
        head: &Head,
        span: wire::Trace,
        after: &mut After,
    ) -> rusqlite::Result<Option<&'static str>> {
        let is_task = span.span_type == "TASK";
        if is_task
            && let Some(found) = stray::traced(self.tx, &head.correlation_id, &head.sender, &span.content, self.now)?
        {
            self.matched(&found, head, after)?;
        }
        trace::store(self.tx, &head.sender, &convert::span(span), self.now)?;
        Ok(None)
    }
}
