//! The models of this house as members of the chain: `local/<id>`.

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api::{delta, finish_reason};
use crate::app::minds::Minds;
use crate::base::error::chain;
use crate::inference::language::{Completion, Piece, Request};
use crate::inference::worker::{EngineError, FaultKind, Kind, Listener};
use crate::provider::port::{LocalFault, LocalModels};

impl LocalModels for Minds {
    fn generate<'a>(
        &'a self,
        id: &'a str,
        body: Value,
        events: mpsc::Sender<Value>,
    ) -> BoxFuture<'a, Result<(), LocalFault>> {
        Box::pin(async move {
            let model = self.shelf.find(Kind::Language, id).await;
            let model = model.map_err(|refusal| LocalFault::Missing(refusal.sentence))?;
            let request = request(&body).map_err(|error| LocalFault::Refused(error.to_string()))?;
            let listener = Listener { sender: events.clone(), choose: chunk };
            let completion =
                self.engines.talk().generate(model, &request, listener).await.map_err(|error| fault(&error))?;
            let _ = events.send(end(&completion)).await;
            Ok(())
        })
    }
}

/// What the chain sends to servers has a few fields more, and the temperature somewhere else.
fn request(body: &Value) -> Result<Request, serde_json::Error> {
    let mut request = Request::deserialize(body)?;
    if let Some(temperature) = body.get("temperature").and_then(Value::as_f64) {
        request.sampling.temperature = temperature as f32;
    }
    Ok(request)
}

fn chunk(piece: Piece) -> Option<Value> {
    delta(&piece).map(|delta| json!({"choices": [{"delta": delta}]}))
}

fn end(completion: &Completion) -> Value {
    json!({
        "choices": [{"delta": {}, "finish_reason": finish_reason(completion)}],
        "usage": {"prompt_tokens": completion.prompt_tokens, "completion_tokens": completion.completion_tokens},
    })
}

fn fault(error: &EngineError) -> LocalFault {
    let why = chain(error);
    match error {
        EngineError::Fault(fault) if fault.kind == FaultKind::Input => LocalFault::Refused(why),
        EngineError::Fault(fault) if fault.kind == FaultKind::Model => LocalFault::Missing(why),
        _ => LocalFault::Failed(why),
    }
}
