//! Shared memory items, and pointers to what lies in the object store (group specification §0.2, §2.11).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::gojson::GoTime;
use crate::domain::refusal::{Refusal, check_id, check_len, check_name};
use crate::group::wire::NAMES_LEN_MAX;

/// KafClaw's fields in KafClaw's order, then ours.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryItem {
    pub item_id: String,
    pub author_id: String,
    pub title: String,
    pub content_type: String,
    pub tags: Option<Vec<String>>,
    pub lfs_envelope: Option<LfsPointer>,
    pub created_at: GoTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<GoTime>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,

    /// The content itself, when it is text and small. Go sends a pointer, and for context items nothing at all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// Only members of this zone may know it; blank for everybody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

impl MemoryItem {
    pub fn check(&self) -> Result<(), Refusal> {
        check_id("item_id", &self.item_id)?;
        check_name("author_id", &self.author_id)?;
        check_name("content_type", &self.content_type)?;
        check_name("zone", &self.zone)?;
        let tags = self.tags.as_deref().unwrap_or_default();
        check_len("tags", tags, NAMES_LEN_MAX)?;
        tags.iter().try_for_each(|tag| check_name("tags", tag))?;
        self.lfs_envelope.as_ref().map_or(Ok(()), LfsPointer::check)
    }
}

/// Where KafScale's proxy has put a record; also what a proxy answers to a produce request. All fields are always written.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LfsPointer {
    /// Version of the format: 1.
    pub kfs_lfs: i64,
    pub bucket: String,
    pub key: String,
    pub size: i64,
    pub sha256: String,
    pub checksum: String,
    pub checksum_alg: String,
    pub content_type: String,
    pub created_at: String,
    pub proxy_id: String,
}

/// Longest key of an object, in bytes; S3's own bound.
const KEY_BYTES_MAX: usize = 1024;

impl LfsPointer {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_name("bucket", &self.bucket)?;
        check_name("sha256", &self.sha256)?;
        if self.key.len() > KEY_BYTES_MAX {
            return Err(Refusal::TooLong { field: "key", bytes_max: KEY_BYTES_MAX });
        }
        if self.size < 0 { Err(Refusal::Meaningless { field: "size" }) } else { Ok(()) }
    }
}
