//! Everything a module asked for by a port of its own, adapted to the module that has it.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::agent::{Entry, Health, Mind, Moment, NewReminder, Planned, Prompt, Reminder, Reminders, Said, Speechless};
use crate::base::id::{EntityId, JobId};
use crate::bus::task::Usage;
use crate::bus::{Bus, Progress};
use crate::db::{Db, Tx};
use crate::domain::household::{Action, CommandResult, Household};
use crate::home::Home;
use crate::intent::{StatusFacts, TimerKind};
use crate::link::http::{AddressPolicy, FetchError, FetchLimits, Fetcher};
use crate::link::mqtt::MqttHandle;
use crate::memory;
use crate::provider::{Chain, Delta, Message, ProviderError, Request};
use crate::recall::{self, FindError, Finder, Found, Mode, Wanted};
use crate::scheduler::{self, Category, CronText, Job, Kind, NewJob, Scheduler, SchedulerError, Target, Zone};
use crate::session::Role;
use crate::tool::ToolContext;
use crate::tool::port::{
    Devices, Fetch, FetchRequest, Fetched, Memories, NewTimer, PortError, Purpose, Reach, Recalled, Timer, Timers, When,
};

pub(super) struct HomePort(pub Home);

impl Devices for HomePort {
    fn household(&self) -> Arc<Household> {
        self.0.household()
    }

    fn command<'a>(
        &'a self,
        _: &'a ToolContext,
        commands: Vec<(EntityId, Action)>,
    ) -> BoxFuture<'a, Vec<(EntityId, CommandResult)>> {
        Box::pin(self.0.command(commands))
    }
}

pub(super) struct ModelPort(pub Arc<Chain>);

impl Mind for ModelPort {
    fn think(
        &self,
        prompt: Prompt,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> BoxFuture<'_, Result<Said, Speechless>> {
        Box::pin(async move {
            const DELTAS_LEN: usize = 64;
            let request = Request { tools: prompt.tools.clone(), messages: messages(prompt) };
            let (sender, mut deltas) = mpsc::channel(DELTAS_LEN);
            let pass_on = async {
                while let Some(delta) = deltas.recv().await {
                    let Some(progress) = &progress else { continue };
                    let told = match delta {
                        Delta::Text(text) => Progress::Text(text),
                        Delta::Restart => Progress::Restarted,
                    };
                    // A watcher that has left, or is too slow, still finds the whole answer.
                    let _ = progress.try_send(told);
                }
            };
            let ask = async {
                let answer = self.0.ask(&request, Some(&sender)).await;
                drop(sender);
                answer
            };
            let (answer, ()) = tokio::join!(ask, pass_on);
            let answer = answer.map_err(|error| match error {
                ProviderError::NoneReachable { .. } => Speechless::NoneReachable,
                ProviderError::Refused { model, .. } => Speechless::Refused { model },
            })?;
            Ok(Said {
                text: answer.text,
                calls: answer.calls,
                route: answer.route,
                provider: answer.provider,
                model: answer.model,
                usage: Usage { prompt: answer.prompt_tokens, completion: answer.completion_tokens },
                finish_reason: answer.finish_reason,
            })
        })
    }
}

/// What stays the same comes first, what changes last, so that servers keep the beginning cached.
fn messages(prompt: Prompt) -> Vec<Message> {
    let mut messages = vec![Message::System(prompt.stable)];
    messages.extend(prompt.history.into_iter().filter_map(|message| match message.role {
        Role::User => Some(Message::User(message.content)),
        Role::Assistant => Some(Message::Assistant { text: message.content, calls: Vec::new() }),
        Role::System => Some(Message::System(message.content)),
        Role::Tool => None,
    }));
    messages.push(Message::System(prompt.volatile));
    messages.push(Message::User(prompt.message));
    messages.extend(prompt.entries.into_iter().map(|entry| match entry {
        Entry::Said { text, calls } => Message::Assistant { text, calls },
        Entry::Heard { call, outcome } => Message::Tool { call_id: call.id, text: outcome.text },
    }));
    messages
}

/// The house's health, from those who know.
pub(super) struct HealthPort {
    pub started: Instant,
    pub home: Home,
    pub broker: Option<MqttHandle>,
    pub chain: Arc<Chain>,
    pub bus: Bus,
}

impl Health for HealthPort {
    fn facts(&self) -> StatusFacts {
        let household = self.home.household();
        let model = self.chain.status().into_iter().find(|model| model.reachable).map(|model| model.name);
        StatusFacts {
            uptime: self.started.elapsed(),
            devices: household.devices.len(),
            devices_unavailable: household.devices.iter().filter(|device| !device.available).count(),
            is_broker_connected: self.broker.as_ref().is_some_and(MqttHandle::is_connected),
            model,
            // The one that asks is not waiting.
            tasks_waiting: self.bus.open_len().saturating_sub(1),
        }
    }
}

/// Timers for intents and for models.
pub(super) struct SchedulerPort(pub Scheduler);

impl Reminders for SchedulerPort {
    fn set(&self, tx: &Tx<'_>, ctx: &ToolContext, new: &NewReminder) -> rusqlite::Result<Planned> {
        let when = match when_of(&new.when) {
            Ok(when) => when,
            Err(why) => return Ok(Planned::Refused(why)),
        };
        let category = match new.kind {
            TimerKind::Timer => Category::Timer,
            TimerKind::Alarm => Category::Alarm,
            TimerKind::Reminder => Category::Reminder,
        };
        let wanted = NewJob {
            kind: Kind::Say,
            category,
            label: shortened(&new.label, 200),
            text: new.label.clone(),
            target: target(ctx),
            when,
            missed: None,
            created_by: ctx.channel.to_string(),
        };
        match Job::plan(wanted, ctx.now) {
            Ok(job) if self.0.add_in(tx, &job)? => Ok(Planned::Set),
            Ok(_) => Ok(Planned::Refused(SchedulerError::Full.to_string())),
            Err(error) => Ok(Planned::Refused(sentence(&error.to_string()))),
        }
    }

    fn list(&self, conn: &Connection) -> rusqlite::Result<Vec<Reminder>> {
        let jobs = scheduler::list(conn)?.into_iter().filter(|job| job.enabled);
        let reminders = jobs.filter_map(|job| {
            let kind = match job.category {
                Category::Timer => TimerKind::Timer,
                Category::Alarm => TimerKind::Alarm,
                Category::Reminder | Category::Task => TimerKind::Reminder,
            };
            Some(Reminder { id: job.id, kind, label: job.label, due: job.next_run_at? })
        });
        Ok(reminders.collect())
    }

    fn cancel(&self, tx: &Tx<'_>, id: &JobId) -> rusqlite::Result<bool> {
        Ok(self.0.cancel_in(tx, id)?.is_some())
    }
}

fn when_of(moment: &Moment) -> Result<scheduler::When, String> {
    match moment {
        Moment::In(wait) => Ok(scheduler::When::In(*wait)),
        Moment::At(wall) => Zone::Local
            .instant(*wall)
            .map(scheduler::When::At)
            .ok_or_else(|| "There is no such time on the clock.".to_owned()),
        Moment::Every(cron) => {
            let cron: CronText = cron.parse().map_err(|error| sentence(&format!("{error}")))?;
            Ok(scheduler::When::Cron { cron, zone: Zone::Local })
        }
    }
}

fn target(ctx: &ToolContext) -> Target {
    Target {
        channel: ctx.channel.clone(),
        chat_id: ctx.chat_id.clone(),
        thread_id: ctx.thread_id.clone(),
        session: ctx.session.clone(),
        sender_id: ctx.sender_id.clone(),
        origin: ctx.origin,
        reply_hint: None,
    }
}

impl Timers for SchedulerPort {
    fn set<'a>(&'a self, ctx: &'a ToolContext, timer: NewTimer) -> BoxFuture<'a, Result<Timer, PortError>> {
        Box::pin(async move {
            let when = match timer.when {
                When::In(wait) => scheduler::When::In(wait),
                When::At(at) => scheduler::When::At(at),
                When::AtLocal(wall) => when_of(&Moment::At(wall)).map_err(|why| PortError::Refused { why })?,
                When::Cron(cron) => when_of(&Moment::Every(cron)).map_err(|why| PortError::Refused { why })?,
            };
            let (kind, text) = match timer.purpose {
                Purpose::Ring => (Kind::Say, timer.label.clone()),
                Purpose::Say(text) => (Kind::Ask, text),
            };
            let category = match (&when, kind) {
                (_, Kind::Ask) => Category::Task,
                (scheduler::When::In(_), Kind::Say) => Category::Timer,
                _ => Category::Reminder,
            };
            let new = NewJob {
                kind,
                category,
                label: shortened(&timer.label, 200),
                text,
                target: target(ctx),
                when,
                missed: None,
                created_by: ctx.channel.to_string(),
            };
            let job = self.0.create(new).await.map_err(refused)?;
            Ok(shown(&job))
        })
    }

    fn list<'a>(&'a self, _: &'a ToolContext) -> BoxFuture<'a, Result<Vec<Timer>, PortError>> {
        Box::pin(async move {
            let jobs = self.0.list().await.map_err(refused)?;
            Ok(jobs.iter().filter(|job| job.enabled).map(shown).collect())
        })
    }

    fn cancel<'a>(&'a self, _: &'a ToolContext, which: &'a str) -> BoxFuture<'a, Result<Timer, PortError>> {
        Box::pin(async move {
            let jobs = self.0.list().await.map_err(refused)?;
            let wanted = which.to_lowercase();
            let found = jobs.into_iter().find(|job| job.id.as_str() == which || job.label.to_lowercase() == wanted);
            let job = found.ok_or_else(|| PortError::NotFound { name: which.to_owned() })?;
            let cancelled = self.0.cancel(job.id).await.map_err(refused)?;
            Ok(shown(&cancelled))
        })
    }
}

fn shown(job: &Job) -> Timer {
    let due =
        job.next_run_at.map_or_else(String::new, |at| Zone::Local.wall(at).format("%Y-%m-%d %H:%M:%S").to_string());
    let cron = match &job.schedule {
        scheduler::Schedule::Cron { cron, .. } => Some(cron.as_str().to_owned()),
        _ => None,
    };
    Timer { id: job.id.clone(), label: job.label.clone(), due, cron }
}

fn refused(error: SchedulerError) -> PortError {
    match error {
        SchedulerError::Unknown(id) => PortError::NotFound { name: id.to_string() },
        SchedulerError::Db(error) => {
            tracing::error!(error = crate::base::error::chain(&error), "A timer could not be stored.");
            PortError::Failed { attempt: "storing the timer" }
        }
        other => PortError::Refused { why: other.to_string() },
    }
}

pub(super) struct MemoryPort {
    pub db: Db,
    pub finder: Arc<dyn Finder>,
}

impl Memories for MemoryPort {
    fn remember<'a>(
        &'a self,
        ctx: &'a ToolContext,
        content: &'a str,
        tags: &'a str,
    ) -> BoxFuture<'a, Result<String, PortError>> {
        Box::pin(async move {
            let chunk = memory::Chunk::new(content, "user", tags)
                .map_err(|error| PortError::Refused { why: error.to_string() })?;
            let chunk = chunk.important(recall::TOLD_IMPORTANCE);
            let (id, now) = (chunk.id(), ctx.now);
            self.db
                .write(move |tx| memory::remember(tx, &chunk, now).map(drop))
                .await
                .map_err(|_| PortError::Failed { attempt: "storing the memory" })?;
            Ok(id)
        })
    }

    fn recall<'a>(
        &'a self,
        ctx: &'a ToolContext,
        query: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Recalled>, PortError>> {
        Box::pin(async move {
            let found = self.finder.find(Wanted::anywhere(query, limit, ctx.now)).await;
            let found = found.map_err(|_| PortError::Failed { attempt: "searching the memories" })?;
            let recalled =
                |hit: Found| Recalled { id: hit.id, text: hit.content, source: hit.source, score: hit.relevance };
            Ok(found.into_iter().map(recalled).collect())
        })
    }

    fn note<'a>(&'a self, ctx: &'a ToolContext, content: &'a str) -> BoxFuture<'a, Result<(), PortError>> {
        Box::pin(async move {
            let (chat, session, note, now) = (ctx.chat_id.clone(), ctx.session.clone(), content.to_owned(), ctx.now);
            let noted = self.db.write(move |tx| recall::note(tx, &chat, session.as_str(), &note, now)).await;
            noted.map_err(|_| PortError::Failed { attempt: "changing the working memory" })
        })
    }

    fn forget<'a>(&'a self, _: &'a ToolContext, id: &'a str) -> BoxFuture<'a, Result<(), PortError>> {
        Box::pin(async move {
            let wanted = id.to_owned();
            let gone = self.db.write(move |tx| memory::forget(tx, &wanted)).await;
            match gone.map_err(|_| PortError::Failed { attempt: "forgetting" })? {
                true => Ok(()),
                false => Err(PortError::NotFound { name: id.to_owned() }),
            }
        })
    }
}

/// Searches the memory for prompts, answers and the memory page.
pub(super) struct FinderPort {
    pub recall: memory::Recall,
    /// What fits worse is left out of answers, 0 to 1.
    pub relevance_min: f32,
}

impl Finder for FinderPort {
    fn find(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Found>, FindError>> {
        Box::pin(async move {
            let vector = match wanted.mode {
                Mode::Keyword => None,
                Mode::Hybrid | Mode::Semantic => self.recall.vector(&wanted.text).await,
            };
            let mode = match (wanted.mode, &vector) {
                (Mode::Semantic, None) => return Err(FindError::NoEmbedder),
                (Mode::Semantic, Some(_)) => memory::Mode::Semantic,
                (Mode::Hybrid, Some(_)) => memory::Mode::Hybrid,
                (Mode::Hybrid | Mode::Keyword, _) => memory::Mode::Keyword,
            };
            let layers = match wanted.source_prefix.as_str() {
                "" => Vec::new(),
                prefix => vec![memory::layer_name(prefix).to_owned()],
            };
            let ask = memory::Ask {
                vector,
                mode,
                layers,
                relevance_min: self.relevance_min,
                ..memory::Ask::new(wanted.text, wanted.count_max, wanted.now)
            };
            let hits = self.recall.search(ask).await.map_err(|_| FindError::Failed)?;
            let found = hits.into_iter().map(|hit| Found {
                id: hit.id,
                content: hit.content,
                source: hit.source,
                score: hit.score,
                relevance: hit.relevance.into(),
                created_at: hit.created_at,
            });
            Ok(found.collect())
        })
    }
}

pub(super) struct FetchPort(pub Fetcher);

impl Fetch for FetchPort {
    fn get(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, PortError>> {
        Box::pin(async move {
            const REDIRECTS_MAX: u32 = 5;
            let policy = match request.reach {
                Reach::Public => AddressPolicy::PublicOnly,
                Reach::Anywhere => AddressPolicy::Any,
            };
            let limits = FetchLimits {
                bytes_max: request.body_bytes_max,
                redirects_max: REDIRECTS_MAX,
                timeout: request.timeout,
            };
            let fetched = self.0.fetch(&request.url, limits, policy).await.map_err(|error| match error {
                FetchError::Http { .. } | FetchError::TimedOut { .. } => {
                    PortError::Refused { why: crate::base::error::chain(&error) }
                }
                other => PortError::Refused { why: other.to_string() },
            })?;
            Ok(Fetched {
                url: fetched.url,
                status: fetched.status,
                content_type: fetched.content_type,
                body: fetched.body.to_vec(),
                is_cut: fetched.cut == crate::link::http::Cut::Short,
            })
        })
    }
}

fn shortened(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

/// An error's words as a sentence.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", rest.as_str().trim_end_matches('.'))
}
