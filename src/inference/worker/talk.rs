//! Language models behind the handle: a conversation goes in, pieces of the answer come out while it grows.

use bytes::Bytes;

use crate::inference::language::{Completion, Piece, Request};
use crate::inference::worker::message::ModelSpec;
use crate::inference::worker::{EngineError, Engines, Listener};

/// [`Engines`] as somebody who wants to talk sees them.
#[derive(Clone)]
pub struct Talk {
    engines: Engines,
}

impl Talk {
    pub(super) fn new(engines: Engines) -> Self {
        Self { engines }
    }

    /// Continues a conversation. Whoever drops this future has the model stop.
    pub async fn generate<T>(
        &self,
        model: ModelSpec,
        request: &Request,
        listener: Listener<Piece, T>,
    ) -> Result<Completion, EngineError> {
        let garbled = |error: serde_json::Error| EngineError::Garbled { why: error.to_string() };
        let job = serde_json::to_value(request).map_err(garbled)?;
        let result = self.engines.run(model, job, Bytes::new(), listener).await?;
        serde_json::from_value(result).map_err(garbled)
    }
}
