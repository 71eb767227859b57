//! `POST /v1/chat/completions` with a model of this house; the assistant has its own file.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::api::Api;
use crate::api::port::Refusal;
use crate::api::v1::chat_body::{Asked, Manner, read};
use crate::api::v1::chunk::{self, Envelope};
use crate::api::v1::stream::{EVENTS_LEN, Sink};
use crate::api::v1::{ASSISTANT, assistant, error};
use crate::http::{Request, Response};
use crate::inference::language::{Completion, Piece};

/// Pieces between the model and the events that are made of them.
const PIECES_LEN: usize = 64;

pub(super) async fn create(api: Arc<Api>, request: Request) -> Response {
    let asked = match read(&request.body) {
        Ok(asked) => asked,
        Err(wrong) => return wrong.response(),
    };
    let created = api.intake.clock().now().as_millis() / 1000;
    let envelope = Envelope::new(if asked.model.is_empty() { ASSISTANT } else { &asked.model }, created);
    if envelope.model == ASSISTANT {
        return assistant::answer(&api, asked, envelope).await;
    }
    match asked.manner {
        Manner::Streamed { with_usage } => stream(api, request, asked, envelope, with_usage).await,
        Manner::Whole => {
            let (pieces, _nobody_listens) = mpsc::channel(PIECES_LEN);
            let completed = tokio::select! {
                completed = api.talk.generate(&asked.model, asked.request, pieces) => completed,
                () = request.left.triggered() => return error::failed(503, "nobody waits for the answer"),
            };
            match completed {
                Ok(done) => Response::json(&envelope.whole(
                    &chunk::message(&done),
                    chunk::finish_reason(&done),
                    &chunk::usage(&done),
                )),
                Err(refusal) => error::refused(&refusal),
            }
        }
    }
}

/// The stream begins with the first piece: what goes wrong before it has a status of its own.
async fn stream(api: Arc<Api>, request: Request, asked: Asked, envelope: Envelope, with_usage: bool) -> Response {
    let (sender, events) = mpsc::channel(EVENTS_LEN);
    let (ready, begun) = oneshot::channel();
    let speaker = Speaker { sink: Sink(sender), envelope, with_usage, ready: Some(ready) };
    tokio::spawn(speaker.run(api, asked));
    tokio::select! {
        begun = begun => match begun {
            Ok(Err(refusal)) => error::refused(&refusal),
            _ => Response::events(events),
        },
        // The receiver goes with this future, and the work with the receiver.
        () = request.left.triggered() => error::failed(503, "nobody waits for the answer"),
    }
}

/// Turns pieces into events for as long as somebody listens.
struct Speaker {
    sink: Sink,
    envelope: Envelope,
    with_usage: bool,
    ready: Option<oneshot::Sender<Result<(), Refusal>>>,
}

impl Speaker {
    async fn run(mut self, api: Arc<Api>, asked: Asked) {
        let (sender, mut pieces) = mpsc::channel(PIECES_LEN);
        let work = api.talk.generate(&asked.model, asked.request, sender);
        let mut work = std::pin::pin!(work);
        let completed = loop {
            tokio::select! {
                biased;
                Some(piece) = pieces.recv() => {
                    if !self.tell(&piece).await {
                        return;
                    }
                }
                completed = &mut work => break completed,
                () = self.sink.left() => return,
            }
        };
        while let Ok(piece) = pieces.try_recv() {
            self.tell(&piece).await;
        }
        self.finish(completed).await;
    }

    /// False when nobody listens any more.
    async fn tell(&mut self, piece: &Piece) -> bool {
        if !self.begin().await {
            return false;
        }
        match chunk::delta(piece) {
            Some(delta) => self.sink.send(&self.envelope.part(&delta, None)).await,
            None => true,
        }
    }

    /// The first chunk says who speaks.
    async fn begin(&mut self) -> bool {
        let Some(ready) = self.ready.take() else { return true };
        let first = self.envelope.part(&json!({"role": "assistant", "content": ""}), None);
        ready.send(Ok(())).is_ok() && self.sink.send(&first).await
    }

    async fn finish(mut self, completed: Result<Completion, Refusal>) {
        match completed {
            Ok(done) => {
                self.begin().await;
                let last: Value = self.envelope.part(&json!({}), Some(chunk::finish_reason(&done)));
                self.sink.send(&last).await;
                if self.with_usage {
                    self.sink.send(&self.envelope.usage(&chunk::usage(&done))).await;
                }
                self.sink.end().await;
            }
            Err(refusal) => match self.ready.take() {
                Some(ready) => {
                    let _ = ready.send(Err(refusal));
                }
                None => self.sink.refuse(&refusal).await,
            },
        }
    }
}
