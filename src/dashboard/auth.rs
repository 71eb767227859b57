//! Logging in and out of the web page.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::dashboard::Dashboard;
use crate::http::{Guard, Request, Response};

#[derive(Deserialize)]
struct Login {
    token: String,
}

pub(super) async fn login(it: Arc<Dashboard>, request: Request) -> Response {
    if it.guard.is_open() {
        return verify(&it);
    }
    let login: Login = match request.json() {
        Ok(login) => login,
        Err(refusal) => return refusal,
    };
    match it.guard.try_token(&login.token, request.peer) {
        Ok(()) => Response::json(&json!({"auth_required": true, "valid": true}))
            .with("Set-Cookie", it.guard.login_cookie(request.is_encrypted)),
        Err(refusal) => refusal,
    }
}

pub(super) fn logout() -> Response {
    Response::json(&json!({"status": "ok"})).with("Set-Cookie", Guard::logout_cookie())
}

/// Who got this far is valid.
pub(super) fn verify(it: &Dashboard) -> Response {
    Response::json(&json!({"auth_required": !it.guard.is_open(), "valid": true}))
}
