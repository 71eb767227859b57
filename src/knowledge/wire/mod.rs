//! Knowledge messages on the wire (group specification §2.15): the envelope, its checks, reading and writing.
//!
//! Here `type` says what a message is, not the topic. KafClaw in Go knows six types; ours for comparing facts (`digest`, `want`,
//! `digest_end`) and facts sent as a snapshot go to a topic of their own, `group.<k>.knowledge.sync`, which Go never subscribes to.

mod payload;
mod topic;

pub use payload::{
    Ballot, Capabilities, Decision, Digest, DigestEnd, DigestEntry, Fact, Outcome, Presence, Proposal, TAGS_LEN_MAX,
    Vote, VoteWord, Want,
};
pub use topic::{Kind, Topics};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::base::gojson::{self, GoTime};
use crate::domain::record::Stamp;
use crate::domain::refusal::{Refusal, check_id};

/// The only version there is.
pub const SCHEMA_VERSION: &str = "v1";

/// One message, checked: required fields are there, names are short, numbers mean something.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    pub head: Head,
    pub body: Body,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Head {
    pub trace_id: String,
    pub timestamp: GoTime,
    pub idempotency_key: String,
    pub claw_id: String,
    pub instance_id: String,
    /// Ours only.
    pub stamp: Option<Stamp>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    Capabilities(Capabilities),
    Presence(Presence),
    Proposal(Proposal),
    Vote(Vote),
    Decision(Decision),
    Fact(Fact),
    /// What the sender holds; whoever is meant answers with what it lacks.
    Digest(Digest),
    /// Facts that the sender saw in a digest and lacks.
    Want(Want),
    /// How far the facts that were sent in answer to a digest reach.
    DigestEnd(DigestEnd),
}

impl Body {
    /// `type` on the wire.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Capabilities(_) => "capabilities",
            Self::Presence(_) => "presence",
            Self::Proposal(_) => "proposal",
            Self::Vote(_) => "vote",
            Self::Decision(_) => "decision",
            Self::Fact(_) => "fact",
            Self::Digest(_) => "digest",
            Self::Want(_) => "want",
            Self::DigestEnd(_) => "digest_end",
        }
    }

    /// The topic it is said on.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Capabilities(_) => Kind::Capabilities,
            Self::Presence(_) => Kind::Presence,
            Self::Proposal(_) => Kind::Proposals,
            Self::Vote(_) => Kind::Votes,
            Self::Decision(_) => Kind::Decisions,
            Self::Fact(fact) if fact.snapshot => Kind::Sync,
            Self::Fact(_) => Kind::Facts,
            Self::Digest(_) | Self::Want(_) | Self::DigestEnd(_) => Kind::Sync,
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Capabilities(_) | Self::Presence(_) => Ok(()),
            Self::Proposal(proposal) => proposal.check(),
            Self::Vote(vote) => vote.check(),
            Self::Decision(decision) => decision.check(),
            Self::Fact(fact) => fact.check(),
            Self::Digest(digest) => digest.check(),
            Self::Want(want) => want.check(),
            Self::DigestEnd(end) => check_id("targetClaw", &end.target_claw),
        }
    }
}

/// Reads a record of a knowledge topic.
pub fn decode(bytes: &[u8]) -> Result<Message, Refusal> {
    let outer: Outer<IgnoredAny> = gojson::from_slice(bytes).map_err(|error| Refusal::not_json(&error))?;
    if outer.schema_version.trim().is_empty() {
        return Err(Refusal::Missing { field: "schemaVersion" });
    }
    if outer.schema_version != SCHEMA_VERSION {
        return Err(Refusal::UnknownVersion { version: outer.schema_version.chars().take(16).collect() });
    }
    check_id("type", &outer.message_type)?;
    check_id("traceId", &outer.trace_id)?;
    check_id("clawId", &outer.claw_id)?;
    check_id("instanceId", &outer.instance_id)?;
    // Ours are made of ids, and may be longer than one.
    if outer.idempotency_key.trim().is_empty() {
        return Err(Refusal::Missing { field: "idempotencyKey" });
    }
    if outer.idempotency_key.len() > KEY_BYTES_MAX {
        return Err(Refusal::TooLong { field: "idempotencyKey", bytes_max: KEY_BYTES_MAX });
    }
    if outer.timestamp.is_empty() {
        return Err(Refusal::Missing { field: "timestamp" });
    }
    let timestamp = GoTime::parse(&outer.timestamp)
        .filter(|time| !time.is_zero())
        .ok_or(Refusal::BadTimestamp { field: "timestamp" })?;
    let body = body(&outer.message_type, bytes)?;
    body.check()?;
    let stamp = outer.epoch.zip(outer.seq).map(|(epoch, seq)| Stamp { epoch, seq });
    let (trace_id, idempotency_key) = (outer.trace_id, outer.idempotency_key);
    let (claw_id, instance_id) = (outer.claw_id, outer.instance_id);
    Ok(Message { head: Head { trace_id, timestamp, idempotency_key, claw_id, instance_id, stamp }, body })
}

/// Longest idempotency key: a few ids and what is between them.
const KEY_BYTES_MAX: usize = 1024;

/// The record of `message`, unsigned.
pub fn encode(message: &Message) -> Vec<u8> {
    let head = &message.head;
    match &message.body {
        Body::Capabilities(payload) => enveloped(head, "capabilities", payload),
        Body::Presence(payload) => enveloped(head, "presence", payload),
        Body::Proposal(payload) => enveloped(head, "proposal", payload),
        Body::Vote(payload) => enveloped(head, "vote", payload),
        Body::Decision(payload) => enveloped(head, "decision", payload),
        Body::Fact(payload) => enveloped(head, "fact", payload),
        Body::Digest(payload) => enveloped(head, "digest", payload),
        Body::Want(payload) => enveloped(head, "want", payload),
        Body::DigestEnd(payload) => enveloped(head, "digest_end", payload),
    }
}

fn body(message_type: &str, bytes: &[u8]) -> Result<Body, Refusal> {
    Ok(match message_type {
        "capabilities" => Body::Capabilities(payload("capabilities", bytes)?),
        "presence" => Body::Presence(payload("presence", bytes)?),
        "proposal" => Body::Proposal(payload("proposal", bytes)?),
        "vote" => Body::Vote(payload("vote", bytes)?),
        "decision" => Body::Decision(payload("decision", bytes)?),
        "fact" => Body::Fact(payload("fact", bytes)?),
        "digest" => Body::Digest(payload("digest", bytes)?),
        "want" => Body::Want(payload("want", bytes)?),
        "digest_end" => Body::DigestEnd(payload("digest_end", bytes)?),
        _ => return Err(Refusal::UnknownType),
    })
}

fn payload<T: DeserializeOwned + Default>(kind: &'static str, bytes: &[u8]) -> Result<T, Refusal> {
    let outer: Outer<T> = gojson::from_slice(bytes).map_err(|error| Refusal::payload(kind, &error))?;
    Ok(outer.payload)
}

fn enveloped<T: Serialize>(head: &Head, message_type: &str, payload: T) -> Vec<u8> {
    gojson::to_vec(&Outer {
        schema_version: SCHEMA_VERSION.to_owned(),
        message_type: message_type.to_owned(),
        trace_id: head.trace_id.clone(),
        timestamp: head.timestamp.to_text(),
        idempotency_key: head.idempotency_key.clone(),
        claw_id: head.claw_id.clone(),
        instance_id: head.instance_id.clone(),
        payload,
        epoch: head.stamp.map(|stamp| stamp.epoch),
        seq: head.stamp.map(|stamp| stamp.seq),
    })
}

/// KafClaw's fields in KafClaw's order, then ours.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Outer<P> {
    schema_version: String,
    #[serde(rename = "type")]
    message_type: String,
    trace_id: String,
    timestamp: String,
    idempotency_key: String,
    claw_id: String,
    instance_id: String,
    payload: P,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

#[cfg(test)]
mod tests;
