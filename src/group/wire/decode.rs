//! Reading: from any bytes to a checked message, or to the reason why not.
//!
//! A record is read twice without keeping it: first what is around the payload, then the payload in the shape that the topic asks
//! for. What no field asks for costs nothing.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::base::gojson::{self, GoTime};
use crate::base::id::PeerId;
use crate::domain::record::Stamp;
use crate::domain::refusal::{Refusal, check_id, check_name};
use crate::group::wire::{Body, Envelope, Head, LfsPointer, Message, Topic, Topics, VERSION};
use crate::knowledge::wire as knowledge;
use crate::orchestrator::wire as orchestrator;

/// How much is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest record, in bytes.
    pub record_bytes_max: usize,
    /// Largest record whose payload may hold free JSON (audits, memory items), which takes more room in memory than on the wire.
    pub free_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes_max: 1024 * 1024, free_bytes_max: 256 * 1024 }
    }
}

/// What a record turned out to be.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Received {
    Message(Message),
    Knowledge(knowledge::Message),
    /// The record lies in an object store; here is where.
    Pointer(LfsPointer),
    /// The content of a memory item: Go puts it on the topic of the items, in front of the item.
    Content,
    /// Go made sure that the topic exists; there is nothing to do.
    EnsureTopic,
    /// `kshark` tried whether the topic can be written to.
    Probe,
}

/// Reads one record. `key` is the record's key; it is not trusted for anything but to tell probes.
pub fn decode(
    topics: &Topics,
    topic: &str,
    key: Option<&[u8]>,
    value: &[u8],
    limits: &Limits,
) -> Result<Received, Refusal> {
    if value.is_empty() {
        return Err(Refusal::Empty);
    }
    if value == b"probe" || key.is_some_and(|key| key.starts_with(b"kshark-")) {
        return Ok(Received::Probe);
    }
    let known = topics.parse(topic);
    let bytes_max = match known {
        Some(Topic::MemoryShared | Topic::MemoryContext | Topic::Audit) => limits.free_bytes_max,
        _ => limits.record_bytes_max,
    };
    let is_content_welcome = known == Some(Topic::MemoryShared);
    if value.len() > bytes_max {
        // Nobody has to read the content of an item here, however large it is, and items are never that large.
        let is_content = is_content_welcome && value.len() <= limits.record_bytes_max;
        let refusal = Refusal::TooLarge { bytes: value.len(), bytes_max };
        return if is_content { Ok(Received::Content) } else { Err(refusal) };
    }
    if let Some(Topic::Knowledge(_)) = known {
        return in_knowledge(value);
    }
    let outer: Envelope<IgnoredAny> = match gojson::from_slice(value) {
        Ok(outer) => outer,
        Err(_) if is_content_welcome => return Ok(Received::Content),
        Err(error) => return Err(Refusal::not_json(&error)),
    };
    if is_pointer(&outer) {
        return pointer(value);
    }
    if is_content_welcome && outer.kind != "memory" && outer.sender_id.is_empty() {
        return Ok(Received::Content);
    }
    if outer.kind == "heartbeat" && is_ensuring(value) {
        return Ok(Received::EnsureTopic);
    }
    let topic = known.ok_or(Refusal::UnknownTopic)?;
    if topic == Topic::Direct && outer.kind == "memory" && value.len() > limits.free_bytes_max {
        return Err(Refusal::TooLarge { bytes: value.len(), bytes_max: limits.free_bytes_max });
    }
    let head = head(outer)?;
    let body = body(&topic, &head, value)?;
    Ok(Received::Message(Message { topic, head, body }))
}

/// Reads the record that a pointer led to. It cannot be another pointer: that could go on for ever.
pub fn decode_fetched(topics: &Topics, topic: &str, value: &[u8], limits: &Limits) -> Result<Received, Refusal> {
    match decode(topics, topic, None, value, limits)? {
        Received::Pointer(_) => Err(Refusal::Meaningless { field: "kfs_lfs" }),
        received => Ok(received),
    }
}

fn is_pointer<P>(outer: &Envelope<P>) -> bool {
    outer.kfs_lfs.is_some_and(|version| version > 0) && outer.kind.is_empty() && outer.sender_id.is_empty()
}

fn pointer(value: &[u8]) -> Result<Received, Refusal> {
    let pointer: LfsPointer = gojson::from_slice(value).map_err(|error| Refusal::payload("pointer", &error))?;
    if pointer.kfs_lfs != 1 {
        return Err(Refusal::UnknownVersion { version: pointer.kfs_lfs.to_string() });
    }
    check_id("bucket", &pointer.bucket)?;
    if pointer.key.is_empty() {
        return Err(Refusal::Missing { field: "key" });
    }
    pointer.check()?;
    Ok(Received::Pointer(pointer))
}

/// A pointer may stand for a knowledge message too: Go's proxy does not ask what it stores.
fn in_knowledge(value: &[u8]) -> Result<Received, Refusal> {
    let refusal = match knowledge::decode(value) {
        Ok(message) => return Ok(Received::Knowledge(message)),
        Err(refusal) => refusal,
    };
    match gojson::from_slice::<Envelope<IgnoredAny>>(value) {
        Ok(outer) if is_pointer(&outer) => pointer(value),
        _ => Err(refusal),
    }
}

fn is_ensuring(value: &[u8]) -> bool {
    #[derive(Serialize, Deserialize, Default)]
    #[serde(default)]
    struct Ensure {
        action: String,
    }
    gojson::from_slice::<Envelope<Ensure>>(value).is_ok_and(|outer| outer.payload.action == "ensure_topic")
}

fn head(outer: Envelope<IgnoredAny>) -> Result<Head, Refusal> {
    if let Some(version) = outer.v.filter(|version| *version > VERSION) {
        return Err(Refusal::UnknownVersion { version: version.to_string() });
    }
    check_name("type", &outer.kind)?;
    check_name("correlation_id", &outer.correlation_id)?;
    check_id("sender_id", &outer.sender_id)?;
    let timestamp = match &outer.timestamp {
        None => None,
        Some(text) => Some(GoTime::parse(text).ok_or(Refusal::BadTimestamp { field: "timestamp" })?),
    };
    let target = outer.target.filter(|target| !target.is_empty());
    if let Some(target) = &target {
        check_id("target", target)?;
    }
    Ok(Head {
        kind: outer.kind,
        correlation_id: outer.correlation_id,
        sender: PeerId::from(outer.sender_id),
        timestamp: timestamp.filter(|time| !time.is_zero()),
        stamp: outer.epoch.zip(outer.seq).map(|(epoch, seq)| Stamp { epoch, seq }),
        target: target.map(PeerId::from),
        is_signed: outer.sig.is_some(),
    })
}

/// The topic says what it is, as in Go.
fn body(topic: &Topic, head: &Head, value: &[u8]) -> Result<Body, Refusal> {
    match topic {
        Topic::Announce => announce(value),
        Topic::Roster => roster(value),
        Topic::Onboarding => onboard(value),
        Topic::Requests | Topic::SkillRequests(_) => request(value),
        Topic::Responses | Topic::SkillResponses(_) if head.kind == "task_status" => status(value),
        Topic::Responses | Topic::SkillResponses(_) => response(value),
        Topic::TaskStatus => status(value),
        Topic::Traces => trace(value),
        Topic::Audit => Ok(Body::Audit(payload("audit", value)?)),
        Topic::MemoryShared | Topic::MemoryContext => memory(value),
        Topic::Orchestrator => in_orchestrator(value),
        Topic::Direct => match head.kind.as_str() {
            "request" => request(value),
            "response" => response(value),
            "task_status" => status(value),
            "orchestrator" => in_orchestrator(value),
            "memory" => memory(value),
            _ => Err(Refusal::UnknownType),
        },
        Topic::Knowledge(_) => Err(Refusal::UnknownTopic),
    }
}

fn announce(value: &[u8]) -> Result<Body, Refusal> {
    let announce: super::Announce = payload("announce", value)?;
    announce.check()?;
    Ok(Body::Announce(announce))
}

fn roster(value: &[u8]) -> Result<Body, Refusal> {
    let manifest: super::Manifest = payload("roster", value)?;
    manifest.check()?;
    Ok(Body::Roster(manifest))
}

fn onboard(value: &[u8]) -> Result<Body, Refusal> {
    let onboard: super::Onboard = payload("onboard", value)?;
    onboard.check()?;
    Ok(Body::Onboard(onboard))
}

fn request(value: &[u8]) -> Result<Body, Refusal> {
    let request: super::TaskRequest = payload("request", value)?;
    request.check()?;
    Ok(Body::Request(request))
}

fn response(value: &[u8]) -> Result<Body, Refusal> {
    let response: super::TaskResponse = payload("response", value)?;
    response.check()?;
    Ok(Body::Response(response))
}

fn status(value: &[u8]) -> Result<Body, Refusal> {
    let status: super::TaskStatus = payload("task_status", value)?;
    status.check()?;
    Ok(Body::Status(status))
}

fn trace(value: &[u8]) -> Result<Body, Refusal> {
    let trace: super::Trace = payload("trace", value)?;
    trace.check()?;
    Ok(Body::Trace(trace))
}

fn memory(value: &[u8]) -> Result<Body, Refusal> {
    let item: super::MemoryItem = payload("memory", value)?;
    item.check()?;
    Ok(Body::Memory(item))
}

fn in_orchestrator(value: &[u8]) -> Result<Body, Refusal> {
    #[derive(Serialize, Deserialize, Default)]
    #[serde(default)]
    struct Peek {
        action: String,
    }
    let peek: Peek = payload("orchestrator", value)?;
    let message = match orchestrator::Shape::of_action(&peek.action) {
        orchestrator::Shape::Discovery => orchestrator::Message::Discovery(payload("discovery", value)?),
        orchestrator::Shape::Hierarchy => orchestrator::Message::Hierarchy(payload("hierarchy", value)?),
        orchestrator::Shape::Zone => orchestrator::Message::Zone(payload("zone", value)?),
    };
    message.check()?;
    Ok(Body::Orchestrator(message))
}

fn payload<P: DeserializeOwned + Default>(kind: &'static str, value: &[u8]) -> Result<P, Refusal> {
    let outer: Envelope<P> = gojson::from_slice(value).map_err(|error| Refusal::payload(kind, &error))?;
    Ok(outer.payload)
}
