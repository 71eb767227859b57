//! A turn with a model: ask, run what it calls, ask again. Every answer of the model and every result is journaled, so that a
//! turn that was interrupted goes on where it was.

use crate::agent::answer::Answer;
use crate::agent::elsewhere::Elsewhere;
use crate::agent::gate::{Gate, Judged};
use crate::agent::journal::{Recorded, Step};
use crate::agent::memo::Memo;
use crate::agent::port::{Prompt, Said, Speechless};
use crate::agent::record::{self, Span};
use crate::agent::turn::{self, Fact, Turn};
use crate::agent::{Agent, Work, journal, prompt};
use crate::base::{fault, limits};
use crate::bus::{Answered, Progress, row, task};
use crate::db::DbError;
use crate::domain::call::{Call, Effect, Outcome, OutcomeStatus, Tier};
use crate::domain::message::{Origin, Route};
use crate::policy::{self, QuotaExceeded};
use crate::recall::{self, Found};
use crate::session::{self, Message};
use crate::settings;

/// KafClaw's words (specification §6.5).
const TOO_MANY_ROUNDS: &str = "Max iterations reached. Please try a simpler request.";
const UNKNOWN: &str = "Error: the power went away while this ran; nobody knows whether it took effect. Do not repeat it \
                       without asking the person.";

/// What one round ended with.
enum Round {
    Goes(Fact),
    Over(Answered),
}

impl Agent {
    pub(super) async fn ask_model(&self, work: &Work, memo: Memo, steps: Vec<Recorded>) -> Result<Answered, DbError> {
        let mut turn = Turn::new(self.config.rounds_max);
        let mut route = Route::Intent;
        for step in steps {
            if let Step::ModelSaid { route: said, .. } = &step.step {
                route = *said;
            }
            if let Some(fact) = self.replayed(step).await? {
                turn.learn(fact);
            }
        }
        let context = self.model_context(work).await?;
        if !context.section.overflown.is_empty() {
            let (section, trace_id, now) = (context.section.clone(), work.ctx.trace_id.clone(), self.clock.now());
            self.db.write(move |tx| recall::note_overflow(tx, &section, &trace_id, now)).await?;
        }
        loop {
            let round = match turn.next() {
                turn::Step::AskModel => self.round(work, &memo, &turn, &context, &mut route).await?,
                turn::Step::Run(call) => self.call(work, call).await?,
                turn::Step::Answer(text) => {
                    return self
                        .finish(work, Answer::new(text, route).remembering(memo.clone(), forgetting(memo)))
                        .await;
                }
                turn::Step::TooManyRounds => {
                    return self.finish(work, Answer::new(TOO_MANY_ROUNDS.to_owned(), route)).await;
                }
            };
            match round {
                Round::Goes(fact) => turn.learn(fact),
                Round::Over(answered) => return Ok(answered),
            }
        }
    }

    /// A journaled step as the fact it was. A call that had begun when the power went is not made again.
    async fn replayed(&self, recorded: Recorded) -> Result<Option<Fact>, DbError> {
        Ok(match recorded.step {
            Step::ModelSaid { text, calls, .. } => Some(Fact::ModelSaid { text, calls }),
            Step::Called { call } => {
                let outcome = match recorded.outcome {
                    Some(outcome) => outcome,
                    None => {
                        let outcome = Outcome { text: UNKNOWN.to_owned(), status: OutcomeStatus::Unknown };
                        let (row, known) = (recorded.row, outcome.clone());
                        self.db.write(move |tx| journal::end(tx, row, &known)).await?;
                        outcome
                    }
                };
                Some(Fact::CallEnded { call_id: call.id, outcome })
            }
            Step::Understood { .. } | Step::Commanded { .. } => None,
        })
    }

    /// One question to the model.
    async fn round(
        &self,
        work: &Work,
        memo: &Memo,
        turn: &Turn,
        context: &Context,
        route: &mut Route,
    ) -> Result<Round, DbError> {
        if let Some(exceeded) = self.quota().await? {
            return self.over(work, memo, exceeded.to_string()).await;
        }
        let prompt = Prompt {
            stable: context.stable.clone(),
            volatile: context.volatile.clone(),
            history: context.history.clone(),
            message: work.text().to_owned(),
            entries: turn.entries().to_vec(),
            tools: self
                .tools
                .offered_to(work.ctx.origin, &self.config.policy)
                .iter()
                .filter(|spec| spec.effect != Effect::Elsewhere || self.ports.peers.are_there())
                .map(|spec| spec.to_openai())
                .collect(),
        };
        let from = self.clock.now();
        let said = match self.ports.mind.think(prompt, self.bus.progress(&work.ctx.task_id)).await {
            Ok(said) => said,
            Err(Speechless::NoneReachable) => {
                // Nothing was said or done in this turn yet, so the house may answer from what it knows itself.
                if turn.entries().is_empty()
                    && let Some(answered) = self.answer_from_memory(work, memo, &context.found).await?
                {
                    return Ok(Round::Over(answered));
                }
                let say = self.matcher.say(memo.language.as_ref().or(self.config.language.as_ref()));
                let text = say.no_model(&self.ports.devices.household());
                return self.over(work, memo, text).await;
            }
            Err(Speechless::Refused { model }) => {
                let text =
                    format!("The model {model} refused this request. Please say it differently or more briefly.");
                return self.over(work, memo, text).await;
            }
        };
        *route = said.route;
        let span = Span { from, to: self.clock.now() };
        let fact = Fact::ModelSaid { text: said.text.clone(), calls: said.calls.clone() };
        self.keep(work, said, span, turn.rounds() + 1).await?;
        Ok(Round::Goes(fact))
    }

    async fn over(&self, work: &Work, memo: &Memo, text: String) -> Result<Round, DbError> {
        let answer = Answer::new(text, Route::Intent).remembering(memo.clone(), forgetting(memo.clone()));
        self.finish(work, answer).await.map(Round::Over)
    }

    /// Journals what the model said. A last word is not journaled: the answer follows at once.
    async fn keep(&self, work: &Work, said: Said, span: Span, round: u32) -> Result<(), DbError> {
        let work = work.clone();
        self.db
            .write(move |tx| {
                record::model_call(tx, &work, &said, span, round)?;
                task::add_usage(tx, &work.ctx.task_id, said.usage, &said.provider, &said.model)?;
                let step = Step::ModelSaid { text: said.text, calls: said.calls, route: said.route };
                journal::add(tx, &work.ctx.task_id, &step, None, span.to).map(drop)
            })
            .await
    }

    /// One call of the model, from the policy's judgment to its journaled end.
    async fn call(&self, work: &Work, call: Call) -> Result<Round, DbError> {
        let (tier, effect) = match self.tools.find(&call.tool) {
            Some(tool) => (tool.spec().tier, tool.spec().effect),
            // The registry answers with an error that the model can read.
            None => (Tier::Read, Effect::Repeatable),
        };
        let judged = match self.gate(work, &call, tier, |_| Ok(())).await? {
            Gate::Open(judged) => judged,
            Gate::Parked(answered) => return Ok(Round::Over(answered)),
            Gate::Closed { judged, outcome } => {
                let span = Span { from: self.clock.now(), to: self.clock.now() };
                let (work, ended, fact) = (work.clone(), call.clone(), ended(&call, &outcome));
                self.db
                    .write(move |tx| {
                        judged.record(tx, &work)?;
                        record::tool_call(tx, &work, &ended, &outcome, span)?;
                        let step = Step::Called { call: ended };
                        journal::add(tx, &work.ctx.task_id, &step, Some(&outcome), span.to).map(drop)
                    })
                    .await?;
                return Ok(Round::Goes(fact));
            }
        };
        if effect == Effect::Elsewhere {
            return self.call_elsewhere(work, call, judged).await;
        }
        if let Some(progress) = self.bus.progress(&work.ctx.task_id) {
            // Who watches too slowly misses a note, not the answer.
            let _ = progress.try_send(Progress::Tool(call.tool.clone()));
        }
        fault::point("call.before_started");
        let from = self.clock.now();
        let begun = if effect == Effect::Once {
            let (work, step) = (work.clone(), Step::Called { call: call.clone() });
            let row = self.db.write(move |tx| journal::add(tx, &work.ctx.task_id, &step, None, from)).await?;
            fault::point("call.after_started");
            Some(row)
        } else {
            None
        };
        let outcome = self.tools.run(&work.ctx, &call).await;
        fault::point("call.after_effect");
        let span = Span { from, to: self.clock.now() };
        let fact = ended(&call, &outcome);
        let work = work.clone();
        self.db
            .write(move |tx| {
                judged.record(tx, &work)?;
                record::tool_call(tx, &work, &call, &outcome, span)?;
                match begun {
                    Some(row) => journal::end(tx, row, &outcome),
                    None => {
                        let step = Step::Called { call };
                        journal::add(tx, &work.ctx.task_id, &step, Some(&outcome), span.to).map(drop)
                    }
                }
            })
            .await?;
        fault::point("call.after_finished");
        Ok(Round::Goes(fact))
    }

    async fn call_elsewhere(&self, work: &Work, call: Call, judged: Judged) -> Result<Round, DbError> {
        let outcome = match self.elsewhere(work, &call, judged).await? {
            Elsewhere::Over(outcome) => outcome,
            Elsewhere::Waiting(answered) => return Ok(Round::Over(answered)),
        };
        let (work, now, fact) = (work.clone(), self.clock.now(), ended(&call, &outcome));
        let written = self.db.write(move |tx| {
            record::tool_call(tx, &work, &call, &outcome, Span { from: now, to: now })?;
            journal::add(tx, &work.ctx.task_id, &Step::Called { call }, Some(&outcome), now).map(drop)
        });
        written.await?;
        Ok(Round::Goes(fact))
    }

    async fn quota(&self) -> Result<Option<QuotaExceeded>, DbError> {
        let (now, fallback) = (self.clock.now(), self.config.daily_token_limit);
        let checked = self.db.read(move |conn| {
            let limit = settings::daily_token_limit(conn)?.or(fallback);
            if limit.is_none() {
                return Ok(Ok(()));
            }
            Ok(policy::check_quota(limit, row::tokens_used_today(conn, now)?))
        });
        Ok(checked.await?.err())
    }

    /// What stays the same during the whole turn. Outsiders' prompts hold no memories and no devices.
    async fn model_context(&self, work: &Work) -> Result<Context, DbError> {
        let is_member = work.ctx.origin == Origin::Internal;
        let household =
            if work.ctx.origin != Origin::External { self.ports.devices.household() } else { Default::default() };
        let budget = recall::Budget::of(self.config.memories_max);
        let found = if is_member { self.find(work, work.text(), budget.memories).await } else { Vec::new() };
        let (identity, ctx) = (self.config.identity.clone(), work.ctx.clone());
        let history_len = self.config.history_len;
        self.db
            .read(move |conn| {
                let history = session::recent(conn, &ctx.session, history_len)?;
                let kept = match is_member {
                    true => recall::kept(conn, &ctx.chat_id, ctx.session.as_str(), budget)?,
                    false => recall::Kept::default(),
                };
                let shown: Vec<Found> = found.iter().filter(|hit| !is_in_view(hit, &history)).cloned().collect();
                let section = recall::prompt_section(&kept, &shown, budget);
                Ok(Context {
                    stable: prompt::stable(&identity, &household),
                    volatile: prompt::volatile(&identity, &ctx, &section.text),
                    history,
                    section,
                    found,
                })
            })
            .await
    }
}

struct Context {
    stable: String,
    volatile: String,
    history: Vec<Message>,
    section: recall::Section,
    /// What the memory holds about the message, best first.
    found: Vec<Found>,
}

/// Whether the prompt shows it anyway: the soul files, and what was said a moment ago.
fn is_in_view(hit: &Found, history: &[Message]) -> bool {
    let question = || hit.content.strip_prefix("Q: ")?.split("\nA: ").next();
    hit.source.starts_with("soul:")
        || hit.source.starts_with("conversation:")
            && question().is_some_and(|question| history.iter().any(|message| message.content.trim() == question))
}

fn ended(call: &Call, outcome: &Outcome) -> Fact {
    debug_assert!(outcome.text.len() <= limits::TOOL_RESULT_BYTES_MAX, "the registry bounds results");
    Fact::CallEnded { call_id: call.id.clone(), outcome: outcome.clone() }
}

/// A new subject closes an open question.
fn forgetting(memo: Memo) -> Memo {
    Memo { question: None, forgetting: Vec::new(), ..memo }
}
