//! Who is let in: bearer token or session cookie (which a password gets, too), the right host name, no foreign origin, no guessing.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{random_hex, to_hex};
use crate::base::secret::Secret;
use crate::http::lockout::Lockout;
use crate::http::message::{Request, Response, error};
use crate::http::route::Access;
use crate::owner::Owner;

pub const LOGIN_COOKIE: &str = "kafclaw_session";
/// How long a login lasts.
const SESSION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Query parameters that people put tokens into; they would end up in logs and histories.
const TOKEN_PARAMETERS: [&str; 4] = ["token", "auth_token", "authtoken", "access_token"];

#[derive(Clone, Debug)]
pub struct GuardConfig {
    pub token: Secret<String>,
    /// KafClaw's old open door: no token needed when none was set, any origin. Loopback only; the configuration sees to that.
    pub is_open: bool,
    /// Host names beside the machine's own and plain addresses.
    pub allowed_hosts: Vec<String>,
    /// Origins of other pages that may use the API, such as `https://panel.lan`.
    pub allowed_origins: Vec<String>,
    /// The machine's own name.
    pub hostname: String,
}

pub struct Guard {
    config: GuardConfig,
    owner: Owner,
    clock: Clock,
    lockout: Mutex<Lockout>,
}

impl Guard {
    pub fn new(config: GuardConfig, owner: Owner, clock: Clock) -> Self {
        Self { config, owner, clock, lockout: Mutex::default() }
    }

    /// Whether a token is needed at all.
    pub fn is_open(&self) -> bool {
        self.config.is_open
    }

    /// Checks host and origin, before anything else looks at the request.
    pub(super) fn check_origin(&self, request: &Request) -> Result<(), Response> {
        let host = request.header("host").unwrap_or("");
        if !self.is_known_host(host) {
            let hint = "add the name to gateway.allowedHosts if it is yours";
            return Err(error(403, "this host name is not known here", Some(hint)));
        }
        let Some(origin) = request.header("origin") else { return Ok(()) };
        if self.is_known_origin(origin, host) {
            return Ok(());
        }
        let hint = "add it to gateway.allowedOrigins if it is yours";
        Err(error(403, "another page may not use this house", Some(hint)))
    }

    /// Lets the request in or not; the answer is whether it brought a valid token or session.
    pub(super) fn check(&self, request: &Request, access: Access) -> Result<bool, Response> {
        if self.config.is_open {
            return Ok(true);
        }
        if request.query.iter().any(|(name, _)| TOKEN_PARAMETERS.contains(&name.to_ascii_lowercase().as_str())) {
            let hint = "send it as the header Authorization: Bearer <token>";
            return Err(error(400, "a token does not belong into an address", Some(hint)));
        }
        if self.has_session(request) {
            // Cookies travel by themselves, so a change needs a sign that a page of ours asked for it.
            let is_told = request.header("origin").is_some()
                || matches!(request.header("sec-fetch-site"), Some("same-origin" | "none"));
            return if is_told || request.method.is_safe() {
                Ok(true)
            } else {
                let hint = "call from the page, or send the header Authorization: Bearer <token>";
                Err(error(403, "a change with a session needs an Origin header", Some(hint)))
            };
        }
        // Clients of KafScale's proxy send their key in a header of its own.
        match request.header("authorization").or_else(|| request.header("x-api-key")) {
            Some(sent) => match self.try_token(sent, request.peer) {
                Ok(()) => Ok(true),
                // A wrong token is not what an open route cares about, but guessing there counts as well.
                Err(refusal) if access == Access::Token => Err(refusal),
                Err(_) => Ok(false),
            },
            None if access == Access::Open => Ok(false),
            None => Err(error(401, "a token is needed", Some("`kafclaw token` on the machine itself shows it"))
                .with("WWW-Authenticate", "Bearer")),
        }
    }

    /// Compares a token in constant time; a wrong one counts against `peer`.
    pub fn try_token(&self, sent: &str, peer: IpAddr) -> Result<(), Response> {
        let sent = sent.trim();
        let sent = sent.strip_prefix("Bearer ").or_else(|| sent.strip_prefix("bearer ")).unwrap_or(sent).trim();
        self.check_patience(peer)?;
        let known = self.config.token.reveal().as_bytes();
        if !known.is_empty() && bool::from(known.ct_eq(sent.as_bytes())) {
            self.succeeded(peer);
            return Ok(());
        }
        self.failed(peer);
        tracing::warn!(peer = %peer, "A wrong token was refused.");
        Err(error(401, "the token is wrong", Some("`kafclaw token` on the machine itself shows it"))
            .with("WWW-Authenticate", "Bearer"))
    }

    /// Whether `peer` may try a token, a password or a code now. Whoever tries tells [`Guard::failed`] or [`Guard::succeeded`].
    pub fn check_patience(&self, peer: IpAddr) -> Result<(), Response> {
        let lockout = self.lockout.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wait) = lockout.wait(peer, self.clock.now()) else { return Ok(()) };
        let sentence = "too many wrong tokens, passwords or codes came from this address";
        Err(error(429, sentence, Some("wait and try again")).with("Retry-After", wait.as_secs().max(1).to_string()))
    }

    pub fn failed(&self, peer: IpAddr) {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner).failed(peer, self.clock.now());
    }

    pub fn succeeded(&self, peer: IpAddr) {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner).succeeded(peer);
    }

    /// The cookie of a new session.
    pub fn login_cookie(&self, is_encrypted: bool) -> String {
        let expires = self.clock.now().plus(SESSION_MAX).as_millis();
        let body = format!("{expires}.{}", random_hex(8));
        let secure = if is_encrypted { "; Secure" } else { "" };
        format!(
            "{LOGIN_COOKIE}={body}.{}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
            self.signature(&body),
            SESSION_MAX.as_secs()
        )
    }

    /// The cookie that ends a session.
    pub fn logout_cookie() -> String {
        format!("{LOGIN_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    fn has_session(&self, request: &Request) -> bool {
        // Anybody could sign with an empty key.
        if self.config.token.is_empty() {
            return false;
        }
        let cookies = request.header("cookie").unwrap_or("").split(';');
        let values = cookies.filter_map(|cookie| cookie.trim().strip_prefix(LOGIN_COOKIE)?.strip_prefix('='));
        let mut sessions = values.filter_map(|value| value.rsplit_once('.'));
        sessions.any(|(body, signature)| {
            let expires =
                body.split_once('.').and_then(|(expires, _)| expires.parse().ok()).map(Timestamp::from_millis);
            bool::from(self.signature(body).as_bytes().ct_eq(signature.as_bytes()))
                && expires.is_some_and(|expires| expires > self.clock.now())
        })
    }

    /// Keyed with the token and the owner's epoch: a new token or password ends all sessions, a restart ends none.
    fn signature(&self, body: &str) -> String {
        let key = self.config.token.reveal().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("invariant: HMAC takes keys of any length");
        mac.update(b"kafclaw session ");
        mac.update(self.owner.glance().epoch.as_bytes());
        mac.update(b" ");
        mac.update(body.as_bytes());
        to_hex(&mac.finalize().into_bytes())
    }

    /// Only names that mean this machine, so that a foreign name that resolves to it (DNS rebinding) opens nothing.
    fn is_known_host(&self, host: &str) -> bool {
        let name = host_name(host).to_ascii_lowercase();
        if name == "localhost" || name.parse::<IpAddr>().is_ok() {
            return true;
        }
        let own = self.config.hostname.to_ascii_lowercase();
        let is_own = !own.is_empty() && (name == own || name == format!("{own}.local") || name == format!("{own}.lan"));
        is_own || self.config.allowed_hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
    }

    fn is_known_origin(&self, origin: &str, host: &str) -> bool {
        if self.config.is_open || self.config.allowed_origins.iter().any(|known| known.trim_end_matches('/') == origin)
        {
            return true;
        }
        origin.split_once("://").is_some_and(|(_, origin_host)| origin_host.eq_ignore_ascii_case(host))
    }

    /// The answer to `OPTIONS`; the origin was checked before.
    pub(super) fn preflight(&self, request: &Request) -> Response {
        let response = Response::text(200, "")
            .with("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
            .with("Access-Control-Allow-Headers", "Content-Type, Authorization, X-Channel-Token, Idempotency-Key");
        self.finish(response, request.header("origin"))
    }

    /// Headers that every response carries.
    pub(super) fn finish(&self, mut response: Response, origin: Option<&str>) -> Response {
        if self.config.is_open {
            response.headers.push(("Access-Control-Allow-Origin", "*".to_owned()));
        } else if let Some(origin) = origin {
            response.headers.push(("Access-Control-Allow-Origin", origin.to_owned()));
            response.headers.push(("Vary", "Origin".to_owned()));
        }
        response.headers.push(("X-Content-Type-Options", "nosniff".to_owned()));
        if !response.headers.iter().any(|(name, _)| *name == "Cache-Control") {
            response.headers.push(("Cache-Control", "no-store".to_owned()));
        }
        response
    }
}

/// The name in `name:port`, `[::1]:port` or `name`.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}
