//! The models as the doors in OpenAI's dialect see them.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::api::port::{
    Embedded, Embeddings, Heard, Hearing, Listening, Models, Purpose, Reason, Refusal, Speech, Talk,
};
use crate::app::minds::{Minds, microphone};
use crate::base::error::chain;
use crate::inference::embed::{EmbedError, TextUse};
use crate::inference::language;
use crate::inference::transcript::Transcript;
use crate::inference::whisper;
use crate::inference::worker::{self, EngineError, FaultKind, Kind, Listener, Recording};

impl Models for Minds {
    fn ids(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            let mut ids: Vec<String> = self.meaning.embedder().iter().map(|embedder| embedder.status().id).collect();
            ids.extend(self.shelf.ids().await);
            ids
        })
    }
}

impl Embeddings for Minds {
    fn embed<'a>(
        &'a self,
        model: &'a str,
        texts: Vec<String>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Embedded, Refusal>> {
        Box::pin(async move {
            let none = || Refusal::new(Reason::NoModel, "no embedding model is installed");
            let embedder = self.meaning.embedder().ok_or_else(none)?;
            let id = embedder.status().id;
            let is_meant =
                model.is_empty() || self.meaning.store().manifest().find(model).is_some_and(|entry| entry.id == id);
            if !is_meant {
                let sentence = format!("there is no model `{model}` to embed with; the one in use here is `{id}`");
                return Err(Refusal::new(Reason::NoModel, sentence));
            }
            let use_ = match purpose {
                Purpose::Question => TextUse::Query,
                Purpose::Passage => TextUse::Passage,
            };
            let embedded = embedder.embed_counted(texts, use_).await.map_err(|error| {
                let reason = match &error {
                    EmbedError::Unavailable { .. } => Reason::NoModel,
                    EmbedError::TooMany { .. } => Reason::Input,
                    EmbedError::Busy { .. } => Reason::Busy,
                    _ => Reason::Unavailable,
                };
                Refusal::new(reason, chain(&error))
            })?;
            Ok(Embedded { model: id, vectors: embedded.vectors, tokens: embedded.tokens })
        })
    }
}

impl Speech for Minds {
    fn transcribe<'a>(
        &'a self,
        model: &'a str,
        recording: Bytes,
        hearing: Hearing,
        heard: Option<mpsc::Sender<Heard>>,
    ) -> BoxFuture<'a, Result<Transcript, Refusal>> {
        Box::pin(async move {
            let model = self.shelf.find(Kind::Speech, model).await?;
            let detector = self.shelf.detector().await?;
            let options = options(hearing);
            let (nobody, _) = mpsc::channel(1);
            let listener = Listener { sender: heard.unwrap_or(nobody), choose: words };
            let speech = self.engines.speech();
            speech
                .transcribe(model, Recording::File(recording), worker::Hearing { options, detector }, listener)
                .await
                .map_err(|error| refused(&error))
        })
    }

    fn listen<'a>(&'a self, model: &'a str, hearing: Hearing) -> BoxFuture<'a, Result<Box<dyn Listening>, Refusal>> {
        Box::pin(async move {
            let model = self.shelf.find(Kind::Speech, model).await?;
            let detector = self.shelf.detector().await?;
            microphone::open(self.engines.speech(), model, options(hearing), detector)
        })
    }
}

impl Talk for Minds {
    fn generate<'a>(
        &'a self,
        model: &'a str,
        request: language::Request,
        pieces: mpsc::Sender<language::Piece>,
    ) -> BoxFuture<'a, Result<language::Completion, Refusal>> {
        Box::pin(async move {
            let model = self.shelf.find(Kind::Language, model.strip_prefix("local/").unwrap_or(model)).await?;
            let listener = Listener { sender: pieces, choose: Some };
            self.engines.talk().generate(model, &request, listener).await.map_err(|error| refused(&error))
        })
    }
}

fn options(hearing: Hearing) -> whisper::Options {
    let usual = whisper::Options::default();
    whisper::Options {
        task: hearing.task,
        language: hearing.language,
        prompt: hearing.prompt,
        word_times: hearing.word_times,
        temperatures: hearing.temperature.map_or(usual.temperatures, |temperature| vec![temperature]),
        ..whisper::Options::default()
    }
}

fn words(progress: whisper::Progress) -> Option<Heard> {
    match progress {
        whisper::Progress::Said(segment) => Some(Heard::Said(segment)),
        whisper::Progress::Guess { text } => Some(Heard::Guess(text)),
        whisper::Progress::Heard { .. } => None,
    }
}

pub(super) fn refused(error: &EngineError) -> Refusal {
    let reason = match error {
        EngineError::Fault(fault) => match fault.kind {
            FaultKind::Input => Reason::Input,
            FaultKind::Busy => Reason::Busy,
            FaultKind::Model | FaultKind::Memory | FaultKind::Cancelled | FaultKind::Broken => Reason::Unavailable,
        },
        EngineError::Busy | EngineError::Slow => Reason::Busy,
        _ => Reason::Unavailable,
    };
    Refusal::new(reason, chain(error))
}
