//! The door of a KafScale LFS proxy (group specification §1.2, and the proxy's own OpenAPI document): agents that speak to the group
//! through such a proxy may use this hub as one. What they produce waits here while there is no network, and goes to its
//! topic as it is.
//!
//! Absent on purpose: object stores, presigned addresses, and choosing a partition: order is by key.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::base::error::chain;
use crate::base::id::{random_hex, to_hex};
use crate::group::hub::{Foreign, Group, SpoolError};
use crate::group::outbox::OutboxError;
use crate::http::{Access, Method, Request, Response, Route};

/// Longest name of a topic, in bytes (Kafka's own bound).
const TOPIC_BYTES_MAX: usize = 249;
/// Longest key of a record, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// Longest id of a request that is repeated in its answer, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

pub(super) fn routes() -> Vec<Route<Api>> {
    vec![
        Route {
            method: Method::Post,
            path: "/lfs/produce",
            access: Access::Token,
            summary: "A record for a topic of the group, as to a KafScale LFS proxy: X-Kafka-Topic, X-Kafka-Key?, X-Request-ID?, X-LFS-Checksum?; the body is the record.",
            run: |api, request| Box::pin(produce(api, request)),
        },
        Route {
            method: Method::Get,
            path: "/lfs/produce",
            access: Access::Open,
            summary: "Whether records for the group are taken.",
            run: |api, request| Box::pin(async move { health(&api, &request) }),
        },
        Route {
            method: Method::Post,
            path: "/lfs/download",
            access: Access::Token,
            summary: "The content that a pointer of this hub leads to: {bucket, key, mode: \"stream\"}.",
            run: |api, request| Box::pin(download(api, request)),
        },
    ]
}

/// What went wrong, in KafScale's words.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

fn refusal(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into() }
}

impl Refusal {
    fn answer(self, request_id: &str) -> Response {
        let body = json!({"code": self.code, "message": self.message, "request_id": request_id});
        Response::json_with(self.status, &body).with("X-Request-ID", request_id)
    }
}

const NO_GROUP: &str = "this hub is in no group: set group.enabled, group.groupName and group.kafkaBrokers";

fn health(api: &Api, request: &Request) -> Response {
    let id = request_id(request);
    match api.membership.current() {
        Some(_) => Response::json(&json!({"status": "ready"})).with("X-Request-ID", id),
        None => refusal(503, "proxy_not_ready", NO_GROUP).answer(&id),
    }
}

async fn produce(api: Arc<Api>, request: Request) -> Response {
    let id = request_id(&request);
    match spooled(&api, &request).await {
        Ok(response) => response.with("X-Request-ID", id),
        Err(refusal) => refusal.answer(&id),
    }
}

async fn spooled(api: &Api, request: &Request) -> Result<Response, Refusal> {
    let group = group(api)?;
    let foreign = Foreign {
        topic: topic(request)?,
        key: key(request)?,
        value: request.body.to_vec(),
        content_type: request.header("content-type").unwrap_or("application/octet-stream").to_owned(),
    };
    check_partition(request)?;
    check_sum(request)?;
    let (spool, clock) = (group.clone(), api.clock.clone());
    let written = api.db.write(move |tx| match spool.spool(tx, &foreign, clock.now()) {
        Ok(pointer) => Ok(Ok(pointer)),
        Err(SpoolError::Store { source }) => Err(source),
        Err(refused) => Ok(Err(refused)),
    });
    match written.await {
        Ok(Ok(pointer)) => {
            group.asked();
            Ok(Response::json(&pointer))
        }
        Ok(Err(refused)) => Err(refused_by(&refused)),
        Err(problem) => {
            tracing::error!(error = chain(&problem), "A record for the group could not be stored.");
            Err(refusal(502, "backend_error", "the record could not be stored"))
        }
    }
}

fn refused_by(refused: &SpoolError) -> Refusal {
    match refused {
        SpoolError::ForeignTopic { .. } => refusal(400, "invalid_topic", refused.to_string()),
        SpoolError::Outbox(OutboxError::TooLarge { .. }) => refusal(413, "payload_too_large", refused.to_string()),
        SpoolError::Outbox(_) => refusal(503, "backend_unavailable", refused.to_string()),
        SpoolError::Store { .. } => refusal(502, "backend_error", refused.to_string()),
    }
}

#[derive(Deserialize)]
struct Wanted {
    bucket: String,
    key: String,
    #[serde(default)]
    mode: String,
}

async fn download(api: Arc<Api>, request: Request) -> Response {
    let id = request_id(&request);
    match fetched(&api, &request).await {
        Ok(value) => Response::new(200, "application/octet-stream", value).with("X-Request-ID", id),
        Err(refusal) => refusal.answer(&id),
    }
}

async fn fetched(api: &Api, request: &Request) -> Result<Vec<u8>, Refusal> {
    let group = group(api)?;
    let wanted: Wanted =
        serde_json::from_slice(&request.body).map_err(|error| refusal(400, "invalid_request", error.to_string()))?;
    if wanted.mode != "stream" {
        return Err(refusal(400, "invalid_mode", "only the mode stream is served here"));
    }
    match api.db.read(move |conn| group.content(conn, &wanted.bucket, &wanted.key)).await {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(refusal(404, "not_found", "no such content is kept here")),
        Err(problem) => {
            tracing::error!(error = chain(&problem), "A content could not be read.");
            Err(refusal(502, "backend_error", "the content could not be read"))
        }
    }
}

fn group(api: &Api) -> Result<Group, Refusal> {
    api.membership.current().ok_or_else(|| refusal(503, "proxy_not_ready", NO_GROUP))
}

/// The client's, when it can be repeated in a header; else one of ours.
fn request_id(request: &Request) -> String {
    let given = request.header("x-request-id").unwrap_or_default();
    let is_plain =
        !given.is_empty() && given.len() <= REQUEST_ID_BYTES_MAX && given.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { given.to_owned() } else { random_hex(16) }
}

fn topic(request: &Request) -> Result<String, Refusal> {
    let topic = request.header("x-kafka-topic").unwrap_or_default();
    if topic.is_empty() {
        return Err(refusal(400, "missing_topic", "the header X-Kafka-Topic is missing"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.len() > TOPIC_BYTES_MAX || !topic.bytes().all(is_plain) {
        return Err(refusal(
            400,
            "invalid_topic",
            "a topic has letters, digits, dots, underscores and dashes, 249 at most",
        ));
    }
    Ok(topic.to_owned())
}

/// Base64, as KafScale wants it. Keys here are text.
fn key(request: &Request) -> Result<Option<String>, Refusal> {
    let Some(given) = request.header("x-kafka-key").filter(|given| !given.is_empty()) else { return Ok(None) };
    let decoded = STANDARD.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX) {
        Some(key) => Ok(Some(key)),
        None => Err(refusal(400, "invalid_key", "X-Kafka-Key is base64 of a text of at most 256 bytes")),
    }
}

fn check_partition(request: &Request) -> Result<(), Refusal> {
    match request.header("x-kafka-partition") {
        Some(given) if given.parse::<u32>().is_err() => {
            Err(refusal(400, "invalid_partition", "X-Kafka-Partition is a number from 0 up"))
        }
        _ => Ok(()),
    }
}

fn check_sum(request: &Request) -> Result<(), Refusal> {
    let Some(wanted) = request.header("x-lfs-checksum").filter(|wanted| !wanted.is_empty()) else { return Ok(()) };
    match request.header("x-lfs-checksum-alg").unwrap_or("sha256").to_ascii_lowercase().as_str() {
        "sha256" => {
            let found = to_hex(&Sha256::digest(&request.body));
            if found.eq_ignore_ascii_case(wanted) {
                return Ok(());
            }
            Err(refusal(400, "checksum_mismatch", format!("expected {wanted}, got {found}")))
        }
        "none" => Ok(()),
        _ => Err(refusal(400, "checksum_mismatch", "only sha256 can be checked here")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::base::shutdown::Shutdown;

    fn request(headers: &[(&str, &str)], body: &[u8]) -> Request {
        Request {
            method: Method::Post,
            path: "/lfs/produce".to_owned(),
            query: Vec::new(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Bytes::copy_from_slice(body),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            params: Vec::new(),
            is_authenticated: true,
            is_encrypted: false,
            left: Shutdown::default(),
        }
    }

    fn code<T>(found: Result<T, Refusal>) -> &'static str {
        found.err().map_or("", |refusal| refusal.code)
    }

    #[test]
    fn every_header_is_checked() {
        fn with(name: &str, value: &str) -> Request {
            request(&[(name, value)], b"hello")
        }
        assert_eq!(code(topic(&request(&[], b""))), "missing_topic");
        assert_eq!(code(topic(&with("x-kafka-topic", "a b"))), "invalid_topic");
        assert_eq!(code(topic(&with("x-kafka-topic", &"x".repeat(250)))), "invalid_topic");
        assert_eq!(code(key(&with("x-kafka-key", "not base64!"))), "invalid_key");
        assert_eq!(key(&with("x-kafka-key", "dXNlci0xMjM=")).ok().flatten().as_deref(), Some("user-123"));
        assert_eq!(code(check_partition(&with("x-kafka-partition", "-1"))), "invalid_partition");
        assert_eq!(code(check_partition(&with("x-kafka-partition", "0"))), "");
        assert_eq!(code(check_sum(&with("x-lfs-checksum", "abc"))), "checksum_mismatch");
        let right = to_hex(&Sha256::digest(b"hello")).to_uppercase();
        assert_eq!(code(check_sum(&with("x-lfs-checksum", &right))), "");
        let other = request(&[("x-lfs-checksum", "abc"), ("x-lfs-checksum-alg", "md5")], b"hello");
        assert_eq!(code(check_sum(&other)), "checksum_mismatch");
        assert_eq!(request_id(&with("x-request-id", "t1")), "t1");
        assert_eq!(request_id(&with("x-request-id", "a b")).len(), 32);
    }

    proptest! {
        #[test]
        fn any_header_is_taken_or_refused(value in ".{0,300}") {
            let with = |name| request(&[(name, &value)], b"");
            if let Ok(topic) = topic(&with("x-kafka-topic")) {
                prop_assert!(topic.len() <= TOPIC_BYTES_MAX && topic.is_ascii());
            }
            if let Ok(Some(key)) = key(&with("x-kafka-key")) {
                prop_assert_eq!(STANDARD.encode(key), value.clone());
            }
            let _ = (code(check_partition(&with("x-kafka-partition"))), code(check_sum(&with("x-lfs-checksum"))));
            prop_assert!(request_id(&with("x-request-id")).bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
