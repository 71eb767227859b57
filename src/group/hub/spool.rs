//! Records of agents that have no outbox of their own: they give them to this hub as to a KafScale proxy (group specification
//! §1.2), and it sends them on, unchanged, when there is a network.

use rusqlite::Connection;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::gojson;
use crate::base::id::to_hex;
use crate::db::Tx;
use crate::domain::record::{Class, Record};
use crate::group::outbox::{self, OutboxError};
use crate::group::share::{self, Origin};
use crate::group::wire::{Envelope, LfsPointer, Topic};

use super::Group;
use super::core::Core;

/// Longest name of a sender by which records are kept in order, in bytes.
const SENDER_BYTES_MAX: usize = 256;
/// Lower-case hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// A record of somebody else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Foreign {
    pub topic: String,
    /// None: records of one sender keep their order.
    pub key: Option<String>,
    pub value: Vec<u8>,
    pub content_type: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("{topic} is no topic of this group")]
    ForeignTopic { topic: String },
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error("could not store the record")]
    Store {
        #[from]
        source: rusqlite::Error,
    },
}

impl Group {
    /// Largest record that is taken, in bytes.
    pub fn record_bytes_max(&self) -> u64 {
        self.core.config.limits.record_bytes_max
    }

    /// Takes a record in the caller's transaction; call [`Group::asked`] after the commit. The pointer tells where its content can
    /// be asked for ([`Group::content`]), as long as it is one that members point to.
    pub fn spool(&self, tx: &Tx<'_>, foreign: &Foreign, now: Timestamp) -> Result<LfsPointer, SpoolError> {
        self.core.spool(tx, foreign, now)
    }

    /// The content that a pointer of this hub leads to.
    pub fn content(&self, conn: &Connection, bucket: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        match sha256_of(key) {
            Some(sha256) if bucket == self.core.group() => share::object(conn, sha256),
            _ => Ok(None),
        }
    }
}

impl Core {
    pub(super) fn spool(&self, tx: &Tx<'_>, foreign: &Foreign, now: Timestamp) -> Result<LfsPointer, SpoolError> {
        let Foreign { topic, key, value, content_type } = foreign;
        let known = self.config.topics.parse(topic);
        if known.is_none() && !self.config.topics.is_within(topic) {
            return Err(SpoolError::ForeignTopic { topic: topic.clone() });
        }
        let envelope = envelope(value);
        let is_content = envelope.as_ref().is_none_or(|envelope| envelope.kind != "memory");
        let record = Record {
            topic: topic.clone(),
            // Whoever comes, asks and leaves is to be heard in that order.
            key: key.clone().or_else(|| envelope.map(|envelope| envelope.sender_id).filter(|sender| is_a_name(sender))),
            value: value.clone(),
            // On a topic that we do not know nothing can be said that must not be lost.
            class: known.as_ref().map_or(Class::Control, Topic::class),
            deadline_at: None,
            stamp: None,
        };
        outbox::append(tx, &record, &self.config.limits, now)?;
        if is_content && matches!(known, Some(Topic::MemoryShared | Topic::MemoryContext)) {
            share::keep(tx, Origin::Ours, (&to_hex(&Sha256::digest(value)), value), now)?;
        }
        Ok(self.pointer(topic, value, content_type, now))
    }
}

fn envelope(value: &[u8]) -> Option<Envelope<IgnoredAny>> {
    gojson::from_slice(value).ok()
}

fn is_a_name(sender: &str) -> bool {
    !sender.is_empty() && sender.len() <= SENDER_BYTES_MAX
}

/// The end of a key that this hub made.
fn sha256_of(key: &str) -> Option<&str> {
    let (_, sha256) = key.rsplit_once("/obj-")?;
    let is_hex = sha256.len() == SHA256_DIGITS && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then_some(sha256)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::group::hub::testing::{NOW, core, core_of, hear, said};

    fn foreign(topic: &str, value: &str) -> Foreign {
        Foreign {
            topic: topic.to_owned(),
            value: value.as_bytes().to_vec(),
            content_type: "application/json".to_owned(),
            key: None,
        }
    }

    async fn spool(core: &Arc<Core>, foreign: Foreign) -> Result<LfsPointer, SpoolError> {
        let shared = core.clone();
        core.db.write(move |tx| Ok(shared.spool(tx, &foreign, NOW))).await.expect("written")
    }

    #[tokio::test]
    async fn a_record_waits_unchanged_in_the_class_of_its_topic() {
        let (core, ..) = core().await;
        let value = r#"{"type":"response","sender_id":"go-peer","payload":{}}"#;
        let pointer = spool(&core, foreign("group.g1.responses", value)).await.expect("taken");
        assert_eq!((pointer.kfs_lfs, pointer.size, pointer.bucket.as_str()), (1, 54, "g1"));
        let waiting = said(&core).await;
        assert_eq!((waiting[0].value.as_slice(), waiting[0].class), (value.as_bytes(), Class::Answer));
        assert_eq!((waiting[0].key.as_deref(), waiting[0].stamp), (Some("go-peer"), None));
        let keyed = Foreign { key: Some("k".to_owned()), ..foreign("group.g1.new", value) };
        spool(&core, keyed).await.expect("a topic that is still to be made");
        assert_eq!(said(&core).await[1].key.as_deref(), Some("k"));
    }

    #[tokio::test]
    async fn a_topic_of_others_and_a_record_that_is_too_large_are_refused() {
        let (core, ..) = core().await;
        for topic in ["group.g2.requests", "payments", "group.g1.", "group.g1.a b"] {
            let error = spool(&core, foreign(topic, "{}")).await;
            assert!(matches!(error, Err(SpoolError::ForeignTopic { .. })), "{topic}");
        }
        let large = "x".repeat(1_000_000);
        let error = spool(&core, foreign("group.g1.memory.shared", &large)).await;
        assert!(matches!(error, Err(SpoolError::Outbox(OutboxError::TooLarge { .. }))), "{error:?}");
        assert!(said(&core).await.is_empty());
    }

    /// KafClaw's agents share in two steps: the content, then the item that points to where the proxy put it.
    #[tokio::test]
    async fn what_an_agent_in_go_shares_through_this_hub_is_found_elsewhere() {
        let (proxy, ..) = core_of("proxy-hub").await;
        let (kitchen, notes, _) = core().await;
        let pointer = spool(&proxy, foreign("group.g1.memory.shared", "It was bled in May.")).await.expect("taken");
        let item = serde_json::json!({"type": "memory", "correlation_id": "mem-1", "sender_id": "go-peer", "payload": {
            "item_id": "mem-1", "author_id": "go-peer", "title": "Boiler", "content_type": "text/plain", "tags": null,
            "lfs_envelope": pointer, "created_at": "2026-08-18T14:30:12Z"}});
        spool(&proxy, foreign("group.g1.memory.shared", &item.to_string())).await.expect("taken");
        for record in said(&proxy).await {
            hear(&kitchen, &record.topic, &record.value).await;
        }
        assert_eq!(notes.text("group:go-peer:mem-1").as_deref(), Some("Boiler\nIt was bled in May."));
        let sha256 = sha256_of(&pointer.key).expect("a key of ours").to_owned();
        let kept = proxy.db.read(move |conn| share::object(conn, &sha256)).await.expect("read");
        assert_eq!(kept.as_deref(), Some(&b"It was bled in May."[..]));
    }

    proptest! {
        #[test]
        fn any_text_may_be_a_key(key in ".*|.*/obj-[0-9a-f]{60,70}") {
            if let Some(sha256) = sha256_of(&key) {
                prop_assert!(key.ends_with(sha256) && sha256.len() == SHA256_DIGITS);
            }
        }
    }
}
