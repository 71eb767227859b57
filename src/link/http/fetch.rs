//! A fetch of an address that somebody else named: every hop is checked, everything is bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;

use super::address::AddressPolicy;
use super::client::{Client, Config, Cut, Request, Response, host_of};
use super::error::HttpError;

#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// What is longer is cut.
    pub bytes_max: usize,
    pub redirects_max: u32,
    /// All hops together.
    pub timeout: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { bytes_max: 512 * 1024, redirects_max: 5, timeout: Duration::from_secs(20) }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Where the redirects led.
    pub url: String,
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Bytes,
    pub cut: Cut,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{url:?} is not an http or https address")]
    Url { url: String },
    #[error("an address with a user name or password in it is not fetched")]
    Credentials,
    #[error("{url:?} redirected more than {redirects_max} times")]
    Redirects { url: String, redirects_max: u32 },
    #[error("{url:?} did not answer within {timeout_ms} ms")]
    TimedOut { url: String, timeout_ms: u128 },
    #[error("could not fetch {url:?}")]
    Http { url: String, source: HttpError },
}

/// Fetches; clones share connections. Costs nothing until it is used.
#[derive(Clone)]
pub struct Fetcher {
    clients: Arc<(Client, Client)>,
}

impl Default for Fetcher {
    fn default() -> Self {
        // The limits of each fetch decide; the client's own are only the outermost.
        let config = |addresses| Config {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(300),
            body_bytes_max: 64 * 1024 * 1024,
            addresses,
        };
        Self {
            clients: Arc::new((
                Client::new(config(AddressPolicy::Any)),
                Client::new(config(AddressPolicy::PublicOnly)),
            )),
        }
    }
}

impl Fetcher {
    /// `GET url`. A status that is not a success is a result, not an error.
    pub async fn fetch(&self, url: &str, limits: FetchLimits, policy: AddressPolicy) -> Result<Fetched, FetchError> {
        let client = match policy {
            AddressPolicy::Any => &self.clients.0,
            AddressPolicy::PublicOnly => &self.clients.1,
        };
        match tokio::time::timeout(limits.timeout, follow(client, url, limits)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::TimedOut { url: url.to_owned(), timeout_ms: limits.timeout.as_millis() }),
        }
    }
}

async fn follow(client: &Client, first: &str, limits: FetchLimits) -> Result<Fetched, FetchError> {
    let mut url = parse(first)?;
    let failed = |url: &Url| {
        let url = url.to_string();
        move |source| FetchError::Http { url, source }
    };
    for _ in 0..=limits.redirects_max {
        let response = client.send(Request::get(url.clone())).await.map_err(failed(&url))?;
        if let Some(target) = redirect_target(&response) {
            let joined = url.join(target).map_err(|_| FetchError::Url { url: target.to_owned() })?;
            url = parse(joined.as_str())?;
            continue;
        }
        let status = response.status();
        let content_type = response.header("content-type").map(str::to_owned);
        let (body, cut) = response.read(limits.bytes_max).await.map_err(failed(&url))?;
        return Ok(Fetched { url: url.into(), status, content_type, body, cut });
    }
    Err(FetchError::Redirects { url: host_of(&url), redirects_max: limits.redirects_max })
}

fn redirect_target(response: &Response) -> Option<&str> {
    matches!(response.status(), 301 | 302 | 303 | 307 | 308).then(|| response.header("location")).flatten()
}

fn parse(text: &str) -> Result<Url, FetchError> {
    let url = Url::parse(text).map_err(|_| FetchError::Url { url: text.to_owned() })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(FetchError::Url { url: text.to_owned() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Credentials);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each connection with the next of `answers`; returns the base address.
    async fn server(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        base
    }

    fn page(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn redirect(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn a_page_is_fetched_and_cut_at_its_limit() {
        let base = server(vec![page("hello"), page("hello")]).await;
        let fetcher = Fetcher::default();
        let fetched = fetcher.fetch(&base, FetchLimits::default(), AddressPolicy::Any).await.expect("fetch");
        assert_eq!((fetched.status, &fetched.body[..], fetched.cut), (200, &b"hello"[..], Cut::Whole));
        assert_eq!(fetched.content_type.as_deref(), Some("text/plain"));
        let limits = FetchLimits { bytes_max: 3, ..FetchLimits::default() };
        let fetched = fetcher.fetch(&base, limits, AddressPolicy::Any).await.expect("fetch");
        assert_eq!((&fetched.body[..], fetched.cut), (&b"hel"[..], Cut::Short));
    }

    #[tokio::test]
    async fn redirects_are_followed_up_to_their_limit() {
        let base = server(vec![redirect("/next"), page("there")]).await;
        let fetched = Fetcher::default().fetch(&base, FetchLimits::default(), AddressPolicy::Any).await.expect("fetch");
        assert_eq!((&fetched.body[..], fetched.url), (&b"there"[..], format!("{base}/next")));

        let base = server(vec![redirect("/a"), redirect("/b"), redirect("/c")]).await;
        let limits = FetchLimits { redirects_max: 1, ..FetchLimits::default() };
        let error = Fetcher::default().fetch(&base, limits, AddressPolicy::Any).await.expect_err("too many");
        assert!(matches!(error, FetchError::Redirects { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn this_house_is_out_of_reach_for_a_public_fetch() {
        let base = server(vec![page("secret")]).await;
        let port = base.rsplit(':').next().expect("port").to_owned();
        for url in [
            base,
            format!("http://localhost:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            format!("http://2130706433:{port}/"),
        ] {
            let error = Fetcher::default()
                .fetch(&url, FetchLimits::default(), AddressPolicy::PublicOnly)
                .await
                .expect_err("denied");
            assert!(matches!(error, FetchError::Http { source: HttpError::Denied { .. }, .. }), "{url}: {error:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_a_web_page_is_refused() {
        for url in ["file:///etc/passwd", "gopher://x/", "not an address", "http://user:pass@example.com/"] {
            let error =
                Fetcher::default().fetch(url, FetchLimits::default(), AddressPolicy::Any).await.expect_err("refused");
            assert!(matches!(error, FetchError::Url { .. } | FetchError::Credentials), "{url}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_redirect_cannot_leave_the_web() {
        let base = server(vec![redirect("file:///etc/passwd")]).await;
        let error =
            Fetcher::default().fetch(&base, FetchLimits::default(), AddressPolicy::Any).await.expect_err("refused");
        assert!(matches!(error, FetchError::Url { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_and_a_silent_server_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let limits = FetchLimits { timeout: Duration::from_millis(50), ..FetchLimits::default() };
        let error = Fetcher::default().fetch(&url, limits, AddressPolicy::Any).await.expect_err("silent");
        assert!(matches!(error, FetchError::TimedOut { .. }), "{error:?}");
        drop(listener);
        let error =
            Fetcher::default().fetch(&url, FetchLimits::default(), AddressPolicy::Any).await.expect_err("closed");
        assert!(matches!(error, FetchError::Http { source: HttpError::Unreachable { .. }, .. }), "{error:?}");
    }
}
