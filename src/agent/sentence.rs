//! Acting on a sentence that was understood without a model. Timers and memories are written in the transaction that holds
//! the answer, so they exist exactly when the person was told; a device's command is journaled before it is sent.

use crate::agent::answer::Answer;
use crate::agent::elsewhere::Elsewhere;
use crate::agent::gate::{Gate, Judged};
use crate::agent::journal::Step;
use crate::agent::memo::Memo;
use crate::agent::port::{Moment, NewReminder, Planned, Reminder};
use crate::agent::record::{self, Span};
use crate::agent::{Agent, Work, journal, prompt};
use crate::base::fault;
use crate::base::id::EntityId;
use crate::bus::Answered;
use crate::db::{DbError, Tx};
use crate::domain::call::{Call, Outcome};
use crate::domain::household::{CommandResult, Household};
use crate::domain::message::{Origin, Route};
use crate::intent::{CancelWhich, Intent, IntentKind, LanguageId, Order, Pending, Say, TimerKind, When};
use crate::memory;
use crate::recall;
use crate::tool::delegate;

/// The id of the one call that a sentence stands for.
const CALL_ID: &str = "sentence";
/// Where memories of people's own words come from.
pub(super) const SOURCE: &str = "user";

impl Agent {
    pub(super) async fn act(&self, work: &Work, memo: Memo, intent: Intent) -> Result<Answered, DbError> {
        let Some(tool) = tool_of(&intent.kind) else {
            let text = self.plain_answer(work, &intent);
            return self.finish(work, self.answer(&memo, &intent, text)).await;
        };
        let judged = match self.admitted(work, &intent, tool).await? {
            Ok(judged) => judged,
            Err(Refusal::Parked(answered)) => return Ok(answered),
            Err(Refusal::Said(judged, text)) => {
                let answer = self.answer(&memo, &intent, text);
                return self
                    .finish(
                        work,
                        match judged {
                            Some(judged) => answer.judged(judged),
                            None => answer,
                        },
                    )
                    .await;
            }
        };
        match &intent.kind {
            IntentKind::Command(order) => self.command(work, memo, &intent, std::slice::from_ref(order), judged).await,
            IntentKind::Several { orders } => self.command(work, memo, &intent, orders, judged).await,
            IntentKind::Query { targets, about, what } => {
                let household = self.ports.devices.household();
                let text = self.say(&intent.language).answer(&household, targets, *about, what);
                let after = after(&memo, &intent, targets.clone());
                self.finish(work, Answer::new(text, Route::Intent).remembering(memo, after).judged(judged)).await
            }
            IntentKind::Recall { topic } => {
                let text = self.recall(work, &intent, topic).await?;
                self.finish(work, self.answer(&memo, &intent, text).judged(judged)).await
            }
            IntentKind::AskMember { .. } => self.ask_member(work, memo, &intent, judged).await,
            IntentKind::Forget { topic } => self.forget(work, memo, &intent, topic, judged).await,
            _ => {
                let answer =
                    self.deed(work, &intent).remembering(memo.clone(), after(&memo, &intent, memo.recent.clone()));
                self.finish(work, answer.judged(judged)).await
            }
        }
    }

    /// The power went while a command of this sentence was under way: nobody knows whether it arrived, so it is not sent again.
    pub(super) async fn say_interrupted(&self, work: &Work, memo: Memo, intent: Intent) -> Result<Answered, DbError> {
        let text = self.say(&intent.language).interrupted(work.text());
        self.finish(work, self.answer(&memo, &intent, text)).await
    }

    pub(super) fn say(&self, language: &LanguageId) -> Say<'_> {
        self.matcher.say(Some(language))
    }

    pub(super) fn answer(&self, memo: &Memo, intent: &Intent, text: String) -> Answer {
        Answer::new(text, Route::Intent).remembering(memo.clone(), after(memo, intent, memo.recent.clone()))
    }

    async fn admitted(
        &self,
        work: &Work,
        intent: &Intent,
        tool: &'static str,
    ) -> Result<Result<Judged, Refusal>, DbError> {
        let say = self.say(&intent.language);
        let Some(spec) = self.tools.find(tool).map(|tool| tool.spec()) else {
            return Ok(Err(Refusal::Said(None, say.denied())));
        };
        if !spec.audience.admits(work.ctx.origin) {
            return Ok(Err(Refusal::Said(None, say.denied())));
        }
        let call = call_of(intent, tool);
        let (id, now, step) = (work.ctx.task_id.clone(), self.clock.now(), Step::Understood { intent: intent.clone() });
        let kept = move |tx: &Tx<'_>| journal::add(tx, &id, &step, None, now).map(drop);
        Ok(match self.gate(work, &call, spec.tier, kept).await? {
            Gate::Open(judged) => Ok(judged),
            Gate::Parked(answered) => Err(Refusal::Parked(answered)),
            Gate::Closed { judged, outcome } => {
                let expired = outcome.text.ends_with("approval_timeout");
                Err(Refusal::Said(Some(judged), if expired { say.approval_expired() } else { say.denied() }))
            }
        })
    }

    async fn command(
        &self,
        work: &Work,
        memo: Memo,
        intent: &Intent,
        orders: &[Order],
        judged: Judged,
    ) -> Result<Answered, DbError> {
        fault::point("call.before_started");
        let from = self.clock.now();
        let (id, step) = (work.ctx.task_id.clone(), Step::Commanded { intent: intent.clone() });
        self.db.write(move |tx| journal::add(tx, &id, &step, None, from).map(drop)).await?;
        fault::point("call.after_started");
        let each =
            |order: &Order| order.targets.iter().map(|id| (id.clone(), order.action.clone())).collect::<Vec<_>>();
        let results = self.ports.devices.command(&work.ctx, orders.iter().flat_map(each).collect()).await;
        fault::point("call.after_effect");
        let household = self.ports.devices.household();
        // One result for each command, in order: each order takes its own.
        let mut named = results.into_iter().map(|(id, result)| (name_of(&household, &id), result));
        let outcomes: Vec<(Order, Vec<(String, CommandResult)>)> =
            orders.iter().map(|order| (order.clone(), named.by_ref().take(order.targets.len()).collect())).collect();
        let text = self.say(&intent.language).commands(&outcomes);
        let outcome = outcome_of(outcomes.iter().flat_map(|(_, results)| results), &text);
        let touched = orders.iter().flat_map(|order| order.targets.iter().cloned()).collect();
        let span = Span { from, to: self.clock.now() };
        let (recorded, call) = (work.clone(), call_of(intent, "device_control"));
        let answer = Answer::new(text, Route::Intent)
            .remembering(memo.clone(), after(&memo, intent, touched))
            .judged(judged)
            .with(move |tx| record::tool_call(tx, &recorded, &call, &outcome, span));
        let answered = self.finish(work, answer).await;
        fault::point("call.after_finished");
        answered
    }

    /// Another hub is asked; its answer is the answer.
    async fn ask_member(&self, work: &Work, memo: Memo, intent: &Intent, judged: Judged) -> Result<Answered, DbError> {
        let call = call_of(intent, delegate::NAME);
        Ok(match self.elsewhere(work, &call, judged).await? {
            Elsewhere::Waiting(answered) => answered,
            Elsewhere::Over(outcome) => {
                let (recorded, span) = (work.clone(), Span { from: self.clock.now(), to: self.clock.now() });
                let answer = self.answer(&memo, intent, outcome.text.clone());
                let answer = answer.with(move |tx| record::tool_call(tx, &recorded, &call, &outcome, span));
                self.finish(work, answer).await?
            }
        })
    }

    /// What needs no tool: the answer is in the sentence or in the house itself.
    fn plain_answer(&self, work: &Work, intent: &Intent) -> String {
        let say = self.say(&intent.language);
        let now = prompt::local(work.ctx.now);
        let is_member = work.ctx.origin == Origin::Internal;
        let sees_home = work.ctx.origin != Origin::External;
        let household = if sees_home { self.ports.devices.household() } else { Default::default() };
        match &intent.kind {
            IntentKind::NotFound { what } => say.not_found(what),
            IntentKind::Time => say.time(now),
            IntentKind::Date => say.date(now),
            IntentKind::Capabilities => say.capabilities(&household),
            IntentKind::Status if is_member => say.status(&self.ports.health.facts()),
            IntentKind::Status => say.denied(),
            IntentKind::Greeting => say.greeting(),
            IntentKind::Thanks => say.thanks(),
            _ => say.never_mind(),
        }
    }

    /// A sentence that changes or reads what the house keeps, done in the answer's own transaction.
    fn deed(&self, work: &Work, intent: &Intent) -> Answer {
        let (agent, work, intent) = (self.clone(), work.clone(), intent.clone());
        Answer::of_deed(move |tx| {
            let say = agent.say(&intent.language);
            let now = prompt::local(work.ctx.now);
            match &intent.kind {
                IntentKind::SetTimer { duration, label } => {
                    let label_text = label.clone().unwrap_or_default();
                    let new = reminder(TimerKind::Timer, label_text, &When::In(*duration));
                    agent.set(tx, &work, &new, || say.timer_set(*duration, label.as_deref()))
                }
                IntentKind::SetAlarm { when } => {
                    let new = reminder(TimerKind::Alarm, String::new(), when);
                    agent.set(tx, &work, &new, || say.alarm_set(when, now))
                }
                IntentKind::SetReminder { when, text } => {
                    let new = reminder(TimerKind::Reminder, text.clone(), when);
                    agent.set(tx, &work, &new, || say.reminder_set(when, text, now))
                }
                IntentKind::ListTimers => {
                    let waiting = agent.ports.reminders.list(tx)?;
                    Ok(say.pending(&waiting.into_iter().map(pending).collect::<Vec<_>>(), now))
                }
                IntentKind::CancelTimer { of, which } => {
                    let count = agent.cancel(tx, *of, which)?;
                    Ok(say.canceled(count))
                }
                IntentKind::Remember { text } => remember(tx, &work, say, text),
                _ => Ok(say.failed()),
            }
        })
    }

    fn set(
        &self,
        tx: &Tx<'_>,
        work: &Work,
        new: &NewReminder,
        said: impl FnOnce() -> String,
    ) -> rusqlite::Result<String> {
        Ok(match self.ports.reminders.set(tx, &work.ctx, new)? {
            Planned::Set => said(),
            Planned::Refused(why) => why,
        })
    }

    fn cancel(&self, tx: &Tx<'_>, of: Option<TimerKind>, which: &CancelWhich) -> rusqlite::Result<usize> {
        let waiting = self.ports.reminders.list(tx)?;
        let of_kind = waiting.into_iter().filter(|reminder| of.is_none_or(|kind| kind == reminder.kind));
        let chosen: Vec<Reminder> = match which {
            CancelWhich::All => of_kind.collect(),
            CancelWhich::Next => of_kind.take(1).collect(),
            CancelWhich::Named(name) => {
                let name = name.to_lowercase();
                of_kind.filter(|reminder| reminder.label.to_lowercase().contains(&name)).collect()
            }
        };
        let mut count = 0;
        for reminder in &chosen {
            count += usize::from(self.ports.reminders.cancel(tx, &reminder.id)?);
        }
        Ok(count)
    }
}

enum Refusal {
    Said(Option<Judged>, String),
    Parked(Answered),
}

/// The tool whose tier and rules decide about a sentence; none for what anybody may ask.
fn tool_of(kind: &IntentKind) -> Option<&'static str> {
    Some(match kind {
        IntentKind::Command(_) | IntentKind::Several { .. } => "device_control",
        IntentKind::Query { .. } => "device_state",
        IntentKind::SetTimer { .. } | IntentKind::SetAlarm { .. } | IntentKind::SetReminder { .. } => "set_timer",
        IntentKind::ListTimers => "list_timers",
        IntentKind::CancelTimer { .. } => "cancel_timer",
        IntentKind::Remember { .. } => "remember",
        IntentKind::Recall { .. } => "recall",
        IntentKind::Forget { .. } => "forget",
        IntentKind::AskMember { .. } => delegate::NAME,
        _ => return None,
    })
}

fn call_of(intent: &Intent, tool: &str) -> Call {
    let arguments = match &intent.kind {
        IntentKind::AskMember { member, task } => {
            delegate::Order { member: member.clone(), task: task.clone(), ..delegate::Order::default() }.to_arguments()
        }
        kind => serde_json::to_value(kind).unwrap_or_default(),
    };
    Call { id: CALL_ID.to_owned(), tool: tool.to_owned(), arguments }
}

pub(super) fn after(memo: &Memo, intent: &Intent, recent: Vec<EntityId>) -> Memo {
    Memo { question: None, forgetting: Vec::new(), recent, language: Some(intent.language.clone()), ..memo.clone() }
}

fn name_of(household: &Household, id: &EntityId) -> String {
    household.entity(id).map_or_else(|| id.to_string(), |(_, entity)| entity.name.clone())
}

fn outcome_of<'r>(results: impl Iterator<Item = &'r (String, CommandResult)>, text: &str) -> Outcome {
    let mut results = results.peekable();
    let is_any = results.peek().is_some();
    let worked = results.all(|(_, result)| matches!(result, CommandResult::Confirmed | CommandResult::NotConfirmed));
    if worked && is_any { Outcome::done(text) } else { Outcome::failed(text) }
}

fn reminder(kind: TimerKind, label: String, when: &When) -> NewReminder {
    let when = match when {
        When::In(duration) => Moment::In(*duration),
        When::At(time) => Moment::At(time.0),
        When::Every(cron) => Moment::Every(cron.clone()),
    };
    NewReminder { kind, label, when }
}

fn pending(reminder: Reminder) -> Pending {
    let label = (!reminder.label.is_empty()).then_some(reminder.label);
    Pending { kind: reminder.kind, label, at: prompt::local(reminder.due) }
}

fn remember(tx: &Tx<'_>, work: &Work, say: Say<'_>, text: &str) -> rusqlite::Result<String> {
    Ok(match memory::Chunk::new(text, SOURCE, "") {
        Ok(chunk) => {
            memory::remember(tx, &chunk.important(recall::TOLD_IMPORTANCE), work.ctx.now)?;
            say.remembered(text)
        }
        Err(error) => format!("{error}."),
    })
}
