//! Payloads of the wire as the rooms of this module want them.

use crate::base::clock::Timestamp;
use crate::base::gojson::GoTime;
use crate::base::id::PeerId;
use crate::domain::refusal::{Refusal, check_id};
use crate::group::share::{Item, Pointer, Text};
use crate::group::trace::Span;
use crate::group::wire::{Head, Manifest, MemoryItem, SkillName, Topic, Topics, Trace};

/// A span that another member told; times that cannot be read are none.
pub(super) fn span(wire: Trace) -> Span {
    let time = |text: &str| GoTime::parse(text).filter(|time| !time.is_zero()).map(GoTime::to_timestamp);
    Span {
        started_at: time(&wire.started_at),
        ended_at: time(&wire.ended_at),
        duration_ms: u64::try_from(wire.duration_ms).unwrap_or(0),
        trace_id: wire.trace_id,
        span_id: wire.span_id,
        parent_span_id: wire.parent_span_id,
        span_type: wire.span_type,
        title: wire.title,
        content: wire.content,
    }
}

/// A span of ours, as it is told.
pub(super) fn told(span: Span) -> Trace {
    let time = |at: Option<Timestamp>| at.map(|at| GoTime::from(at).to_text()).unwrap_or_default();
    Trace {
        started_at: time(span.started_at),
        ended_at: time(span.ended_at),
        duration_ms: i64::try_from(span.duration_ms).unwrap_or(i64::MAX),
        trace_id: span.trace_id,
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        span_type: span.span_type,
        title: span.title,
        content: span.content,
    }
}

/// A shared item, whose author is the sender: nobody shares in another's name. `behind_ms` puts its end on our clock.
pub(super) fn item(head: &Head, wire: MemoryItem, behind_ms: i64) -> Result<Item, Refusal> {
    check_id("item_id", &wire.item_id)?;
    if !wire.author_id.is_empty() && wire.author_id != head.sender.as_str() {
        return Err(Refusal::Meaningless { field: "author_id" });
    }
    let ours = |time: GoTime| Timestamp::from_millis(time.to_timestamp().as_millis().saturating_add(behind_ms));
    let text = match wire.lfs_envelope {
        _ if !wire.content.is_empty() => Text::Inline(wire.content),
        Some(pointer) if !pointer.key.is_empty() => Text::At(Pointer {
            bytes: u64::try_from(pointer.size).unwrap_or(0),
            bucket: pointer.bucket,
            key: pointer.key,
            sha256: pointer.sha256,
        }),
        _ => Text::None,
    };
    Ok(Item {
        id: wire.item_id,
        author: PeerId::from(head.sender.as_str()),
        title: wire.title,
        content_type: wire.content_type,
        tags: wire.tags.unwrap_or_default(),
        text,
        metadata: serde_json::to_string(&wire.metadata).unwrap_or_default(),
        created_at: wire.created_at.to_timestamp(),
        expires_at: wire.expires_at.filter(|time| !time.is_zero()).map(ours),
    })
}

/// The skills that a manifest names.
pub(super) fn skills(manifest: &Manifest, topics: &Topics) -> Vec<SkillName> {
    let named = manifest.skill_topics.iter().flatten().filter_map(|descriptor| match topics.parse(&descriptor.name) {
        Some(Topic::SkillRequests(skill)) => Some(skill),
        _ => None,
    });
    named.collect()
}
