//! Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

use serde_json::{Value, json};

use crate::api::port::{Reason, Refusal};
use crate::http::{Response, Status};

/// What is wrong with a request, and with which of its fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    pub param: &'static str,
    pub sentence: String,
}

impl Wrong {
    pub(super) fn new(param: &'static str, sentence: impl Into<String>) -> Self {
        Self { param, sentence: sentence.into() }
    }

    pub(super) fn response(&self) -> Response {
        let param = (!self.param.is_empty()).then_some(self.param);
        let body = body("invalid_request_error", &self.sentence, param, None);
        Response::json_with(400, &body)
    }
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    let (status, _) = status(refusal.reason);
    let response = Response::json_with(status, &refusal_body(refusal));
    if matches!(status, 429 | 503) { response.with("Retry-After", "1") } else { response }
}

/// The same inside a stream, whose status is sent already.
pub(super) fn refusal_body(refusal: &Refusal) -> Value {
    let (_, kind) = status(refusal.reason);
    let is_missing = refusal.reason == Reason::NoModel;
    body(kind, &refusal.sentence, is_missing.then_some("model"), is_missing.then_some("model_not_found"))
}

fn status(reason: Reason) -> (Status, &'static str) {
    match reason {
        Reason::NoModel => (404, "invalid_request_error"),
        Reason::Input => (400, "invalid_request_error"),
        Reason::Busy => (429, "rate_limit_error"),
        Reason::Unavailable => (503, "server_error"),
    }
}

/// An error that is the house's.
pub(super) fn failed(status: Status, sentence: &str) -> Response {
    Response::json_with(status, &body("server_error", sentence, None, None))
}

fn body(kind: &str, sentence: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({"error": {"message": sentence, "type": kind, "param": param, "code": code}})
}
