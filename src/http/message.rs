//! Requests and responses as routes see them.

use std::net::IpAddr;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;

use crate::base::percent;
use crate::base::shutdown::Shutdown;
use crate::http::Method;

/// A status code.
pub type Status = u16;

/// Who asked, what for, and with what.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Decoded, without the query.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub peer: IpAddr,
    /// What stood in the braces of the route's path.
    pub params: Vec<(&'static str, String)>,
    /// Whether a valid token or session came along; always true on routes that need one.
    pub is_authenticated: bool,
    /// Whether the client's side of the connection is encrypted.
    pub is_encrypted: bool,
    /// Given when the client has gone away before its answer. Work that only this client wants may end then.
    pub left: Shutdown,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number in the query; none when it is missing or no number (specification §3.0 reads those alike).
    pub fn query_number(&self, name: &str) -> Option<i64> {
        self.query(name).and_then(|text| text.trim().parse().ok())
    }

    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value.as_str())
    }

    /// Whether the client wants server-sent events.
    pub fn wants_events(&self) -> bool {
        self.header("accept").is_some_and(|accept| accept.contains("text/event-stream"))
    }

    pub fn is_json(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("json"))
    }

    /// The body as JSON; the response says what is wrong with it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Response> {
        serde_json::from_slice(&self.body)
            .map_err(|problem| error(400, "the body is not the JSON that this route takes", Some(&problem.to_string())))
    }
}

/// What a response is made of.
#[derive(Debug)]
pub enum Body {
    Bytes(Bytes),
    /// Pieces as they come; the channel's bound is the only buffer.
    Stream(mpsc::Receiver<Bytes>),
    /// As `Stream`, but an empty piece must mark the end; without it the connection is cut, so that half a file never looks
    /// whole.
    Whole(mpsc::Receiver<Bytes>),
}

#[derive(Debug)]
pub struct Response {
    pub status: Status,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

impl Response {
    pub fn new(status: Status, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("Content-Type", content_type.to_owned())], body: Body::Bytes(body.into()) }
    }

    pub fn text(status: Status, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    pub fn json<T: Serialize>(value: &T) -> Self {
        Self::json_with(200, value)
    }

    pub fn json_with<T: Serialize>(status: Status, value: &T) -> Self {
        match serde_json::to_string(value) {
            Ok(mut text) => {
                text.push('\n');
                Self::new(status, "application/json", text)
            }
            Err(_) => Self::new(500, "application/json", "{\"error\":\"the answer could not be written\"}\n"),
        }
    }

    /// Server-sent events (HTML living standard, §9.2) from a channel.
    pub fn events(pieces: mpsc::Receiver<Bytes>) -> Self {
        let headers = vec![
            ("Content-Type", "text/event-stream; charset=utf-8".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
            ("X-Accel-Buffering", "no".to_owned()),
        ];
        Self { status: 200, headers, body: Body::Stream(pieces) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An error with a sentence for people and, where there is one, what to do next.
pub fn error(status: Status, sentence: &str, hint: Option<&str>) -> Response {
    match hint {
        Some(hint) => Response::json_with(status, &json!({"error": sentence, "hint": hint})),
        None => Response::json_with(status, &json!({"error": sentence})),
    }
}

/// `application/x-www-form-urlencoded` pairs; bytes that are no UTF-8 become replacement characters.
pub(super) fn query_pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent::decoded(&name.replace('+', " ")), percent::decoded(&value.replace('+', " ")))
        })
        .collect()
}
