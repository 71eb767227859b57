//! Saying something to the group: into the outbox, in the transaction of the fact that is told.

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::Tx;
use crate::domain::record::{Record, Stamp};
use crate::group::outbox::{self, Appended, OutboxError};
use crate::group::wire::{Body, Topic};
use crate::knowledge;
use crate::knowledge::wire::{Kind, Message};

use super::core::Core;

/// A message of ours.
pub(super) struct Said<'a> {
    pub topic: Topic,
    pub body: Body,
    /// What it belongs to.
    pub about: &'a str,
    pub to: Option<&'a PeerId>,
    /// Keeps the order of what is about one thing.
    pub key: Option<&'a str>,
    pub deadline_at: Option<Timestamp>,
}

impl Core {
    pub(super) fn say(&self, tx: &Tx<'_>, said: &Said<'_>, now: Timestamp) -> Result<Appended, OutboxError> {
        let stamp = outbox::next_stamp(tx)?;
        let topic = self.config.topics.name(&said.topic);
        let value = self.encoded(&self.draft(said, stamp, now), &topic);
        let record = Record {
            topic,
            key: said.key.map(str::to_owned),
            value,
            class: said.body.class(),
            deadline_at: said.deadline_at,
            stamp: Some(stamp),
        };
        outbox::append(tx, &record, &self.config.limits, now)
    }

    /// What the knowledge wants told.
    pub(super) fn say_known(
        &self,
        tx: &Tx<'_>,
        outgoing: Vec<knowledge::Outgoing>,
        now: Timestamp,
    ) -> Result<(), OutboxError> {
        for knowledge::Outgoing { kind, key, message } in outgoing {
            let stamp = outbox::next_stamp(tx)?;
            let (topic, value) = self.known_record(kind, message, stamp);
            let record = Record {
                topic,
                key: Some(key),
                value,
                class: Topic::Knowledge(kind).class(),
                deadline_at: None,
                stamp: Some(stamp),
            };
            outbox::append(tx, &record, &self.config.limits, now)?;
        }
        Ok(())
    }

    /// Topic and record of a message about knowledge. The stamp tells others that this is a hub like them, which can compare.
    pub(super) fn known_record(&self, kind: Kind, message: Message, stamp: Stamp) -> (String, Vec<u8>) {
        let head = knowledge::wire::Head { stamp: Some(stamp), ..message.head };
        let topic = self.config.topics.name(&Topic::Knowledge(kind));
        let value = self.sealed(knowledge::wire::encode(&Message { head, ..message }), &topic);
        (topic, value)
    }
}

/// An outbox that cannot take what must not be lost undoes the whole transaction.
pub(super) fn undone(error: OutboxError) -> rusqlite::Error {
    match error {
        OutboxError::Store { source } => source,
        other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
    }
}
