//! The web page: files embedded at build time, served without a build step and without anything from elsewhere.

use crate::dashboard::{Dashboard, route};
use crate::http::{Access, Method, Request, Response, Route, error};

/// Name, type and text of every file of the page.
const FILES: &[(&str, &str, &str)] = &[
    ("app.js", "text/javascript; charset=utf-8", include_str!("ui/app.js")),
    ("chat.js", "text/javascript; charset=utf-8", include_str!("ui/chat.js")),
    ("devices.js", "text/javascript; charset=utf-8", include_str!("ui/devices.js")),
    ("activity.js", "text/javascript; charset=utf-8", include_str!("ui/activity.js")),
    ("jobs.js", "text/javascript; charset=utf-8", include_str!("ui/jobs.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("ui/api.js")),
    ("dom.js", "text/javascript; charset=utf-8", include_str!("ui/dom.js")),
    ("style.css", "text/css; charset=utf-8", include_str!("ui/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("ui/icon.svg")),
];

const INDEX: &str = include_str!("ui/index.html");

/// Nothing from elsewhere, nothing inline, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// KafClaw's pages are views of the one page.
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    let page = |path| route(Method::Get, path, Access::Open, "The web page.", |_, _| Box::pin(async { index() }));
    let mut routes: Vec<_> = ["/", "/timeline", "/approvals", "/group"].map(page).into();
    routes.push(route(Method::Get, "/assets/{file}", Access::Open, "A file of the web page.", |_, request| {
        Box::pin(async move { asset(&request) })
    }));
    routes
}

fn index() -> Response {
    Response::new(200, "text/html; charset=utf-8", INDEX)
        .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .with("Referrer-Policy", "no-referrer")
}

fn asset(request: &Request) -> Response {
    match FILES.iter().find(|(name, ..)| *name == request.param("file")) {
        // Revalidated each time: the files change with the program, and the program is near.
        Some((_, kind, text)) => Response::new(200, kind, *text).with("Cache-Control", "no-cache"),
        None => error(404, "there is no such file", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_only_what_is_embedded_and_nothing_from_elsewhere() {
        for (name, _, text) in FILES.iter().chain([("index.html", "", INDEX)].iter()) {
            assert!(!text.contains("http://") || *name == "icon.svg", "{name} names another host");
            assert!(!text.contains("https://"), "{name} names another host");
            assert!(!text.contains("innerHTML"), "{name} may show what others wrote as markup");
        }
        for part in INDEX.split("/assets/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(FILES.iter().any(|(known, ..)| *known == name), "{name} is not embedded");
        }
    }
}
