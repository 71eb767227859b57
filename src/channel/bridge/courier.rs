//! Answers on their way to the bridge.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::base::secret::Secret;
use crate::bus::{Courier, Undelivered};
use crate::channel::bridge::{Bridge, DEFAULT_ACCOUNT};
use crate::domain::message::{DeliveryFailure, Outbound};
use crate::link::http::{Client, Config, HttpError, Request, Url};

/// Posts answers of one channel.
pub struct BridgeCourier {
    bridge: Arc<Bridge>,
    http: Client,
}

impl BridgeCourier {
    pub fn new(bridge: Arc<Bridge>) -> Self {
        Self { bridge, http: Client::new(Config::default()) }
    }

    async fn post(&self, outbound: &Outbound) -> Result<(), DeliveryFailure> {
        let (account_id, chat_id) = taken_apart(&outbound.chat_id);
        let account = self.bridge.merged(account_id);
        let Ok(url) = Url::parse(&account.outbound_url) else { return Err(DeliveryFailure::InvalidTargetOrPayload) };
        let body = json!({
            "channel": self.bridge.channel,
            "account_id": account_id,
            "chat_id": chat_id,
            "thread_id": outbound.thread_id.as_deref().unwrap_or(""),
            "content": outbound.content,
            "media_urls": null,
            "card": null,
            "action": "",
            "action_params": null,
            "poll_question": "",
            "poll_options": null,
            "poll_max_selections": 0,
            "trace_id": outbound.trace_id,
        });
        let mut request = Request::post_json(url, Bytes::from(body.to_string()));
        if !account.outbound_token.is_empty() {
            let bearer = format!("Bearer {}", account.outbound_token.reveal());
            request.headers.push(("authorization", Secret::new(bearer)));
        }
        let response = self.http.send(request).await.map_err(|error| failure(&error))?;
        match response.status() {
            200..=299 => Ok(()),
            429 => Err(DeliveryFailure::RateLimited),
            401 | 403 => Err(DeliveryFailure::Unauthorized),
            400 | 404 => Err(DeliveryFailure::InvalidTargetOrPayload),
            500..=599 => Err(DeliveryFailure::Upstream5xx),
            _ => Err(DeliveryFailure::SendFailed),
        }
    }
}

impl Courier for BridgeCourier {
    fn deliver<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async { self.post(outbound).await.map_err(Undelivered::Failed) })
    }
}

fn failure(error: &HttpError) -> DeliveryFailure {
    match error {
        HttpError::Url { .. } | HttpError::Denied { .. } => DeliveryFailure::InvalidTargetOrPayload,
        HttpError::Setup { .. } => DeliveryFailure::SendFailed,
        _ => DeliveryFailure::Network,
    }
}

/// Account and chat of `acct://<account>|<chat>`.
fn taken_apart(chat_id: &str) -> (&str, &str) {
    chat_id.strip_prefix("acct://").and_then(|rest| rest.split_once('|')).unwrap_or((DEFAULT_ACCOUNT, chat_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_of_named_accounts_carry_their_account() {
        assert_eq!(taken_apart("acct://work|C1"), ("work", "C1"));
        assert_eq!(taken_apart("C1"), ("default", "C1"));
        assert_eq!(taken_apart("acct://broken"), ("default", "acct://broken"));
    }
}
