//! One model asked once, with retries for what passes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::base::secret::Secret;
use crate::link::http::{Client, Config, HttpError, Request as HttpRequest, Response};
use crate::provider::sse::Events;
use crate::provider::wire::{self, Answer, Assembly};
use crate::provider::{Delta, Endpoint, Options, Request};

/// Further tries after a busy or broken answer.
const RETRIES_MAX: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(500);
/// A server that wants more patience than this is passed over.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// Why one model did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it cannot be reached")]
    Unreachable { source: HttpError },
    #[error("it did not answer in time")]
    TimedOut,
    #[error("its key was refused (status {status}); check providers.*.apiKey")]
    Misconfigured { status: u16 },
    #[error("it is busy or broken (status {status})")]
    Unwell { status: u16, retry_after: Option<Duration> },
    #[error("it refused the request (status {status}): {message}")]
    Refused { status: u16, message: String },
    #[error("its answer broke off: {why}")]
    Broken { why: String },
}

pub(super) struct Model {
    pub endpoint: Endpoint,
    http: Client,
}

impl Model {
    pub(super) fn new(endpoint: Endpoint, options: &Options) -> Self {
        let http = Client::new(Config { total_timeout: options.timeout, ..Config::for_url(&endpoint.base) });
        Self { endpoint, http }
    }

    /// Asks, tries again after 429 and 5xx, and streams the text. What was shown of a failed answer is taken back.
    pub(super) async fn ask(
        &self,
        options: &Options,
        request: &Request,
        listener: Option<&mpsc::Sender<Delta>>,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + options.timeout;
        let mut attempt = 0;
        loop {
            let mut shown = false;
            let asked = self.ask_once(options, request, listener, &mut shown);
            let failure = match timeout_at(deadline, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::TimedOut,
            };
            if shown && let Some(listener) = listener {
                let _ = listener.send(Delta::Restart).await;
            }
            let wait = match &failure {
                Failure::Unwell { retry_after: Some(wait), .. } if *wait > RETRY_AFTER_MAX => return Err(failure),
                Failure::Unwell { retry_after, .. } => retry_after.unwrap_or_else(|| backoff(attempt)),
                Failure::Broken { .. } => backoff(attempt),
                _ => return Err(failure),
            };
            attempt += 1;
            if attempt > RETRIES_MAX || Instant::now() + wait >= deadline {
                return Err(failure);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask_once(
        &self,
        options: &Options,
        request: &Request,
        listener: Option<&mpsc::Sender<Delta>>,
        shown: &mut bool,
    ) -> Result<Answer, Failure> {
        let body = wire::body(&self.endpoint, options, request).to_string();
        let mut http = HttpRequest::post_json(self.endpoint.completions(), Bytes::from(body));
        if !self.endpoint.key.is_empty() {
            let bearer = format!("Bearer {}", self.endpoint.key.reveal());
            http.headers.push(("authorization", Secret::new(bearer)));
        }
        let response = self.http.send(http).await.map_err(sort)?;
        if !response.is_success() {
            return Err(refusal(response).await);
        }
        let is_stream = response.header("content-type").is_some_and(|kind| kind.contains("event-stream"));
        self.read(response, is_stream, listener, shown).await
    }

    async fn read(
        &self,
        mut response: Response,
        is_stream: bool,
        listener: Option<&mpsc::Sender<Delta>>,
        shown: &mut bool,
    ) -> Result<Answer, Failure> {
        let broken = |why: String| Failure::Broken { why };
        let mut assembly = Assembly::default();
        let mut events = Events::default();
        let mut whole = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(sort)? {
            if !is_stream {
                whole.extend_from_slice(&piece);
                continue;
            }
            for data in events.feed(&piece) {
                let text = assembly.take(&data).map_err(broken)?;
                show(text, listener, shown).await;
            }
        }
        if !is_stream {
            // A server that does not stream sends the whole answer as one JSON object.
            let text = assembly.take(&String::from_utf8_lossy(&whole)).map_err(broken)?;
            show(text, listener, shown).await;
        }
        if !assembly.is_done() {
            return Err(broken("it ended in the middle".to_owned()));
        }
        Ok(assembly.finish(&self.endpoint))
    }
}

async fn show(text: String, listener: Option<&mpsc::Sender<Delta>>, shown: &mut bool) {
    if text.is_empty() {
        return;
    }
    *shown = true;
    if let Some(listener) = listener {
        // A listener that has left misses nothing: the answer is kept.
        let _ = listener.send(Delta::Text(text)).await;
    }
}

fn sort(error: HttpError) -> Failure {
    match error {
        HttpError::TimedOut { .. } => Failure::TimedOut,
        HttpError::Broken { .. } | HttpError::Protocol { .. } | HttpError::TooLarge { .. } => {
            Failure::Broken { why: error.to_string() }
        }
        source => Failure::Unreachable { source },
    }
}

async fn refusal(response: Response) -> Failure {
    const MESSAGE_BYTES_MAX: usize = 8 * 1024;
    let status = response.status();
    let retry_after = response.header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match status {
        401 | 403 => Failure::Misconfigured { status },
        408 | 429 | 500..=599 => Failure::Unwell { status, retry_after },
        _ => {
            let body = response.read(MESSAGE_BYTES_MAX).await.map(|(body, _)| body).unwrap_or_default();
            let value: Value = serde_json::from_slice(&body).unwrap_or_default();
            let message = wire::error_text(value.get("error").unwrap_or(&value));
            Failure::Refused { status, message }
        }
    }
}

/// Doubles, and is spread so that a house of hubs does not come back in step.
fn backoff(attempt: u32) -> Duration {
    let mut random = [0_u8; 1];
    let _ = getrandom::fill(&mut random);
    (BACKOFF * 2_u32.saturating_pow(attempt)).mul_f64(0.75 + f64::from(random[0]) / 512.0)
}
