//! The embedding model: how it is, installing one, making the index anew.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::port::{EmbeddingFacts, Work};
use crate::base::clock::Timestamp;
use crate::base::id::TraceId;
use crate::dashboard::{Dashboard, unstored};
use crate::domain::event::Event;
use crate::http::{Request, Response, error};
use crate::timeline;

/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 200;

pub(super) async fn status(it: Arc<Dashboard>) -> Response {
    let facts = it.memory.embedding.facts().await;
    Response::json(&shown(&facts, it.clock.now()))
}

pub(super) async fn healthz(it: Arc<Dashboard>) -> Response {
    let facts = it.memory.embedding.facts().await;
    let status = if facts.runtime.ready { 200 } else { 503 };
    Response::json_with(status, &runtime(&facts, it.clock.now()))
}

fn shown(facts: &EmbeddingFacts, now: Timestamp) -> Value {
    let configured = &facts.configured;
    let install = &facts.install;
    json!({
        "embedding": {
            "autoDownload": configured.auto_download,
            "cacheDir": configured.cache_dir,
            "dimension": configured.dimension,
            "enabled": configured.enabled,
            "endpoint": configured.endpoint,
            "fingerprint": configured.fingerprint(),
            "model": configured.model,
            "normalize": configured.normalize,
            "provider": configured.provider,
            "startupTimeoutS": configured.startup_timeout_s,
        },
        "index": {
            "embeddedChunks": facts.index.done,
            "totalChunks": facts.index.total,
            "active": facts.is_active,
            "fingerprint": facts.runtime.fingerprint,
            "progress": progress(&facts.index),
        },
        "install": {
            "cachePathAvailable": install.cache_path_available,
            "pending": install.pending,
            "requestedAt": install.requested_at.map(Timestamp::to_rfc3339).unwrap_or_default(),
            "requestedModel": install.requested_model,
            "progress": progress(&install.work),
        },
        "runtime": runtime(facts, now),
        "status": "ok",
    })
}

fn progress(work: &Work) -> Value {
    json!({"done": work.done, "total": work.total, "perSecond": work.per_second, "failure": work.failure})
}

fn runtime(facts: &EmbeddingFacts, now: Timestamp) -> Value {
    let ready = facts.runtime.ready;
    json!({
        "checkedAt": now,
        "detail": facts.runtime.detail,
        "httpStatus": if ready { 200 } else { 503 },
        "ready": ready,
        "status": if ready { "ok" } else { "degraded" },
    })
}

#[derive(Default, Deserialize)]
struct Installing {
    #[serde(default)]
    model: String,
}

/// A body that is no JSON counts as none: the configured model is meant.
pub(super) async fn install(it: Arc<Dashboard>, request: Request) -> Response {
    let wanted: Installing = serde_json::from_slice(&request.body).unwrap_or_default();
    let model = match wanted.model.trim() {
        "" => it.memory.embedding.facts().await.configured.model,
        model => model.to_owned(),
    };
    if model.is_empty() {
        return error(400, "embedding model is required", None);
    }
    match it.memory.embedding.install(model.clone()).await {
        Ok(()) => Response::json(&json!({"action": "install-requested", "model": model, "status": "ok"})),
        Err(refused) => error(409, &refused.to_string(), Some("kafclaw models list shows what can be installed")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reindexing {
    #[serde(default)]
    confirm_wipe: bool,
    #[serde(default)]
    reason: String,
}

/// No chunk is wiped: its vectors are made anew while the old ones answer. `wipedChunks` is how many get new ones.
pub(super) async fn reindex(it: Arc<Dashboard>, request: Request) -> Response {
    let Ok(wanted) = serde_json::from_slice::<Reindexing>(&request.body) else {
        return error(400, "invalid body", Some("send {\"confirmWipe\": true}"));
    };
    if !wanted.confirm_wipe {
        return error(400, "confirmWipe must be true", None);
    }
    let reason = match wanted.reason.trim() {
        "" => "manual_reindex".to_owned(),
        reason => reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned(),
    };
    let chunks = match it.memory.embedding.reindex().await {
        Ok(chunks) => chunks,
        Err(refused) => return error(409, &refused.to_string(), None),
    };
    let event = Event {
        content: format!("reason={reason} chunks={chunks}"),
        metadata: json!({"reason": reason, "chunks": chunks}),
        ..Event::system("MEMORY", TraceId::random(), it.clock.now(), "MEMORY_EMBEDDING_REINDEX")
    };
    match it.db.write(move |tx| timeline::append(tx, &event).map(drop)).await {
        Ok(()) => Response::json(&json!({"reason": reason, "status": "ok", "wipedChunks": chunks})),
        Err(problem) => unstored(&problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_kafclaws_fields_and_tells_how_far_it_is() {
        let mut facts = EmbeddingFacts::default();
        facts.configured.provider = "local-hf".to_owned();
        facts.configured.model = "m".to_owned();
        facts.configured.dimension = 384;
        facts.index = Work { done: 5, total: 9, per_second: 2.0, failure: None };
        let shown = shown(&facts, Timestamp::from_millis(0));
        let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&shown), ["embedding", "index", "install", "runtime", "status"]);
        assert_eq!(
            keys(&shown["embedding"]),
            [
                "autoDownload",
                "cacheDir",
                "dimension",
                "enabled",
                "endpoint",
                "fingerprint",
                "model",
                "normalize",
                "provider",
                "startupTimeoutS"
            ]
        );
        assert_eq!(shown["embedding"]["fingerprint"], "local-hf|m|384|false");
        assert_eq!(keys(&shown["runtime"]), ["checkedAt", "detail", "httpStatus", "ready", "status"]);
        assert_eq!((&shown["index"]["embeddedChunks"], &shown["index"]["progress"]["total"]), (&json!(5), &json!(9)));
        assert_eq!(shown["install"]["requestedAt"], "");
    }
}
