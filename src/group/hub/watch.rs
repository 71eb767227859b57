//! What this house does, told to the group as far as the configuration allows: spans of traces, what policy decided, and what
//! people were asked to approve. Follows the house's own records with a cursor that is stored with what was told.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::bus::row;
use crate::db::{DbError, Tx};
use crate::domain::message::Channel;
use crate::group::outbox::OutboxError;
use crate::group::trace::{self, Cursor, Scope};
use crate::group::wire::{Audit, Body, Topic};
use crate::policy::{self, Decided};
use crate::timeline::{self, Row};

use super::convert;
use super::core::Core;
use super::say::Said;

/// Records of each kind that are looked at in one go.
const PIECE_LEN: u32 = 200;
/// What happens within this time is told together.
const GATHER: Duration = Duration::from_millis(500);
/// The cursor is stored after so many rows of which nothing was told; what is looked at again is judged alike.
const UNSAVED_MAX: i64 = 1_000;
/// After an error of the database.
const PAUSE: Duration = Duration::from_secs(5);

/// Something for the group, and the trace it belongs to.
struct Told {
    topic: Topic,
    body: Body,
    trace_id: String,
}

pub(super) async fn run(core: Arc<Core>, shutdown: Shutdown) {
    if !core.config.watch.is_on {
        return;
    }
    let mut committed = core.db.committed();
    let mut watching = loop {
        match Watching::start(&core).await {
            Ok(watching) => break watching,
            Err(error) => tracing::error!(error = chain(&error), "What the group may watch could not be read."),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.triggered() => return,
        }
    };
    loop {
        committed.mark_unchanged();
        let pause = match watching.step().await {
            Ok(true) => continue,
            Ok(false) => GATHER,
            Err(error) => {
                tracing::error!(error = chain(&error), "What the group may watch could not be told.");
                PAUSE
            }
        };
        tokio::select! {
            changed = committed.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = shutdown.triggered() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.triggered() => return,
        }
    }
}

struct Watching {
    core: Arc<Core>,
    cursor: Cursor,
    saved: Cursor,
}

impl Watching {
    /// From where an earlier life ended, or from now on.
    async fn start(core: &Arc<Core>) -> Result<Self, DbError> {
        let cursor = core.db.write(|tx| match trace::cursor(tx)? {
            Some(cursor) => Ok(cursor),
            None => {
                let now = Cursor { event: timeline::last_id(tx)?, decision: policy::last_id(tx)? };
                trace::advance(tx, now)?;
                Ok(now)
            }
        });
        let cursor = cursor.await?;
        Ok(Self { core: core.clone(), cursor, saved: cursor })
    }

    /// Tells a piece; true when there may be more.
    async fn step(&mut self) -> Result<bool, DbError> {
        let (core, from) = (self.core.clone(), self.cursor);
        let (told, next, is_full) = self.core.db.read(move |conn| look(&core, conn, from)).await?;
        let is_long_ago = next.event - self.saved.event + next.decision - self.saved.decision >= UNSAVED_MAX;
        if !told.is_empty() || is_long_ago {
            let (core, has_news) = (self.core.clone(), !told.is_empty());
            self.core.db.write(move |tx| tell(&core, tx, &told, next)).await?;
            self.saved = next;
            if has_news {
                self.core.queued.notify_one();
            }
        }
        self.cursor = next;
        Ok(is_full)
    }
}

fn tell(core: &Core, tx: &Tx<'_>, told: &[Told], next: Cursor) -> rusqlite::Result<()> {
    for one in told {
        let said = Said {
            topic: one.topic.clone(),
            body: one.body.clone(),
            about: &one.trace_id,
            to: None,
            key: Some(&one.trace_id),
            deadline_at: None,
        };
        // What has no room is counted, and missed by nobody.
        if let Err(OutboxError::Store { source }) = core.say(tx, &said, core.clock.now()) {
            return Err(source);
        }
    }
    trace::advance(tx, next)
}

fn look(core: &Core, conn: &Connection, from: Cursor) -> rusqlite::Result<(Vec<Told>, Cursor, bool)> {
    let events = timeline::after(conn, from.event, PIECE_LEN)?;
    let decisions = policy::after(conn, from.decision, PIECE_LEN)?;
    let next = Cursor {
        event: events.last().map_or(from.event, |row| row.id),
        decision: decisions.last().map_or(from.decision, |decided| decided.id),
    };
    let is_full = [events.len(), decisions.len()].iter().any(|len| *len >= PIECE_LEN as usize);
    let mut told = Vec::new();
    for event in &events {
        if trace::may_tell(event) {
            told.extend(of_event(core, event, &channel_of(conn, &event.trace_id)?));
        }
    }
    for decided in &decisions {
        told.extend(of_decision(core, decided, &channel_of(conn, &decided.trace_id)?));
    }
    Ok((told, next, is_full))
}

/// The channel of a trace: that of the group only when all of it is the group's. Members choose the ids of their tasks, and must not
/// come to see a conversation by naming one like it.
fn channel_of(conn: &Connection, trace_id: &str) -> rusqlite::Result<Channel> {
    let channels = row::channels_of_trace(conn, trace_id)?;
    let is_private = |channel: &&String| *channel != Channel::GROUP;
    let found = channels.iter().find(is_private).or(channels.first());
    Ok(found.map_or_else(|| Channel::new("none"), Channel::new))
}

fn of_event(core: &Core, event: &Row, channel: &Channel) -> Option<Told> {
    let (topic, body) = match event.classification.as_str() {
        "APPROVAL_REQUESTED" | "APPROVAL_RESPONDED" | "APPROVAL_EXPIRED" => {
            core.config.watch.scope(channel, &event.trace_id)?;
            // Its content is the name of the tool and what became of it.
            let kind = event.classification.to_lowercase();
            (Topic::Audit, Body::Audit(Audit::of(&[("detail", &event.content_text), ("event_type", &kind)])))
        }
        _ => {
            let span = trace::span_of(event, channel, &core.config.watch)?;
            (Topic::Traces, Body::Trace(convert::told(span)))
        }
    };
    Some(Told { topic, body, trace_id: event.trace_id.clone() })
}

fn of_decision(core: &Core, decided: &Decided, channel: &Channel) -> Option<Told> {
    let sender = match core.config.watch.scope(channel, &decided.trace_id)? {
        Scope::Words => decided.sender.as_str(),
        // Who lives here is nobody's business.
        Scope::Figures => "",
    };
    let Decided { tool, tier, reason, .. } = decided;
    let action = if decided.allowed { "ALLOW" } else { "DENY" };
    let detail = format!("tool={tool} tier={tier} sender={sender} action={action} reason={reason}");
    let body = Body::Audit(Audit::policy_decision(&detail));
    Some(Told { topic: Topic::Audit, body, trace_id: decided.trace_id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::id::{SessionKey, TaskId, TraceId};
    use crate::bus::task;
    use crate::domain::call::Tier;
    use crate::domain::event::Event;
    use crate::domain::message::{Inbound, Origin};
    use crate::group::hub::testing::{NOW, core_with, said};
    use crate::group::trace::{Config, Private};
    use crate::policy::{Decision, Question, judge};

    /// A turn in `channel`: a message, a call that was judged, an answer.
    fn turn(tx: &Tx<'_>, channel: &str, trace: &str, now: Timestamp) -> rusqlite::Result<()> {
        let session = SessionKey::from(format!("{channel}:{trace}"));
        let inbound = Inbound {
            channel: Channel::new(channel),
            chat_id: "chat".to_owned(),
            thread_id: None,
            sender_id: "ann".to_owned(),
            session: session.clone(),
            trace_id: TraceId::from(trace),
            idempotency_key: None,
            message_id: None,
            content: "the door code is 1234".to_owned(),
            origin: Origin::Internal,
            reply_hint: None,
            received_at: now,
        };
        task::insert(tx, &TaskId::random(), &inbound, now)?;
        let question =
            Question { tool: "exec", tier: Tier::HighRisk, origin: Origin::Internal, sender: "ann", session: &session };
        let judgment = judge(&policy::Config::default(), &question);
        let (trace_id, task_id) = (TraceId::from(trace), TaskId::from("t"));
        let decision =
            Decision { question: &question, judgment: &judgment, trace_id: &trace_id, task_id: &task_id, at: now };
        policy::record(tx, &decision)?;
        let kind = format!("{}_OUTBOUND status=sent", channel.to_uppercase());
        let answer =
            Event { content: "your code is 1234".to_owned(), ..Event::system("OUT", TraceId::from(trace), now, kind) };
        timeline::append(tx, &answer).map(drop)
    }

    /// What is told of a private turn and of one of the group.
    async fn told(config: Config) -> Vec<String> {
        let (core, ..) = core_with("hub", |hub| hub.watch = config).await;
        let mut watching = Watching::start(&core).await.expect("started");
        core.db
            .write(|tx| {
                turn(tx, "local", "private", NOW)?;
                turn(tx, "group", "T1", NOW)
            })
            .await
            .expect("written");
        while watching.step().await.expect("told") {}
        let again = Watching::start(&core).await.expect("started");
        assert!(again.cursor == watching.cursor || said(&core).await.is_empty(), "what was told is not told again");
        said(&core).await.into_iter().map(|record| String::from_utf8(record.value).expect("JSON")).collect()
    }

    #[tokio::test]
    async fn the_group_sees_its_own_work_and_nothing_of_the_house() {
        let told = told(Config::default()).await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains(r#""type":"trace","correlation_id":"T1""#) && told[0].contains("your code is 1234"));
        assert!(told[1].contains(r#""event_type":"policy_decision""#) && told[1].contains("tool=exec"), "{}", told[1]);
        assert!(!told.iter().any(|record| record.contains("private")));
    }

    #[tokio::test]
    async fn figures_of_private_turns_have_no_words_and_no_names() {
        let told = told(Config { private: Private::Figures, ..Config::default() }).await;
        let private: Vec<&String> = told.iter().filter(|record| record.contains("private")).collect();
        assert_eq!((told.len(), private.len()), (4, 2));
        assert!(!private.iter().any(|record| record.contains("1234") || record.contains("ann")), "{private:?}");
    }

    #[tokio::test]
    async fn words_go_only_when_both_keys_say_so_and_nothing_goes_when_it_is_off() {
        let words = told(Config { private: Private::Words, ..Config::default() }).await;
        assert!(words.iter().any(|record| record.contains("private") && record.contains("your code is 1234")));
        assert!(!words.iter().any(|record| record.contains("the door code")), "what people say is never told");
        assert!(told(Config { one_in: 0, ..Config::default() }).await.is_empty());
    }

    #[tokio::test]
    async fn a_member_that_names_its_task_like_a_conversation_sees_nothing_of_it() {
        let (core, ..) = core_with("hub", |_| ()).await;
        let mut watching = Watching::start(&core).await.expect("started");
        core.db
            .write(|tx| {
                turn(tx, "local", "same", NOW)?;
                turn(tx, "group", "same", NOW)
            })
            .await
            .expect("written");
        while watching.step().await.expect("told") {}
        assert!(said(&core).await.is_empty());
    }
}
