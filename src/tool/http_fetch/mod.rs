//! `http_fetch`: the text of a page on the internet.

mod html;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::base::limits;
use crate::domain::call::{Effect, Outcome, Tier};
use crate::tool::port::{Fetch, FetchRequest, Fetched, Reach};
use crate::tool::{Audience, Spec, Tool, ToolContext, shortened, text};

#[derive(Clone, Debug)]
pub struct Config {
    /// `Public` unless the owner wants models to reach devices in the house.
    pub reach: Reach,
    pub body_bytes_max: usize,
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        // Markup takes several times the room of its text.
        Self {
            reach: Reach::Public,
            body_bytes_max: 8 * limits::TOOL_RESULT_BYTES_MAX,
            timeout: Duration::from_secs(20),
        }
    }
}

pub struct HttpFetch {
    spec: Spec,
    config: Config,
    port: Arc<dyn Fetch>,
}

impl HttpFetch {
    pub fn new(config: Config, port: Arc<dyn Fetch>) -> Self {
        let spec = Spec {
            name: "http_fetch",
            // Reading, but what is asked for tells a stranger something about the house.
            tier: Tier::Write,
            effect: Effect::Repeatable,
            audience: Audience::Household,
            description: "Fetch a page or an API answer from the internet and return its text.",
            parameters: json!({
                "type": "object",
                "properties": {"url": {"type": "string", "minLength": 1, "description": "An http or https address."}},
                "required": ["url"],
            }),
        };
        Self { spec, config, port }
    }

    async fn fetch(&self, url: &str) -> Outcome {
        let scheme = url.split(':').next().unwrap_or("");
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Outcome::failed("Error: only http and https addresses can be fetched");
        }
        let request = FetchRequest {
            url: url.to_owned(),
            reach: self.config.reach,
            body_bytes_max: self.config.body_bytes_max,
            timeout: self.config.timeout,
        };
        match self.port.get(request).await {
            Ok(fetched) => shown(&fetched),
            Err(error) => Outcome::failed(format!("Error fetching {}: {error}", shortened(url, 200))),
        }
    }
}

impl Tool for HttpFetch {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, _: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome> {
        Box::pin(self.fetch(text(arguments, "url")))
    }
}

fn shown(fetched: &Fetched) -> Outcome {
    let content_type = fetched.content_type.as_deref().unwrap_or("").to_ascii_lowercase();
    let kind = content_type.split(';').next().unwrap_or("").trim();
    let is_html = matches!(kind, "text/html" | "application/xhtml+xml");
    let is_text =
        kind.is_empty() || kind.starts_with("text/") || ["json", "xml", "yaml"].iter().any(|end| kind.ends_with(end));
    let head = format!("HTTP {} {} {}", fetched.status, kind, fetched.url);
    if !is_text || fetched.body.contains(&0) {
        return Outcome::failed(format!("Error: {head} is not text ({} bytes)", fetched.body.len()));
    }
    let body = String::from_utf8_lossy(&fetched.body);
    let body = if is_html { html::to_text(&body) } else { body.into_owned() };
    let notice = if fetched.is_cut { "\n[the page was longer and has been cut]" } else { "" };
    let text = format!("{head}\n\n{body}{notice}");
    if (200..300).contains(&fetched.status) { Outcome::done(text) } else { Outcome::failed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::OutcomeStatus;
    use crate::tool::port::PortError;
    use crate::tool::testing;

    struct Canned(Fetched);

    impl Fetch for Canned {
        fn get(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, PortError>> {
            assert_eq!(request.reach, Reach::Public);
            Box::pin(async move {
                if request.url.contains("router") {
                    return Err(PortError::Refused { why: "that address is in the house".to_owned() });
                }
                Ok(self.0.clone())
            })
        }
    }

    async fn fetched(url: &str, status: u16, content_type: &str, body: &str) -> Outcome {
        let answer = Fetched {
            url: url.to_owned(),
            status,
            content_type: Some(content_type.to_owned()),
            body: body.into(),
            is_cut: false,
        };
        let tool = HttpFetch::new(Config::default(), Arc::new(Canned(answer)));
        tool.run(&testing::context(), &json!({ "url": url })).await
    }

    #[tokio::test]
    async fn a_page_comes_back_as_its_text() {
        let outcome = fetched("https://a.example/", 200, "text/html; charset=utf-8", "<p>Hello <b>you</b></p>").await;
        assert_eq!(outcome, Outcome::done("HTTP 200 text/html https://a.example/\n\nHello you"));
        let outcome = fetched("https://a.example/x", 404, "application/json", "{\"a\":\"<b>\"}").await;
        assert_eq!(outcome, Outcome::failed("HTTP 404 application/json https://a.example/x\n\n{\"a\":\"<b>\"}"));
    }

    #[tokio::test]
    async fn what_is_not_a_page_is_refused() {
        for (url, kind, text) in [
            ("file:///etc/passwd", "text/plain", "Error: only http and https addresses can be fetched"),
            ("https://a.example/i", "image/png", "Error: HTTP 200 image/png https://a.example/i is not text (3 bytes)"),
            ("http://router/", "text/plain", "Error fetching http://router/: that address is in the house"),
        ] {
            let outcome = fetched(url, 200, kind, "abc").await;
            assert_eq!((outcome.text.as_str(), outcome.status), (text, OutcomeStatus::Failed));
        }
    }
}
