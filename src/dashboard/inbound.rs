//! What the bridge to Slack and Teams posts (specification §3.3).

use std::sync::Arc;

use serde_json::json;

use crate::api;
use crate::channel::bridge::Heard;
use crate::dashboard::Dashboard;
use crate::http::{Request, Response, error};

/// A channel's token opens its own route, so that the bridge needs no key to the whole house.
const TOKEN_HEADER: &str = "x-channel-token";

pub(super) async fn take(it: Arc<Dashboard>, request: Request, channel: &'static str) -> Response {
    let Ok(heard) = serde_json::from_slice::<Heard>(&request.body) else { return error(400, "invalid body", None) };
    let Some(bridge) = it.bridges.iter().find(|bridge| bridge.channel == channel) else {
        return error(404, "this channel is switched off", Some("set channels.<name>.enabled"));
    };
    let presented = request.header(TOKEN_HEADER).unwrap_or("");
    if !request.is_authenticated && !bridge.is_token_valid(&heard.account_id, presented) {
        return error(401, "invalid channel token", None);
    }
    if heard.sender_id.trim().is_empty() || heard.chat_id.trim().is_empty() {
        return error(400, "sender_id and chat_id required", None);
    }
    match bridge.take(&it.intake, heard).await {
        Ok(_) => Response::json(&json!({"ok": true})),
        Err(problem) => api::refused(&problem),
    }
}
