//! Why a model did not answer, sorted by what to do about it.

use std::time::Duration;

use serde_json::Value;

use crate::link::http::{HttpError, Response};
use crate::provider::assembly::{Fault, error_text};
use crate::provider::order::Verdict;
use crate::provider::port::LocalFault;

/// What is read of a refusal.
const REFUSAL_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it cannot be reached")]
    Unreachable { source: HttpError },
    #[error("nobody accepts connections there")]
    NobodyThere,
    #[error("it did not answer in time")]
    TimedOut,
    #[error("its key was refused (status {status}); check providers.*.apiKey")]
    KeyRefused { status: u16 },
    /// The server is well but has no such model, no credit, or is no such server.
    #[error("it is not served there (status {status}): {message}")]
    NotServed { status: u16, message: String },
    #[error("it is busy or broken (status {status}): {message}")]
    Unwell { status: u16, message: String, retry_after: Option<Duration>, said: String },
    #[error("it refused the request (status {status}): {message}")]
    Refused { status: u16, message: String, said: String },
    #[error("its answer broke off: {why}")]
    Broken { why: String },
    #[error("it sent what is no answer: {why}")]
    Garbled { why: String },
    #[error(transparent)]
    Here(#[from] LocalFault),
}

impl Failure {
    /// The server's whole words, from which its peculiarities are learned.
    pub(super) fn said(&self) -> &str {
        match self {
            Self::Refused { said, .. } | Self::Unwell { said, .. } => said,
            _ => "",
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::KeyRefused { .. } | Self::NotServed { .. } => Verdict::Wrong,
            Self::Unwell { retry_after: Some(wish), .. } => Verdict::Busy(*wish),
            // It understood and said no, so it is well.
            Self::Refused { .. } | Self::Here(LocalFault::Refused(_)) => Verdict::Answered,
            Self::Here(LocalFault::Missing(_)) => Verdict::Wrong,
            _ => Verdict::Failed,
        }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TimedOut { .. } => Self::TimedOut,
            HttpError::Broken { .. } => Self::Broken { why: error.to_string() },
            HttpError::Protocol { .. } | HttpError::TooLarge { .. } => Self::Garbled { why: error.to_string() },
            source => Self::Unreachable { source },
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Garbled => Self::Garbled { why: "it is not JSON".to_owned() },
            Fault::Reported(why) => Self::Broken { why },
        }
    }
}

/// Reads an answer whose status is not a success.
pub(super) async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let retry_after = response.header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let body = response.read(REFUSAL_BYTES_MAX).await.map(|(body, _)| body).unwrap_or_default();
    sort(status, retry_after, &String::from_utf8_lossy(&body))
}

fn sort(status: u16, retry_after: Option<Duration>, said: &str) -> Failure {
    let value: Value = serde_json::from_str(said).unwrap_or_default();
    let message = error_text(value.get("error").unwrap_or(&value));
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| said.contains(phrase));
    let said = said.to_owned();
    match status {
        401 | 403 => Failure::KeyRefused { status },
        400 if says(&["model_not_found", "is not a valid model", "API key not valid"]) => {
            Failure::NotServed { status, message }
        }
        429 if says(&["insufficient_quota"]) => Failure::NotServed { status, message },
        300..=399 | 402 | 404 | 405 | 410 | 501 => Failure::NotServed { status, message },
        408 | 409 | 425 | 429 | 500..=599 => Failure::Unwell { status, message, retry_after, said },
        _ => Failure::Refused { status, message, said },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_verdict() {
        for (status, said, verdict) in [
            (401, "{}", Verdict::Wrong),
            (403, "<html>", Verdict::Wrong),
            (402, r#"{"error":{"message":"no credit"}}"#, Verdict::Wrong),
            (404, r#"{"error":"model 'x' not found, try pulling it first"}"#, Verdict::Wrong),
            (307, "", Verdict::Wrong),
            (400, r#"{"error":{"message":"x is not a valid model ID"}}"#, Verdict::Wrong),
            (429, r#"{"error":{"code":"insufficient_quota"}}"#, Verdict::Wrong),
            (429, "{}", Verdict::Busy(Duration::from_secs(9))),
            (503, "", Verdict::Busy(Duration::from_secs(9))),
            (400, r#"{"error":{"message":"too long"}}"#, Verdict::Answered),
            (413, "", Verdict::Answered),
            (422, "[]", Verdict::Answered),
        ] {
            let failure = sort(status, Some(Duration::from_secs(9)), said);
            assert_eq!(failure.verdict(), verdict, "{status} {said}: {failure}");
        }
        assert_eq!(sort(500, None, "").verdict(), Verdict::Failed);
    }
}
