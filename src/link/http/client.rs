//! The client: lazily built, bounded in time and size, with the body as a stream.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;

use super::address::{AddressPolicy, GuardedResolver, is_local_host, parse_ip};
use super::error::HttpError;
use crate::base::secret::Secret;

/// Sent bytes that stay unacknowledged this long mean a pulled cable, also on a connection kept from before.
const UNACKED_MAX: Duration = Duration::from_secs(5);
/// A silent connection is probed this often, so that a stream from a dead peer ends.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES_MAX: u32 = 3;
/// Idle connections are given back, for the memory and because middleboxes forget them.
const POOL_IDLE_MAX: Duration = Duration::from_secs(60);
const POOL_IDLE_PER_HOST_MAX: usize = 4;

#[derive(Clone, Debug)]
pub struct Config {
    /// Name resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the call to the last byte of the body.
    pub total_timeout: Duration,
    pub body_bytes_max: usize,
    pub addresses: AddressPolicy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(30),
            body_bytes_max: 8 * 1024 * 1024,
            addresses: AddressPolicy::Any,
        }
    }
}

/// A request; header values are secret because most of them are keys.
#[derive(Clone, Debug)]
pub struct Request {
    pub url: Url,
    pub headers: Vec<(&'static str, Secret<String>)>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// `GET`.
    None,
    /// `POST` of `application/json`.
    Json(Bytes),
}

impl Request {
    pub fn get(url: Url) -> Self {
        Self { url, headers: Vec::new(), body: Body::None }
    }

    pub fn post_json(url: Url, body: Bytes) -> Self {
        Self { url, headers: Vec::new(), body: Body::Json(body) }
    }
}

/// Clones share connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    /// Without root certificates.
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<reqwest::Client>,
}

impl Client {
    /// Costs nothing until the first request.
    pub fn new(config: Config) -> Self {
        Self { inner: Arc::new(Inner { config, plain: OnceLock::new(), tls: OnceLock::new() }) }
    }

    /// Sends and waits for the head of the answer, whatever its status. Redirects are answers.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let host = host_of(&request.url);
        if let Some(address) = request.url.host_str().and_then(parse_ip)
            && !self.inner.config.addresses.allows(address)
        {
            return Err(HttpError::Denied { host });
        }
        let client = self.built_for(&request.url)?;
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, value) in &request.headers {
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| HttpError::Url { url: format!("{host} (header {name})") })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        let builder = match request.body {
            Body::None => client.get(request.url),
            Body::Json(bytes) => client.post(request.url).header("content-type", "application/json").body(bytes),
        };
        let inner = builder.headers(headers).send().await.map_err(|error| HttpError::sort(&host, error))?;
        Ok(Response {
            inner,
            host,
            bytes_left: self.inner.config.body_bytes_max,
            bytes_max: self.inner.config.body_bytes_max,
        })
    }

    /// Whether something accepts connections where `url` points. Sends nothing.
    pub async fn probe(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let connect = TcpStream::connect((host, port));
        matches!(tokio::time::timeout(self.inner.config.connect_timeout, connect).await, Ok(Ok(_)))
    }

    fn built_for(&self, url: &Url) -> Result<&reqwest::Client, HttpError> {
        let slot = match url.scheme() {
            "https" => &self.inner.tls,
            "http" => &self.inner.plain,
            _ => return Err(HttpError::Url { url: url.scheme().to_owned() }),
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        // Two first requests at once may both build; one of the two clients is dropped.
        let client = build(&self.inner.config, url.scheme() == "https")?;
        Ok(slot.get_or_init(|| client))
    }
}

fn build(config: &Config, with_roots: bool) -> Result<reqwest::Client, HttpError> {
    // Fails when it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("kafclaw/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(config.connect_timeout)
        .timeout(config.total_timeout)
        .tcp_nodelay(true)
        .tcp_user_timeout(UNACKED_MAX)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .tcp_keepalive_retries(KEEPALIVE_PROBES_MAX)
        .pool_idle_timeout(POOL_IDLE_MAX)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST_MAX);
    if !with_roots {
        builder = builder.tls_certs_only(Vec::new());
    }
    if config.addresses == AddressPolicy::PublicOnly {
        builder = builder.dns_resolver(GuardedResolver(config.addresses));
    }
    builder.build().map_err(|source| HttpError::Setup { source })
}

/// The head of an answer, and its body as it comes.
pub struct Response {
    inner: reqwest::Response,
    host: String,
    bytes_left: usize,
    bytes_max: usize,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    pub fn is_success(&self) -> bool {
        self.inner.status().is_success()
    }

    /// A header's value where it is readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let chunk = self.inner.chunk().await.map_err(|error| HttpError::sort(&self.host, error))?;
        if let Some(bytes) = &chunk {
            let too_large = || HttpError::TooLarge { host: self.host.clone(), bytes_max: self.bytes_max };
            self.bytes_left = self.bytes_left.checked_sub(bytes.len()).ok_or_else(too_large)?;
        }
        Ok(chunk)
    }

    /// The first `bytes_max` bytes of the body, and whether there were more.
    pub async fn read(mut self, bytes_max: usize) -> Result<(Bytes, Cut), HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            let room = bytes_max - body.len();
            if chunk.len() > room {
                body.extend_from_slice(&chunk[..room]);
                return Ok((body.into(), Cut::Short));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body.into(), Cut::Whole))
    }
}

/// Whether all of a body was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    Whole,
    Short,
}

pub(super) fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or("(no host)").to_owned()
}

/// Short where a dead host shows at once, longer across the internet.
impl Config {
    pub fn for_url(url: &Url) -> Self {
        let connect_timeout = Duration::from_millis(if is_local_host(url) { 1_500 } else { 3_000 });
        Self { connect_timeout, ..Self::default() }
    }
}
