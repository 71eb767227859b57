//! One model: asked, asked again after what passes, and listened to with bounded patience.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::base::secret::Secret;
use crate::domain::message::Route;
use crate::link::http::{Client, Request as HttpRequest, Response};
use crate::provider::assembly::{Answer, Assembly};
use crate::provider::catalog::completions;
use crate::provider::failure::{Failure, refusal};
use crate::provider::quirk::Quirks;
use crate::provider::sse::Events;
use crate::provider::think::Piece;
use crate::provider::{Delta, Endpoint, Options, RateLimits, Request, wire};

/// Further tries after a busy or broken answer.
const RETRIES_MAX: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(500);
/// A server that wants more patience than this is passed over.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// A remote server that says nothing for so long hangs. (A dead network shows sooner, see `link::http`.)
const SILENCE_REMOTE_MAX: Duration = Duration::from_secs(60);
/// After the model's last word: usage may follow, and some servers never hang up.
const TAIL_MAX: Duration = Duration::from_secs(2);
/// A connection is accepted within this, or the model stays passed over.
const KNOCK_MAX: Duration = Duration::from_millis(1_500);
/// A listener that takes nothing for so long is not waited for.
const LISTENER_MAX: Duration = Duration::from_secs(1);

pub(super) struct Model {
    pub endpoint: Endpoint,
    base: Url,
    http: Client,
    /// Longest wait for the first word and between two.
    silence_max: Duration,
    learned: Mutex<Learned>,
}

/// What its answers have told about a server.
#[derive(Clone, Debug, Default)]
struct Learned {
    quirks: Quirks,
    limits: Option<RateLimits>,
}

impl Model {
    pub(super) fn new(endpoint: Endpoint, base: Url, http: Client, options: &Options) -> Self {
        // A small board may load a model and read a long prompt for as long as it is given.
        let silence_max = match endpoint.route {
            Route::Remote => SILENCE_REMOTE_MAX.min(options.timeout),
            _ => options.timeout,
        };
        Self::with_silence(endpoint, base, http, silence_max)
    }

    pub(super) fn with_silence(endpoint: Endpoint, base: Url, http: Client, silence_max: Duration) -> Self {
        Self { endpoint, base, http, silence_max, learned: Mutex::default() }
    }

    /// Whether somebody is there.
    pub(super) async fn knock(&self) -> bool {
        timeout(KNOCK_MAX, self.http.probe(&self.base)).await.unwrap_or(false)
    }

    pub(super) fn limits(&self) -> Option<RateLimits> {
        self.lock().limits.clone()
    }

    /// Asks, tries again after 429 and 5xx, and streams the text. What was shown of a failed answer is taken back.
    pub(super) async fn ask(
        &self,
        options: &Options,
        request: &Request,
        listener: Option<&mpsc::Sender<Delta>>,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + options.timeout;
        let mut audience = Audience::new(listener);
        let mut attempt = 0;
        loop {
            let mut quirks = self.lock().quirks;
            let asked = self.ask_once(options, request, quirks, &mut audience);
            let failure = match timeout_at(deadline, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::TimedOut,
            };
            audience.take_back().await;
            if quirks.learn(failure.said()) {
                tracing::info!(peer = self.endpoint.name(), error = %failure, "A model is asked differently from now on.");
                let mut learned = self.lock();
                learned.quirks = learned.quirks.and(quirks);
                continue;
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
        quirks: Quirks,
        audience: &mut Audience<'_>,
    ) -> Result<Answer, Failure> {
        let body = wire::body(&self.endpoint, options, request, quirks).to_string();
        let mut http = HttpRequest::post_json(completions(&self.base), Bytes::from(body));
        if !self.endpoint.key.is_empty() {
            let bearer = format!("Bearer {}", self.endpoint.key.reveal());
            http.headers.push(("authorization", Secret::new(bearer)));
        }
        let response = timeout(self.silence_max, self.http.send(http)).await.map_err(|_| Failure::TimedOut)??;
        if let Some(limits) = RateLimits::read(|name| response.header(name)) {
            self.lock().limits = Some(limits);
        }
        if !response.is_success() {
            return Err(timeout(self.silence_max, refusal(response)).await.unwrap_or(Failure::TimedOut));
        }
        let mut assembly = if response.header("content-type").is_some_and(|kind| kind.contains("event-stream")) {
            self.read_stream(response, audience).await?
        } else {
            self.read_whole(response, audience).await?
        };
        if !assembly.is_done() {
            return Err(Failure::Broken { why: "it ended in the middle".to_owned() });
        }
        audience.hear(assembly.end()).await;
        Ok(assembly.finish(&self.endpoint))
    }

    async fn read_stream(&self, mut response: Response, audience: &mut Audience<'_>) -> Result<Assembly, Failure> {
        let mut assembly = Assembly::default();
        let mut events = Events::default();
        while !assembly.is_over() {
            let wait = if assembly.is_done() { TAIL_MAX.min(self.silence_max) } else { self.silence_max };
            let piece = match timeout(wait, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => break,
                // The answer is whole; what breaks after it breaks nothing.
                Ok(Err(_)) | Err(_) if assembly.is_done() => break,
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(Failure::TimedOut),
            };
            for data in events.feed(&piece) {
                audience.hear(assembly.take(&data)?).await;
            }
        }
        for data in events.end() {
            audience.hear(assembly.take(&data)?).await;
        }
        Ok(assembly)
    }

    /// A server that does not stream sends the whole answer as one JSON object; one that mislabels its stream sends events.
    async fn read_whole(&self, mut response: Response, audience: &mut Audience<'_>) -> Result<Assembly, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = timeout(self.silence_max, response.chunk()).await.map_err(|_| Failure::TimedOut)?? {
            body.extend_from_slice(&piece);
        }
        let mut assembly = Assembly::default();
        let text = String::from_utf8_lossy(&body);
        if text.trim_start().starts_with('{') {
            audience.hear(assembly.take(&text)?).await;
            return Ok(assembly);
        }
        let mut events = Events::default();
        let found: Vec<String> = events.feed(&body).into_iter().chain(events.end()).collect();
        if found.is_empty() {
            return Err(Failure::Garbled { why: "it is not JSON".to_owned() });
        }
        for data in found {
            audience.hear(assembly.take(&data)?).await;
        }
        Ok(assembly)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever hears the answer grow.
pub(super) struct Audience<'a> {
    listener: Option<&'a mpsc::Sender<Delta>>,
    has_heard: bool,
}

impl<'a> Audience<'a> {
    pub(super) fn new(listener: Option<&'a mpsc::Sender<Delta>>) -> Self {
        Self { listener, has_heard: false }
    }

    pub(super) async fn hear(&mut self, piece: Piece) {
        if piece.is_restart {
            self.take_back().await;
        }
        if !piece.text.is_empty() {
            self.has_heard = true;
            self.send(Delta::Text(piece.text)).await;
        }
    }

    pub(super) async fn take_back(&mut self) {
        if std::mem::take(&mut self.has_heard) {
            self.send(Delta::Restart).await;
        }
    }

    /// A listener that has left or stands still misses nothing: the answer is kept.
    async fn send(&mut self, delta: Delta) {
        let Some(listener) = self.listener else { return };
        if !matches!(timeout(LISTENER_MAX, listener.send(delta)).await, Ok(Ok(()))) {
            self.listener = None;
        }
    }
}

/// Doubles, and is spread so that a house of hubs does not come back in step.
fn backoff(attempt: u32) -> Duration {
    let mut random = [0_u8; 1];
    let _ = getrandom::fill(&mut random);
    (BACKOFF * 2_u32.saturating_pow(attempt)).mul_f64(0.75 + f64::from(random[0]) / 512.0)
}
