//! The group's messages on the wire: what members say to each other on Kafka, read and written byte for byte as KafClaw in Go does
//! (group specification §1, §2, §14.5).
//!
//! Who may do what: [`decode`] turns any record into a checked [`Received`] or a typed [`Refusal`](crate::domain::refusal::Refusal);
//! [`encode`] turns a [`Draft`] into a record, and [`sign::Signer::seal`] signs it. Payloads become nouns of the house by
//! `TryFrom` (`(&Head, TaskRequest)` into [`crate::domain::peer::Request`], and so on).
//!
//! As in Go, the topic says what a message is, not its `type`, with two exceptions: a `task_status` among the responses, and
//! [`Topic::Direct`], where only hubs like this one speak. Fields that Go does not know (`v`, `epoch`, `seq`, `target`, `kid`, `sig`)
//! stand behind those it knows.
//!
//! Absent on purpose: answers to anything (a response is never an occasion to speak), tables, Kafka.

mod decode;
mod identity;
mod memory;
mod observe;
mod onboard;
pub mod sign;
mod task;
mod topic;

pub use decode::{Limits, Received, decode, decode_fetched};
pub use identity::{Action, AgentIdentity, Announce};
pub use memory::{LfsPointer, MemoryItem};
pub use observe::{Audit, Trace};
pub use onboard::{Manifest, Onboard, OnboardAction, TopicDescriptor};
pub use task::{TaskRequest, TaskResponse, TaskStatus};
pub use topic::{CORE, GroupName, SkillName, Topic, Topics, infer_category};

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::gojson::{self, GoTime};
use crate::base::id::PeerId;
use crate::domain::record::{Class, Stamp};
use crate::orchestrator::wire as orchestrator;

/// Version of our fields; Go has none, which counts as 0.
pub const VERSION: u32 = 1;
/// Names in one list: capabilities, skills, tags, topics.
pub const NAMES_LEN_MAX: usize = 1_000;
/// Longest text of a challenge, an answer to it or a reason, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A message of a member, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    pub topic: Topic,
    pub head: Head,
    pub body: Body,
}

/// What is around a payload.
#[derive(Clone, PartialEq, Debug)]
pub struct Head {
    /// `type` as it was sent; [`Body`] says what it is.
    pub kind: String,
    pub correlation_id: String,
    /// Who says it is the sender; only a signature proves it.
    pub sender: PeerId,
    /// By the sender's own clock.
    pub timestamp: Option<GoTime>,
    /// None for members that do not count (Go).
    pub stamp: Option<Stamp>,
    /// Who is meant; everybody when none.
    pub target: Option<PeerId>,
    /// Whether the record carries a signature; whether it is right, [`sign`] tells.
    pub is_signed: bool,
}

impl Head {
    /// Whether the sender is a hub like this one, which reads [`Topic::Direct`].
    pub const fn is_of_our_kind(&self) -> bool {
        self.stamp.is_some()
    }
}

#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Body {
    Announce(Announce),
    Request(TaskRequest),
    Response(TaskResponse),
    Status(TaskStatus),
    Trace(Trace),
    Audit(Audit),
    Onboard(Onboard),
    Roster(Manifest),
    Memory(MemoryItem),
    Orchestrator(orchestrator::Message),
}

impl Body {
    /// `type` on the wire, as Go names it.
    pub const fn type_name(&self, topic: &Topic) -> &'static str {
        match (self, topic) {
            (Self::Request(_), Topic::SkillRequests(_)) => "skill_request",
            (Self::Response(_), Topic::SkillResponses(_)) => "skill_response",
            (Self::Announce(_), _) => "announce",
            (Self::Request(_), _) => "request",
            (Self::Response(_), _) => "response",
            (Self::Status(_), _) => "task_status",
            (Self::Trace(_), _) => "trace",
            (Self::Audit(_), _) => "audit",
            (Self::Onboard(_), _) => "onboard",
            (Self::Roster(_), _) => "roster",
            (Self::Memory(_), _) => "memory",
            (Self::Orchestrator(_), _) => "orchestrator",
        }
    }

    /// How the message is treated while it waits to be sent.
    pub const fn class(&self) -> Class {
        match self {
            Self::Announce(_) | Self::Onboard(_) | Self::Roster(_) | Self::Orchestrator(_) => Class::Control,
            Self::Request(_) => Class::Request,
            Self::Response(_) | Self::Status(_) => Class::Answer,
            Self::Trace(_) => Class::Trace,
            Self::Audit(_) => Class::Audit,
            Self::Memory(_) => Class::Memory,
        }
    }
}

/// A message to be sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft<'a> {
    pub topic: &'a Topic,
    pub body: &'a Body,
    /// What it belongs to: the task, the trace, the onboarding; blank for the orchestrator.
    pub correlation_id: &'a str,
    pub sender: &'a PeerId,
    pub at: Timestamp,
    pub stamp: Option<Stamp>,
    pub target: Option<&'a PeerId>,
}

/// The record of `draft`, unsigned.
pub fn encode(draft: &Draft<'_>) -> Vec<u8> {
    match draft.body {
        Body::Announce(payload) => enveloped(draft, payload),
        Body::Request(payload) => enveloped(draft, payload),
        Body::Response(payload) => enveloped(draft, payload),
        Body::Status(payload) => enveloped(draft, payload),
        Body::Trace(payload) => enveloped(draft, payload),
        Body::Audit(payload) => enveloped(draft, payload),
        Body::Onboard(payload) => enveloped(draft, payload),
        Body::Roster(payload) => enveloped(draft, payload),
        Body::Memory(payload) => enveloped(draft, payload),
        Body::Orchestrator(orchestrator::Message::Discovery(payload)) => enveloped(draft, payload),
        Body::Orchestrator(orchestrator::Message::Hierarchy(payload)) => enveloped(draft, payload),
        Body::Orchestrator(orchestrator::Message::Zone(payload)) => enveloped(draft, payload),
    }
}

fn enveloped<P: Serialize>(draft: &Draft<'_>, payload: P) -> Vec<u8> {
    gojson::to_vec(&Envelope {
        kind: draft.body.type_name(draft.topic).to_owned(),
        correlation_id: draft.correlation_id.to_owned(),
        sender_id: draft.sender.to_string(),
        timestamp: Some(GoTime::from(draft.at).to_text()),
        payload,
        v: draft.stamp.map(|_| VERSION),
        epoch: draft.stamp.map(|stamp| stamp.epoch),
        seq: draft.stamp.map(|stamp| stamp.seq),
        target: draft.target.map(PeerId::to_string),
        sig: None,
        kfs_lfs: None,
    })
}

/// The outer object: Go's five fields in Go's order, then ours.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Envelope<P> {
    #[serde(rename = "type")]
    pub kind: String,
    pub correlation_id: String,
    pub sender_id: String,
    /// RFC 3339; Go takes null and nothing for "no time".
    pub timestamp: Option<String>,
    pub payload: P,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub v: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Key and signature are appended by [`sign`].
    #[serde(skip_serializing)]
    pub sig: Option<String>,
    /// Only there when the record is not an envelope but a pointer to one.
    #[serde(skip_serializing)]
    pub kfs_lfs: Option<i64>,
}

#[cfg(test)]
mod tests;
