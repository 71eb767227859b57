//! What comes from the group: each record is applied in one transaction, and the broker hears of it afterwards.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::error::chain;
use crate::base::id::to_hex;
use crate::db::Tx;
use crate::domain::peer::Request;
use crate::domain::record::Class;
use crate::domain::refusal::Refusal;
use crate::group::connectivity::{Connectivity, Fact};
use crate::group::inbox::{self, Objection, Received, Verdict};
use crate::group::onboarding;
use crate::group::roster::{self, Heard, Said};
use crate::group::share;
use crate::group::task::incoming;
use crate::group::trace;
use crate::group::wire::{self, Action, Body, Head, Message};
use crate::knowledge;
use crate::link::kafka::{Consumer, Payload, Record};
use crate::orchestrator;
use crate::timeline;

use super::client;
use super::convert;
use super::core::Core;
use super::say::undone;
use super::work::After;

/// Records that are taken from the client, and written, at once.
const AT_ONCE_MAX: usize = 64;
/// Records written before this are of the past; brokers and clocks differ a little.
const LIVE_SLACK_MS: i64 = 5_000;
/// After an error of the database.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) async fn run(core: Arc<Core>, mut consumer: Consumer, handle: Connectivity) {
    let began = core.clock.now();
    let mut heard = Vec::new();
    loop {
        tokio::select! {
            count = consumer.next_many(&mut heard, AT_ONCE_MAX) => if count == 0 { break },
            () = core.widened.notified() => consumer.also(client::starts(&core)),
        }
        let mut records = Vec::with_capacity(heard.len());
        for one in heard.drain(..) {
            match one {
                crate::link::kafka::Heard::Ready { missing } => {
                    if missing.is_empty() {
                        tracing::debug!("Every topic of the group is read.");
                    } else {
                        tracing::info!(error = missing.join(", "), "Topics of the group are not there yet.");
                    }
                    handle.tell(Fact::Hearing(true)).await;
                }
                crate::link::kafka::Heard::Trouble(trouble) => {
                    tracing::debug!(error = ?trouble, "Reading the group's topics has trouble.");
                }
                crate::link::kafka::Heard::Record(record) => records.push(record),
            }
        }
        take(&core, &consumer, records, began).await;
    }
    handle.tell(Fact::ClientUseless).await;
}

/// Takes records; tried again until the database has them, because nothing may be skipped. Those that came together are written
/// together, so that what waited for a week does not keep today's waiting; when that fails each is written by itself.
async fn take(core: &Arc<Core>, consumer: &Consumer, records: Vec<Record>, began: Timestamp) {
    let records = Arc::new(records);
    let (mut next, mut at_once) = (0, records.len());
    while next < records.len() {
        let end = (next + at_once).min(records.len());
        let (shared, taken) = (core.clone(), records.clone());
        let applied = core.db.write(move |tx| {
            let hearing = Hearing::new(&shared, tx, began);
            let mut after = After::default();
            taken[next..end].iter().try_for_each(|record| hearing.take(record, &mut after))?;
            Ok(after)
        });
        match applied.await {
            Ok(after) => {
                core.settle(after);
                for record in &records[next..end] {
                    consumer.done(&record.topic, record.partition, record.offset);
                }
                next = end;
            }
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "A message of the group could not be stored; it is tried again."
                );
                tokio::time::sleep(PAUSE).await;
                at_once = 1;
            }
        }
    }
}

/// Records inside their transaction.
pub(super) struct Hearing<'a, 'b> {
    pub core: &'a Core,
    pub tx: &'a Tx<'b>,
    pub now: Timestamp,
    began: Timestamp,
}

impl<'a, 'b> Hearing<'a, 'b> {
    /// `began` is when this member began to listen: records from before are of the past.
    pub(super) fn new(core: &'a Core, tx: &'a Tx<'b>, began: Timestamp) -> Self {
        Self { core, tx, now: core.clock.now(), began }
    }

    pub(super) fn take(&self, record: &Record, after: &mut After) -> rusqlite::Result<()> {
        let config = &self.core.config;
        self.taken(record, after, |value| {
            wire::decode(&config.topics, &record.topic, record.key.as_deref(), value, &config.wire)
        })
    }

    /// As [`Hearing::take`], for what a pointer led to.
    pub(super) fn take_fetched(&self, record: &Record, after: &mut After) -> rusqlite::Result<()> {
        let config = &self.core.config;
        self.taken(record, after, |value| wire::decode_fetched(&config.topics, &record.topic, value, &config.wire))
    }

    fn taken(
        &self,
        record: &Record,
        after: &mut After,
        decode: impl Fn(&[u8]) -> Result<wire::Received, Refusal>,
    ) -> rusqlite::Result<()> {
        let mut received = self.outside(record);
        let value = match &record.payload {
            Payload::Bytes(value) => value,
            // A tombstone says nothing.
            Payload::None => return self.refuse(&received, Refusal::Empty.code()),
            Payload::TooLarge(_) => {
                return self.refuse(&received, Objection::TooLarge.as_str());
            }
        };
        match decode(value) {
            Err(refusal) => self.refuse(&received, refusal.code())?,
            Ok(wire::Received::Message(message)) => {
                self.describe(&mut received, &message);
                let (judged, key) = self.judged(&received, &message, value)?;
                match inbox::receive(self.tx, &received, judged, self.now)? {
                    Verdict::Accepted => {
                        let how = How { key, heard: self.heard(record), received: &received };
                        self.apply(message, how, after)?;
                    }
                    Verdict::Refused(objection) => self.tell_refused(message, objection, after)?,
                    Verdict::Own => self.core.own_name(self.tx, &message, value, self.heard(record))?,
                    Verdict::Duplicate | Verdict::NotForUs => {}
                }
            }
            Ok(wire::Received::Knowledge(message)) => self.know(&mut received, &message, value, after)?,
            Ok(wire::Received::Pointer(pointer)) => self.pointed(&received, pointer, after)?,
            Ok(wire::Received::Content) => {
                inbox::receive(self.tx, &received, Verdict::NotForUs, self.now)?;
                let sha256 = to_hex(&received.hash);
                share::content_came(self.tx, (&sha256, value), self.core.house.shelf(), self.now)?;
            }
            Ok(wire::Received::EnsureTopic | wire::Received::Probe) => {
                inbox::receive(self.tx, &received, Verdict::NotForUs, self.now)?;
            }
        }
        Ok(())
    }

    /// What is known of a record before it is read.
    pub(super) fn outside(&self, record: &Record) -> Received {
        let (bytes, hash) = match &record.payload {
            Payload::Bytes(value) => (value.len() as u64, Sha256::digest(value).into()),
            Payload::TooLarge(len) => (*len as u64, [0; 32]),
            Payload::None => (0, [0; 32]),
        };
        Received {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            bytes,
            hash,
            class: self.core.config.topics.parse(&record.topic).map_or(Class::Answer, |topic| topic.class()),
            kind: String::new(),
            sender_id: String::new(),
            correlation_id: String::new(),
            stamp: None,
            sent_at: None,
            deadline_at: None,
            depth: 0,
            target: None,
            behind_ms: 0,
        }
    }

    fn describe(&self, received: &mut Received, message: &Message) {
        let head = &message.head;
        received.class = message.body.class();
        received.kind.clone_from(&head.kind);
        received.sender_id = head.sender.to_string();
        received.correlation_id.clone_from(&head.correlation_id);
        received.stamp = head.stamp;
        received.sent_at = head.timestamp.map(|time| time.to_timestamp());
        received.target = head.target.as_ref().map(ToString::to_string);
        received.behind_ms = self.core.roster().behind_ms(&head.sender);
        if let Body::Request(request) = &message.body
            && let Ok(request) = Request::try_from((head, request.clone()))
        {
            received.deadline_at = request.deadline_at;
            received.depth = request.depth;
        }
    }

    /// What speaks against the message, its signature first.
    fn judged(
        &self,
        received: &Received,
        message: &Message,
        value: &[u8],
    ) -> rusqlite::Result<(Verdict, Option<String>)> {
        let verdict = self.core.gate().judge(received, self.now);
        if verdict != Verdict::Accepted {
            return Ok((verdict, None));
        }
        Ok(match self.core.signature(self.tx, message, value)? {
            Ok(key) => (Verdict::Accepted, key),
            Err(objection) => (Verdict::Refused(objection), None),
        })
    }

    fn refuse(&self, received: &Received, reason: &'static str) -> rusqlite::Result<()> {
        inbox::refuse(self.tx, received, reason, self.now)
    }

    /// A request to us that is not believed is answered, where there is an answer.
    fn tell_refused(&self, message: Message, objection: Objection, after: &mut After) -> rusqlite::Result<()> {
        let Message { head, body: Body::Request(request), .. } = message else { return Ok(()) };
        let Ok(request) = Request::try_from((&head, request)) else { return Ok(()) };
        match incoming::rejection(&request, objection, &self.core.config.task) {
            Some(answer) => self.core.answer(self.tx, &request.requester, answer, self.now, after),
            None => Ok(()),
        }
    }

    fn apply(&self, message: Message, how: How<'_>, after: &mut After) -> rusqlite::Result<()> {
        let received = how.received;
        let Message { head, body, .. } = message;
        let refused = match body {
            Body::Announce(announce) => return self.announced(&head, announce, how, after),
            Body::Request(request) => self.requested(&head, request, received, after)?,
            Body::Response(response) => self.responded(&head, response, after)?,
            Body::Status(status) => self.reported(&head, status, after)?,
            Body::Trace(span) => self.traced(&head, span, after)?,
            Body::Audit(audit) => {
                let text = serde_json::to_string(&audit).unwrap_or_default();
                trace::store_audit(self.tx, &head.sender, &head.correlation_id, &text, self.now)?;
                None
            }
            Body::Memory(item) => {
                after.pointed |= item.lfs_envelope.is_some();
                self.shared(&head, item)?
            }
            Body::Orchestrator(message) => {
                let said = orchestrator::Said { by: &head.sender, stamp: head.stamp, at: self.now };
                let applied = orchestrator::apply(self.tx, &said, &message)?;
                for event in &applied.events {
                    timeline::append(self.tx, event)?;
                }
                let is_live = how.heard == Heard::Live;
                after.place |= self.core.has_to_tell(self.tx, &applied, is_live)?;
                (!applied.changed && !applied.refused.is_empty()).then_some(Objection::Forbidden.as_str())
            }
            Body::Roster(manifest) => {
                for skill in convert::skills(&manifest, &self.core.config.topics) {
                    roster::register_skill(self.tx, self.core.group(), skill.as_str(), &head.sender, self.now)?;
                }
                None
            }
            Body::Onboard(onboard) => self.core.sponsor(self.tx, &head, &onboard, after)?,
        };
        match refused {
            Some(reason) => self.refuse(received, reason),
            None => Ok(()),
        }
    }

    fn heard(&self, record: &Record) -> Heard {
        let is_past = record.timestamp_ms.is_some_and(|at| at < self.began.as_millis() - LIVE_SLACK_MS);
        if is_past { Heard::Replayed } else { Heard::Live }
    }

    fn announced(
        &self,
        head: &Head,
        announce: wire::Announce,
        how: How<'_>,
        after: &mut After,
    ) -> rusqlite::Result<()> {
        if announce.identity.agent_id != head.sender.as_str() {
            return self.refuse(how.received, Objection::Forbidden.as_str());
        }
        let said = match announce.action() {
            Some(Action::Join) => Said::Join,
            Some(Action::Leave) => Said::Leave,
            _ => Said::Heartbeat,
        };
        let identity = match announce.identity.try_into() {
            Ok(identity) => Box::new(identity),
            Err(refusal) => return self.refuse(how.received, Refusal::code(&refusal)),
        };
        if let Some(key) = &how.key {
            // The first good signature of a member is the one it is known by from now on.
            onboarding::pin(self.tx, &head.sender, key, self.now)?;
        }
        let fact = roster::Fact::Announced {
            said,
            identity,
            stamp: head.stamp,
            key: how.key,
            sent_at: how.received.sent_at,
            heard: how.heard,
        };
        let steps = self.core.roster().next(fact, self.core.moment());
        roster::apply(self.tx, &steps, self.core.group(), self.now)?;
        if said == Said::Leave {
            orchestrator::leave(self.tx, &head.sender)?;
        }
        after.greet |= steps.contains(&roster::Step::Greet);
        Ok(())
    }

    fn know(
        &self,
        received: &mut Received,
        message: &knowledge::wire::Message,
        value: &[u8],
        after: &mut After,
    ) -> rusqlite::Result<()> {
        received.kind = message.body.type_name().to_owned();
        received.sender_id.clone_from(&message.head.claw_id);
        received.correlation_id.clone_from(&message.head.idempotency_key);
        let topic = received.topic.clone();
        if !self.core.config.knowledge.is_enabled {
            return inbox::receive(self.tx, received, Verdict::NotForUs, self.now).map(drop);
        }
        let claw = &message.head.claw_id;
        if *claw != self.core.config.knowledge.claw_id
            && let Err(objection) = self.core.claw(self.tx, claw, (&topic, value), self.now)?
        {
            return self.refuse(received, objection.as_str());
        }
        // The knowledge knows for itself what it has seen: what comes too early has to be looked at again.
        inbox::receive(self.tx, received, Verdict::NotForUs, self.now)?;
        let context = self.core.known(self.now);
        let applied = knowledge::apply(self.tx, &context, &topic, message)?;
        for event in &applied.events {
            timeline::append(self.tx, event)?;
        }
        after.queued |= !applied.outgoing.is_empty();
        self.core.say_known(self.tx, applied.outgoing, self.now).map_err(undone)
    }
}

/// How a message came.
struct How<'a> {
    /// What it was signed with.
    key: Option<String>,
    heard: Heard,
    received: &'a Received,
}
