//! What is shared with the group (group specification §7): items to remember, for all or for a zone, and taken back.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::base::error::chain;
use crate::base::id::ZoneId;
use crate::dashboard::{Dashboard, route, unstored};
use crate::group::hub::{Group, NewItem, ShareError};
use crate::group::outbox::OutboxError;
use crate::http::{Access, Method, Request, Response, Route, error};

/// Longest time for which an item of the context counts, in seconds.
const TTL_SECONDS_MAX: u64 = 365 * 24 * 3600;

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    use Access::Token;
    use Method::{Delete, Post};
    vec![
        route(Post, "/api/v1/group/memory", Token, "Let the group remember: {title, content, content_type?, tags?, zone?, ttl_seconds?}.", |it, request| Box::pin(share(it, request))),
        route(Delete, "/api/v1/group/memory/{id}", Token, "Forget an item here; one of ours is taken back from everybody.", |it, request| Box::pin(forget(it, request))),
    ]
}

#[derive(Deserialize)]
struct Shared {
    #[serde(default)]
    title: String,
    #[serde(default)]
    content_type: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    /// Ours.
    #[serde(default)]
    zone: String,
    /// Ours: an item of the context, which is over after this time.
    #[serde(default)]
    ttl_seconds: u64,
}

impl From<Shared> for NewItem {
    fn from(body: Shared) -> Self {
        let lasts = Duration::from_secs(body.ttl_seconds.min(TTL_SECONDS_MAX));
        Self {
            title: body.title.trim().to_owned(),
            content_type: body.content_type,
            content: body.content,
            tags: body.tags.unwrap_or_default(),
            zone: Some(body.zone).filter(|zone| !zone.is_empty()).map(ZoneId::from),
            lasts: Some(lasts).filter(|lasts| !lasts.is_zero()),
        }
    }
}

fn joined(it: &Dashboard) -> Result<Group, Response> {
    it.membership.current().ok_or_else(|| {
        error(400, "not in a group", Some("set group.enabled, group.groupName and group.kafkaBrokers, and start again"))
    })
}

async fn share(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match joined(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    let Ok(body) = serde_json::from_slice::<Shared>(&request.body) else { return error(400, "invalid body", None) };
    let (item, sharer, now) = (NewItem::from(body), group.clone(), it.clock.now());
    // A refusal undoes what was written before it, so it has to come out as an error of the transaction.
    let shared = it.db.write(move |tx| match sharer.share(tx, &item, now) {
        Ok(id) => Ok(Ok(id)),
        Err(error @ (ShareError::Store { .. } | ShareError::Outbox(_))) => Err(error.into()),
        Err(refused) => Ok(Err(refused)),
    });
    match shared.await {
        Ok(Ok(id)) => {
            group.asked();
            Response::json(&json!({"status": "shared", "item_id": id, "queued": !group.is_online()}))
        }
        Ok(Err(refused)) => refusal(&refused),
        Err(problem) => match OutboxError::behind(&problem) {
            Some(full) => {
                error(503, &format!("share failed: {full}"), Some("GET /api/v1/group/outbox shows what waits"))
            }
            None => unstored(&problem),
        },
    }
}

fn refusal(refused: &ShareError) -> Response {
    let status = match refused {
        ShareError::Untitled | ShareError::Refused(_) => 400,
        ShareError::TooLarge { .. } | ShareError::TooLargeForZone { .. } => 413,
        ShareError::Zone(_) => 403,
        ShareError::Outbox(_) | ShareError::Store { .. } => 503,
    };
    match refused {
        // KafClaw's words.
        ShareError::Untitled => error(status, "title required", None),
        other => error(status, &format!("share failed: {}", chain(other)), None),
    }
}

async fn forget(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match joined(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    let (forgetter, id, now) = (group.clone(), request.param("id").to_owned(), it.clock.now());
    match it.db.write(move |tx| forgetter.forget(tx, &id, now)).await {
        Ok(true) => {
            group.asked();
            Response::json(&json!({"status": "forgotten"}))
        }
        Ok(false) => error(404, "item not found", None),
        Err(problem) => unstored(&problem),
    }
}
