//! What the chain needs from the house's own engines.

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;

/// Why a model of this house gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LocalFault {
    /// It is not installed, or cannot be loaded.
    #[error("{0}")]
    Missing(String),
    /// It is well and cannot do what was asked.
    #[error("{0}")]
    Refused(String),
    /// It fell, or there is no room for it at the moment.
    #[error("{0}")]
    Failed(String),
}

/// Language models that run in this house.
pub trait LocalModels: Send + Sync {
    /// Answers `body`, a request in OpenAI's form, with the model `id`. What is said goes to `events` as the chunks of OpenAI's
    /// streams, the last of them with the reason of the end and the usage. Whoever drops the future has the model stop.
    fn generate<'a>(
        &'a self,
        id: &'a str,
        body: Value,
        events: mpsc::Sender<Value>,
    ) -> BoxFuture<'a, Result<(), LocalFault>>;
}
