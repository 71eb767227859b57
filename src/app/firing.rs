//! What becomes of a job that came due: words for a person, or a message as if the person had spoken.

use std::sync::Arc;

use serde_json::json;

use crate::base::fault;
use crate::base::id::{DeliveryId, SessionKey, TaskId};
use crate::bus::{Accepted, Bus, delivery, task};
use crate::channel::mqtt::ANNOUNCEMENTS;
use crate::db::{Db, Tx};
use crate::domain::event::Event;
use crate::domain::message::{Channel, Inbound, Outbound, Route};
use crate::intent::{LanguageId, Matcher, TimerKind};
use crate::scheduler::{Category, Fire, Firing, Kind, Zone};
use crate::session::{self, Message, Role};
use crate::timeline;

pub(super) struct JobFiring {
    pub db: Db,
    pub bus: Bus,
    pub matcher: Arc<Matcher>,
    pub language: Option<LanguageId>,
    /// Whether there is a broker that reminders of silent channels can be announced on.
    pub announces: bool,
    /// The scheduler's transactions run on the database's thread, which has no runtime of its own.
    pub runtime: tokio::runtime::Handle,
}

impl Firing for JobFiring {
    fn fire(&self, tx: &Tx<'_>, fire: &Fire) -> rusqlite::Result<()> {
        fault::point("job.before_fire");
        match fire.job.kind {
            Kind::Ask => self.ask(tx, fire)?,
            Kind::Say => self.say(tx, fire)?,
        }
        fault::point("job.after_fire");
        self.wake_after_commit();
        Ok(())
    }
}

impl JobFiring {
    fn ask(&self, tx: &Tx<'_>, fire: &Fire) -> rusqlite::Result<()> {
        let target = &fire.job.target;
        let inbound = Inbound {
            channel: target.channel.clone(),
            chat_id: target.chat_id.clone(),
            thread_id: target.thread_id.clone(),
            sender_id: target.sender_id.clone(),
            session: target.session.clone(),
            trace_id: fire.trace_id.clone(),
            idempotency_key: Some(fire.idempotency_key()),
            message_id: None,
            content: fire.job.text.clone(),
            origin: target.origin,
            reply_hint: target.reply_hint.clone(),
            received_at: fire.fired_at,
        };
        if let Accepted::New(_) = task::insert(tx, &TaskId::random(), &inbound, fire.fired_at)? {
            // Counted at once: a worker may be faster than the wake-up below.
            self.bus.wake_dispatcher(1);
        }
        Ok(())
    }

    fn say(&self, tx: &Tx<'_>, fire: &Fire) -> rusqlite::Result<()> {
        let target = &fire.job.target;
        let text = self.words(tx, fire)?;
        let said = Message { role: Role::Assistant, content: text.clone(), timestamp: fire.fired_at, task_id: None };
        session::append(tx, &target.session, &said)?;
        let channel = target.channel.as_str().to_uppercase();
        let event = Event {
            content: text.clone(),
            metadata: json!({"response_text": text, "job_id": fire.job.id, "chat_id": target.chat_id, "session": target.session}),
            ..Event::system("JOB", fire.trace_id.clone(), fire.fired_at, format!("{channel}_OUTBOUND status=reminder"))
        };
        timeline::append(tx, &event)?;
        let (channel, chat_id) = if !target.channel.is_answered_in_place() {
            (target.channel.clone(), target.chat_id.clone())
        } else if self.announces {
            // Nobody holds a line open for a reminder; the broker has the speakers and displays of the home.
            (Channel::new(Channel::MQTT), ANNOUNCEMENTS.to_owned())
        } else {
            return Ok(());
        };
        let outbound = Outbound {
            id: DeliveryId::random(),
            channel,
            chat_id,
            thread_id: target.thread_id.clone(),
            trace_id: fire.trace_id.clone(),
            task_id: None,
            in_reply_to: None,
            route: Route::Intent,
            content: text,
            reply_hint: target.reply_hint.clone(),
        };
        delivery::insert(tx, &outbound, false, fire.fired_at)
    }

    fn words(&self, tx: &Tx<'_>, fire: &Fire) -> rusqlite::Result<String> {
        let language = self.language_of(tx, &fire.job.target.session)?;
        let say = self.matcher.say(language.as_ref());
        let label = if fire.job.label.is_empty() { &fire.job.text } else { &fire.job.label };
        let kind = match fire.job.category {
            Category::Timer => TimerKind::Timer,
            Category::Alarm => TimerKind::Alarm,
            Category::Reminder => TimerKind::Reminder,
            Category::Task => return Ok(fire.job.text.clone()),
        };
        let mut text = say.rang(kind, Some(label), Zone::Local.wall(fire.scheduled_for));
        if let Some(late) = fire.late_by() {
            text.push_str(&format!(" (+{})", say.duration(late)));
        }
        Ok(text)
    }

    /// The language the conversation was held in.
    fn language_of(&self, tx: &Tx<'_>, session: &SessionKey) -> rusqlite::Result<Option<LanguageId>> {
        let memo = session::get_state(tx, session, "intent")?;
        let spoken = memo.and_then(|memo| memo.get("language")?.as_str().map(LanguageId::new));
        Ok(spoken.or_else(|| self.language.clone()))
    }

    /// Both loops look again once this transaction is on disk.
    fn wake_after_commit(&self) {
        let (bus, mut committed) = (self.bus.clone(), self.db.committed());
        committed.mark_unchanged();
        self.runtime.spawn(async move {
            if committed.changed().await.is_ok() {
                bus.wake_dispatcher(0);
                bus.wake_couriers();
            }
        });
    }
}
