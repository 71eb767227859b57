//! Floor 5: chat models over HTTP and in this house, and the order they are asked in.
//!
//! Every provider is spoken to in the one dialect all of them understand, OpenAI's chat completions (specification §10.2);
//! Anthropic and Google serve it beside their own. Who may do what: `app` builds a [`Chain`] from the configuration; the turn
//! asks it and neither knows nor cares which model answered. Models of this house come through a [`port`].
//!
//! Absent on purpose: tools and prompts (the turn brings them), and running a model.

mod assembly;
mod catalog;
mod chain;
mod client;
mod failure;
mod here;
mod member;
mod order;
pub mod port;
mod quirk;
mod quota;
mod sse;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;
mod think;
mod wire;

pub use assembly::Answer;
pub use catalog::{CatalogError, Endpoint, resolve};
pub use chain::{Chain, ModelStatus};
pub use quota::RateLimits;
pub use wire::Message;

use std::time::Duration;

use serde_json::Value;

/// How models are asked.
#[derive(Clone, Debug)]
pub struct Options {
    pub max_tokens: u32,
    pub temperature: f32,
    /// For one model's answer, from the call to the last word, with all its retries.
    pub timeout: Duration,
}

/// A question to whichever model answers first.
#[derive(Clone, Debug)]
pub struct Request {
    pub messages: Vec<Message>,
    /// Schemas in OpenAI's form, sorted by name so that prompts cache.
    pub tools: Vec<Value>,
}

/// What a listener hears while an answer grows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delta {
    Text(String),
    /// What was said is void: an answer starts over, or it was only a thought.
    Restart,
}

#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("no model can be reached; tried {tried}")]
    NoneReachable { tried: String },
    #[error("{model} refused the request (status {status}): {message}")]
    Refused { model: String, status: u16, message: String },
}
