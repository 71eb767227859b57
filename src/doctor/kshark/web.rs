//! Schema Registry and REST proxy: whether they answer, and whether they know us.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Layer, Row, Status, Web};
use crate::base::error::chain;
use crate::base::secret::Secret;
use crate::link::http::{Client, Config, Request};

pub async fn look(component: &str, server: &Web, path: &str, wait_max: Duration) -> Row {
    let mut url = server.url.clone();
    url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    let target = format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let row = |status, detail: &str| Row::new(component, &target, Layer::Http, status, detail);
    let config = Config { connect_timeout: wait_max, total_timeout: wait_max, ..Config::default() };
    let mut request = Request::get(url);
    if let Some(user) = &server.user {
        let value = Secret::new(format!("Basic {}", STANDARD.encode(user.reveal())));
        request.headers.push(("authorization", value));
    }
    match Client::new(config).send(request).await {
        Ok(response) if response.is_success() => row(Status::Ok, &format!("GET {path}: {}", response.status())),
        Ok(response) if matches!(response.status(), 401 | 403) => {
            row(Status::Fail, &format!("GET {path}: {}", response.status()))
                .hint("Check user and password (basic.auth.user.info).")
        }
        Ok(response) => row(Status::Fail, &format!("GET {path}: {}", response.status()))
            .hint("Something else may answer there; check the address."),
        Err(error) => row(Status::Fail, &chain(&error)).hint("Check the address, and that the server runs."),
    }
}
