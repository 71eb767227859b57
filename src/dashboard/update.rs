//! Updates of the whole system: seen, looked for, asked for, and handed on to other hubs.

use std::io::SeekFrom;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;

use crate::base::error::chain;
use crate::dashboard::{Dashboard, route};
use crate::http::{Access, Body, Method, Request, Response, Route, error};
use crate::update::{self, Automatic, Desk, Order, UpdateError};

const PIECE_BYTES: usize = 256 * 1024;
/// Pieces on their way to the client.
const PIECES_LEN: usize = 2;
const SOURCE_CHARS_MAX: usize = 2_000;

pub struct Updates {
    pub desk: Arc<Desk>,
    pub automatic: Automatic,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    source: String,
    #[serde(default)]
    downgrade: bool,
    #[serde(default)]
    restart: bool,
}

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    use Access::Token;
    use Method::{Get, Post};
    vec![
        route(Get, "/api/v1/update", Token, "Which system runs, how far an update is, and why the last one was taken back.", |it, _| Box::pin(async move { Response::json(&view(&it)) })),
        route(Post, "/api/v1/update/check", Token, "Look for a newer version: {source?}.", |it, request| Box::pin(check(it, request))),
        route(Post, "/api/v1/update/install", Token, "Write one to the other slot: {source?, downgrade?, restart?}.", |it, request| Box::pin(async move { install(&it, &request) })),
        route(Post, "/api/v1/update/restart", Token, "Start the system that was installed.", |it, _| Box::pin(async move { asked(&it, &update::Request::Restart) })),
        route(Post, "/api/v1/update/rollback", Token, "Go back to the system of the other slot, take back what waits, or call off what comes.", |it, _| Box::pin(async move { asked(&it, &update::Request::Rollback) })),
        route(Get, "/api/v1/update/release", Token, "What this hub hands on to others, as an index of updates.", |it, _| Box::pin(async move { release(&it) })),
        route(Get, "/api/v1/update/bundle", Token, "The bundle that was installed here; a Range goes on from there.", |it, request| Box::pin(bundle(it, request))),
    ]
}

fn view(it: &Dashboard) -> Value {
    let mut view = it.updates.desk.view();
    view["automatic"] = it.updates.automatic.view();
    view
}

async fn check(it: Arc<Dashboard>, request: Request) -> Response {
    let source = match wanted(&it, &request) {
        Ok(wanted) => wanted.source,
        Err(response) => return response,
    };
    let Updates { desk, automatic } = &it.updates;
    let now = it.clock.now();
    match desk.check(automatic.fetching(desk, &source), source, now).await {
        Ok(_) => Response::json(&view(&it)),
        Err(problem) => refused(&problem),
    }
}

fn install(it: &Dashboard, request: &Request) -> Response {
    let wanted = match wanted(it, request) {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    let source = match wanted.source.as_str() {
        "stick" => match update::bundle_on_stick(&crate::models::sticks()) {
            Ok(bundle) => bundle.display().to_string(),
            Err(problem) => return refused(&problem),
        },
        _ => wanted.source,
    };
    let order = Order { source, downgrade: wanted.downgrade, restart: wanted.restart, ..Order::default() };
    asked(it, &update::Request::Install { order })
}

fn asked(it: &Dashboard, request: &update::Request) -> Response {
    match it.updates.desk.ask(request) {
        Ok(()) => Response::json_with(202, &view(it)),
        Err(problem) => refused(&problem),
    }
}

/// What was asked for, from where the configuration says when nobody says anything.
fn wanted(it: &Dashboard, request: &Request) -> Result<Wanted, Response> {
    let mut wanted: Wanted = match request.body.is_empty() {
        true => Wanted { source: String::new(), downgrade: false, restart: false },
        false => request.json()?,
    };
    if wanted.source.is_empty() {
        wanted.source.clone_from(&it.updates.automatic.source);
    }
    if wanted.source.is_empty() || wanted.source.chars().count() > SOURCE_CHARS_MAX {
        let hint = "give `source`: a web address, a file, or `stick`; or set update.source";
        return Err(error(400, "nobody said where updates come from", Some(hint)));
    }
    Ok(wanted)
}

fn refused(problem: &UpdateError) -> Response {
    let status = match problem {
        UpdateError::Refused(update::Refusal::NoRauc) => 501,
        UpdateError::Refused(_) => 409,
        UpdateError::Fetch { .. } | UpdateError::Index { .. } => 502,
        UpdateError::NotOffered { .. } | UpdateError::NoStick => 404,
        _ => 500,
    };
    error(status, &chain(problem), None)
}

fn release(it: &Dashboard) -> Response {
    match it.updates.desk.index() {
        Some(index) => Response::json(&index),
        None => nothing(),
    }
}

fn nothing() -> Response {
    error(404, "this hub has no update to hand on", Some("it keeps the last one that was installed on it"))
}

async fn bundle(it: Arc<Dashboard>, request: Request) -> Response {
    let Some(served) = it.updates.desk.served() else { return nothing() };
    let total = served.facts.bytes;
    // One version may be built again; its length hardly stays the same, and the day does not.
    let tag = format!("\"{}-{}-{total}\"", plain(&served.facts.version), plain(&served.facts.build));
    let is_same = request.header("if-range").is_none_or(|known| known == tag);
    let start = request.header("range").filter(|_| is_same).and_then(range_start);
    if start.is_some_and(|start| start >= total) {
        return error(416, "the bundle is not that long", None).with("Content-Range", format!("bytes */{total}"));
    }
    let from = start.unwrap_or(0);
    let opened = async {
        let mut file = File::open(&served.path).await?;
        file.seek(SeekFrom::Start(from)).await.map(|_| file)
    };
    let file = match opened.await {
        Ok(file) => file,
        Err(problem) => {
            tracing::error!(error = %problem, "The bundle of the last update could not be read.");
            return error(503, "the bundle cannot be read right now", None);
        }
    };
    let (sender, pieces) = mpsc::channel(PIECES_LEN);
    tokio::spawn(send(file, total - from, sender));
    let mut response = Response {
        status: if start.is_some() { 206 } else { 200 },
        headers: vec![("Content-Type", "application/octet-stream".to_owned()), ("ETag", tag)],
        body: Body::Whole(pieces),
    };
    if start.is_some() {
        response = response.with("Content-Range", format!("bytes {from}-{}/{total}", total - 1));
    }
    response
}

/// Sends what is left, and the empty piece that marks the end only behind all of it: a bundle may be replaced meanwhile.
async fn send(mut file: File, mut left: u64, sender: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; PIECE_BYTES];
    while left > 0 {
        let Ok(count @ 1..) = file.read(&mut buffer).await else { return };
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= count as u64;
        if sender.send(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
            return;
        }
    }
    // A client that has gone away needs no end.
    let _ = sender.send(Bytes::new()).await;
}

/// `bytes=100-`: the rest from there. Other ranges are answered with the whole, as the standard allows (RFC 9110 §14.2).
fn range_start(range: &str) -> Option<u64> {
    let digits = range.strip_prefix("bytes=")?.strip_suffix('-')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn plain(text: &str) -> String {
    text.chars().filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rest_is_a_range() {
        assert_eq!((range_start("bytes=100-"), range_start("bytes=0-")), (Some(100), Some(0)));
        for range in
            ["bytes=-5", "bytes=1-2", "bytes=1-,3-", "lines=1-", "bytes=+1-", "bytes=99999999999999999999-", ""]
        {
            assert_eq!(range_start(range), None, "{range}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_a_range_or_none(range in "(bytes=)?\\PC{0,12}", start: u64) {
            let _ = range_start(&range);
            proptest::prop_assert_eq!(range_start(&format!("bytes={start}-")), Some(start));
        }
    }
}
