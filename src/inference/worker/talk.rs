//! Language models behind the handle: a conversation goes in, pieces of the answer come out while it grows.

use bytes::Bytes;
use serde_json::Value;

use crate::inference::language::{Completion, Piece, Request};
use crate::inference::worker::message::ModelSpec;
use crate::inference::worker::{EngineError, Engines};

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
    pub async fn generate(
        &self,
        model: ModelSpec,
        request: &Request,
        mut hear: impl AsyncFnMut(Piece),
    ) -> Result<Completion, EngineError> {
        let garbled = |error: serde_json::Error| EngineError::Garbled { why: error.to_string() };
        let job = serde_json::to_value(request).map_err(garbled)?;
        let pass_on = async |piece: Value| {
            // A piece of a newer worker than this gateway is no reason to lose the answer.
            if let Ok(piece) = serde_json::from_value(piece) {
                hear(piece).await;
            }
        };
        let result = self.engines.run(model, job, Bytes::new(), pass_on).await?;
        serde_json::from_value(result).map_err(garbled)
    }
}
