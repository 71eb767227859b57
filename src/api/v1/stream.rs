//! Server-sent events as OpenAI's clients read them: `data: <JSON>`, and `data: [DONE]` at the end.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::api::port::Refusal;
use crate::api::v1::error;

/// Events on their way to the door.
pub(super) const EVENTS_LEN: usize = 64;

/// The sending end of a streamed answer.
pub(super) struct Sink(pub mpsc::Sender<Bytes>);

impl Sink {
    /// False when nobody listens any more.
    pub(super) async fn send(&self, event: &Value) -> bool {
        self.0.send(Bytes::from(format!("data: {event}\n\n"))).await.is_ok()
    }

    /// For what is worth little a moment later: left out when the listener is behind.
    pub(super) fn offer(&self, event: &Value) {
        let _ = self.0.try_send(Bytes::from(format!("data: {event}\n\n")));
    }

    pub(super) async fn refuse(&self, refusal: &Refusal) {
        self.send(&error::refusal_body(refusal)).await;
    }

    pub(super) async fn end(&self) {
        let _ = self.0.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
    }

    /// Returns once nobody listens any more.
    pub(super) async fn left(&self) {
        self.0.closed().await;
    }
}
