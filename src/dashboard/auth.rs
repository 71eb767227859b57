//! The owner's way in: the first visit with the setup code, logging in and out, another password.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::base::error::chain;
use crate::base::lane::LaneError;
use crate::base::secret::Secret;
use crate::dashboard::Dashboard;
use crate::http::{Guard, Request, Response, error};
use crate::owner::{OwnerError, PASSWORD_CHARS_MIN, PasswordError};

const CODE_HINT: &str = "it stands on the device's screen, and `kafclaw setup-code` on the machine shows it";

/// A person has a password, a program the token.
#[derive(Deserialize)]
#[serde(untagged)]
enum Login {
    Password { password: Secret<String> },
    Token { token: Secret<String> },
}

#[derive(Deserialize)]
struct Setup {
    code: Secret<String>,
    password: Secret<String>,
}

#[derive(Deserialize)]
struct Change {
    current: Secret<String>,
    password: Secret<String>,
}

/// What the page has to know before anybody has logged in: which form to show.
pub(super) fn owner(it: &Dashboard) -> Response {
    Response::json(&json!({
        "auth_required": !it.guard.is_open(),
        "password_set": it.owner.glance().has_password,
        "password_chars_min": PASSWORD_CHARS_MIN,
    }))
}

pub(super) async fn set_up(it: Arc<Dashboard>, request: Request) -> Response {
    let setup: Setup = match request.json() {
        Ok(setup) => setup,
        Err(refusal) => return refusal,
    };
    if let Err(refusal) = it.guard.check_patience(request.peer) {
        return refusal;
    }
    match it.owner.set_up(setup.code, setup.password).await {
        Ok(()) => {
            it.guard.succeeded(request.peer);
            tracing::info!("The owner has set a password.");
            entered(&it, &request)
        }
        Err(problem) => refused(&it, request.peer, &problem),
    }
}

pub(super) async fn login(it: Arc<Dashboard>, request: Request) -> Response {
    if it.guard.is_open() {
        return verify(&it);
    }
    let login: Login = match request.json() {
        Ok(login) => login,
        Err(refusal) => return refusal,
    };
    match login {
        Login::Token { token } => match it.guard.try_token(token.reveal(), request.peer) {
            Ok(()) => entered(&it, &request),
            Err(refusal) => refusal,
        },
        Login::Password { password } => match confirm(&it, &request, password).await {
            Ok(()) => entered(&it, &request),
            Err(refusal) => refusal,
        },
    }
}

/// Lets through who knows the owner's password.
pub(super) async fn confirm(it: &Dashboard, request: &Request, password: Secret<String>) -> Result<(), Response> {
    it.guard.check_patience(request.peer)?;
    match it.owner.check(password).await {
        Ok(()) => {
            it.guard.succeeded(request.peer);
            Ok(())
        }
        Err(problem) => Err(refused(it, request.peer, &problem)),
    }
}

pub(super) async fn change(it: Arc<Dashboard>, request: Request) -> Response {
    let change: Change = match request.json() {
        Ok(change) => change,
        Err(refusal) => return refusal,
    };
    if let Err(refusal) = it.guard.check_patience(request.peer) {
        return refusal;
    }
    match it.owner.change(change.current, change.password).await {
        Ok(()) => {
            it.guard.succeeded(request.peer);
            tracing::info!("The owner has changed the password.");
            entered(&it, &request)
        }
        Err(problem) => refused(&it, request.peer, &problem),
    }
}

pub(super) fn logout() -> Response {
    Response::json(&json!({"status": "ok"})).with("Set-Cookie", Guard::logout_cookie())
}

/// Who got this far is valid.
pub(super) fn verify(it: &Dashboard) -> Response {
    Response::json(&json!({"auth_required": !it.guard.is_open(), "valid": true}))
}

/// The answer to whoever has shown who they are.
fn entered(it: &Dashboard, request: &Request) -> Response {
    Response::json(&json!({"auth_required": true, "valid": true}))
        .with("Set-Cookie", it.guard.login_cookie(request.is_encrypted))
}

/// The answer to whoever has not; a wrong guess counts against `peer`.
fn refused(it: &Dashboard, peer: IpAddr, problem: &OwnerError) -> Response {
    let sentence = problem.to_string();
    match problem {
        OwnerError::WrongPassword => {
            it.guard.failed(peer);
            tracing::warn!(peer = %peer, "A wrong password was refused.");
            error(401, &sentence, Some("`kafclaw password reset` on the machine itself lets you set a new one"))
        }
        OwnerError::WrongCode { .. } | OwnerError::CodeReplaced => {
            it.guard.failed(peer);
            tracing::warn!(peer = %peer, "A wrong setup code was refused.");
            error(401, &sentence, Some(CODE_HINT))
        }
        OwnerError::Wait { wait } => error(429, &sentence, Some("wait, and look for the new code"))
            .with("Retry-After", (wait.as_secs() + 1).to_string()),
        OwnerError::Owned => error(409, &sentence, Some("sign in with it")),
        OwnerError::NotOwned => error(409, &sentence, Some(CODE_HINT)),
        OwnerError::Password(PasswordError::Short | PasswordError::Long) => error(400, &sentence, None),
        OwnerError::Lane(LaneError::Full { .. }) => {
            error(503, "too many are logging in at this moment", Some("try again")).with("Retry-After", "1")
        }
        OwnerError::Lane(_) | OwnerError::Store(_) | OwnerError::Password(PasswordError::Hash { .. }) => {
            tracing::error!(error = chain(problem), "The record of the owner could not be used.");
            error(
                503,
                "the record of the owner cannot be used right now",
                Some("`kafclaw doctor` on the machine may say why"),
            )
        }
    }
}
