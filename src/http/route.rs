//! A table of routes, and finding the one that was asked for.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::base::limits::{BODY_BYTES_MAX, UPLOAD_BYTES_MAX};
use crate::http::guard::Guard;
use crate::http::message::{Request, Response, error};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    pub const ALL: [Self; 7] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    /// Whether it can change anything.
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody; [`Request::is_authenticated`] tells whether a valid token came along.
    Open,
    Token,
}

pub type Handler<S> = fn(Arc<S>, Request) -> BoxFuture<'static, Response>;

/// One route. Its fields are also its documentation.
pub struct Route<S> {
    pub method: Method,
    /// `/api/v1/tasks/{id}`: a name in braces takes one segment.
    pub path: &'static str,
    pub access: Access,
    /// What it does, in a line.
    pub summary: &'static str,
    pub run: Handler<S>,
}

pub struct Router<S> {
    routes: Vec<Route<S>>,
    state: Arc<S>,
    guard: Arc<Guard>,
    /// Paths that take files.
    uploads: &'static [&'static str],
}

/// What was decided about a request on its head alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Judged {
    /// Whether a valid token or session came along.
    pub is_known: bool,
    /// The most that its body may have.
    pub body_bytes_max: usize,
}

impl<S: Send + Sync + 'static> Router<S> {
    pub fn new(routes: Vec<Route<S>>, state: Arc<S>, guard: Arc<Guard>) -> Self {
        Self { routes, state, guard, uploads: &[] }
    }

    /// On these paths, written as in the table, bodies of known callers may be as large as files are.
    pub fn with_uploads(self, uploads: &'static [&'static str]) -> Self {
        Self { uploads, ..self }
    }

    fn find(&self, request: &Request) -> Found<'_, S> {
        let wanted = if request.method == Method::Head { Method::Get } else { request.method };
        let mut allowed = Vec::new();
        for route in &self.routes {
            let Some(params) = matched(route.path, &request.path) else { continue };
            if route.method == wanted {
                return Found::Route(route, params);
            }
            allowed.push(route.method.as_str());
        }
        if allowed.is_empty() { Found::Nothing } else { Found::OtherMethods(allowed) }
    }
}

enum Found<'a, S> {
    Route(&'a Route<S>, Vec<(&'static str, String)>),
    OtherMethods(Vec<&'static str>),
    Nothing,
}

impl<S> Found<'_, S> {
    fn refusal(self) -> Response {
        match self {
            Self::OtherMethods(allowed) => {
                error(405, "this route does not take that method", None).with("Allow", allowed.join(", "))
            }
            _ => error(
                404,
                "there is no such route",
                Some("GET /api/v1/openapi.json on the dashboard's port lists all routes"),
            ),
        }
    }
}

/// What answers requests, whatever its state's type.
pub(super) trait Desk: Send + Sync {
    /// Looks at a request whose body is still outside: what may come in, or the answer that turns it away.
    fn judge(&self, request: &Request) -> Result<Judged, Response>;
    /// Runs the route of a request that was judged.
    fn run(&self, request: Request) -> BoxFuture<'static, Response>;
}

impl<S: Send + Sync + 'static> Desk for Router<S> {
    fn judge(&self, request: &Request) -> Result<Judged, Response> {
        self.guard.check_origin(request).map_err(|refusal| self.guard.finish(refusal, None))?;
        if request.method == Method::Options {
            return Err(self.guard.preflight(request));
        }
        let found = self.find(request);
        // Who may not come in does not learn which routes there are.
        let access = match &found {
            Found::Route(route, _) => route.access,
            _ => Access::Token,
        };
        let is_known = self.guard.check(request, access);
        let judged = is_known.and_then(|is_known| match found {
            Found::Route(route, _) => {
                let takes_files = is_known && self.uploads.contains(&route.path);
                Ok(Judged { is_known, body_bytes_max: if takes_files { UPLOAD_BYTES_MAX } else { BODY_BYTES_MAX } })
            }
            nothing => Err(nothing.refusal()),
        });
        judged.map_err(|refusal| self.guard.finish(refusal, request.header("origin")))
    }

    fn run(&self, mut request: Request) -> BoxFuture<'static, Response> {
        let (guard, origin) = (self.guard.clone(), request.header("origin").map(str::to_owned));
        let running = match self.find(&request) {
            Found::Route(route, params) => {
                request.params = params;
                (route.run)(self.state.clone(), request)
            }
            nothing => {
                let refusal = nothing.refusal();
                Box::pin(async { refusal })
            }
        };
        Box::pin(async move { guard.finish(running.await, origin.as_deref()) })
    }
}

/// The parameters, when `path` fits `pattern`.
fn matched(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut params = Vec::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        match expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => params.push((name, segment.to_owned())),
            Some(_) => return None,
            None if expected == segment => {}
            None => return None,
        }
    }
    // KafClaw's clients may write a slash at the end.
    match (segments.next(), segments.next()) {
        (None, _) => Some(params),
        (Some(""), None) if pattern != "/" => Some(params),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_segment() {
        assert_eq!(matched("/api/v1/tasks/{id}", "/api/v1/tasks/7"), Some(vec![("id", "7".to_owned())]));
        assert_eq!(matched("/api/v1/tasks", "/api/v1/tasks/"), Some(vec![]));
        assert_eq!(matched("/", "/"), Some(vec![]));
        for (pattern, path) in [
            ("/api/v1/tasks/{id}", "/api/v1/tasks/"),
            ("/api/v1/tasks", "/api/v1/tasks/7"),
            ("/", "/x"),
            ("/a", "a"),
            ("/a", "/a//"),
        ] {
            assert_eq!(matched(pattern, path), None, "{pattern} {path}");
        }
    }
}
