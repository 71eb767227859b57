//! Fetching what lies in an object store, through the proxy of the configuration: records that came as pointers, and texts of
//! shared items. Runs while there is a network; what is not to be had is given up, and that is recorded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::error::chain;
use crate::base::id::{TraceId, to_hex};
use crate::base::secret::Secret;
use crate::db::{DbError, Tx};
use crate::domain::event::Event;
use crate::group::inbox::{self, Away, Objection, Received};
use crate::group::share::{self, OBJECT_BYTES_MAX, Pointer};
use crate::group::wire::{LfsPointer, Topic};
use crate::link::http::{Client, Config, Cut, HttpError, Request, Url};
use crate::link::kafka::Record;
use crate::timeline;

use super::core::Core;
use super::hear::Hearing;
use super::work::After;

/// First wait before what could not be had is tried again; doubles each time.
const RETRY: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(3_600);
/// Answers of the proxy that are no content, before a record is given up.
const ATTEMPTS_MAX: u32 = share::ATTEMPTS_MAX;
/// How long a record waits for a proxy that cannot be reached.
const AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Fetched in one go of each kind.
const AT_ONCE_MAX: u32 = 16;
/// Events about records that were given up are this far apart at least.
const TOLD_EVERY: Duration = Duration::from_secs(600);
/// What came by a pointer was on no partition.
const NO_PARTITION: i32 = -1;

/// Where pointers are followed.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub url: Url,
    pub api_key: Secret<String>,
}

impl Proxy {
    fn download_url(&self) -> Url {
        let mut url = self.url.clone();
        // A path before the proxy's own is kept, as in KafClaw.
        url.set_path(&format!("{}/lfs/download", self.url.path().trim_end_matches('/')));
        url
    }
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the proxy could not be asked")]
    Ask(#[from] HttpError),
    #[error("the proxy answered with status {status}")]
    Status { status: u16 },
    #[error("the proxy's content has another {what} than the pointer says")]
    Other { what: &'static str },
}

impl FetchError {
    /// Whether it says nothing about the content itself.
    fn is_for_now(&self) -> bool {
        matches!(self, Self::Ask(error) if error.is_unreachable())
            || matches!(self, Self::Status { status: 401 | 403 | 429 | 500.. })
    }
}

/// Whether something is left to be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Left {
    Nothing,
    Something,
}

pub(super) async fn run(core: Arc<Core>) {
    let Some(proxy) = core.config.proxy.clone() else { return };
    let fetching = Fetching::new(core, proxy);
    let mut wait = RETRY;
    loop {
        let left = match fetching.pass().await {
            Ok(left) => left,
            Err(error) => {
                tracing::error!(error = chain(&error), "What was fetched for the group could not be stored.");
                Left::Something
            }
        };
        if left == Left::Nothing {
            fetching.core.pointed.notified().await;
            wait = RETRY;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
            () = fetching.core.pointed.notified() => {}
        }
    }
}

struct Fetching {
    core: Arc<Core>,
    proxy: Proxy,
    client: Client,
}

impl Fetching {
    fn new(core: Arc<Core>, proxy: Proxy) -> Self {
        let config = Config { body_bytes_max: OBJECT_BYTES_MAX, ..Config::for_url(&proxy.url) };
        Self { core, client: Client::new(config), proxy }
    }

    /// Tries everything that waits once.
    async fn pass(&self) -> Result<Left, DbError> {
        let away = self.core.db.read(|conn| inbox::away(conn, AT_ONCE_MAX)).await?;
        for one in away {
            match self.fetch(&one.pointer).await {
                Ok(value) => self.take(one, value).await?,
                Err(error) if error.is_for_now() && self.is_young(&one) => {
                    tracing::debug!(error = chain(&error), "The group's proxy cannot be asked now.");
                    return Ok(Left::Something);
                }
                Err(error) => self.miss(one, &error).await?,
            }
        }
        for (item_id, pointer) in self.core.db.read(|conn| share::unresolved(conn, AT_ONCE_MAX)).await? {
            let text = match self.fetch(&pointer).await {
                Ok(value) => Some(String::from_utf8(value.to_vec()).unwrap_or_default()),
                Err(error) if error.is_for_now() => return Ok(Left::Something),
                Err(_) => None,
            };
            let (shared, now) = (self.core.clone(), self.core.clock.now());
            let resolved =
                self.core.db.write(move |tx| share::resolve(tx, &item_id, text.as_deref(), shared.house.shelf(), now));
            resolved.await?;
        }
        let left = self.core.db.read(|conn| Ok((inbox::away(conn, 1)?, share::unresolved(conn, 1)?))).await?;
        Ok(if left.0.is_empty() && left.1.is_empty() { Left::Nothing } else { Left::Something })
    }

    fn is_young(&self, away: &Away) -> bool {
        self.core.clock.now().since(away.received_at) < AGE_MAX
    }

    async fn fetch(&self, pointer: &Pointer) -> Result<Bytes, FetchError> {
        if pointer.bytes > OBJECT_BYTES_MAX as u64 {
            return Err(FetchError::Other { what: "size" });
        }
        let body = json!({"bucket": pointer.bucket, "key": pointer.key, "mode": "stream"}).to_string();
        let mut request = Request::post_json(self.proxy.download_url(), body.into());
        if !self.proxy.api_key.reveal().is_empty() {
            request.headers.push(("x-api-key", self.proxy.api_key.clone()));
        }
        let response = self.client.send(request).await?;
        if response.status() != 200 {
            return Err(FetchError::Status { status: response.status() });
        }
        let (value, cut) = response.read(OBJECT_BYTES_MAX).await?;
        let is_whole = cut == Cut::Whole && (pointer.bytes == 0 || value.len() as u64 == pointer.bytes);
        if !is_whole {
            return Err(FetchError::Other { what: "size" });
        }
        if !pointer.sha256.is_empty() && !to_hex(&Sha256::digest(&value)).eq_ignore_ascii_case(&pointer.sha256) {
            return Err(FetchError::Other { what: "SHA-256" });
        }
        Ok(value)
    }

    /// Takes a record as if it had come itself.
    async fn take(&self, away: Away, value: Bytes) -> Result<(), DbError> {
        let core = self.core.clone();
        let taken = self.core.db.write(move |tx| {
            let record = Record::apart(&away.topic, (NO_PARTITION, away.offset), value.to_vec());
            inbox::settled(tx, away.id)?;
            let mut after = After::default();
            Hearing::new(&core, tx, away.received_at).take_fetched(&record, &mut after)?;
            Ok(after)
        });
        self.core.settle(taken.await?);
        Ok(())
    }

    async fn miss(&self, away: Away, error: &FetchError) -> Result<(), DbError> {
        let (core, why, is_over) = (self.core.clone(), chain(error), !self.is_young(&away));
        let missed = self.core.db.write(move |tx| {
            if inbox::missed(tx, away.id)? < ATTEMPTS_MAX && !is_over {
                return Ok(());
            }
            inbox::settled(tx, away.id)?;
            let record = Record::apart(&away.topic, (NO_PARTITION, away.offset), Vec::new());
            let hearing = Hearing::new(&core, tx, away.received_at);
            core.skip(tx, &hearing.outside(&record), &why, hearing.now)
        });
        missed.await
    }
}

impl Hearing<'_, '_> {
    /// A pointer to a record: it is fetched later, or skipped where there is no way to it.
    pub(super) fn pointed(&self, received: &Received, to: LfsPointer, after: &mut After) -> rusqlite::Result<()> {
        let bytes = u64::try_from(to.size).unwrap_or(0);
        let topic = self.core.config.topics.parse(&received.topic);
        if topic == Some(Topic::MemoryShared) && bytes > self.core.config.wire.free_bytes_max as u64 {
            // The content of an item, which is fetched when the item asks for it.
            return inbox::receive(self.tx, received, inbox::Verdict::NotForUs, self.now).map(drop);
        }
        let pointer = Pointer { bucket: to.bucket, key: to.key, bytes, sha256: to.sha256 };
        if self.core.config.proxy.is_none() {
            return self.core.skip(self.tx, received, "group.lfsProxyUrl names no proxy", self.now);
        }
        if bytes > self.core.config.wire.record_bytes_max as u64 {
            return self.core.skip(self.tx, received, "it is too large", self.now);
        }
        if !inbox::wait(self.tx, received, &pointer, self.now)? {
            return self.core.skip(self.tx, received, "too many wait already", self.now);
        }
        after.pointed = true;
        inbox::receive(self.tx, received, inbox::Verdict::NotForUs, self.now).map(drop)
    }
}

impl Core {
    /// Records that a record was not to be had, and says so now and then.
    fn skip(&self, tx: &Tx<'_>, received: &Received, why: &str, now: Timestamp) -> rusqlite::Result<()> {
        inbox::refuse(tx, received, Objection::Unresolved.as_str(), now)?;
        if !self.may_tell_of_skips(now, TOLD_EVERY) {
            return Ok(());
        }
        let event = Event {
            content: "A record of the group that lies in an object store was skipped.".to_owned(),
            metadata: json!({"topic": received.topic, "offset": received.offset, "reason": why}),
            ..Event::system("GROUP_INBOX", TraceId::random(), now, "GROUP_POINTER_SKIPPED")
        };
        timeline::append(tx, &event).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::group::hub::testing::{Notebook, core, core_with, hear};

    /// A proxy that answers each request with the next of `answers`; returns its address.
    async fn proxy(answers: Vec<(u16, &'static str)>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}/prefix/", listener.local_addr().expect("address"));
        tokio::spawn(async move {
            for (status, body) in answers {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut heard = Vec::new();
                let mut piece = [0; 4096];
                while !heard.ends_with(b"}") {
                    let count = stream.read(&mut piece).await.unwrap_or(0);
                    heard.extend_from_slice(&piece[..count]);
                    if count == 0 {
                        break;
                    }
                }
                let heard = String::from_utf8_lossy(&heard).to_lowercase();
                let is_right = heard.starts_with("post /prefix/lfs/download") && heard.contains("x-api-key: k");
                let status = if is_right { status } else { 418 };
                let len = body.len();
                let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Proxy { url: Url::parse(&url).expect("a URL"), api_key: Secret::new("k".to_owned()) }
    }

    async fn hub_with(answers: Vec<(u16, &'static str)>) -> (Fetching, Arc<Notebook>) {
        let proxy = proxy(answers).await;
        let (core, notes, _) = core_with("hub", |config| config.proxy = Some(proxy.clone())).await;
        (Fetching::new(core, proxy), notes)
    }

    fn pointer_to(value: &str, sha256_of: &str) -> String {
        json!({"kfs_lfs": 1, "bucket": "b", "key": format!("k/{}", value.len()), "size": value.len(),
            "sha256": to_hex(&Sha256::digest(sha256_of.as_bytes())), "checksum": "", "checksum_alg": "sha256",
            "content_type": "", "created_at": "", "proxy_id": ""})
        .to_string()
    }

    const SPAN: &str =
        r#"{"type":"trace","correlation_id":"t","sender_id":"go","payload":{"trace_id":"t","span_type":"LLM"}}"#;

    async fn spans(core: &Arc<Core>) -> usize {
        let all = crate::group::trace::TraceFilter { agent_id: String::new(), limit: 10, offset: 0 };
        core.db.read(move |conn| crate::group::trace::list(conn, &all)).await.expect("read").len()
    }

    async fn refusals(core: &Arc<Core>) -> Vec<(String, i64)> {
        let counts = core.db.read(inbox::refusal_counts).await.expect("read");
        counts.into_iter().map(|count| (count.reason, count.count)).collect()
    }

    #[tokio::test]
    async fn a_record_behind_a_pointer_is_taken_as_if_it_had_come_itself() {
        let (fetching, _) = hub_with(vec![(503, "later"), (200, SPAN)]).await;
        hear(&fetching.core, "group.g1.traces", pointer_to(SPAN, SPAN).as_bytes()).await;
        assert_eq!((fetching.pass().await.expect("passed"), spans(&fetching.core).await), (Left::Something, 0));
        assert_eq!((fetching.pass().await.expect("passed"), spans(&fetching.core).await), (Left::Nothing, 1));
        assert!(refusals(&fetching.core).await.is_empty());
    }

    #[tokio::test]
    async fn a_content_that_is_not_what_the_pointer_says_is_given_up() {
        let answers = vec![(200, SPAN); ATTEMPTS_MAX as usize];
        let (fetching, _) = hub_with(answers).await;
        hear(&fetching.core, "group.g1.traces", pointer_to(SPAN, "something else").as_bytes()).await;
        for _ in 0..ATTEMPTS_MAX {
            fetching.pass().await.expect("passed");
        }
        assert_eq!(fetching.pass().await.expect("passed"), Left::Nothing);
        assert_eq!(refusals(&fetching.core).await, [("unresolved".to_owned(), 1)]);
        assert_eq!(spans(&fetching.core).await, 0);
    }

    #[tokio::test]
    async fn a_text_of_an_item_is_fetched() {
        let (fetching, notes) = hub_with(vec![(200, "It was bled in May.")]).await;
        let pointer: serde_json::Value =
            serde_json::from_str(&pointer_to("It was bled in May.", "It was bled in May.")).expect("JSON");
        let item = json!({"type": "memory", "correlation_id": "mem-1", "sender_id": "go", "payload": {
            "item_id": "mem-1", "author_id": "go", "title": "Boiler", "content_type": "text/plain", "tags": null,
            "lfs_envelope": pointer, "created_at": "2026-08-18T14:30:12Z"}});
        hear(&fetching.core, "group.g1.memory.shared", item.to_string().as_bytes()).await;
        assert_eq!(notes.text("group:go:mem-1").as_deref(), Some("Boiler"));
        assert_eq!(fetching.pass().await.expect("passed"), Left::Nothing);
        assert_eq!(notes.text("group:go:mem-1").as_deref(), Some("Boiler\nIt was bled in May."));
    }

    #[tokio::test]
    async fn without_a_proxy_pointers_are_skipped_and_that_is_told_once() {
        let (core, ..) = core().await;
        for size in [10, 20, 30] {
            hear(&core, "group.g1.traces", pointer_to(&"x".repeat(size), "x").as_bytes()).await;
        }
        assert_eq!(refusals(&core).await, [("unresolved".to_owned(), 3)]);
        let told = core.db.read(|conn| timeline::after(conn, 0, 10)).await.expect("read");
        let told: Vec<String> = told.into_iter().map(|row| row.classification).collect();
        assert_eq!(told, ["GROUP_POINTER_SKIPPED"]);
    }
}
