//! What comes in from any edge and what goes out through any edge.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::id::{DeliveryId, SessionKey, TaskId, TraceId};

/// The road a message takes. The names are KafClaw's.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channel(String);

impl Channel {
    /// `POST /chat`: the caller waits for the answer.
    pub const LOCAL: &'static str = "local";
    /// The command line: the caller waits for the answer.
    pub const CLI: &'static str = "cli";
    /// The dashboard's chat.
    pub const WEBUI: &'static str = "webui";
    /// Conversation topics of the MQTT broker.
    pub const MQTT: &'static str = "mqtt";
    /// Other hubs and agents, over Kafka.
    pub const GROUP: &'static str = "group";
    /// Jobs that came due.
    pub const SCHEDULER: &'static str = "scheduler";

    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the sender waits for the answer or reads it from the timeline, so that no courier has to carry it.
    pub fn is_answered_in_place(&self) -> bool {
        matches!(self.as_str(), Self::LOCAL | Self::CLI | Self::WEBUI | Self::SCHEDULER)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who speaks, which decides how much their words may do (specification §7.3 `message_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Somebody of the household, authenticated.
    Internal,
    /// A hub or an agent of the group: less than the household, more than a stranger.
    Peer,
    /// Anybody else.
    External,
}

impl Origin {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Peer => "peer",
            Self::External => "external",
        }
    }

    /// KafClaw treats a missing type as external.
    pub fn parse(text: &str) -> Self {
        match text {
            "internal" => Self::Internal,
            "peer" => Self::Peer,
            _ => Self::External,
        }
    }
}

/// A message that an edge has understood and wants accepted.
#[derive(Clone, PartialEq, Debug)]
pub struct Inbound {
    pub channel: Channel,
    /// The conversation's name within the channel.
    pub chat_id: String,
    pub thread_id: Option<String>,
    pub sender_id: String,
    pub session: SessionKey,
    pub trace_id: TraceId,
    /// Two messages with the same key are one message.
    pub idempotency_key: Option<String>,
    /// The sender's own id of this message, repeated in the answer as `in_reply_to`.
    pub message_id: Option<String>,
    pub content: String,
    pub origin: Origin,
    /// The edge's own facts about how to answer (for example whether MQTT asked in JSON); opaque to everybody else.
    pub reply_hint: Option<String>,
    pub received_at: Timestamp,
}

/// Which kind of mind answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// An offline intent, without a model.
    Intent,
    /// A model in this house.
    Local,
    /// A model on the internet.
    Remote,
}

impl Route {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "intent" => Some(Self::Intent),
            "local" => Some(Self::Local),
            "remote" => Some(Self::Remote),
            _ => None,
        }
    }
}

/// A text on its way out through a channel.
#[derive(Clone, PartialEq, Debug)]
pub struct Outbound {
    /// Stays the same however often the text is delivered.
    pub id: DeliveryId,
    pub channel: Channel,
    pub chat_id: String,
    pub thread_id: Option<String>,
    pub trace_id: TraceId,
    /// The task it answers; none for a reminder or an announcement.
    pub task_id: Option<TaskId>,
    pub in_reply_to: Option<String>,
    pub route: Route,
    pub content: String,
    /// [`Inbound::reply_hint`] of the message it answers.
    pub reply_hint: Option<String>,
}

/// Why a channel could not deliver (specification §6.6). `Display` is the stored reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryFailure {
    RateLimited,
    Upstream5xx,
    Network,
    Unauthorized,
    InvalidTargetOrPayload,
    SendFailed,
    MaxRetriesExceeded,
}

impl DeliveryFailure {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::RateLimited => "transient:rate_limited",
            Self::Upstream5xx => "transient:upstream_5xx",
            Self::Network => "transient:network",
            Self::Unauthorized => "terminal:unauthorized",
            Self::InvalidTargetOrPayload => "terminal:invalid_target_or_payload",
            Self::SendFailed => "terminal:send_failed",
            Self::MaxRetriesExceeded => "terminal:max_retries_exceeded",
        }
    }

    pub fn is_transient(self) -> bool {
        self.reason().starts_with("transient:")
    }
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}
