//! The web page's files, part of the binary. They need no build step: edit them in `ui/`, build, reload.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::base::id::to_hex;
use crate::dashboard::{Dashboard, route};
use crate::http::{Access, Body, Method, Request, Response, Route, error};

/// What the page may load: its own files and its own API, nothing inline and nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Bytes of the digest in an entity tag.
const ETAG_DIGEST_LEN: usize = 16;

/// One file.
#[derive(Debug)]
struct Asset {
    /// Its name below `/assets/`.
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $content_type:expr),* $(,)?) => {
        &[$(Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("ui/", $name)),
        }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";
const MANIFEST: &str = "application/manifest+json";

/// Every file of the page.
const ASSETS: &[Asset] = assets! {
    "index.html": HTML,
    "icon.svg": IMAGE,
    "manifest.webmanifest": MANIFEST,
    "base.css": STYLE,
    "layout.css": STYLE,
    "parts.css": STYLE,
    "views.css": STYLE,
    "activity.js": SCRIPT,
    "api.js": SCRIPT,
    "approval-card.js": SCRIPT,
    "approvals.js": SCRIPT,
    "ask.js": SCRIPT,
    "chat-message.js": SCRIPT,
    "chat.js": SCRIPT,
    "connection.js": SCRIPT,
    "device-card.js": SCRIPT,
    "devices.js": SCRIPT,
    "dom.js": SCRIPT,
    "entity-control.js": SCRIPT,
    "feed.js": SCRIPT,
    "format.js": SCRIPT,
    "job-form.js": SCRIPT,
    "jobs.js": SCRIPT,
    "live-worklet.js": SCRIPT,
    "live.js": SCRIPT,
    "login.js": SCRIPT,
    "main.js": SCRIPT,
    "memory.js": SCRIPT,
    "mic.js": SCRIPT,
    "owner.js": SCRIPT,
    "password.js": SCRIPT,
    "reset.js": SCRIPT,
    "router.js": SCRIPT,
    "sse.js": SCRIPT,
    "status.js": SCRIPT,
    "strings.js": SCRIPT,
    "toast.js": SCRIPT,
    "trace.js": SCRIPT,
    "updates.js": SCRIPT,
    "user.js": SCRIPT,
};

/// The tags of all files, made when the first one is asked for.
static ETAGS: LazyLock<HashMap<&'static str, String>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| (asset.name, etag_of(asset.bytes))).collect());

/// KafClaw's pages are views of the one page.
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    let at = |path| {
        route(Method::Get, path, Access::Open, "The web page.", |_, request| Box::pin(async move { page(&request) }))
    };
    let mut routes: Vec<_> = ["/", "/timeline", "/approvals", "/group"].map(at).into();
    routes.push(route(Method::Get, "/assets/{file}", Access::Open, "A file of the web page.", |_, request| {
        Box::pin(async move { file(&request, request.param("file")) })
    }));
    routes
}

fn page(request: &Request) -> Response {
    match asset("index.html") {
        Some(asset) => respond(request, asset),
        None => error(404, "there is no page in this build", None),
    }
}

/// A file below `/assets/`.
fn file(request: &Request, name: &str) -> Response {
    match asset(name) {
        Some(asset) => respond(request, asset),
        None => error(404, "the page has no such file", None),
    }
}

fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

impl Asset {
    /// With its quotes, as it stands in the header.
    fn etag(&self) -> &str {
        &ETAGS[self.name]
    }
}

fn respond(request: &Request, asset: &'static Asset) -> Response {
    let is_known = request.header("if-none-match").is_some_and(|tags| tags.contains(asset.etag()));
    let response = if is_known {
        Response { status: 304, headers: Vec::new(), body: Body::Bytes(Bytes::new()) }
    } else {
        Response::new(200, asset.content_type, Bytes::from_static(asset.bytes))
    };
    response
        .with("ETag", asset.etag())
        // Asked for again each time, so that an update is seen at once; the answer is a few bytes when nothing changed.
        .with("Cache-Control", "no-cache")
        .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .with("Referrer-Policy", "no-referrer")
}

fn etag_of(bytes: &[u8]) -> String {
    format!("\"{}\"", to_hex(&Sha256::digest(bytes)[..ETAG_DIGEST_LEN]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        Request {
            method: Method::Get,
            path: "/".to_owned(),
            query: Vec::new(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Bytes::new(),
            peer: [127, 0, 0, 1].into(),
            params: Vec::new(),
            is_authenticated: false,
            is_encrypted: false,
            left: Default::default(),
        }
    }

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The text of every file whose name ends in `end`.
    fn texts(end: &str) -> Vec<(&'static str, &'static str)> {
        let texts = ASSETS.iter().filter(|asset| asset.name.ends_with(end));
        texts.map(|asset| (asset.name, std::str::from_utf8(asset.bytes).expect("UTF-8"))).collect()
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_table() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/ui");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        let table: BTreeSet<String> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        assert_eq!(files, table);
    }

    #[test]
    fn every_import_and_link_leads_to_a_file() {
        let mut seen = 0;
        for (name, text) in texts(".js") {
            for line in text.lines().filter(|line| line.contains(" from \"./") || line.starts_with("import \"./")) {
                let target = line.split("\"./").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("");
                assert!(asset(target).is_some(), "{name} imports {target}");
                seen += 1;
            }
        }
        for (name, text) in texts(".html") {
            for target in text.split("\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(asset(target).is_some(), "{name} links to {target}");
                seen += 1;
            }
        }
        assert!(seen > 10, "only {seen} links were found");
    }

    #[test]
    fn the_page_works_with_the_cable_pulled_and_never_writes_markup() {
        for (name, text) in [texts(".html"), texts(".js"), texts(".css")].concat() {
            let plain = text.replace("http://www.w3.org/2000/svg", "");
            for forbidden in
                ["https://", "http://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!plain.contains(forbidden), "{name} contains {forbidden}");
            }
        }
        for (name, text) in texts(".html") {
            for forbidden in ["<style", "style=", "onclick=", "<script>"] {
                assert!(!text.contains(forbidden), "{name} contains {forbidden}, which the policy refuses");
            }
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = page(&request(&[]));
        assert_eq!((first.status, header(&first, "Content-Type")), (200, HTML));
        assert!(header(&first, "Content-Security-Policy").starts_with("default-src 'none'"));
        let etag = header(&first, "ETag").to_owned();
        assert_eq!(etag.len(), 2 + 2 * ETAG_DIGEST_LEN);
        let again = page(&request(&[("if-none-match", &format!("W/{etag}"))]));
        assert_eq!(again.status, 304);
        assert!(matches!(again.body, Body::Bytes(bytes) if bytes.is_empty()));
        assert_eq!(page(&request(&[("if-none-match", "\"other\"")])).status, 200);
    }

    #[test]
    fn a_name_that_is_no_file_is_not_found() {
        assert_eq!(file(&request(&[]), "../mod.rs").status, 404);
        assert_eq!(file(&request(&[]), "main.js").status, 200);
    }
}
