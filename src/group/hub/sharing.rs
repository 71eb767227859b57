//! What this member shares for others to remember: told to all, or to the members of a zone; small texts inside the message,
//! large ones beside it.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::gojson::GoTime;
use crate::base::id::{PeerId, ZoneId, random_hex, to_hex};
use crate::db::Tx;
use crate::domain::record::{Class, Record};
use crate::domain::refusal::Refusal;
use crate::group::inbox::Objection;
use crate::group::outbox::{self, OutboxError};
use crate::group::share::{self, INLINE_BYTES_MAX, Item, Origin, Pointer, Put, Text};
use crate::group::wire::{self, Body, Head, LfsPointer, MemoryItem, Topic};
use crate::orchestrator;
use crate::orchestrator::zone::{self, ZoneRefusal};

use super::Group;
use super::convert;
use super::core::Core;
use super::hear::Hearing;
use super::say::{Said, undone};

/// Of a title, in bytes.
const TITLE_BYTES_MAX: usize = 512;
/// A text that takes more than this inside JSON travels beside its item, in bytes; below what receivers read as a message.
const ESCAPED_BYTES_MAX: usize = 192 * 1024;

/// Something that is to be remembered everywhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewItem {
    pub title: String,
    pub content_type: String,
    pub content: String,
    pub tags: Vec<String>,
    /// Only for the members of this zone; none for everybody.
    pub zone: Option<ZoneId>,
    /// How long it counts; none for ever.
    pub lasts: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error("an item needs a title")]
    Untitled,
    #[error("a text of {bytes} bytes is larger than the {bytes_max} that can be shared")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("a text of {bytes} bytes is larger than the {bytes_max} that can be shared with a zone")]
    TooLargeForZone { bytes: usize, bytes_max: usize },
    #[error("the item is not one that others would take")]
    Refused(#[source] Refusal),
    #[error(transparent)]
    Zone(#[from] ZoneRefusal),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error("could not store the item")]
    Store {
        #[from]
        source: rusqlite::Error,
    },
}

/// For callers whose transaction must be undone.
impl From<ShareError> for rusqlite::Error {
    fn from(error: ShareError) -> Self {
        match error {
            ShareError::Store { source } => source,
            ShareError::Outbox(error) => undone(error),
            other => Self::ToSqlConversionFailure(Box::new(other)),
        }
    }
}

impl Group {
    /// Shares an item in the caller's transaction: it is kept here, found here, and told when there is a network. Returns its id;
    /// call [`Group::asked`] after the commit.
    pub fn share(&self, tx: &Tx<'_>, new: &NewItem, now: Timestamp) -> Result<String, ShareError> {
        self.core.share(tx, new, now)
    }

    /// Forgets an item here, and takes it back from everybody when it is ours; false when it is not known. Call
    /// [`Group::asked`] after the commit.
    pub fn forget(&self, tx: &Tx<'_>, item_id: &str, now: Timestamp) -> rusqlite::Result<bool> {
        self.core.forget(tx, item_id, now)
    }
}

impl Core {
    pub(super) fn share(&self, tx: &Tx<'_>, new: &NewItem, now: Timestamp) -> Result<String, ShareError> {
        let zone = new.zone.as_ref().filter(|zone| zone.as_str() != zone::PUBLIC);
        orchestrator::load(tx)?.zones.judge(zone, self.me(), self.me())?;
        let topic = topic_of(new.lasts.is_some(), zone.is_some());
        let mut wire = self.item(new, now)?;
        wire.check().map_err(ShareError::Refused)?;
        let is_inline = new.content.len() <= INLINE_BYTES_MAX
            && serde_json::to_string(&new.content).is_ok_and(|text| text.len() <= ESCAPED_BYTES_MAX);
        let text = if is_inline {
            wire.content.clone_from(&new.content);
            Text::Inline(new.content.clone())
        } else if zone.is_some() {
            // What travels beside an item is read by everybody.
            return Err(ShareError::TooLargeForZone { bytes: new.content.len(), bytes_max: INLINE_BYTES_MAX });
        } else {
            let pointer = self.place(tx, &wire, new, now)?;
            let text = Text::At(Pointer {
                bucket: pointer.bucket.clone(),
                key: pointer.key.clone(),
                bytes: new.content.len() as u64,
                sha256: pointer.sha256.clone(),
            });
            wire.lfs_envelope = Some(pointer);
            text
        };
        let item = Item {
            id: wire.item_id.clone(),
            author: self.me().clone(),
            title: new.title.clone(),
            content_type: wire.content_type.clone(),
            tags: new.tags.clone(),
            text,
            metadata: "{}".to_owned(),
            created_at: now,
            expires_at: new.lasts.map(|lasts| now.plus(lasts)),
        };
        share::put(tx, &item, self.house.shelf(), now)?;
        let id = item.id;
        self.tell(tx, topic, (&id, wire), now)?;
        Ok(id)
    }

    fn item(&self, new: &NewItem, now: Timestamp) -> Result<MemoryItem, ShareError> {
        if new.title.trim().is_empty() {
            return Err(ShareError::Untitled);
        }
        if new.title.len() > TITLE_BYTES_MAX {
            return Err(ShareError::Refused(Refusal::TooLong { field: "title", bytes_max: TITLE_BYTES_MAX }));
        }
        Ok(MemoryItem {
            item_id: item_id(new.lasts.is_some(), now),
            author_id: self.me().to_string(),
            title: new.title.clone(),
            content_type: if new.content_type.is_empty() { "text/plain".to_owned() } else { new.content_type.clone() },
            tags: Some(new.tags.clone()),
            created_at: GoTime::from(now),
            expires_at: new.lasts.map(|lasts| GoTime::from(now.plus(lasts))),
            zone: new.zone.as_ref().map(ToString::to_string).unwrap_or_default(),
            ..MemoryItem::default()
        })
    }

    /// Sends a text beside its item, as KafClaw's agents do, and keeps it for those who ask for it; returns where it lies.
    fn place(&self, tx: &Tx<'_>, wire: &MemoryItem, new: &NewItem, now: Timestamp) -> Result<LfsPointer, ShareError> {
        let value = new.content.as_bytes();
        let bytes_max = usize::try_from(self.config.limits.record_bytes_max).unwrap_or(usize::MAX);
        if value.len() > bytes_max {
            return Err(ShareError::TooLarge { bytes: value.len(), bytes_max });
        }
        let topic = self.config.topics.name(&Topic::MemoryShared);
        let pointer = self.pointer(&topic, value, &wire.content_type, now);
        share::keep(tx, Origin::Ours, (&pointer.sha256, value), now)?;
        let record = Record {
            topic,
            key: Some(wire.item_id.clone()),
            value: value.to_vec(),
            class: Class::Memory,
            deadline_at: None,
            stamp: None,
        };
        outbox::append(tx, &record, &self.config.limits, now)?;
        Ok(pointer)
    }

    /// A pointer to a content that this hub keeps, in KafScale's form (group specification §1.2).
    pub(super) fn pointer(&self, topic: &str, value: &[u8], content_type: &str, now: Timestamp) -> LfsPointer {
        let sha256 = to_hex(&Sha256::digest(value));
        LfsPointer {
            kfs_lfs: 1,
            bucket: self.group().to_owned(),
            key: object_key(self.me(), topic, now, &sha256),
            size: i64::try_from(value.len()).unwrap_or(i64::MAX),
            checksum: sha256.clone(),
            sha256,
            checksum_alg: "sha256".to_owned(),
            content_type: content_type.to_owned(),
            created_at: GoTime::seconds_text(now),
            proxy_id: self.me().to_string(),
        }
    }

    pub(super) fn forget(&self, tx: &Tx<'_>, item_id: &str, now: Timestamp) -> rusqlite::Result<bool> {
        let author = share::author_of(tx, item_id)?;
        if !share::forget(tx, item_id, self.house.shelf())? {
            return Ok(false);
        }
        if author.as_ref() == Some(self.me()) {
            let wire = MemoryItem {
                item_id: item_id.to_owned(),
                author_id: self.me().to_string(),
                created_at: GoTime::from(now),
                // Over before it began: whoever has it drops it.
                expires_at: Some(GoTime::from(now.minus(Duration::from_secs(1)))),
                ..MemoryItem::default()
            };
            // Where hubs listen and agents in Go do not: they would show a nameless item.
            self.tell(tx, Topic::Direct, (item_id, wire), now).map_err(undone)?;
        }
        Ok(true)
    }

    fn tell(
        &self,
        tx: &Tx<'_>,
        topic: Topic,
        (id, wire): (&str, MemoryItem),
        now: Timestamp,
    ) -> Result<(), OutboxError> {
        let body = Body::Memory(wire);
        let said = Said { topic, body, about: id, to: None, key: Some(id), deadline_at: None };
        self.say(tx, &said, now).map(drop)
    }
}

impl Hearing<'_, '_> {
    /// An item of another member; the reason when it is not taken.
    pub(super) fn shared(&self, head: &Head, item: wire::MemoryItem) -> rusqlite::Result<Option<&'static str>> {
        let zone = Some(item.zone.as_str()).filter(|zone| !zone.is_empty() && *zone != zone::PUBLIC).map(ZoneId::from);
        if zone.is_some()
            && orchestrator::load(self.tx)?.zones.judge(zone.as_ref(), &head.sender, self.core.me()).is_err()
        {
            return Ok(Some(Objection::Forbidden.as_str()));
        }
        let item = match convert::item(head, item, self.core.roster().behind_ms(&head.sender)) {
            Ok(item) => item,
            Err(refusal) => return Ok(Some(refusal.code())),
        };
        let put = share::put(self.tx, &item, self.core.house.shelf(), self.now)?;
        Ok(match put {
            Put::NotTheirs => Some(Objection::Forbidden.as_str()),
            Put::Expired => Some(Objection::TooOld.as_str()),
            Put::TooLarge => Some(Objection::TooLarge.as_str()),
            Put::New | Put::Changed | Put::Known | Put::Withdrawn => None,
        })
    }
}

/// Zones speak where only hubs listen: agents in Go know no zones.
const fn topic_of(is_passing: bool, is_zoned: bool) -> Topic {
    match (is_zoned, is_passing) {
        (true, _) => Topic::Direct,
        (false, true) => Topic::MemoryContext,
        (false, false) => Topic::MemoryShared,
    }
}

/// As KafClaw makes them from nanoseconds; ours are random where our clock has no digits.
fn item_id(is_passing: bool, now: Timestamp) -> String {
    let prefix = if is_passing { "ctx" } else { "mem" };
    let random = u32::from_str_radix(&random_hex(4), 16).unwrap_or(0) % 1_000_000;
    format!("{prefix}-{}{random:06}", now.as_millis())
}

/// `<member>/<topic>/lfs/YYYY/MM/DD/obj-<sha256>`, after KafScale's keys.
fn object_key(member: &PeerId, topic: &str, now: Timestamp, sha256: &str) -> String {
    let day = now.to_utc().format("%Y/%m/%d");
    format!("{member}/{topic}/lfs/{day}/obj-{sha256}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::group::hub::testing::{Notebook, core, core_of, hear, said};
    use crate::group::inbox;

    fn boiler() -> NewItem {
        NewItem {
            title: "Boiler".to_owned(),
            content: "It was bled in May.".to_owned(),
            tags: vec!["heating".to_owned()],
            ..NewItem::default()
        }
    }

    async fn share(core: &Arc<Core>, new: NewItem) -> Result<String, ShareError> {
        let shared = core.clone();
        core.db.write(move |tx| Ok(shared.share(tx, &new, shared.clock.now()))).await.expect("written")
    }

    /// Everything that `from` says comes to `to`.
    async fn carry(from: &Arc<Core>, to: &Arc<Core>) -> Vec<String> {
        let mut topics = Vec::new();
        for record in said(from).await {
            hear(to, &record.topic, &record.value).await;
            topics.push(record.topic);
        }
        topics
    }

    fn source(id: &str) -> String {
        format!("group:garage-hub:{id}")
    }

    async fn refused(core: &Arc<Core>) -> Vec<String> {
        let counts = core.db.read(inbox::refusal_counts).await.expect("read");
        counts.into_iter().map(|count| count.reason).collect()
    }

    async fn pair() -> (Arc<Core>, Arc<Core>, Arc<Notebook>) {
        let (garage, ..) = core_of("garage-hub").await;
        let (kitchen, notes, _) = core().await;
        (garage, kitchen, notes)
    }

    #[tokio::test]
    async fn an_item_is_kept_here_told_and_kept_there() {
        let (garage, notes, _) = core_of("garage-hub").await;
        let (kitchen, their_notes, _) = core().await;
        let id = share(&garage, boiler()).await.expect("shared");
        let text = Some("Boiler\nIt was bled in May.".to_owned());
        assert_eq!(notes.text(&source(&id)), text);
        assert_eq!(carry(&garage, &kitchen).await, ["group.g1.memory.shared"]);
        assert_eq!(their_notes.text(&source(&id)), text);
    }

    #[tokio::test]
    async fn a_large_text_travels_beside_its_item() {
        let (garage, kitchen, notes) = pair().await;
        for content in
            ["is warm. ".repeat(40_000), format!("{{\"a\": \"{}\"}}", "x".repeat(300_000)), "\u{1}".repeat(60_000)]
        {
            let id = share(&garage, NewItem { content: content.clone(), ..boiler() }).await.expect("shared");
            let records = said(&garage).await;
            let sizes: Vec<usize> = records.iter().rev().take(2).map(|record| record.value.len()).collect();
            assert!(sizes[0] < 2_000 && sizes[1] == content.len(), "{sizes:?}");
            carry(&garage, &kitchen).await;
            assert_eq!(notes.text(&source(&id)), Some(format!("Boiler\n{content}")));
        }
        let error = share(&garage, NewItem { content: "x".repeat(1_000_000), ..boiler() }).await;
        assert!(matches!(error, Err(ShareError::TooLarge { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn an_item_of_the_context_is_over_after_its_time() {
        let (garage, kitchen, notes) = pair().await;
        let passing = NewItem { lasts: Some(Duration::from_secs(60)), ..boiler() };
        let id = share(&garage, passing).await.expect("shared");
        assert_eq!(carry(&garage, &kitchen).await, ["group.g1.memory.context"]);
        assert!(notes.text(&source(&id)).is_some());
        kitchen.clock.advance(Duration::from_secs(61));
        super::super::sweep::sweep(&kitchen).await.expect("swept");
        assert_eq!(notes.text(&source(&id)), None);
    }

    #[tokio::test]
    async fn what_its_author_takes_back_is_gone_everywhere() {
        let (garage, kitchen, notes) = pair().await;
        let id = share(&garage, boiler()).await.expect("shared");
        carry(&garage, &kitchen).await;
        let (shared, gone) = (garage.clone(), id.clone());
        let known = garage.db.write(move |tx| shared.forget(tx, &gone, shared.clock.now())).await.expect("written");
        assert!(known);
        kitchen.clock.advance(Duration::from_millis(1));
        carry(&garage, &kitchen).await;
        assert_eq!(notes.text(&source(&id)), None);
    }

    /// A private zone of the garage hub, as each of them knows it.
    async fn zone(core: &Arc<Core>, members: &'static [&'static str]) {
        let written = core.db.write(move |tx| {
            tx.execute(
                "INSERT INTO orchestrator_zones (zone_id, name, visibility, owner_id) VALUES ('cellar', 'cellar', 'private', 'garage-hub')",
                [],
            )?;
            for member in members {
                tx.execute(
                    "INSERT INTO orchestrator_zone_members (zone_id, agent_id) VALUES ('cellar', ?1)",
                    [member],
                )?;
            }
            Ok(())
        });
        written.await.expect("written");
    }

    #[tokio::test]
    async fn a_private_zone_keeps_its_items_to_its_members() {
        let (garage, kitchen, notes) = pair().await;
        let (attic, attic_notes, _) = core_of("attic-hub").await;
        let in_zone = NewItem { zone: Some(ZoneId::from("cellar")), ..boiler() };
        let error = share(&garage, in_zone.clone()).await;
        assert!(matches!(error, Err(ShareError::Zone(ZoneRefusal::Unknown { .. }))), "{error:?}");
        for core in [&garage, &kitchen, &attic] {
            zone(core, &["hub"]).await;
        }
        let id = share(&garage, in_zone.clone()).await.expect("shared");
        assert_eq!(carry(&garage, &kitchen).await, ["group.g1.direct"], "agents in Go do not listen there");
        carry(&garage, &attic).await;
        assert!(notes.text(&source(&id)).is_some());
        assert_eq!(attic_notes.text(&source(&id)), None);
        assert_eq!(refused(&attic).await, ["forbidden"]);
        let theirs = share(&attic, in_zone.clone()).await;
        assert!(matches!(theirs, Err(ShareError::Zone(ZoneRefusal::NotAllowed { .. }))), "{theirs:?}");
        let large = NewItem { content: "x".repeat(INLINE_BYTES_MAX + 1), ..in_zone };
        let error = share(&garage, large).await;
        assert!(matches!(error, Err(ShareError::TooLargeForZone { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn what_others_would_refuse_is_not_said() {
        let (garage, ..) = core_of("garage-hub").await;
        for new in [
            NewItem { title: " ".to_owned(), ..boiler() },
            NewItem { title: "x".repeat(TITLE_BYTES_MAX + 1), ..boiler() },
            NewItem { tags: vec!["x".repeat(1_000)], ..boiler() },
            NewItem { content_type: "text\nplain".to_owned(), ..boiler() },
        ] {
            let error = share(&garage, new).await;
            assert!(matches!(error, Err(ShareError::Untitled | ShareError::Refused(_))), "{error:?}");
        }
        assert!(said(&garage).await.is_empty());
    }
}
