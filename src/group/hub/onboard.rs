//! Being let in: this hub asks, signs what members want signed, and knows how it stands. In a gated group it asks by itself when it
//! comes, so that an operator there finds its key.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::{DbError, Tx};
use crate::group::onboarding::{Answer, Fact, Joiner, Mode, Outcome, Step};
use crate::group::task::{self, Direction};
use crate::group::wire::{Body, Head, Onboard, OnboardAction, Topic};

use super::Group;
use super::core::Core;
use super::say::{Said, undone};
use super::work::After;

/// How it stands with being let in, for the API.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OnboardingView {
    /// `none`, `asking`, `let_in`, `shut_out` or `nobody_answered`.
    pub state: &'static str,
    /// The member whose word it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The last attempt. Changed copies are kept after the commit of what was said in it.
#[derive(Clone, Default)]
pub(super) struct Attempt {
    joiner: Option<Joiner>,
    view: OnboardingView,
}

#[derive(Default)]
pub(super) struct Onboarding {
    attempt: Mutex<Attempt>,
}

impl Onboarding {
    pub(super) fn view(&self) -> OnboardingView {
        let view = self.attempt().view;
        OnboardingView { state: if view.state.is_empty() { "none" } else { view.state }, ..view }
    }

    pub(super) fn keep(&self, attempt: Attempt) {
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = attempt;
    }

    /// Ends an attempt whose time is over; returns when that will be.
    pub(super) fn time_passed(&self, now: Timestamp) -> Option<Timestamp> {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let joiner = attempt.joiner.as_mut()?;
        let (step, until) = (joiner.next(Fact::TimePassed, now), joiner.until());
        match step {
            Some(Step::End(outcome)) => {
                attempt.end(outcome);
                None
            }
            _ => Some(until),
        }
    }

    fn attempt(&self) -> Attempt {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Attempt {
    fn end(&mut self, outcome: Outcome) {
        self.joiner = None;
        let shown =
            |state, by: Option<PeerId>, reason| OnboardingView { state, by: by.map(|by| by.to_string()), reason };
        self.view = match outcome {
            Outcome::LetIn { by } => shown("let_in", Some(by), None),
            Outcome::ShutOut { by, reason } => shown("shut_out", Some(by), Some(reason)),
            Outcome::NobodyAnswered => shown("nobody_answered", None, None),
        };
    }
}

impl Group {
    /// Asks the members to be let in; what they say shows in the status.
    pub async fn onboard(&self) -> Result<(), DbError> {
        let core = self.core.clone();
        let after = self.core.db.write(move |tx| {
            let mut after = After::default();
            core.ask_in(tx, &mut after)?;
            Ok(after)
        });
        self.core.settle(after.await?);
        Ok(())
    }
}

impl Core {
    /// What is done when this hub has come: only in a gated group does anybody have to let it in.
    pub(super) fn ask_in_if_gated(&self, tx: &Tx<'_>, after: &mut After) -> rusqlite::Result<()> {
        let is_in = self.onboarding.attempt().view.state == "let_in";
        if self.config.onboarding.mode == Mode::Open || is_in { Ok(()) } else { self.ask_in(tx, after) }
    }

    fn ask_in(&self, tx: &Tx<'_>, after: &mut After) -> rusqlite::Result<()> {
        let now = self.clock.now();
        let load = task::open_len(tx, Direction::Incoming)?;
        let identity = self.identity(u32::try_from(load).unwrap_or(u32::MAX));
        let onboard = Onboard {
            action: OnboardAction::Request.as_str().to_owned(),
            requester_id: self.me().to_string(),
            skills: identity.capabilities.clone(),
            identity: Some(identity.into()),
            ..Onboard::default()
        };
        self.say_onboard(tx, onboard, (&format!("onboard-{}", now.as_millis()), None), now)?;
        let signer = self.config.signer.clone();
        let joiner = Joiner::begin(self.group(), self.me().clone(), signer, now);
        let view = OnboardingView { state: "asking", ..OnboardingView::default() };
        after.attempt = Some(Attempt { joiner: Some(joiner), view });
        (after.queued, after.timed) = (true, true);
        Ok(())
    }

    /// A member answers what we asked.
    pub(super) fn asked_in(
        &self,
        tx: &Tx<'_>,
        head: &Head,
        onboard: &Onboard,
        after: &mut After,
    ) -> rusqlite::Result<()> {
        let now = self.clock.now();
        let sponsor = &head.sender;
        let fact = match onboard.action() {
            Some(OnboardAction::Challenge) => Fact::Challenged { sponsor, nonce: &onboard.nonce },
            Some(OnboardAction::Complete) => Fact::Completed { sponsor },
            Some(OnboardAction::Reject) => Fact::Rejected { sponsor, reason: &onboard.reason },
            _ => return Ok(()),
        };
        // What came with this record in one transaction may have changed it.
        let mut attempt = after.attempt.clone().unwrap_or_else(|| self.onboarding.attempt());
        let Some(joiner) = &mut attempt.joiner else { return Ok(()) };
        match joiner.next(fact, now) {
            Some(Step::Respond(answer)) => {
                self.respond(tx, answer, &head.correlation_id, now)?;
                after.queued = true;
            }
            Some(Step::End(outcome)) => {
                attempt.end(outcome);
                // Whoever did not believe us before hears us now.
                after.greet = true;
            }
            None if onboard.action() == Some(OnboardAction::Reject) => {
                let (by, reason) = (Some(sponsor.to_string()), Some(onboard.reason.clone()));
                attempt.view = OnboardingView { state: "asking", by, reason };
            }
            None => {}
        }
        after.attempt = Some(attempt);
        after.timed = true;
        Ok(())
    }

    fn respond(&self, tx: &Tx<'_>, answer: Answer, about: &str, now: Timestamp) -> rusqlite::Result<()> {
        let identity = self.identity(0);
        let onboard = Onboard {
            action: OnboardAction::Response.as_str().to_owned(),
            requester_id: self.me().to_string(),
            sponsor_id: answer.sponsor.to_string(),
            skills: identity.capabilities.clone(),
            // Agents in Go ask in words and want some back.
            response: format!(
                "I am {} ({}). My capabilities: {}. Soul: {}",
                identity.name,
                identity.id,
                identity.capabilities.join(", "),
                identity.soul
            ),
            nonce: answer.nonce,
            proof: answer.proof.unwrap_or_default(),
            identity: Some(identity.into()),
            ..Onboard::default()
        };
        self.say_onboard(tx, onboard, (about, Some(&answer.sponsor)), now)
    }

    fn say_onboard(
        &self,
        tx: &Tx<'_>,
        onboard: Onboard,
        (about, to): (&str, Option<&PeerId>),
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let key = Some(self.me().as_str());
        let said = Said { topic: Topic::Onboarding, body: Body::Onboard(onboard), about, to, key, deadline_at: None };
        self.say(tx, &said, now).map(drop).map_err(undone)
    }
}
