//! Asking others: a request goes to the outbox in the transaction of whoever waits for its answer.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};
use crate::db::{DbError, Tx};
use crate::domain::peer::{AnswerStatus, Request};
use crate::group::connectivity::State;
use crate::group::outbox::OutboxError;
use crate::group::roster::{Life, Member, Standing};
use crate::group::task::outgoing::SubmitError;
use crate::group::task::{self, Direction, outgoing};
use crate::group::wire::{Body, SkillName, Topic};
use crate::orchestrator::{Candidate, Need, NobodyReason, choose};

use super::Group;
use super::say::{Said, undone};
use super::work::After;

/// What somebody else is to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// Ours for ever; the same one again is the same task.
    pub task_id: String,
    /// Name or id of a member, or a part of one; blank for whoever is able.
    pub member: String,
    pub skill: Option<String>,
    pub zone: Option<ZoneId>,
    pub description: String,
    pub content: String,
    /// How often the work was handed on before it came here.
    pub depth: u32,
    pub answer_within: Option<Duration>,
    pub patience: Patience,
}

/// What becomes of an order that nobody can take at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Patience {
    /// It waits for whoever comes.
    #[default]
    Waits,
    /// It is refused.
    NowOrNever,
}

/// An order that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its name for people; none when everybody is asked.
    pub member: Option<String>,
    pub id: Option<PeerId>,
    /// Whether the one who is asked can be reached now.
    pub is_live: bool,
}

impl Order {
    fn is_for_anybody(&self) -> bool {
        self.skill.is_none() && self.zone.is_none()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("nobody in the group is called {name}")]
    Unknown { name: String },
    #[error("more than one member of the group is called {name}: {ids}")]
    Ambiguous { name: String, ids: String },
    #[error(transparent)]
    Nobody(#[from] NobodyReason),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Outbox(OutboxError),
    #[error("could not store the request")]
    Store {
        #[from]
        source: rusqlite::Error,
    },
}

impl AskError {
    /// Stable name for the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "not_member",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Nobody(reason) => reason.code(),
            Self::Submit(SubmitError::TooDeep { .. }) => "too_deep",
            Self::Submit(SubmitError::Empty) => "empty",
            Self::Submit(SubmitError::DeadlinePassed) => "deadline_passed",
            Self::Outbox(_) => "outbox_full",
            Self::Store { .. } => "store",
        }
    }
}

impl Group {
    /// Whether the broker can be spoken to.
    pub fn is_online(&self) -> bool {
        matches!(self.connectivity.status().state, State::Online { .. })
    }

    /// Takes an order in the caller's transaction; call [`Group::asked`] after the commit.
    pub fn ask(&self, tx: &Tx<'_>, order: &Order, now: Timestamp) -> Result<Asked, AskError> {
        let core = &self.core;
        let known = task::load(tx, Direction::Outgoing, core.me(), &order.task_id)?;
        if let Some(known) = known {
            let id = known.request.target;
            return Ok(Asked { member: id.as_ref().map(ToString::to_string), id, is_live: self.is_online() });
        }
        let target = self.target(tx, order, now)?;
        let request = Request {
            task_id: order.task_id.clone(),
            requester: core.me().clone(),
            description: order.description.clone(),
            content: order.content.clone(),
            parent_task_id: None,
            depth: order.depth,
            original_requester: None,
            deadline_at: order.answer_within.map(|wait| now.plus(wait)),
            target: target.as_ref().map(|member| member.id().clone()),
            zone: order.zone.clone(),
            skill: order.skill.clone(),
        };
        let (mut task, steps) = outgoing::submit(request, &core.config.task, now)?;
        let is_hub = target.as_ref().is_some_and(heeds_targets);
        let said = Said {
            topic: self.topic_for(&task.request, is_hub),
            body: Body::Request(task.request.clone().into()),
            about: &order.task_id,
            to: task.request.target.as_ref(),
            key: Some(&order.task_id),
            deadline_at: task.request.deadline_at,
        };
        core.say(tx, &said, now).map_err(AskError::Outbox)?;
        task::insert(tx, &task)?;
        core.carry_out(tx, &mut task, steps, &mut After::default())?;
        let moment = core.moment();
        let is_live =
            self.is_online() && target.as_ref().is_none_or(|member| core.roster().is_alive(member.id(), moment));
        let id = target.as_ref().map(|member| member.id().clone());
        Ok(Asked { member: target.map(|member| called(&member)), id, is_live })
    }

    /// Told after the commit of [`Group::ask`].
    pub fn asked(&self) {
        self.core.queued.notify_one();
        self.core.due.notify_one();
        self.core.widened.notify_one();
    }

    /// A member's name for people.
    pub fn called(&self, id: &PeerId) -> String {
        self.core.roster().member(id).map_or_else(|| id.to_string(), called)
    }

    /// The house has answered a task of the group, or cannot; the same again changes nothing.
    pub async fn finished(
        &self,
        local: crate::base::id::TaskId,
        content: String,
        outcome: AnswerStatus,
    ) -> Result<(), DbError> {
        let core = self.core.clone();
        let after = self.core.db.write(move |tx| {
            let mut after = After::default();
            for mut task in task::by_local(tx, &local)? {
                if task.direction != Direction::Incoming {
                    continue;
                }
                let fact = task::incoming::Fact::Finished { content: &content, outcome };
                let steps = task::incoming::next(&mut task, fact, &core.config.task, core.clock.now());
                core.carry_out(tx, &mut task, steps, &mut after)?;
            }
            Ok(after)
        });
        self.core.settle(after.await?);
        Ok(())
    }

    /// Stops a task that we asked for.
    pub async fn cancel(&self, task_id: String) -> Result<bool, DbError> {
        let core = self.core.clone();
        let canceled = self.core.db.write(move |tx| {
            let mut after = After::default();
            let is_known = core.advance_ours(tx, &task_id, outgoing::Fact::Canceled, &mut after)?;
            Ok((is_known, after))
        });
        let (is_known, after) = canceled.await?;
        self.core.settle(after);
        Ok(is_known)
    }

    /// Where a request is heard by whom it is for: hubs of this kind listen apart, and skills of others have topics.
    fn topic_for(&self, request: &Request, is_hub: bool) -> Topic {
        match request.skill.as_deref().and_then(SkillName::parse) {
            _ if is_hub => Topic::Direct,
            Some(skill) => {
                self.core.skills.ask(skill.clone());
                Topic::SkillRequests(skill)
            }
            None => Topic::Requests,
        }
    }

    /// Whom an order is for: the named one, however long it is away, else the best who is there.
    fn target(&self, tx: &Tx<'_>, order: &Order, now: Timestamp) -> Result<Option<Member>, AskError> {
        let core = &self.core;
        let roster = core.roster();
        let chart = crate::orchestrator::load(tx)?;
        if !order.member.is_empty() {
            let member = named(roster.members(), &order.member)?;
            let judged = chart.zones.judge(order.zone.as_ref(), core.me(), member.id());
            judged.map_err(|source| NobodyReason::Zone { source })?;
            return Ok(Some(member));
        }
        let moment = core.moment();
        let candidates: Vec<Candidate> =
            roster.members().map(|member| candidate(member, roster.is_alive(member.id(), moment), now)).collect();
        let need = Need {
            task_id: order.task_id.clone(),
            requester: core.me().clone(),
            target: None,
            skill: order.skill.clone(),
            capability: None,
            zone: order.zone.clone(),
            except: BTreeSet::new(),
            silence_max: core.config.heartbeat * 3,
        };
        match choose(&candidates, &chart.zones, &need, now) {
            Ok(chosen) => Ok(roster.member(&chosen).cloned()),
            // It waits for whoever comes. What is asked in a zone is for nobody else's ears.
            Err(reason) if order.patience == Patience::Waits && reason.may_pass() && order.is_for_anybody() => Ok(None),
            Err(reason) => Err(reason.into()),
        }
    }
}

fn candidate(member: &Member, is_alive: bool, now: Timestamp) -> Candidate {
    let identity = &member.identity;
    Candidate {
        id: identity.id.clone(),
        seen_at: if is_alive { now } else { Timestamp::from_millis(0) },
        has_left: member.standing == Standing::Left,
        skills: identity.skills.iter().cloned().collect(),
        capabilities: identity.capabilities.iter().cloned().collect(),
        load: identity.load,
        can_think: identity.can_think,
        heeds_targets: heeds_targets(member),
    }
}

/// Whether it is a hub like this one, which leaves alone what is meant for others.
fn heeds_targets(member: &Member) -> bool {
    matches!(member.life, Some(Life::Epoch(_)))
}

/// A member's name for people; names that all have who chose none are no names.
fn called(member: &Member) -> String {
    let name = member.identity.name.trim();
    if matches!(name, "" | "KafClaw" | "KafClaw Local") { member.id().to_string() } else { name.to_owned() }
}

/// The member that somebody means: by id, by name, or by a part of either that no other one has.
fn named<'a>(members: impl Iterator<Item = &'a Member>, wanted: &str) -> Result<Member, AskError> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', '.'], " ");
    let wanted_plain = plain(wanted);
    let present: Vec<&Member> = members.filter(|member| member.standing != Standing::Left).collect();
    let is_exact = |member: &&&Member| member.id().as_str() == wanted || plain(&member.identity.name) == wanted_plain;
    let is_part = |member: &&&Member| {
        plain(member.id().as_str()).contains(&wanted_plain) || plain(&member.identity.name).contains(&wanted_plain)
    };
    let mut found: Vec<&Member> = present.iter().filter(is_exact).copied().collect();
    if found.is_empty() {
        found = present.iter().filter(is_part).copied().collect();
    }
    match found[..] {
        [member] => Ok(member.clone()),
        [] => Err(AskError::Unknown { name: wanted.to_owned() }),
        _ => {
            let ids: Vec<&str> = found.iter().map(|member| member.id().as_str()).collect();
            Err(AskError::Ambiguous { name: wanted.to_owned(), ids: ids.join(", ") })
        }
    }
}

/// For callers whose transaction must be undone.
impl From<AskError> for rusqlite::Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Store { source } => source,
            AskError::Outbox(error) => undone(error),
            other => Self::ToSqlConversionFailure(Box::new(other)),
        }
    }
}
