//! Floor 5: the turn. A leased message becomes an answer: an approval's answer first, then offline intents, then models with
//! tools; every step with an effect is journaled before it begins.
//!
//! Who may do what: the bus hands tasks in ([`crate::bus::Worker`]); the turn ends each in one transaction that holds the
//! answer, the transcript, the audit and the delivery. May import `intent`, `provider`, `recall` and `tool` of its own floor. Owner of
//! table `turn_steps`.
//!
//! Absent on purpose: channels (they are edges), HTTP to models (port [`Mind`]), waiting for people (a turn that needs a yes
//! parks and its conversation goes on).

mod answer;
mod decide;
mod elsewhere;
mod gate;
mod journal;
mod memo;
mod model;
mod port;
mod prompt;
mod recollect;
mod record;
mod sentence;
#[cfg(test)]
mod tests;
mod turn;

pub use decide::Decider;
pub use journal::MIGRATIONS;
pub use port::{
    Alone, Handed, Health, Mind, Moment, NewReminder, Peers, Planned, Ports, Prompt, Reminder, Reminders, Said,
    Speechless,
};
pub use prompt::{Identity, SOUL_FILES};
pub use turn::Entry;

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;

use crate::approval::{self, Responder};
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::bus::{Answered, Bus, Leased, Worker, task};
use crate::db::{Db, DbError};
use crate::domain::household::Household;
use crate::domain::message::Route;
use crate::intent::{LanguageId, Matcher, Recognition, Vocabulary};
use crate::policy;
use crate::session::Sessions;
use crate::tool::{Registry, ToolContext};

use answer::Answer;
use journal::{Recorded, Step};
use memo::Memo;

#[derive(Clone, Debug)]
pub struct Config {
    pub identity: Identity,
    pub policy: policy::Config,
    pub approval: approval::Config,
    /// Rounds of tool calls within one turn.
    pub rounds_max: u32,
    /// Earlier messages that a model reads.
    pub history_len: u32,
    /// Memories that a prompt shows.
    pub memories_max: usize,
    /// Tokens per day unless the setting `daily_token_limit` says otherwise.
    pub daily_token_limit: Option<u64>,
    /// The language of answers when neither the sentence nor the conversation tells.
    pub language: Option<LanguageId>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            policy: policy::Config::default(),
            approval: approval::Config::default(),
            rounds_max: 20,
            history_len: crate::session::PROMPT_MESSAGES,
            memories_max: 8,
            daily_token_limit: None,
            language: None,
        }
    }
}

/// What the agent is made of.
pub struct Parts {
    pub db: Db,
    pub clock: Clock,
    pub bus: Bus,
    pub sessions: Sessions,
    pub matcher: Arc<Matcher>,
    pub tools: Registry,
    pub decider: Decider,
    pub ports: Ports,
    pub config: Config,
}

/// Runs turns; clones share everything.
#[derive(Clone)]
pub struct Agent {
    parts: Arc<Parts>,
    vocabulary: Arc<Mutex<Option<Known>>>,
}

/// The names of the home at one revision.
struct Known {
    revision: u64,
    vocabulary: Arc<Vocabulary>,
}

impl std::ops::Deref for Agent {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// A message in work, with the context its tools run in.
#[derive(Clone)]
struct Work {
    leased: Leased,
    ctx: ToolContext,
}

impl Work {
    fn new(leased: Leased) -> Self {
        let inbound = &leased.inbound;
        let ctx = ToolContext {
            trace_id: inbound.trace_id.clone(),
            task_id: leased.task_id.clone(),
            session: inbound.session.clone(),
            channel: inbound.channel.clone(),
            chat_id: inbound.chat_id.clone(),
            thread_id: inbound.thread_id.clone(),
            sender_id: inbound.sender_id.clone(),
            origin: inbound.origin,
            now: inbound.received_at,
        };
        Self { leased, ctx }
    }

    fn text(&self) -> &str {
        &self.leased.inbound.content
    }
}

impl Worker for Agent {
    fn run(&self, leased: Leased) -> BoxFuture<'static, ()> {
        let agent = self.clone();
        Box::pin(async move {
            let work = Work::new(leased);
            let answered = match agent.turn(&work).await {
                Ok(answered) => answered,
                Err(error) => {
                    tracing::error!(trace_id = %work.ctx.trace_id, task_id = %work.ctx.task_id, error = chain(&error),
                        "A turn could not be completed.");
                    agent.fail(&work).await
                }
            };
            agent.bus.announce(&work.leased, &answered);
        })
    }
}

impl Agent {
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), vocabulary: Arc::default() }
    }

    async fn turn(&self, work: &Work) -> Result<Answered, DbError> {
        if let Some(answer) = approval::parse_answer(work.text()) {
            return self.take_decision(work, answer).await;
        }
        self.sessions.open(&work.ctx.session, work.ctx.now).await?;
        let (id, session, now) = (work.ctx.task_id.clone(), work.ctx.session.clone(), work.ctx.now);
        let (memo, steps) =
            self.db.read(move |conn| Ok((Memo::load(conn, &session, now)?, journal::load(conn, &id)?))).await?;
        match steps.first() {
            None => self.understand(work, memo).await,
            Some(Recorded { step: Step::Understood { intent }, .. }) if steps.len() == 1 => {
                self.act(work, memo, intent.clone()).await
            }
            Some(_) => match steps.iter().find(|step| matches!(step.step, Step::Commanded { .. })) {
                Some(Recorded { step: Step::Commanded { intent }, .. }) => {
                    self.say_interrupted(work, memo, intent.clone()).await
                }
                _ => self.ask_model(work, memo, steps).await,
            },
        }
    }

    /// A first look at the sentence: an intent, a question back, or something for a model.
    async fn understand(&self, work: &Work, memo: Memo) -> Result<Answered, DbError> {
        if let Some(choice) = recollect::choice(&memo.forgetting, work.text()) {
            return self.forget_chosen(work, memo, choice).await;
        }
        let household = self.ports.devices.household();
        let vocabulary = self.vocabulary(&household);
        let context = crate::intent::Context {
            now: prompt::local(work.ctx.now),
            room: None,
            language: memo.language.clone().or_else(|| self.config.language.clone()),
            recent: memo.recent.clone(),
        };
        match self.matcher.recognize(&vocabulary, work.text(), memo.question.as_ref(), &context) {
            Recognition::Intent(intent) => self.act(work, memo, intent).await,
            Recognition::Ask(question) => {
                let text = question.text.clone();
                let language = Some(question.language.clone());
                let after = Memo { question: Some(question), language, ..memo.clone() };
                self.finish(work, Answer::new(text, Route::Intent).remembering(memo, after)).await
            }
            Recognition::Nothing => self.ask_model(work, memo, Vec::new()).await,
        }
    }

    /// `approve:<id>` or `deny:<id>` as a message.
    async fn take_decision(&self, work: &Work, answer: approval::Answer) -> Result<Answered, DbError> {
        let by = Responder::Chat {
            session: work.ctx.session.clone(),
            sender_id: work.ctx.sender_id.clone(),
            origin: work.ctx.origin,
        };
        let (leased, now) = (work.leased.clone(), self.clock.now());
        let (text, woken) = self
            .db
            .write(move |tx| {
                let (response, woken) = decide::respond_in(tx, &answer.id, answer.decision, &by, now)?;
                let text = response.text(&answer.id);
                task::finish(tx, &leased, &text, Route::Intent, now)?;
                Ok((text, woken))
            })
            .await?;
        self.decider.wake(woken);
        Ok(Answered::Completed { text, route: Route::Intent })
    }

    /// The names of the home, compiled again when they change.
    fn vocabulary(&self, household: &Household) -> Arc<Vocabulary> {
        let mut cached = self.vocabulary.lock().expect("invariant: nobody panics while holding the vocabulary");
        match &*cached {
            Some(known) if known.revision == household.revision => known.vocabulary.clone(),
            _ => {
                let vocabulary = Arc::new(self.matcher.vocabulary(household));
                *cached = Some(Known { revision: household.revision, vocabulary: vocabulary.clone() });
                vocabulary
            }
        }
    }
}
