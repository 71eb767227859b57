//! Floor 1: the nouns of the house. Values only; nothing here waits, stores or sends.

pub mod call;
pub mod event;
pub mod household;
pub mod message;
pub mod peer;
pub mod record;
pub mod refusal;
pub mod task;
