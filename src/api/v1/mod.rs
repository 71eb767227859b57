//! The doors in OpenAI's dialect: whoever has a client for that needs no other.
//!
//! `/v1/models`, `/v1/embeddings`, `/v1/audio/*` and `/v1/chat/completions`, with OpenAI's shapes of bodies, answers and errors
//! (the `openai` clients are the reference). The model `kafclaw` is the whole assistant; the others are bare models.
//!
//! Absent on purpose: what needs OpenAI's own house (files, threads, billing), token arrays as input, and more than one answer.

mod assistant;
mod audio;
mod chat;
mod chat_body;
mod chunk;
mod embeddings;
mod error;
mod models;
mod stream;

pub use chunk::{delta, finish_reason};

use crate::api::Api;
use crate::http::{Access, Method, Route};

/// The model that is the whole assistant.
pub(super) const ASSISTANT: &str = "kafclaw";

/// Paths that take recordings.
pub const UPLOADS: &[&str] = &["/v1/audio/transcriptions", "/v1/audio/translations"];

pub(super) fn routes() -> Vec<Route<Api>> {
    let route = |method, path, summary, run| Route { method, path, access: Access::Token, summary, run };
    vec![
        route(Method::Get, "/v1/models", "The models that can be asked, in OpenAI's form.", |api, _| {
            Box::pin(async move { models::list(&api).await })
        }),
        route(Method::Get, "/v1/models/{id}", "One model, in OpenAI's form.", |api, request| {
            Box::pin(async move { models::one(&api, request.param("id")).await })
        }),
        route(Method::Get, "/v1/models/{owner}/{id}", "One model whose name has a slash.", |api, request| {
            let name = format!("{}/{}", request.param("owner"), request.param("id"));
            Box::pin(async move { models::one(&api, &name).await })
        }),
        route(
            Method::Post,
            "/v1/embeddings",
            "Vectors of texts: {input, model, encoding_format?, dimensions?, input_type?}, in OpenAI's form.",
            |api, request| Box::pin(async move { embeddings::create(&api, &request).await }),
        ),
        route(
            Method::Post,
            "/v1/audio/transcriptions",
            "A recording as text: multipart with file, model, language?, prompt?, response_format?, temperature?, timestamp_granularities[]?, stream?.",
            |api, request| Box::pin(audio::create(api, request, crate::inference::transcript::Task::Transcribe)),
        ),
        route(
            Method::Post,
            "/v1/audio/translations",
            "A recording as English text: multipart with file, model, prompt?, response_format?, temperature?.",
            |api, request| Box::pin(audio::create(api, request, crate::inference::transcript::Task::Translate)),
        ),
        route(
            Method::Post,
            "/v1/chat/completions",
            "Continue a conversation, in OpenAI's form; model `kafclaw` is the assistant, `local/<id>` a model of this house.",
            |api, request| Box::pin(chat::create(api, request)),
        ),
    ]
}
